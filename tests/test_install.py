"""The page "Install and start" shows what its commands print, and installs sets of packages that exist."""

import contextlib
import doctest
import io
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from hybrid_rs import cli

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "install.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HOW = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def steps():
    """Yield every block that is run, with the output that the page shows below it."""
    for (language, source), (following, text) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if language == "python" or "hybrid-rs " in source:
            yield language, source, text if following == "text" else None


@pytest.fixture
def printed(monkeypatch, tmp_path):
    """Run one block after the other in an empty folder: returns what each prints on stdout."""
    monkeypatch.chdir(tmp_path)
    names = {}

    def run(language, source):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            if language == "python":
                exec(source, names)
                return out.getvalue()
            monkeypatch.setattr("sys.argv", shlex.split(source.replace("\\\n", " ")))
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert not ended.value.code, err.getvalue()
        return out.getvalue()

    return run


@pytest.mark.slow
def test_every_block_prints_what_the_page_shows(printed):
    shown = 0
    for language, source, text in steps():
        found = printed(language, source)
        if text is not None:
            assert doctest.OutputChecker().check_output(text, found, HOW), f"{source}\n{found}"
            shown += 1
    assert shown == 5


def test_every_radius_in_a_sentence_is_one_that_was_printed():
    prose = re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    said = set(re.findall(r"\b\d+\.\d{3}\b", prose))
    assert said
    assert said <= {number for _, _, text in steps() if text for number in re.findall(r"\d+\.\d+", text)}
    assert re.search(r"called (\d+) unsafe", prose)[1] == re.search(r"unsafe=\((\d+),\)", PAGE)[1]


def test_a_reader_sees_the_l0_threat_before_the_suffix():
    commands = [source for language, source, _ in steps() if language == "sh"]
    assert [re.findall(r"--threat (\w+)", source) for source in commands] == [[], ["l0"], ["suffix"]]


def test_what_is_installed_exists():
    extras = {extra for words in re.findall(r"\[([\w,]+)\]\"", PAGE) for extra in words.split(",")}
    assert extras == {"guard", "verify"}
    assert extras <= PROJECT["optional-dependencies"].keys()
    assert f"dist/{PROJECT['name']}-{PROJECT['version']}-py3-none-any.whl" in PAGE


def test_the_page_installs_as_the_readme_does():
    assert "pip install ." in (ROOT / "README.md").read_text()
    assert "`pip install .`" in PAGE
