"""Confidence bounds of a probability from independent draws whose number is fixed in advance."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import require, risks, successes
from hybrid_rs.evidence.binomial import log_tail, rounding, tail_quantile

FloatArray = NDArray[np.float64]
MAX_COUNT = 2**53 - 1  # beyond it a float64 cannot distinguish n from n + 1
FEW = 128  # bounds; so many at a time are kept


def clopper_pearson_lower(k: ArrayLike, n: ArrayLike, alpha: ArrayLike = 0.01) -> FloatArray:
    r"""Return the exact one-sided lower confidence bound of a binomial probability.

    With probability at least 1 - alpha over n independent draws, the true probability is at least the bound. The bound
    is the p at which k or more successes have probability alpha. It is 0 for k = 0 and :math:`\alpha^{1/n}` for k = n.

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
    x, of_hits = _bound(k, n, alpha)
    # 1 - (1 - x) shows in which direction 1 - x was rounded
    return np.where(of_hits, x, np.where(1 - (1 - x) < x, np.nextafter(1 - x, 0.0), 1 - x))[()]


def clopper_pearson_upper(k: ArrayLike, n: ArrayLike, alpha: ArrayLike = 0.01) -> FloatArray:
    """Return the exact one-sided upper confidence bound of a binomial probability, rounded up.

    Example:
        >>> clopper_pearson_upper(0, 100_000, alpha=0.01).round(7)
        np.float64(4.61e-05)
    """
    hits, draws = successes(k, n, at_least=1)
    x, of_misses = _bound(draws - hits, draws, alpha)
    return np.where(of_misses, np.where(1 - (1 - x) > x, np.nextafter(1 - x, 2.0), 1 - x), x)[()]


def bound_reaches(k: ArrayLike, n: ArrayLike, p: float, alpha: float) -> NDArray[np.bool_]:
    """Return whether k or more hits have probability at most about alpha if each hit has probability p.

    This is true whenever the lower bound is at least p. The converse also holds, unless p is within a relative 1e-11 of
    the bound. It is five times as fast as computing the bound.

    Args:
        k: numbers of hits, 1 to n.
        n: numbers of draws.
        p: a probability in (0, 1).
        alpha: risk, in (0, 1).
    """
    hits, draws = (np.asarray(array, dtype=np.float64) for array in np.broadcast_arrays(k, n))
    rare = 2 * hits <= draws + 1
    count, log_risk = np.where(rare, hits, draws + 1 - hits), np.full(hits.shape, np.log(alpha))
    hit, miss = min(p, 1 - 2.0**-40), min(1 - p, 1 - 2.0**-53)  # at 1 the tails have no logarithm
    tail = log_tail(count, draws, np.where(rare, hit, miss), np.where(rare, -1.0, 1.0))
    return tail <= log_risk - rounding(count, log_risk)


def _bound(k: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the lower bound of the probability of a hit, or 1 minus it, whichever is smaller and so more precise.

    The second array is True where the first has the bound itself.
    """
    (hits, draws), risk = successes(k, n, at_least=1), risks("alpha", alpha)
    require(bool(np.all(draws <= MAX_COUNT)), "n", n, f"give at most {MAX_COUNT} draws")
    hits, draws, risk = np.broadcast_arrays(hits, draws, risk)
    rare = 2 * hits <= draws + 1
    some = hits > 0
    count, total = np.where(rare, hits, draws + 1 - hits)[some], draws[some]
    x = np.zeros(hits.shape)
    given = count, total, np.log(risk[some]), np.where(rare[some], -1.0, 1.0)
    x[some] = tail_quantile(*given) if count.size > FEW else _kept(*(array.tobytes() for array in given))
    return x, rare


@lru_cache(maxsize=4096)
def _kept(*given: bytes) -> FloatArray:
    """Return the quantiles of these arrays; the same counts are asked for at one threshold after another."""
    return tail_quantile(*(np.frombuffer(array) for array in given))
