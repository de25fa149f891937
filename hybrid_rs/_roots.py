"""SciPy's vectorised bracketing root finder, made to finish on plateaus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import elementwise

FloatArray = NDArray[np.float64]


def bracketed_root(
    function: Callable[..., FloatArray],
    low: FloatArray,
    high: FloatArray,
    args: tuple[NDArray[np.generic], ...],
    *,
    xatol: float,
    xrtol: float,
) -> FloatArray:
    """Return, element by element, where a monotone function changes its sign between ``low`` and ``high``.

    Chandrupatla's method interpolates through three function values. Where these are equal, as on the steps of a nearly
    discrete distribution, SciPy 1.17 gives up on an element (x = nan) or converges very slowly. Elements that it has
    not finished in 40 iterations are bisected.

    Args:
        function: called as ``function(x, *args)`` on flat arrays of one length.
        low: shape ``(n,)``, one end of the bracket.
        high: shape ``(n,)``, the other end. If the function has the same sign at both ends, the end where it is
            nearer to zero is returned.
        args: arrays of shape ``(n,)``.
        xatol: absolute tolerance of x.
        xrtol: relative tolerance of x.

    Returns:
        shape ``(n,)``.
    """
    tolerances = {"xatol": xatol, "xrtol": xrtol, "fatol": 0.0, "frtol": 0.0}
    found = elementwise.find_root(function, (low, high), args=args, tolerances=tolerances, maxiter=40)
    root = np.array(found.x)
    same_sign = found.status == -1
    if same_sign.any():
        f_low, f_high = function(low, *args), function(high, *args)
        root = np.where(same_sign, np.where(np.abs(f_low) < np.abs(f_high), low, high), root)
    left = np.flatnonzero(~found.success & ~same_sign)
    if left.size:
        args = tuple(arg[left] for arg in args)
        a, b = low[left], high[left]  # start again from the full bracket: SciPy's last one may contain the nan
        sign = np.sign(function(a, *args))
        while np.any(np.abs(b - a) > xatol + xrtol * np.abs(a) + 2 * np.spacing(np.abs(a))):
            middle = a + (b - a) / 2
            before = np.sign(function(middle, *args)) == sign
            a, b = np.where(before, middle, a), np.where(before, b, middle)
        root[left] = a
    return root
