r"""The number of draws that a target probability needs, if the verdicts are counted once, at the end.

(For a target of budgets, d and epsilon, see :mod:`hybrid_rs.decisions.plan`.)

A probability p* is shown if the Clopper-Pearson bound of the draws reaches it. With m misses it does so from some
number of draws on, say :math:`N_m`, and :math:`N_0 < N_1 < \dots`. So the probability of reaching p* is a sawtooth in
n: it jumps up at each :math:`N_m`, where one more miss is allowed, and falls in between, because more draws have more
misses. The smallest number of draws that reaches a given probability is therefore one of the :math:`N_m`, and a few
more draws may be *worse*.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincc, ndtri

from hybrid_rs._checks import probability, require, risk
from hybrid_rs.evidence.clopper_pearson import bound_reaches, clopper_pearson_lower

FloatArray = NDArray[np.float64]
MAX_DRAWS = 10**9  # beyond it, the rounding of the confidence bound itself costs draws
EXACT, FINE = 1 << 24, 2.0**-12  # above EXACT draws, the result may exceed the smallest number by the share FINE


def draws_needed(required: float, alpha: float = 0.01, p_a: float = 1.0, power: float = 0.9) -> int | None:
    r"""Return the smallest n for which the Clopper-Pearson bound of n draws reaches a probability often enough.

    That is the smallest n >= 1 with :math:`P(b(K) \ge p^\star) \ge w`, where K is binomial with n draws of probability
    ``p_a``, b is the bound as this package computes it (a relative 1e-12 below the exact one), p* the required
    probability and w the power. A larger n may not be enough: the probability falls until the next miss is allowed. For
    ``p_a = 1`` it is :math:`\lceil \ln\alpha / \ln p^\star \rceil`, for every power.

    Args:
        required: p*, in [0, 1], from :func:`hybrid_rs.required_p_a`.
        alpha: risk of the bound, in (0, 1).
        p_a: the true probability, in [0, 1].
        power: w, in (alpha, 1); a bound may be wrong by chance with probability alpha.

    Returns:
        int; None if no n up to 10^9 is enough: because ``p_a <= required``, or because the two are too close. Beyond
            2^24 (17 million) it may exceed the smallest n by a share of 2^-12, because there are too many teeth of the
            sawtooth to try them all.

    Raises:
        ValueError: if an argument is outside its range.

    References:
        Clopper and Pearson (1934).

    Example:
        >>> draws_needed(0.75), draws_needed(0.75, p_a=0.9), draws_needed(0.75, p_a=0.75)
        (17, 86, None)
    """
    target = probability("required", required)
    require(target.ndim == 0, "required", required, "give one number")
    found = least_draws(float(target), *checked_aims(alpha, p_a, power))
    return found[0] if found else None


def least_draws(required: float, alpha: float, p_a: float, power: float) -> tuple[int, int, float] | None:
    """Return the smallest n with the requested probability, the misses that it allows, and its probability."""
    if hopeless(required, p_a):
        return None
    if required == 0:
        return 1, 1, 1.0
    # fewer draws do not reach it even without a miss: the factor and the 2 are more than all rounding errors
    low, several = max(1, math.floor(math.log(alpha) / math.log(required) * (1 - 1e-9)) - 2), 8
    if p_a < 1:
        low = 1 << (low.bit_length() - 1)
    while low <= MAX_DRAWS:
        high = min(low + several - 1 if p_a == 1 else 2 * low - 1, MAX_DRAWS)
        n = _first_within(low, high, required, alpha, p_a, power)
        if n == math.inf:
            low, several = high + 1, 2 * several
            continue
        draws = np.array([n])
        hits = _hits_needed(draws, np.zeros(1), draws + 1, required, alpha)
        if clopper_pearson_lower(hits[0], n, alpha) >= required:
            return int(n), int(n - hits[0]), float(_chance(draws - hits, draws, p_a)[0])
        low = int(n) + 1  # the bound fails only because of its rounding: continue with one more draw
    return None


def _chance(misses: FloatArray, n: FloatArray, p: float) -> FloatArray:
    """Return the probability of at most this many misses in n draws of hit probability p; 0 for negative numbers."""
    some = np.clip(misses, 0, n - 1)
    tail = betaincc(some + 1, n - some, 1 - p)  # SciPy's distributions give the same, but take seconds to import
    return np.where(misses < 0, 0.0, np.where(misses >= n, 1.0, tail))


def _first_within(low: int, high: int, required: float, alpha: float, p_a: float, power: float) -> float:
    """Return the smallest n in low..high with the requested probability, or inf, by branch and bound.

    As n grows, neither the required hits k(n) nor the allowed misses n - k(n) decrease. Hence for no n in [a, b] is the
    probability larger than that of at least k(a) hits in b draws, or of at most b - k(b) misses in a draws.
    """
    a, b = np.array([float(low)]), np.array([float(high)])
    k_a, k_b = (_hits_needed(n, np.zeros(1), n + 1, required, alpha) for n in (a, b))
    best, fine = math.inf, FINE if p_a < 1 else 0.0  # without misses there is only one tooth
    while True:
        for n, k in ((a, k_a), (b, k_b)):
            best = min(best, n[_chance(n - k, n, p_a) >= power].min(initial=math.inf))
        most = np.minimum(_chance(b - k_a, b, p_a), _chance(b - k_b, a, p_a))
        alive = (most >= power) & (a < best) & (b > a) & (b - a >= np.where(a > EXACT, a * fine, 0.0))
        a, b, k_a, k_b = a[alive], b[alive], k_a[alive], k_b[alive]
        if not a.size:
            return best
        left = np.floor((a + b) / 2)
        right = left + 1
        k_left, k_right = (_hits_needed(n, k_a - 1, k_b, required, alpha) for n in (left, right))
        a, b = np.append(a, right), np.append(left, b)
        k_a, k_b = np.append(k_a, k_right), np.append(k_left, k_b)


def _hits_needed(n: FloatArray, fails: FloatArray, does: FloatArray, required: float, alpha: float) -> FloatArray:
    """Return the smallest k in (fails, does] whose bound reaches the target at n draws; n + 1 if not even n does."""
    z, spread = -ndtri(alpha), np.sqrt(n * required * (1 - required))
    near = np.round(n * required + z * spread + (z * z - 1) * (1 - 2 * required) / 6)  # Cornish-Fisher quantile
    for k in (near - 2, near + 3):  # mostly k lies between these
        fails, does = _narrowed(np.clip(k, fails, does), n, fails, does, required, alpha)
    while np.any(does - fails > 1):
        fails, does = _narrowed(np.floor((fails + does) / 2), n, fails, does, required, alpha)
    return does


def _narrowed(
    k: FloatArray, n: FloatArray, fails: FloatArray, does: FloatArray, required: float, alpha: float
) -> tuple[FloatArray, FloatArray]:
    """Return the bracket (fails, does], narrowed by testing k, which lies within it or at one of its ends."""
    reached = (k > n) | ((k > 0) & bound_reaches(np.clip(k, 1, n), n, required, alpha))
    inside = (k > fails) & (k < does)
    return np.where(inside & ~reached, k, fails), np.where(inside & reached, k, does)


def hopeless(required: float, p_a: float) -> bool:
    """Return whether no number of draws can help, because p_a does not exceed the required probability."""
    return not (required == 0 or p_a > required)  # nan is hopeless


def checked_aims(alpha: float, p_a: float, power: float) -> tuple[float, float, float]:
    """Return the three as floats; check that they are a risk, a probability, and a power above the risk."""
    for name, value in (("alpha", alpha), ("p_a", p_a), ("power", power)):
        require(probability(name, value).ndim == 0, name, value, "give one number")
    risk("alpha", alpha)
    require(alpha < power < 1, "power", power, f"give a probability between alpha = {alpha} and 1, such as 0.9")
    return float(alpha), float(p_a), float(power)
