r"""Evidence that is valid at any stopping time: confidence sequences from bets.

Everything follows from one bet. A gambler who doubts that p <= m stakes the share c of her wealth on every draw. An
unsafe verdict multiplies her wealth by 1 - c + c/m, a safe one by 1 - c. If p <= m, her wealth is a supermartingale.
By Ville's inequality, the probability that it ever reaches 1/alpha is then at most alpha. The wealth is averaged over
c ~ Beta(1, b). This average has a closed form and is monotone in m, so one process gives both a test of one m and a
confidence sequence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, xlog1py, xlogy

from hybrid_rs._checks import probability, risks, successes
from hybrid_rs._roots import bracketed_root

FloatArray = NDArray[np.float64]
SAFETY = 2.0**-40  # relative margin of a bound; the error of the search is smaller
B_ABOVE = 0.25  # favours p near 1, where certificates are: b < 1 gives much weight to c near 1
B_BELOW = 1.0  # a uniform c favours no p: a classifier may miss its target by a little or by a lot


def log_evidence_above(k: ArrayLike, n: ArrayLike, p_star: ArrayLike) -> FloatArray:
    r"""Return the log wealth against p <= p_star after k unsafe verdicts in n draws, rounded down.

    The wealth is the mean of the likelihood ratios of p = theta to p = p_star, over theta = p_star + (1 - p_star) c
    with c ~ Beta(1, 1/4). If p <= p_star, its log ever exceeds log(1/alpha) with probability at most alpha.

    Args:
        k: number of unsafe verdicts, 0 to n.
        n: number of draws, 0 or more.
        p_star: the largest p of the hypothesis that is tested, in [0, 1].

    Returns:
        float64 of the broadcast shape, -inf to inf; 0 for n = 0 and for p_star = 1, which no draw can contradict.

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

    It is the p_star for which the wealth of :func:`log_evidence_above` is 1/alpha. With probability at least 1 - alpha,
    *none* of the bounds for n = 1, 2, ... exceeds p. So you may look at them to decide when to stop, and you may use
    the largest.

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
    """Return log E_c[(1 - c)^misses (1 - c + c/m)^k] for c ~ Beta(1, b), minus a bound of its rounding error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        hits, others = xlogy(k, m), xlog1py(misses + b, -m)
        beta = betaln(k + 1, misses + b)
        # where this tail underflows, k is far below m n, and the neglected wealth is negligible
        tail = np.log(betaincc(k + 1, misses + b, m))
        wealth = np.log(b) + beta + tail - hits - others
        # for a small argument, SciPy's betaln is a difference of log-gammas
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
        return np.clip(_log_wealth(hits, misses, m, b) - least, -1e3, 1e3)  # the search needs finite numbers

    # the wealth is at least b B(k + 1, misses + b) ((1 - m) / m)^k, the last term of its binomial series
    odds = (least + 1 - np.log(b) - betaln(hits + 1, misses + b)) / hits
    with np.errstate(over="ignore"):
        low = 1 / (1 + np.exp(odds))
    bound = np.zeros(k.shape)
    bound[some] = bracketed_root(excess, low, hits / (hits + misses), (hits, misses, least), xatol=1e-300, xrtol=1e-13)
    return (bound * (1 - SAFETY))[()]
