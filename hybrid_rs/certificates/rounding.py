"""Numbers for people, rounded to the safe side."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import integer, numbers

FloatArray = NDArray[np.float64]


def floored(values: ArrayLike, digits: int) -> FloatArray:
    """Return values rounded *down* to ``digits`` decimals: a printed radius must not exceed the certified one.

    Example:
        >>> floored([1.2999, 0.5], 2)
        array([1.29, 0.5 ])
    """
    array = numbers("values", values)
    scale = 10.0 ** integer("digits", digits, at_least=0, at_most=300)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = array * scale
        result = np.floor(scaled) / scale
        result = np.where(result > array, np.floor(scaled - 1) / scale, result)
    return np.where(np.isfinite(scaled), result, array)[()]  # infinite, nan or too large: unchanged


def ceiled(values: ArrayLike, digits: int) -> FloatArray:
    """Return values rounded *up* to ``digits`` decimals: a printed upper limit must not be too small.

    Example:
        >>> ceiled([7.2244, 0.5], 2)
        array([7.23, 0.5 ])
    """
    return 0.0 - floored(-numbers("values", values), digits)


def floored_text(value: float, *, up: bool = False) -> str:
    """Return a number for a sentence, with up to six significant digits, rounded down (or up).

    Example:
        >>> floored_text(4.6494185), floored_text(4.6494185, up=True), floored_text(0.3)
        ('4.64941', '4.64942', '0.3')
    """
    context = Context(prec=6, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return f"{float(context.create_decimal(repr(float(value)))):g}"  # of the shortest decimal number: 0.3 stays 0.3


def confidence_text(alpha: float) -> str:
    """Return the confidence 1 - alpha for a sentence, rounded down.

    Example:
        >>> confidence_text(0.07), confidence_text(1e-9)
        ('0.93', '0.999999')
    """
    return f"{float(Context(prec=6, rounding=ROUND_FLOOR).subtract(Decimal(1), Decimal(repr(float(alpha))))):g}"
