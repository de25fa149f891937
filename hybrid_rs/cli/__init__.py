"""The command line, ``hybrid-rs``: one module for each kind of command.

``application`` lists the commands. ``options`` and ``guard_options`` declare the options that several of them share;
``data``, ``loading`` and ``smoothing_options`` turn these into a data set, a guard with its engine, and a smoothing.
``showing`` prints results and notes, ``token_text`` spells tokens, ``resolution`` says in which pixels distances are
measured, and ``report_page`` makes the page of a report. Nothing heavy is imported here, so that a Ctrl-C ends with
status 130 from the first moment on.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybrid_rs.cli.application import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    try:
        from hybrid_rs.cli.application import run

        run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # ignore a second Ctrl-C
        print("\ninterrupted: nothing was finished", file=sys.stderr)
        sys.exit(130)


def __getattr__(name: str) -> Any:
    if name == "app":
        from hybrid_rs.cli.application import app

        return app
    raise AttributeError(f"module 'hybrid_rs.cli' has no attribute {name!r}")
