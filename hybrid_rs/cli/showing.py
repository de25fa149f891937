"""What commands print: results on stdout, notes on stderr, and what a Ctrl-C leaves behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import typer
from tqdm import tqdm

from hybrid_rs._files import strict_json
from hybrid_rs.certificates.rounding import floored

LABEL = {True: "unsafe", False: "safe", None: None}


def note(text: str) -> None:
    """Say something beside the results."""
    with tqdm.external_write_mode():
        typer.echo(harmless(text), err=True)


def result(text: str) -> None:
    """Print a part of the results."""
    with tqdm.external_write_mode():
        typer.echo(harmless(text))


def harmless(text: str) -> str:
    r"""Return a text of several lines in which nothing moves the cursor, colours or turns round what is printed.

    Example:
        >>> harmless("two\nlines \x1b[2J")
        'two\nlines \\x1b[2J'
    """
    kept = {letter for letter in {*text} if letter.isprintable() or letter in "\n\t\xa0\u3000"}
    return "".join(letter if letter in kept else repr(letter)[1:-1] for letter in text)


def json_line(values: dict[str, Any]) -> str:
    """Return one line of JSON; nan becomes null, and infinity, for which JSON has no number, the word "inf"."""
    return strict_json({name: _plain(value) for name, value in values.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def radii_row(radii: Sequence[float], digits: int = 3) -> str:
    """Return radii for people, rounded down, in columns; a dash where nothing is certified.

    Example:
        >>> radii_row([1.2999, float("nan")])
        '   1.299       -'
    """
    return "".join(f"{'-' if math.isnan(r) else f'{floored(r, digits):.{digits}f}':>8}" for r in radii)


def down(value: float, digits: int = 5) -> str:
    """Return a lower bound for people, rounded down."""
    return f"{floored(value, digits):.{digits}f}"


def interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that says so, with exit status 130, if a Ctrl-C ends it before it has anything to resume."""

    @wraps(command)
    def run(**options: Any) -> None:
        with resumable():
            command(**options)

    return run


@contextmanager
def resumable(*stores: Path) -> Iterator[None]:
    """Turn a Ctrl-C into exit status 130 and a word on where finished work is."""
    try:
        yield
    except KeyboardInterrupt:
        there = " and ".join(str(store) for store in stores if store.exists())
        kept = f"what was finished is in {there}; run the same command again to go on" if there else "nothing finished"
        typer.echo(f"\ninterrupted: {kept}", err=True)
        raise typer.Exit(130) from None
