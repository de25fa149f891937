"""Vectorised root finders that keep a bracket, and so converge on plateaus too: with a derivative, and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
PATIENCE = 40  # rounds of interpolation; after that, brackets are only bisected


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

    Chandrupatla's method: interpolate through three points of the function where that is safe, otherwise bisect.
    SciPy's ``elementwise.find_root`` does the same, but for few elements it takes five times as long, and it fails on
    plateaus.

    Args:
        function: called as ``function(x, *args)`` on flat arrays of one length.
        low: shape ``(n,)``, one end of the bracket.
        high: shape ``(n,)``, the other end. Where the function has the same sign at both, the end with the smaller
            absolute value of the function is returned.
        args: arrays of shape ``(n,)``.
        xatol: absolute tolerance of x.
        xrtol: relative tolerance of x.

    Returns:
        shape ``(n,)``.

    References:
        Chandrupatla (1997), A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function
        without using derivatives, Advances in Engineering Software 28.

    Example:
        >>> squares = np.array([2.0, 9.0])
        >>> bracketed_root(lambda x, s: x**2 - s, np.zeros(2), squares, (squares,), xatol=0.0, xrtol=1e-14)
        array([1.41421356, 3.        ])
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # on plateaus, and where a bracket is huge
        return _crossings(function, low, high, args, xatol, xrtol)


def _crossings(
    function: Callable[..., FloatArray],
    low: FloatArray,
    high: FloatArray,
    args: tuple[NDArray[np.generic], ...],
    xatol: float,
    xrtol: float,
) -> FloatArray:
    # x lies between a, the newest point, and b; c is the point before
    a, b = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
    f_a, f_b = function(a, *args), function(b, *args)
    root = np.where(np.abs(f_a) < np.abs(f_b), a, b)
    left = np.flatnonzero(np.sign(f_a) * np.sign(f_b) < 0)
    a, b, f_a, f_b = a[left], b[left], f_a[left], f_b[left]
    args, step, rounds = tuple(arg[left] for arg in args), np.full(left.size, 0.5), 0
    while left.size:
        x = a + step * (b - a)
        f_x = function(x, *args)
        same = np.sign(f_x) == np.sign(f_a)
        c, f_c = np.where(same, a, b), np.where(same, f_a, f_b)
        b, f_b = np.where(same, b, a), np.where(same, f_b, f_a)
        a, f_a = x, f_x
        better = np.abs(f_a) < np.abs(f_b)
        best = np.where(better, a, b)
        width = np.abs(b - a)
        tolerance = xatol + xrtol * np.abs(best) + np.spacing(np.abs(best))
        more = (width > tolerance) & (np.where(better, f_a, f_b) != 0)
        if not more.all():
            root[left] = best
            left, args = left[more], tuple(arg[more] for arg in args)
            a, b, c, f_a, f_b, f_c = a[more], b[more], c[more], f_a[more], f_b[more], f_c[more]
            width, tolerance = width[more], tolerance[more]
        rounds += 1
        step = np.full(left.size, 0.5)
        if rounds < PATIENCE:
            x_share, f_share = (a - b) / (c - b), (f_a - f_b) / (f_c - f_b)
            safe = (f_share**2 < x_share) & ((1 - f_share) ** 2 < 1 - x_share)
            inverse = f_a / (f_b - f_a) * f_c / (f_b - f_c)
            inverse += (c - a) / (b - a) * f_a / (f_c - f_a) * f_b / (f_c - f_b)
            edge = np.minimum(tolerance / 2 / width, 0.5)
            step = np.where(safe & np.isfinite(inverse), np.clip(inverse, edge, 1 - edge), step)
    return root


def newton_root(
    function: Callable[..., tuple[FloatArray, FloatArray]],
    start: FloatArray,
    low: FloatArray,
    high: FloatArray,
    args: tuple[NDArray[np.generic], ...],
    *,
    xatol: float,
) -> FloatArray:
    """Return, element by element, where a rising function is zero: Newton's method, within a bracket.

    Args:
        function: called as ``function(x, *args)`` on flat arrays of one length; returns its values and its derivatives.
        start: shape ``(n,)``, the first guess; where it is outside the bracket, the middle of the bracket is used.
        low: shape ``(n,)``, where the function is not positive.
        high: shape ``(n,)``, where the function is not negative.
        args: arrays of shape ``(n,)``.
        xatol: the search stops after a step of at most this plus two units in the last place of x.

    Returns:
        shape ``(n,)``.

    Example:
        >>> squares, zeros = np.array([2.0, 9.0]), np.zeros(2)
        >>> newton_root(lambda x, s: (x**2 - s, 2 * x), squares, zeros, squares, (squares,), xatol=1e-12)
        array([1.41421356, 3.        ])
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # on plateaus
        a, b, x = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64), np.array(start, dtype=np.float64)
        x = np.where((x >= a) & (x <= b), x, a + (b - a) / 2)
        root, left, rounds = x.copy(), np.arange(x.size), 0
        while left.size:
            f, slope = function(x, *args)
            a, b = np.where(f < 0, x, a), np.where(f > 0, x, b)
            to = x - f / slope
            inside = (to > a) & (to < b) & (rounds < PATIENCE)
            to = np.where(f == 0, x, np.where(inside, to, a + (b - a) / 2))
            root[left] = to
            more = np.abs(to - x) > xatol + 2 * np.spacing(np.abs(to))
            rounds += 1
            left, x, a, b = left[more], to[more], a[more], b[more]
            args = tuple(arg[more] for arg in args)
    return root
