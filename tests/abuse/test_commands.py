"""Hostile strings into the options of the commands."""

import pytest
from abuse import commands

import hybrid_rs.cli
from hybrid_rs.cli import mathematics


def test_every_command_is_tried_or_named() -> None:
    every = {command.name or command.callback.__name__ for command in hybrid_rs.cli.app.registered_commands}
    assert set(commands.ARGUMENTS) | commands.NOT_RUN == every


@pytest.mark.slow
def test_a_hostile_option_is_one_error_that_names_it_and_writes_nothing() -> None:
    assert commands.run(150, seed=3) == {"cases": 150, "faults": []}


def test_a_traceback_is_found(monkeypatch) -> None:
    def broken(*values, **names):
        raise KeyError("shape")

    monkeypatch.setattr(mathematics, "write_whole", broken)
    assert "KeyError" in commands.fault("save", ["radius", "--p-a=0.999", "--save=new.json"])
