r"""Upper bounds: the largest value under attack, and which of several classes stays the most probable.

Replacing f by 1 - f turns the least value under attack into the largest. With V the worst-case value of
:func:`hybrid_rs.p_adv`, a smoothed value of at most p is at most :math:`1 - V(1 - p)` under attack.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from hybrid_rs._checks import broadcast, kind, nonnegative, probability, require
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.feature_kernel import worst_ratios
from hybrid_rs.certificates.kernels import Kernel, text_budget
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio, a_ratio
from hybrid_rs.certificates.worst_case import certified_radius, p_adv
from hybrid_rs.evidence.counts import Counts, require_smoothing

FloatArray = NDArray[np.float64]


def p_adv_upper(p_a: ArrayLike, epsilon: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike) -> FloatArray:
    r"""Return the largest value that a smoothed classifier can reach under attack.

    The maximum is over every base classifier f -> [0, 1] with :math:`g(x) \le p_A`, every token edit that ``ratio``
    describes and every image shift of length at most ``epsilon``. It certifies that a value stays *low*: that a benign
    input is not flagged, or that another class does not win.

    Args:
        p_a: clean smoothed value, or an *upper* confidence bound of it; in [0, 1].
        epsilon: image budget, l2, in the units of ``sigma``; non-negative.
        ratio: law of the token ratio, from ``kernel.likelihood_ratio(d)``.
        sigma: standard deviation of the image noise; 0 to infinity.

    Returns:
        float64 in [0, 1], of the broadcast shape; never below the exact value. As 1 - p_a is rounded to a float64, the
        result belongs to a p_a that is larger by up to 1e-16. This is imprecise only if p_a itself is as small.

    Raises:
        ValueError: if an argument is outside its range or not a number.

    References:
        Neyman and Pearson (1933); Cohen et al. (2019), upper bound on the runner-up class, for d = 0.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=1000).likelihood_ratio(d=1)
        >>> print(f"{p_adv_upper(1e-5, 0.5, ratio, sigma=1.0):.4f}")
        0.0791
    """
    value = p_adv(_one_minus(probability("p_a", p_a), down=True), epsilon, ratio, sigma=sigma)
    return _one_minus(np.asarray(value), down=False)[()]


def certified_radius_below(p_a: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike, tau: ArrayLike) -> FloatArray:
    r"""Return the largest image budget at which the smoothed value provably stays *below* tau: no false alarm.

    A smoothed classifier that flags inputs of value tau or more does not flag this input, whatever an adversary does
    within the budgets. This is the radius of the classifier with exchanged verdicts, :math:`V(1 - p_A) > 1 - \tau`. The
    noise keeps an edited token with probability 1 - beta. So d >= 1 needs a large tau, or a clean value so small that
    it rules out a guard that flags only the adversary's token.

    Args:
        p_a: clean smoothed value, or an *upper* confidence bound of it; in [0, 1].
        ratio: law of the token ratio, from ``kernel.likelihood_ratio(d)``.
        sigma: standard deviation of the image noise, finite; the radius comes in its units.
        tau: decision threshold, in [0, 1].

    Returns:
        float64 of the broadcast shape: nan where not even epsilon = 0 is certified; infinity where no budget suffices
        to reach tau. Never above the exact radius.

    Raises:
        ValueError: if an argument is outside its range or not a number.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=1000).likelihood_ratio(d=1)
        >>> hrs.floored(certified_radius_below([0.0001, 0.001], ratio, sigma=1.0, tau=0.5), 3)
        array([0.685,   nan])
    """
    least = np.asarray(_one_minus(probability("tau", tau), down=False))
    above = np.nextafter(least, 2.0)  # the value must exceed 1 - tau, not only reach it
    law: dict[str, Any] = {"sigma": nonnegative("sigma", sigma), "tau": np.minimum(above, 1.0)}
    found = np.asarray(certified_radius(_one_minus(probability("p_a", p_a), down=True), ratio, **law))
    return np.where(above > 1, np.nan, found)[()]


def radii_below(
    counts: Counts, kernel: Kernel | DeletionKernel, *, sigma: float, tau: float, d_max: int, alpha: float = 0.01
) -> tuple[FloatArray, FloatArray]:
    """Return upper bounds of a smoothed value and the radii within which it stays below tau, by text budget.

    Args:
        counts: the counts of the draws; where each d has its own classifier, each point has its own risk.
        kernel: the token kernel of the draws.
        sigma: standard deviation of the image noise of the draws.
        tau: decision threshold, in [0, 1], fixed before the draws.
        d_max: the largest text budget.
        alpha: risk of each bound, in (0, 1).

    Returns:
        two float64 arrays of shape ``(d_max + 1,)``; a radius is nan where d is not certified.

    Example:
        >>> import hybrid_rs as hrs
        >>> law = {"sigma": 0.5, "tau": 0.9, "d_max": 2}
        >>> upper, radii = radii_below(hrs.Counts((3,), n=10_000), hrs.UniformKernel(0.25, 376), **law)
        >>> hrs.floored(radii, 3)
        array([2.185, 1.513,   nan])
    """
    kind("counts", counts, Counts, "give plain counts: masked ones bound the value only from below")
    require_smoothing(counts, kernel, sigma)
    bounds, d_max = counts.p_a_upper(alpha), text_budget("d_max", d_max)
    require(len(bounds) in (1, d_max + 1), "d_max", d_max, f"give {len(bounds) - 1}, the largest budget sampled")
    upper = np.broadcast_to(bounds, d_max + 1) if len(bounds) == 1 else bounds
    law = {"sigma": sigma, "tau": tau}
    radii = [
        np.min([certified_radius_below(upper[d], ratio, **law) for ratio in worst_ratios(kernel, d)])
        for d in range(d_max + 1)
    ]
    return upper.copy(), np.array(radii)


def certified_radius_top(p_a: ArrayLike, p_b: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike) -> FloatArray:
    r"""Return the largest image budget at which class A provably keeps more probability than class B.

    A stays ahead while its least value exceeds B's largest, :math:`V(p_A) > 1 - V(1 - p_B)`. This is exact if there is
    a third class: where :math:`p_A + p_B \le 1`, one classifier attains both extremes. If there are only two, give the
    larger of p_A and 1 - p_B as ``p_a``, and the rest as ``p_b``: the condition is :math:`V(p_A) > 1/2`. With ``p_b`` a
    bound for *every* other class, A stays the most probable class.

    Args:
        p_a: lower confidence bound of class A's clean probability; in [0, 1].
        p_b: upper confidence bound of class B's clean probability; in [0, 1]. It is replaced by 1 - p_a if it is
            larger, as the two probabilities add up to at most 1. Both bounds must hold together (a union bound).
        ratio: law of the token ratio, from ``kernel.likelihood_ratio(d)``.
        sigma: standard deviation of the image noise, finite; the radius comes in its units.

    Returns:
        float64 of the broadcast shape: nan where not even epsilon = 0 is certified, infinity where no image budget
        can help B. Never above the exact radius.

    Raises:
        ValueError: if an argument is outside its range or not a number.

    References:
        Cohen et al. (2019), Theorem 1, is the case d = 0: sigma / 2 times the difference of the normal quantiles.

    Example:
        >>> import hybrid_rs as hrs
        >>> nothing_edited = hrs.LikelihoodRatio.identity()
        >>> hrs.floored(certified_radius_top([0.9, 0.4], [0.05, 0.5], nothing_edited, sigma=0.5), 4)
        array([0.7316,    nan])
    """
    top, rival, noise = probability("p_a", p_a), probability("p_b", p_b), nonnegative("sigma", sigma)
    a_ratio(ratio)
    arrays = broadcast(p_a=top, p_b=rival, sigma=noise)
    shape = arrays[0].shape
    top, rival, noise = (array.ravel().copy() for array in arrays)
    rival = np.minimum(rival, _one_minus(top, down=False))

    def ahead(budget: FloatArray, scale: FloatArray, which: NDArray[np.intp]) -> NDArray[np.bool_]:
        lower = p_adv(top[which], budget, ratio, sigma=scale)
        return np.asarray(lower > p_adv_upper(rival[which], budget, ratio, sigma=scale))

    everyone = np.arange(top.size)
    radius = np.where(ahead(np.zeros(top.size), np.ones(top.size), everyone), 0.0, np.nan)
    with np.errstate(invalid="ignore"):
        # upper bracket: on the scale of normal quantiles a straight line bounds both values, as without a text edit
        stop = np.where(rival > 0, (ndtri(top) - ndtri(rival)) / 2, ndtri(top) - ndtri(ratio.q_at_infinity))
    radius[(radius == 0) & ~np.isfinite(stop)] = np.inf  # A stays at 1, or B stays at 0, under every attack
    search = everyone[(radius == 0) & (noise > 0)]
    low, high = np.zeros(search.size), np.maximum(stop[search], 0.0) * (1 + 1e-12)
    one = np.ones(search.size)
    for _ in range(60):
        middle = (low + high) / 2
        holds = ahead(middle, one, search)
        low, high = np.where(holds, middle, low), np.where(holds, high, middle)
    radius[search] = low * noise[search]
    step = 2.0**-50  # the product was rounded: step back until the bounds themselves certify the radius
    while (search := search[~ahead(radius[search], noise[search], search)]).size:
        radius[search] = radius[search] * (1 - step) if step < 0.5 else 0.0
        step *= 4
    return radius.reshape(shape)[()]


def _one_minus(value: FloatArray, *, down: bool) -> FloatArray:
    """Return 1 - value, rounded down or up; 1 - (1 - value) is exact and shows in which direction it was rounded."""
    rest = 1 - value
    if down:
        return np.where(1 - rest < value, np.nextafter(rest, 0.0), rest)
    return np.where(1 - rest > value, np.nextafter(rest, 2.0), rest)
