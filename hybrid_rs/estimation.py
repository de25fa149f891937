"""Confidence bounds of a probability, from a number of independent draws that is fixed beforehand."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainccinv, betaincinv

from hybrid_rs._checks import risks, successes

FloatArray = NDArray[np.float64]
SAFETY = 2.0**-40  # SciPy's inverse incomplete beta functions were seen to be 1e-13 off, relative to min(p, 1 - p),
LEAST = 2.0**-51  # and by a few 1e-16 at least


def clopper_pearson_lower(k: ArrayLike, n: ArrayLike, alpha: ArrayLike = 0.01) -> FloatArray:
    r"""Return the exact one-sided lower confidence bound of a binomial probability.

    With probability at least 1 - alpha over n independent draws, the true probability is at least the bound. It is
    the p at which k or more successes have probability alpha; 0 for k = 0, and :math:`\alpha^{1/n}` for k = n.

    Args:
        k: number of successes, 0 to n.
        n: number of draws, at least 1.
        alpha: risk, in (0, 1).

    Returns:
        float64 of the broadcast shape, in [0, 1), rounded down.

    Raises:
        ValueError: if k is not in 0..n, a count is not whole, or alpha is not in (0, 1).

    References:
        Clopper and Pearson (1934).

    Example:
        >>> clopper_pearson_lower(10_000, 10_000, alpha=0.01).round(6)
        np.float64(0.99954)
    """
    (hits, draws), risk = successes(k, n, at_least=1), risks("alpha", alpha)
    with np.errstate(invalid="ignore"):
        bound = betaincinv(hits, draws - hits + 1, risk)
    bound = np.maximum(bound - SAFETY * np.minimum(bound, 4 * (1 - bound)) - LEAST * bound, 0.0)
    return np.where(hits > 0, bound, 0.0)[()]


def clopper_pearson_upper(k: ArrayLike, n: ArrayLike, alpha: ArrayLike = 0.01) -> FloatArray:
    """Return the exact one-sided upper confidence bound of a binomial probability, rounded up.

    Example:
        >>> clopper_pearson_upper(0, 100_000, alpha=0.01).round(7)
        np.float64(4.61e-05)
    """
    (hits, draws), risk = successes(k, n, at_least=1), risks("alpha", alpha)
    with np.errstate(invalid="ignore"):
        bound = betainccinv(hits + 1, draws - hits, risk)
    bound = np.minimum(bound + SAFETY * np.minimum(4 * bound, 1 - bound) + LEAST, 1.0)
    return np.where(hits < draws, bound, 1.0)[()]
