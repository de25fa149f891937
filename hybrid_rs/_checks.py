"""Every complaint about an argument in one form: its name, its value, the remedy."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHOWN = 200  # characters of a value that a message repeats
SHORT = reprlib.Repr()


def require(condition: bool, name: str, value: Any, remedy: str) -> None:
    """Raise ``ValueError`` naming the parameter, its value and the remedy unless the condition holds.

    Example:
        >>> require(2 > 1, "sigma", 2.0, "give a positive number")
        >>> require(False, "sigma", -2.0, "give a positive number")
        Traceback (most recent call last):
        ValueError: sigma = -2.0: give a positive number
    """
    if not condition:
        raise ValueError(f"{name} = {shown(value)}: {remedy}")


def shown(value: Any, how: Callable[[Any], str] = str, most: int = SHOWN) -> str:
    r"""The value as a message repeats it: one line of at most 200 characters (``most``), whatever it is.

    Example:
        >>> shown(np.zeros(1_000_000)), shown(list(range(9))), shown("two" + chr(10) + "lines")
        ('[0. 0. ... 0. 0.]', '[0, 1, 2, 3, 4, 5, ...]', 'two\\nlines')
    """
    try:
        if isinstance(value, np.ndarray):
            with np.printoptions(threshold=8, edgeitems=2):
                text = str(value).replace("\n", " ")
        else:
            text = SHORT.repr(value) if isinstance(value, list | tuple | dict | set | frozenset) else how(value)
    except Exception:  # a foreign __repr__ may raise anything; an int of 5,000 digits does
        text = f"a value of type {type(value).__name__} that cannot be shown"
    text = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def text_file(name: str, path: Path) -> str:
    """The text of a file, which must be UTF-8."""
    require(path.is_file(), name, repr(str(path)), "no such file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{name} = {str(path)!r}: it is not UTF-8; give a file of text") from None


def probability(name: str, value: Any) -> np.ndarray:
    """The value as a float64 array whose entries all lie in [0, 1]."""
    return _in_range(name, value, lambda a: (a >= 0) & (a <= 1), "give probabilities in [0, 1]")


def nonnegative(name: str, value: Any) -> np.ndarray:
    """The value as a float64 array of finite entries, none negative."""
    return _in_range(name, value, lambda a: (a >= 0) & (a < np.inf), "give finite numbers that are not negative")


def positive(name: str, value: Any) -> np.ndarray:
    """The value as a float64 array of positive entries; infinity is allowed."""
    return _in_range(name, value, lambda a: a > 0, "give positive numbers")


def risks(name: str, value: Any) -> np.ndarray:
    """The value as a float64 array of numbers strictly between 0 and 1."""
    return _in_range(name, value, lambda a: (a > 0) & (a < 1), "give a risk in (0, 1), such as 0.01")


def risk(name: str, value: Any) -> float:
    """The value as one number strictly between 0 and 1."""
    array = risks(name, value)
    require(array.ndim == 0, name, value, "give one number")
    return float(array)


def successes(k: Any, n: Any, *, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    """The two as float64 arrays of whole numbers, with n no smaller than ``at_least`` and k from 0 to n."""
    hits, draws = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    whole = (draws >= at_least) & (draws == np.floor(draws))
    require(bool(np.all(whole)), "n", n, f"give whole numbers of draws, at least {at_least}")
    inside = (hits >= 0) & (hits <= draws) & (hits == np.floor(hits))
    require(bool(np.all(inside)), "k", k, f"give whole numbers from 0 to n = {draws}")
    return hits, draws


def _in_range(name: str, value: Any, inside: Any, remedy: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} = {value!r}: {remedy}") from None
    good = inside(array)  # nan compares false, so it is never inside
    if not np.all(good):
        raise ValueError(f"{name} = {array[~good].flat[0]}: {remedy}")
    return array


def integer(name: str, value: Any, at_least: int) -> int:
    """The value as an int no smaller than ``at_least``; a float with a fraction, or a bool, is refused."""
    remedy = f"give a whole number of at least {at_least}"
    require(not isinstance(value, bool | np.bool_), name, value, remedy)
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} = {value!r}: {remedy}") from None
    require(number == value and number >= at_least, name, value, remedy)
    return number
