"""The command line application: its commands, and how errors are reported."""

from __future__ import annotations

import io
import os
import sys
from functools import cache
from typing import Annotated, Any

import typer

import hybrid_rs
from hybrid_rs.cli import (
    attacking,
    calibrating,
    certifying,
    deciding,
    doctor,
    exchanging,
    experiments,
    mathematics,
    picturing,
    reporting,
)  # fmt: skip
from hybrid_rs.cli.options import grouped
from hybrid_rs.cli.own_guard import naming_guard
from hybrid_rs.cli.showing import interruptible, note

EPILOG = (
    "Exit status: 0 on success, 1 after an error (one message on stderr), 2 if the command was mistyped, 130 "
    "after Ctrl-C. Results go to stdout, progress and notes to stderr. Nothing is downloaded without --download. "
    "Set HYBRID_RS_DEBUG=1 in the environment to see the traceback of an error. "
    "For completion with the tab key: hybrid-rs --install-completion."
)

app = typer.Typer(
    help="Certificates for text edits and image perturbations at the same time.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # lines of a paragraph flow
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"hybrid-rs {hybrid_rs.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


for command in (
    doctor.doctor,
    mathematics.radius,
    mathematics.plan,
    picturing.show,
    calibrating.calibrate,
    certifying.certify,
    reporting.report,
    deciding.decide,
    attacking.attack,
    mathematics.verify,
    exchanging.export,
    exchanging.import_,
    experiments.run,
    experiments.train,
):
    app.command(command.__name__.rstrip("_"))(interruptible(naming_guard(grouped(command))))


@cache
def _command() -> Any:
    """Return the command line as Click runs it: made once, for a process that runs several commands."""
    return typer.main.get_command(app)


def run() -> None:
    """Run the command line; an error gives one message on stderr (or a traceback, for debugging) and exit status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # a letter that the console cannot show is printed as its code
    try:
        _command()()
    except Exception as error:
        if os.environ.get("HYBRID_RS_DEBUG"):
            raise
        expected = isinstance(error, ValueError | ImportError | RuntimeError | OSError)
        more = "unexpected error: set HYBRID_RS_DEBUG=1 in the environment to see the traceback"
        said = str(error) if expected else f"{type(error).__name__}: {error}; {more}"
        note(f"error: {said}")
        sys.exit(1)
