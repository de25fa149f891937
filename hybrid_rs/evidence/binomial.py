r"""Tails of the binomial law and their quantiles, accurate for every number of draws.

Let K count the successes of n draws of probability x, and m = n + 1. Then P(K >= a) and P(K < a) are the integrals over
t < 0 and over t > 0 of :math:`e^{h(t)}`, divided by their sum, where

.. math:: h(t) = a t - m \log(1 + x (e^t - 1)), \qquad h(0) = 0,

is concave. (A tail of the binomial law is an integral of a beta density; this is that density in log-odds.) The formula
needs no gamma function, and no number that grows with n. An integral outward from the mode is cut off where h is 45
below its start, and computed by Gauss-Legendre quadrature. (SciPy's ``betainc`` has errors of 1e-11 to 1e-8 near n =
10^9. Its inverse misses the probability by orders of magnitude in some cases, for example where a parameter is exactly
1000.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

FloatArray = NDArray[np.float64]
NEGLIGIBLE = 45.0  # e^-45 is 3e-20
NODES, WEIGHTS = np.polynomial.legendre.leggauss(56)
LEAST = 1e-300  # smaller quantiles are returned as 0
MAX_STEPS = 100  # of Newton's method, which needs 3 to 6
BLOCK = 1 << 11  # numbers computed at a time, so that temporary arrays fit into the processor's cache


def log_tail(a: FloatArray, n: FloatArray, x: FloatArray, side: FloatArray) -> FloatArray:
    """Return log P(K >= a) where side is -1, and log P(K < a) where it is 1.

    Args:
        a: whole numbers from 1 to (n + 1) / 2, shape ``(count,)``.
        n: numbers of draws, same shape.
        x: probabilities of success, in [1e-300, 1), same shape; taken as exact.
        side: -1 or 1, same shape.

    Returns:
        shape ``(count,)``, with an error below its :func:`rounding`.
    """
    return _log_tail(a, n, x, side, _log_total(a, n))[0]


def tail_quantile(a: FloatArray, n: FloatArray, log_risk: FloatArray, side: FloatArray) -> FloatArray:
    """Return the x whose tail has probability exp(log_risk) or, because of rounding errors, a little less.

    This is Newton's method for the logarithm of the tail, in log-odds. That function is concave, so from any start each
    step ends where the tail is at most the risk. If rounding leaves the tail above the risk, x is moved outward until
    its tail is not above it. So the tail of every returned x has been checked.

    Args:
        a: whole numbers from 1 to (n + 1) / 2, shape ``(count,)``.
        n: numbers of draws, same shape.
        log_risk: negative, same shape.
        side: -1 or 1, same shape: which tail, as in :func:`log_tail`.

    Returns:
        shape ``(count,)``, in [0, 1]; 0 (side -1) or 1 (side 1) if no other float64 is far enough outward.
    """
    x = np.empty(a.shape)
    for start in range(0, x.size, BLOCK):
        block = slice(start, start + BLOCK)
        x[block] = _quantile(a[block], n[block], log_risk[block], side[block])
    return x


def rounding(a: FloatArray, log_risk: FloatArray) -> FloatArray:
    """Return a bound of the rounding error in the logarithm of a tail."""
    z = np.sqrt(-2 * log_risk)
    return np.minimum(1, -log_risk) * (2.0**-42 + 2.0**-50 * (np.sqrt(a) * (3 + z) - log_risk))


def _quantile(a: FloatArray, n: FloatArray, log_risk: FloatArray, side: FloatArray) -> FloatArray:
    total, slack = _log_total(a, n), rounding(a, log_risk)
    goal = log_risk - 2 * slack
    away = side * np.maximum(-ndtri(np.exp(log_risk)), 0.0)  # first guess, from the normal approximation
    x = _moved(a / (n + 1), away * np.sqrt(1 / a + 1 / (n + 1 - a)))
    left = np.arange(x.size)
    for _ in range(MAX_STEPS):
        left = left[(x[left] >= LEAST) & (x[left] < 1)]
        found, log_density = _log_tail(a[left], n[left], x[left], side[left], total[left])
        x[left] = _moved(x[left], side[left] * (found - goal[left]) * np.exp(found - log_density))
        left = left[np.abs(found - goal[left]) > slack[left]]
        if not left.size:
            break
    step = 2.0**-52
    left = np.arange(x.size)
    while True:
        left = left[(x[left] >= LEAST) & (x[left] < 1)]
        found, _ = _log_tail(a[left], n[left], x[left], side[left], total[left])
        left = left[~(found <= (log_risk - slack)[left])]
        if not left.size:
            return np.where(x >= LEAST, np.minimum(x, 1.0), 0.0)
        x[left] *= 1 + side[left] * step
        step *= 2


def _moved(x: FloatArray, step: FloatArray) -> FloatArray:
    """Move a probability in log-odds."""
    by = np.clip(step, -700, 700)
    return x * np.exp(by) / (1 + x * np.expm1(by))


def _log_total(a: FloatArray, n: FloatArray) -> FloatArray:
    """Return the log of the integral of exp(h) over all t, for x at the mode a / (n + 1)."""
    mode = a / (n + 1)
    return np.logaddexp(*(_log_outward(a, n + 1, mode, np.full(a.shape, side)) for side in (-1.0, 1.0)))


def _log_tail(
    a: FloatArray, n: FloatArray, x: FloatArray, side: FloatArray, total: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the log of the tail, and the log density of the log-odds at x."""
    m = n + 1
    mode = a / m
    beyond = side * (x - mode) >= 0  # otherwise use the other tail
    way = np.log(mode / x) + np.log1p((mode - x) / (1 - mode))  # log-odds of the mode minus those of x
    log_density = m * np.log1p(x * np.expm1(way)) - a * way - total
    tail = log_density + _log_outward(a, m, x, np.where(beyond, side, -side))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(beyond, tail, np.log1p(-np.exp(np.minimum(tail, 0.0)))), log_density


def _log_outward(a: FloatArray, m: FloatArray, x: FloatArray, side: FloatArray) -> FloatArray:
    """Return the log of the integral of exp(h) from t = 0 outward; h decreases there."""
    # h lies below a line of slope a on the left, and of slope a - m on the right
    end = np.where(side < 0, (NEGLIGIBLE - m * np.log1p(-x)) / a, (NEGLIGIBLE - m * np.log(x)) / (m - a))
    for _ in range(64):  # Newton's method for h(end) = -45: as h is concave, it approaches from outside
        grown = np.expm1(side * end)
        h = side * a * end - m * np.log1p(x * grown)
        if np.all(h > -1.2 * NEGLIGIBLE):
            break
        end = end - (h + NEGLIGIBLE) / (side * (a - m * x * (1 + grown) / (1 + x * grown)))
    t = (side * end / 2)[:, None] * (1 + NODES)
    h = a[:, None] * t - m[:, None] * np.log1p(x[:, None] * np.expm1(t))
    return np.log((np.exp(h) @ WEIGHTS) * end / 2)
