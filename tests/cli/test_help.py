"""What the page of commands and the help promise."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from hybrid_rs.cli import app

PAGE = (Path(__file__).resolve().parents[2] / "book" / "command_line.md").read_text()
EXAMPLES = re.findall(r"^\|.*`hybrid-rs ([a-z]+ [^`]*|[a-z]+)` \|$", PAGE, re.MULTILINE)
COMMANDS = get_command(app).commands


def test_the_page_has_an_example_of_every_command():
    assert {example.split()[0] for example in EXAMPLES} == COMMANDS.keys()


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_page_is_understood(example):
    name, *words = shlex.split(example)
    context = COMMANDS[name].make_context(name, words)  # parses and checks every option; runs nothing
    assert context.params


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name):
    assert COMMANDS[name].help
    assert [p.name for p in COMMANDS[name].params if not getattr(p, "help", None)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_shows_every_word_of_it(run, monkeypatch, name):
    """What looks like a tag, an emphasis or a style must not vanish."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 3000)
    code, printed = run(name, "--help")
    shown = " ".join(printed.out.split())
    assert code == 0
    for words in (COMMANDS[name].help, *(parameter.help for parameter in COMMANDS[name].params)):
        assert " ".join(words.replace("`", "").split()) in shown


def test_the_help_says_exit_codes_and_how_to_complete(run):
    code, printed = run("--help")
    said = " ".join(printed.out.split())
    assert code == 0
    assert "130 after Ctrl-C" in said
    assert "hybrid-rs --install-completion" in said
