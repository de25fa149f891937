"""``python -m hybrid_rs.experiments run T1 --profile quick -p sigma 1.0``."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybrid_rs.experiments.profiles import PROFILES
from hybrid_rs.experiments.runner import ExperimentFailed, run_experiment


def literal(text: str) -> Any:
    """The value that a word of the command line stands for: a Python literal if it is one, else the word itself.

    Example:
        >>> literal("0.5"), literal("[1, 2]"), literal("uniform")
        (0.5, [1, 2], 'uniform')
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one experiment; 0 if it ran to its end, 1 with one message on stderr if not."""
    parser = argparse.ArgumentParser(prog="python -m hybrid_rs.experiments", description="Run an experiment notebook.")
    run = parser.add_subparsers(required=True).add_parser("run", help="execute a notebook of notebooks/experiments")
    run.add_argument("name", help="the notebook's name without .ipynb")
    run.add_argument("--profile", choices=PROFILES, default="quick", help="the size of the run (default: quick)")
    run.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    run.add_argument("--output", type=Path, help="where the executed notebook goes (default: <name>.ipynb here)")
    given = parser.parse_args(arguments)

    parameters = {name: literal(value) for name, value in given.parameters}
    output = given.output or Path(f"{given.name}.ipynb")
    try:
        run_experiment(given.name, profile=given.profile, parameters=parameters, output=output)
    except (ValueError, ImportError, ExperimentFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
