r"""What can be certified: worst-case values, radii, edits, and the clean probability that a target needs.

All functions broadcast over arrays, take and return float64, and round to the safe side: rounding errors never make a
reported certificate wrong. The guarantee is about the smoothed classifier.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, ndtri_exp

from hybrid_rs._checks import broadcast, nonnegative, nonnegative_or_infinite, probability
from hybrid_rs._roots import bracketed_root
from hybrid_rs.certificates import neyman_pearson
from hybrid_rs.certificates.feature_kernel import worst_ratios
from hybrid_rs.certificates.kernels import Kernel, text_budget
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio, a_ratio

FloatArray = NDArray[np.float64]
LEAST_SHIFT = 2e-12  # a smaller positive epsilon / sigma is rounded up to this: safe, as larger shifts are worse


def p_adv(p_a: ArrayLike, epsilon: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike) -> FloatArray:
    r"""Return the least value that the smoothed classifier can take under attack.

    The minimum is over every base classifier f -> [0, 1] with :math:`g(x) \ge p_A`, every token edit that ``ratio``
    describes and every image shift of length at most ``epsilon``.

    Args:
        p_a: clean smoothed probability, or a lower confidence bound of it; in [0, 1].
        epsilon: image budget, l2, in the units of ``sigma``; non-negative.
        ratio: law of the token ratio, from ``kernel.likelihood_ratio(d)``.
        sigma: standard deviation of the image noise; 0 (no noise, so no image budget) to infinity.

    Returns:
        float64 in [0, 1], of the broadcast shape; never above the exact value.

    Raises:
        ValueError: if an argument is outside its range or not a number.

    References:
        Delattre et al. (2026), hybrid Neyman-Pearson certificate; Cohen et al. (2019) for d = 0; Lee et al. (2019)
        for epsilon = 0.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=32_000).likelihood_ratio(d=2)
        >>> hrs.floored(hrs.p_adv([0.99, 0.999], 0.5, ratio, sigma=1.0), 4)
        array([0.0431, 0.0593])
    """
    p, shift = broadcast(p_a=probability("p_a", p_a), **{"epsilon / sigma": attack_shift(epsilon, sigma)})
    return _value(p, a_ratio(ratio), shift)[()]


def log_p_adv(p_a: ArrayLike, epsilon: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike) -> FloatArray:
    """Return the logarithm of :func:`p_adv`, also if the value itself is too small for a float64."""
    p, shift = broadcast(p_a=probability("p_a", p_a), **{"epsilon / sigma": attack_shift(epsilon, sigma)})
    a_ratio(ratio)
    return neyman_pearson.log_lower_bound(p, neyman_pearson.log_threshold(p, ratio, shift), ratio, shift)[()]


def certified_radius(p_a: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike, tau: ArrayLike) -> FloatArray:
    r"""Return the largest image budget at which the worst case stays at or above the threshold.

    Args:
        p_a: clean smoothed probability or its lower confidence bound; in [0, 1].
        ratio: law of the token ratio, from ``kernel.likelihood_ratio(d)``.
        sigma: standard deviation of the image noise, finite; the radius comes in its units.
        tau: decision threshold, in [0, 1].

    Returns:
        float64: nan where not even epsilon = 0 is certified, infinity where no budget breaks the certificate
        (tau = 0; or p_a = 1, a classifier that is never wrong). Never above the exact radius.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=32_000).likelihood_ratio(d=3)
        >>> radius = hrs.certified_radius([0.9, 0.99954], ratio, sigma=1.0, tau=4.6e-5)
        >>> hrs.floored(radius, 3)
        array([  nan, 4.649])
    """
    p, noise, threshold = probability("p_a", p_a), nonnegative("sigma", sigma), probability("tau", tau)
    arrays = broadcast(p_a=p, sigma=noise, tau=threshold)
    shape = arrays[0].shape
    p, noise, threshold = (array.ravel().copy() for array in arrays)
    threshold[threshold > 0] = np.maximum(threshold[threshold > 0], neyman_pearson.LEAST_VALUE)  # bounds below it are 0
    radius = np.full(p.shape, np.nan)
    zero = np.zeros_like(p)
    holds = p_adv(p, zero, a_ratio(ratio), sigma=1.0) >= threshold
    radius[holds] = 0.0
    radius[holds & ((threshold == 0) | ((p == 1) & (noise > 0)))] = np.inf
    search = np.flatnonzero(radius == 0)
    search = search[noise[search] > 0]
    if search.size:
        radius[search] = _largest_shift(p[search], ratio, threshold[search]) * noise[search]
        # the product is rounded and the search may stop slightly above the root: step back until the bound reaches tau
        step, patient = 2.0**-46, True
        while (over := search[p_adv(p[search], radius[search], ratio, sigma=noise[search]) < threshold[search]]).size:
            if patient and step > 2.0**-40:  # the bound is far below the exact value, so its own root is needed
                radius[over] = _root_of_bound(p[over], ratio, threshold[over]) * noise[over]
                step, patient = 2.0**-50, False
            else:
                radius[over] = radius[over] * (1 - step) if step < 0.5 else 0.0
                step *= 4
            search = over
    return radius.reshape(shape)[()]


def certified_edits(
    p_a: ArrayLike, kernel: Kernel, *, epsilon: ArrayLike, sigma: ArrayLike, tau: ArrayLike, d_max: int
) -> NDArray[np.int64]:
    """Return the largest text budget up to ``d_max`` that is certified together with the image budget.

    Args:
        p_a: clean smoothed probability or its lower confidence bound; in [0, 1].
        kernel: the token kernel.
        epsilon: image budget, l2, in the units of ``sigma``.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1].
        d_max: largest number of edits of interest.

    Returns:
        int64 of the broadcast shape; -1 where d = 0 fails.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> hrs.certified_edits(0.99954, kernel, epsilon=1.0, sigma=1.0, tau=4.6e-5, d_max=8)
        np.int64(5)
    """
    threshold, p = probability("tau", tau), probability("p_a", p_a)
    broadcast(p_a=p, tau=threshold, **{"epsilon / sigma": attack_shift(epsilon, sigma)})
    still = np.asarray(True)
    edits = np.asarray(-1)
    for d in range(text_budget("d_max", d_max) + 1):
        for ratio in worst_ratios(kernel, d):
            still = still & (p_adv(p, epsilon, ratio, sigma=sigma) >= threshold)
        edits = np.where(still, d, edits)
        if not still.any():
            break
    return edits.astype(np.int64)[()]


def required_p_a(epsilon: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike, tau: ArrayLike) -> FloatArray:
    r"""Return the least clean probability that certifies a target, rounded up.

    A trade-off function is inverted by exchanging its two laws: V(p) >= tau if and only if p >= 1 - V'(1 - tau), where
    V' is the worst case with the adversarial and the clean law exchanged.

    Args:
        epsilon: image budget, l2, in the units of ``sigma``.
        ratio: law of the token ratio.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1].

    Returns:
        float64 in [0, 1]; nan where not even p_a = 1 certifies.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=30_000).likelihood_ratio(d=1)
        >>> float(hrs.required_p_a(0.0, ratio, sigma=1.0, tau=4.6e-5).round(5))
        0.75004
    """
    threshold, shift = probability("tau", tau), attack_shift(epsilon, sigma)
    threshold, shift = broadcast(tau=threshold, **{"epsilon / sigma": shift})
    # 1 - tau is rounded down, that is, to a threshold no lower than tau
    complement = np.where(threshold > 0, np.nextafter(1 - threshold, 0.0), 1.0)
    needed = np.where(threshold > 0, 1 - _value(complement, a_ratio(ratio).reversed(), shift), 0.0)
    feasible = _value(np.ones_like(needed), ratio, shift) >= threshold
    step = 2.0**-53
    while np.any(short := feasible & (_value(needed, ratio, shift) < threshold)):
        needed = np.where(short, np.minimum(1.0, needed + step), needed)
        step *= 2
    return np.where(feasible, needed, np.nan)[()]


def _value(p: FloatArray, ratio: LikelihoodRatio, shift: FloatArray) -> FloatArray:
    return neyman_pearson.lower_bound(p, neyman_pearson.log_threshold(p, ratio, shift), ratio, shift)


def attack_shift(epsilon: ArrayLike, sigma: ArrayLike) -> FloatArray:
    """Return epsilon / sigma, rounded up; a positive one is rounded up to at least ``LEAST_SHIFT``."""
    budget = nonnegative("epsilon", epsilon)
    noise = nonnegative_or_infinite("sigma", sigma)
    budget, noise = broadcast(epsilon=budget, sigma=noise)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shift = np.maximum(np.nextafter(budget / noise, np.inf), LEAST_SHIFT)
    return np.where((budget == 0) | (noise == np.inf), 0.0, shift)


def _largest_shift(p: FloatArray, ratio: LikelihoodRatio, tau: FloatArray) -> FloatArray:
    """Find the largest epsilon / sigma with V >= tau; all of p in (0, 1), tau > 0, and V(0) >= tau."""
    found = neyman_pearson.crossing(p, tau, ratio, _cohen(p, tau))
    left = np.flatnonzero(np.isnan(found))
    found[left] = _root_of_bound(p[left], ratio, tau[left])
    return found


def _cohen(p: FloatArray, tau: FloatArray) -> FloatArray:
    """Return the radius of Cohen et al., slightly enlarged: with text edits, the value there is below tau."""
    return np.maximum(ndtri(p) - ndtri(tau), 0.0) * (1 + 1e-12) + 1e-12


def _root_of_bound(p: FloatArray, ratio: LikelihoodRatio, tau: FloatArray) -> FloatArray:
    """Find the largest epsilon / sigma at which the computed bound itself reaches tau: slower, but always possible."""

    def excess(s: FloatArray, p: FloatArray, target: FloatArray) -> FloatArray:
        u = neyman_pearson.log_threshold(p, ratio, s)
        log_value = neyman_pearson.log_lower_bound(p, u, ratio, s)
        return np.clip(ndtri_exp(np.minimum(log_value, 0.0)), -1e3, 1e3) - target

    low, high = np.full(p.shape, LEAST_SHIFT), np.maximum(_cohen(p, tau), LEAST_SHIFT)
    return bracketed_root(excess, low, high, (p, ndtri(tau)), xatol=1e-300, xrtol=1e-13)
