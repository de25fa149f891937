"""What commands print: results on stdout, notes on stderr, and a message after Ctrl-C."""

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
from hybrid_rs.certificates.rounding import ceiled, floored

LABEL = {True: "unsafe", False: "safe", None: None}


def note(text: str) -> None:
    """Print a note on stderr."""
    with tqdm.external_write_mode():
        typer.echo(harmless(text), err=True)


def result(text: str) -> None:
    """Print results on stdout."""
    with tqdm.external_write_mode():
        typer.echo(harmless(text))


def harmless(text: str) -> str:
    r"""Escape everything in a text that could move the cursor, change colours or reverse the direction of print.

    Example:
        >>> harmless("two\nlines \x1b[2J")
        'two\nlines \\x1b[2J'
    """
    kept = {letter for letter in {*text} if letter.isprintable() or letter in "\n\t\xa0\u3000"}
    return "".join(letter if letter in kept else repr(letter)[1:-1] for letter in text)


def json_line(values: dict[str, Any]) -> str:
    """Return one line of JSON; nan becomes null, and infinity, for which JSON has no number, the word "inf"."""
    return strict_json(plain(values))


def plain(value: Any) -> Any:
    """Return what JSON can hold: see :func:`json_line`; tuples become lists."""
    if isinstance(value, dict):
        return {name: plain(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return [plain(x) for x in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def radii_row(radii: Sequence[float], digits: int = 3) -> str:
    """Format radii in columns, rounded down; a dash where nothing is certified.

    Example:
        >>> radii_row([1.2999, float("nan")])
        '   1.299       -'
    """
    return "".join(f"{'-' if math.isnan(r) else f'{floored(r, digits):.{digits}f}':>8}" for r in radii)


def down(value: float, digits: int = 5) -> str:
    """Format a lower bound, rounded down."""
    return f"{floored(value, digits):.{digits}f}"


def up(value: float, digits: int = 5) -> str:
    """Format an upper bound, rounded up.

    Example:
        >>> up(0.123451), up(1.0)
        ('0.12346', '1.00000')
    """
    return f"{ceiled(value, digits):.{digits}f}"


def interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that a Ctrl-C ends it with exit status 130 and a message."""

    @wraps(command)
    def run(**options: Any) -> None:
        with resumable():
            command(**options)

    return run


@contextmanager
def resumable(*stores: Path) -> Iterator[None]:
    """Turn a Ctrl-C into exit status 130 and a message that says where finished work is stored."""
    try:
        yield
    except KeyboardInterrupt:
        there = " and ".join(str(store) for store in stores if store.exists())
        kept = (
            f"finished work is in {there}; run the same command again to continue" if there else "nothing was finished"
        )
        typer.echo(f"\ninterrupted: {kept}", err=True)
        raise typer.Exit(130) from None
