"""Checks of arguments, with error messages in one form: ``name = value: remedy``. A value is checked, never coerced."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SHOWN = 200  # characters of a value that a message repeats
INT64 = 2**63 - 1
EXACT = 2**53  # below it every whole number is a float64
LONGEST_NAME, LONGEST_PATH = 256, 3900  # in letters; file systems take at least as many
SHORT = reprlib.Repr()


def require(condition: bool, name: str, value: Any, remedy: str, how: Callable[[Any], str] = str) -> None:
    """Raise ``ValueError`` naming the parameter, its value and the remedy unless the condition holds.

    Example:
        >>> require(2 > 1, "sigma", 2.0, "give a positive number")
        >>> require(False, "sigma", -2.0, "give a positive number")
        Traceback (most recent call last):
        ValueError: sigma = -2.0: give a positive number
    """
    if not condition:
        raise ValueError(f"{name} = {shown(value, how)}: {remedy}")


def shown(value: Any, how: Callable[[Any], str] = str, most: int = SHOWN) -> str:
    r"""Return a value as a message shows it: one line of at most 200 characters (``most``), for any value.

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


def kind(name: str, value: Any, of: type | tuple[type, ...], remedy: str) -> Any:
    """Return the value, which must be an instance of that type or satisfy that protocol."""
    require(isinstance(value, of) and not isinstance(value, type), name, value, remedy, repr)
    return value


def several(name: str, value: Any, remedy: str, of: type | tuple[type, ...] = object) -> list[Any]:
    """Return the members of an iterable, each of that type, as a list."""
    try:
        each = None if isinstance(value, str | bytes | type) else list(value)
    except TypeError:
        each = None
    if each is None:
        raise ValueError(f"{name} = {shown(value, how=repr)}: {remedy}")
    return [kind(name, member, of, remedy) for member in each]


def flag(name: str, value: Any) -> bool:
    """Return the value, which must be True or False; a merely truthy value, such as "false", is refused."""
    require(isinstance(value, bool | np.bool_), name, value, "give True or False", repr)
    return bool(value)


def text(name: str, value: Any) -> str:
    """Return the value, which must be a string."""
    require(isinstance(value, str), name, value, "give a string", repr)
    return str(value)


def choice(name: str, value: Any, words: tuple[str, ...]) -> str:
    """Return the value, which must be one of some words.

    Example:
        >>> choice("fit", "crop", ("stretch", "crop"))
        'crop'
    """
    require(isinstance(value, str) and value in words, name, value, f"give one of {', '.join(words)}", repr)
    return str(value)


def path(name: str, value: Any) -> Path:
    """Return the value, which must be a path or a string, as a path."""
    require(isinstance(value, str | Path) and "\0" not in str(value), name, value, "give a path, or its string", repr)
    found = Path(value)
    fits = max((len(part) for part in found.parts), default=0) < LONGEST_NAME and len(str(found)) < LONGEST_PATH
    require(fits, name, value, f"give a path with names of fewer than {LONGEST_NAME} letters", repr)
    return found


def function(name: str, value: Any, remedy: str) -> Any:
    """Return the value, which must be callable."""
    require(callable(value), name, value, remedy, repr)
    return value


def probability(name: str, value: Any) -> FloatArray:
    """Return the value as a float64 array whose entries all lie in [0, 1]."""
    return _in_range(name, value, lambda a: (a >= 0) & (a <= 1), "give probabilities in [0, 1]")


def nonnegative(name: str, value: Any) -> FloatArray:
    """Return the value as a float64 array of finite entries, none negative."""
    return _in_range(name, value, lambda a: (a >= 0) & (a < np.inf), "give finite numbers that are not negative")


def nonnegative_or_infinite(name: str, value: Any) -> FloatArray:
    """Return the value as a float64 array of entries that are not negative; infinity is allowed."""
    return _in_range(name, value, lambda a: a >= 0, "give numbers that are not negative")


def positive(name: str, value: Any) -> FloatArray:
    """Return the value as a float64 array of positive entries; infinity is allowed."""
    return _in_range(name, value, lambda a: a > 0, "give positive numbers")


def risks(name: str, value: Any) -> FloatArray:
    """Return the value as a float64 array of numbers strictly between 0 and 1."""
    return _in_range(name, value, lambda a: (a > 0) & (a < 1), "give a risk in (0, 1), such as 0.01")


def one(name: str, array: FloatArray) -> float:
    """Return the number in an array, which must have no axes."""
    require(array.ndim == 0, name, array, "give one number")
    return float(array)


def risk(name: str, value: Any) -> float:
    """Return the value as one number strictly between 0 and 1."""
    return one(name, risks(name, value))


def successes(k: Any, n: Any, *, at_least: int) -> tuple[FloatArray, FloatArray]:
    """Return k and n as float64 arrays of whole numbers; n must be at least ``at_least``, and k from 0 to n."""
    draws = _whole("n", n, at_least, f"give whole numbers of draws, at least {at_least}")
    hits = _whole("k", k, 0, "give whole numbers from 0 to n")
    wide_hits, wide_draws = broadcast(k=hits, n=draws)
    over = wide_hits > wide_draws
    if over.any():
        most, first = (_as_count(array[over].flat[0]) for array in (wide_draws, wide_hits))
        raise ValueError(f"k = {first}: give whole numbers from 0 to n = {most}")
    return hits, draws


def broadcast(**arrays: FloatArray) -> list[FloatArray]:
    """Return the arrays in their common shape; if they have none, the error names all of them."""
    try:
        return list(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays.values())
        raise ValueError(f"{', '.join(arrays)} = arrays of shapes {shapes}: give shapes that broadcast") from None


def numbers(name: str, value: Any) -> FloatArray:
    """Return the value as a float64 array of any numbers, including nan and infinity."""
    return _in_range(name, value, lambda a: np.ones(a.shape, dtype=bool), "give numbers")


def integer(name: str, value: Any, at_least: int, at_most: int = INT64) -> int:
    """Return the value as an int from ``at_least`` to ``at_most``; a float with a fraction, or a bool, is refused."""
    number = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    whole = whole or (isinstance(number, float | np.floating) and bool(number.is_integer()))
    inside = bool(whole and at_least <= number <= at_most)
    upto = f" and at most {at_most}" if whole and number > at_most else ""
    require(inside, name, value, f"give a whole number of at least {at_least}{upto}", repr)
    return int(number)


def _in_range(name: str, value: Any, inside: Any, remedy: str) -> FloatArray:
    array = _numbers(value)
    if array is None:
        raise ValueError(f"{name} = {shown(value, how=repr)}: {remedy}")
    good = inside(array)  # nan compares false, so it is never inside
    if not np.all(good):
        raise ValueError(f"{name} = {array[~good].flat[0]}: {remedy}")
    return array


def _whole(name: str, value: Any, at_least: int, remedy: str) -> FloatArray:
    large = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= EXACT
    require(not large, name, value, f"give at most {EXACT - 1}: a float64 cannot represent every larger whole number")
    array = numbers(name, value)
    wrong = ~((array >= at_least) & (array == np.floor(array)) & np.isfinite(array))  # nan is wrong
    if wrong.any():
        raise ValueError(f"{name} = {_as_count(array[wrong].flat[0])}: {remedy}")
    return array


def _as_count(number: float) -> float | int:
    """Return a number as a message shows a count: 11, not 11.0."""
    return int(number) if np.isfinite(number) and number == np.floor(number) else float(number)


def _numbers(value: Any) -> FloatArray | None:
    """Return the value as an equal float64 array, or None if some of it is not a real number.

    Bools, strings, Decimals, complex numbers and masked entries are not accepted, nor are numbers that a float64 would
    round.
    """
    if type(value) is float:
        return np.array(value)
    try:
        array = np.asarray(value)
    except Exception:  # a foreign __array__ may raise anything: ragged lists, tensors that require a gradient
        return None
    if array.dtype.kind not in "iuf" or isinstance(value, np.ma.MaskedArray) or _has_bool(value):
        return None
    with np.errstate(over="ignore"):
        exact = array.astype(np.float64)
    if array.dtype.kind != "f":
        return exact if np.all(np.abs(exact) < EXACT) else None
    same = array.dtype.itemsize <= 8 or np.all((exact == array) | np.isnan(array))
    return exact if same else None


def _has_bool(value: Any) -> bool:
    if isinstance(value, list | tuple):  # an array would have turned their bools into numbers
        return any(_has_bool(each) for each in value)
    return isinstance(value, bool | np.bool_)
