"""Garbage into every option of every command: one error that names the option, or what the option is for.

No guard is loaded: where a command gets as far as that, all its options were accepted.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import typer.main
from abuse.rooms.datasets import home

from hybrid_rs import cli
from hybrid_rs.cli import loading

HOSTILE = (
    *("", " ", "nan", "inf", "-inf", "-1", "0", "1e400", "1e-320", "0.5", "2", "9" * 400, "1_0", "0x10", "½", "True"),
    *("none", "two\nlines\x1b[2J", "x" * 5_000, "../..", "/", "/dev/null", "no/such/folder", "a=b", "-", "'", "\ud800"),
)
LEFT_OUT = {"help", "version", "install_completion", "show_completion", "download"}
NOT_RUN = {"doctor", "train", "run"}  # they take minutes where an option is right; refused options have tests
DATA = '{"image": "a.png", "text": "a text", "label": 1}\n'
CERTIFIED = {
    "id": "a", "label": "unsafe", "classifier": "b", "guard": "c", "tau": 0.5, "alpha": 0.01, "n": 10, "sigma": 0.5,
    "kernel": "UniformKernel", "vocab_size": 9, "beta": 0.25, "threat": "SuffixThreat", "max_edits": 1, "p": [0.9, 0.9],
    "image": [3, 8, 8], "radii": [0.7, None], "claim": "A claim.",
}  # fmt: skip


class Loaded(Exception):
    """A command accepted its options and asked for the guard."""


def commands() -> dict[str, Any]:
    """The commands by name, as click sees them."""
    group: Any = typer.main.get_command(cli.app)
    return {name: command for name, command in group.commands.items() if name not in NOT_RUN}


def cases() -> Iterator[tuple[str, str, list[str]]]:
    """Command, option and arguments: every hostile value for every option that takes one."""
    for name, command in commands().items():
        usual = ARGUMENTS[name]
        for parameter in command.params:
            if parameter.name in LEFT_OUT or getattr(parameter, "is_flag", False):
                continue
            for value in HOSTILE:
                if parameter.param_type_name == "argument":
                    yield name, parameter.name, [name, *usual[1:], "--", value]
                else:
                    yield name, parameter.name, [name, *usual, f"{parameter.opts[0]}={value}"]


ARGUMENTS = {  # good ones, to which a hostile one is added
    "attack": ["lines.jsonl", "--model=bay_guard", "--d=1", "--epsilon=0.5"],
    "calibrate": ["safe.jsonl", "--model=bay_guard", "--false-alarms=0.99", "--confidence=0.9"],
    "certify": ["lines.jsonl", "--model=bay_guard"],
    "decide": ["lines.jsonl", "--model=bay_guard", "--d=1", "--epsilon=0.5"],
    "export": ["table.tsv"],
    "import": ["table.tsv"],
    "plan": ["--d=1", "--epsilon=0.5"],
    "radius": ["--p-a=0.999"],
    "report": ["certified.jsonl"],
    "show": ["lines.jsonl", "--model=bay_guard"],
    "verify": ["table.tsv"],
}


def run(count: int, seed: int = 0) -> dict[str, Any]:
    """Run one part of all cases, in a fixed random order: part number ``seed`` of ``count`` cases each.

    Returns:
        ``cases``, how many there were, and ``faults``: what was wrong, a line each.
    """
    every = list(cases())
    Random(0).shuffle(every)
    here = every[seed * count : (seed + 1) * count]
    found = [(arguments, fault(option, arguments)) for _, option, arguments in here]
    return {
        "cases": len(here),
        "faults": [f"{arguments[-1][:80]!r} of {arguments[0]}: {said}" for arguments, said in found if said],
    }


def fault(option: str, arguments: list[str]) -> str:
    """Run one command; return what is wrong with its outcome, or an empty string."""
    folder = home() / "commands" / "two" / "deep"  # so that ../.. is a folder of ours, too
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.png").write_bytes((home() / "a.png").read_bytes())
    (folder / "lines.jsonl").write_text(DATA)
    (folder / "safe.jsonl").write_text(DATA.replace("1}", "0}"))
    (folder / "certified.jsonl").write_text(json.dumps(CERTIFIED))
    (folder / "table.tsv").write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\tnan\n")
    before = sorted(folder.iterdir())
    status, said = _run(folder, arguments)
    new = sorted(set(folder.iterdir()) - set(before))
    for file in new:
        file.unlink()
    if status not in (0, 1, 2):
        return f"status {status!r}: {said[-200:]!r}"
    if status == 0:
        return ""
    if new:
        return f"an error, and yet {new[0].name!r} was written"
    message = said.strip().splitlines()[-1] if said.strip() else ""
    words = said.lower().replace("-", "_")
    if "unexpected error" in said or "Traceback" in said or len(said) > 8_000:
        return f"{message[:200]!r}"
    if option.lower() not in words:
        return f"names no option: {message[:200]!r}"
    return ""


def _run(folder: Path, arguments: list[str]) -> tuple[Any, str]:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["hybrid-rs", *arguments]),
        mock.patch.object(loading, "load_guard", side_effect=Loaded),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            loaded = "Loaded" in err.getvalue()
            return (0 if loaded else ended.code or 0), err.getvalue()
        except BaseException as error:
            return type(error).__name__, str(error)
    return 0, err.getvalue()
