r"""Evidence that holds whenever one stops looking: confidence sequences from bets.

All rests on one bet. A gambler who doubts that p <= m stakes the share c of all she owns on every draw: an unsafe
verdict multiplies her wealth by 1 - c + c/m, another by 1 - c. If p <= m her wealth is a supermartingale, so by Ville's
inequality it ever reaches 1/alpha with probability at most alpha. Shares are mixed with c ~ Beta(1, b), which has a
closed form and leaves the wealth monotone in m: one process gives both the test of one m and the confidence sequence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, xlog1py, xlogy

from hybrid_rs._checks import probability, risks, successes
from hybrid_rs._roots import bracketed_root

FloatArray = NDArray[np.float64]
SAFETY = 2.0**-40  # of a bound, relative: the search stops closer
B_ABOVE = 0.25  # leans to p near 1, where certificates are; b < 1 piles shares up at c = 1, that is at p = 1
B_BELOW = 1.0  # leans to no p: a classifier may fail by little or by much


def log_evidence_above(k: ArrayLike, n: ArrayLike, p_star: ArrayLike) -> FloatArray:
    r"""Return the log wealth against p <= p_star after k unsafe verdicts in n draws, rounded down.

    It is a mean of likelihood ratios of p = theta to p = p_star, over theta = p_star + (1 - p_star) c with
    c ~ Beta(1, 1/4). While p <= p_star, it ever exceeds log(1/alpha) with probability at most alpha.

    Args:
        k: number of unsafe verdicts, 0 to n.
        n: number of draws, 0 or more.
        p_star: the largest p that is doubted, in [0, 1].

    Returns:
        float64 of the broadcast shape, -inf to inf; 0 for n = 0, and for p_star = 1, above which there is nothing.

    Raises:
        ValueError: if k is not in 0..n, a count is not whole, or p_star is not in [0, 1].

    References:
        Ville (1939); Waudby-Smith and Ramdas (2024), for bets in general.

    Example:
        >>> np.exp(log_evidence_above([18, 17], 18, 0.75)).round(1)
        array([109.4,   4.5])
    """
    hits, draws = successes(k, n, at_least=0)
    return _log_wealth(hits, draws - hits, probability("p_star", p_star), B_ABOVE)[()]


def log_evidence_below(k: ArrayLike, n: ArrayLike, p_star: ArrayLike) -> FloatArray:
    """Return the log wealth against p >= p_star, rounded down; theta = p_star (1 - c) with c uniform.

    Example:
        >>> np.exp(log_evidence_below([0, 1], 4, 0.75)).round(1)
        array([68.2,  5.6])
    """
    hits, draws = successes(k, n, at_least=0)
    return _log_wealth(draws - hits, hits, 1 - probability("p_star", p_star), B_BELOW)[()]


def mixture_lower(k: ArrayLike, n: ArrayLike, alpha: ArrayLike = 0.01) -> FloatArray:
    """Return a lower confidence bound of a Bernoulli probability that holds at all numbers of draws at once.

    It is the p_star at which the evidence above it is 1/alpha. With probability at least 1 - alpha *none* of the bounds
    for n = 1, 2, ... exceeds p, so one may stop by looking at them, and keep the largest.

    Args:
        k: number of successes, 0 to n.
        n: number of draws, at least 1.
        alpha: risk, in (0, 1).

    Returns:
        float64 of the broadcast shape, in [0, 1), rounded down.

    Raises:
        ValueError: if k is not in 0..n, a count is not whole, or alpha is not in (0, 1).

    Example:
        >>> mixture_lower([100, 10_000], [100, 10_000], alpha=0.01).round(4)
        array([0.9502, 0.9995])
    """
    (hits, draws), risk = successes(k, n, at_least=1), risks("alpha", alpha)
    return _lower(hits, draws, risk, B_ABOVE)


def mixture_upper(k: ArrayLike, n: ArrayLike, alpha: ArrayLike = 0.01) -> FloatArray:
    """Return an upper confidence bound of a Bernoulli probability that holds at all numbers of draws at once.

    Example:
        >>> mixture_upper([0, 90], 100, alpha=0.01).round(3)
        array([0.062, 0.977])
    """
    (hits, draws), risk = successes(k, n, at_least=1), risks("alpha", alpha)
    return np.minimum(1 - _lower(draws - hits, draws, risk, B_BELOW) + SAFETY, 1.0)[()]


def _log_wealth(k: FloatArray, misses: FloatArray, m: FloatArray, b: float) -> FloatArray:
    """Log of E_c[(1 - c)^misses (1 - c + c/m)^k] for c ~ Beta(1, b), less a bound of its rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        hits, others = xlogy(k, m), xlog1py(misses + b, -m)
        beta = betaln(k + 1, misses + b)
        # where this tail underflows k is far below m n, and the wealth lost without it is a few coins
        tail = np.log(betaincc(k + 1, misses + b, m))
        wealth = np.log(b) + beta + tail - hits - others
        # SciPy's betaln is a difference of log-gammas where one argument is small
        wealth -= (
            2.0**-32 + 2.0**-46 * (np.abs(hits) + np.abs(others)) + 2.0**-48 * (k + misses) * np.log(k + misses + 2)
        )
    wealth = np.where(k + misses == 0, 0.0, wealth)
    wealth = np.where((m == 0) & (k > 0), np.inf, wealth)
    return np.where(m == 1, 0.0, wealth)


def _lower(k: FloatArray, n: FloatArray, risk: FloatArray, b: float) -> FloatArray:
    k, n, risk = np.broadcast_arrays(k, n, risk)
    some = k > 0
    hits, misses, least = k[some], (n - k)[some], -np.log(risk[some])

    def excess(m: FloatArray, hits: FloatArray, misses: FloatArray, least: FloatArray) -> FloatArray:
        return np.clip(_log_wealth(hits, misses, m, b) - least, -1e3, 1e3)  # the search wants finite numbers

    # the wealth is at least b B(k + 1, misses + b) ((1 - m) / m)^k, the last term of its binomial series
    odds = (least + 1 - np.log(b) - betaln(hits + 1, misses + b)) / hits
    with np.errstate(over="ignore"):
        low = 1 / (1 + np.exp(odds))
    bound = np.zeros(k.shape)
    bound[some] = bracketed_root(excess, low, hits / (hits + misses), (hits, misses, least), xatol=1e-300, xrtol=1e-13)
    return (bound * (1 - SAFETY))[()]
