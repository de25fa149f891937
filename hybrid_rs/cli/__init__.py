"""The command line, ``hybrid-rs``: one module for each kind of command."""

from __future__ import annotations

import sys

import typer

from hybrid_rs.cli import attacking, certifying, deciding, doctor, exchanging, experiments, mathematics
from hybrid_rs.cli.experiments import _assignment

__all__ = ["_assignment", "app", "main"]

EPILOG = (
    "Exit status: 0 if all went well, 1 after an error (one message on stderr), 2 if the command was mistyped, 130 "
    "after Ctrl-C. Results go to stdout, progress and notes to stderr. Nothing is fetched unless --download says so. "
    "Completion by the tab key: hybrid-rs --install-completion."
)

app = typer.Typer(
    help="Certificates for text edits and image perturbations at the same time.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # lines of a paragraph flow
)
for command in (
    doctor.doctor,
    mathematics.radius,
    mathematics.plan,
    certifying.certify,
    deciding.decide,
    attacking.attack,
    mathematics.verify,
    exchanging.export,
    exchanging.import_,
    experiments.run,
    experiments.train,
):
    app.command(command.__name__.rstrip("_"))(command)


def main() -> None:
    """Run the command line; an error is one message on stderr and exit code 1."""
    try:
        app()
    except (ValueError, ImportError, RuntimeError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
