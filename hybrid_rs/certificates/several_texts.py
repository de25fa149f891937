r"""A certificate from several noisy texts for each noisy image.

Draw one image noise and, for it, m noisy texts independently. Let K be the number of the m pairs that the guard flags,
and :math:`P_k = P(K \ge k)`. The event :math:`K \ge k` is a randomised test of the image noise alone. So after an image
perturbation of length :math:`\varepsilon = s \sigma` its probability is at least
:math:`G_s(P_k) = \Phi(\Phi^{-1}(P_k) - s)`. Let :math:`h` be the share of texts that the guard flags given the image.
The mean of K/m is the mean of :math:`h`. Hence under attack

.. math:: E[h] \ge a(s) = \frac1m \sum_{k=1}^m G_s(P_k), \qquad g(x_{adv}) \ge V_0(a(s)).

Here :math:`V_0` is the worst case of the text channel alone. For every image an edit leaves at least :math:`V_0(h)`,
and :math:`V_0` is convex. If the texts are drawn given that all d edited positions were replaced, then
:math:`V_0(a) = \beta^d a` (for :math:`\beta \le 1 - 1/V`). For m = 1 this is the masked certificate, and the bound
never falls when m grows. If :math:`V_0` is not linear, the joint certificate :math:`V(a(0); s)` may be better; it uses
the pooled share :math:`a(0)`, a bound of the smoothed value. The better of the two is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, logsumexp, ndtri, ndtri_exp

from hybrid_rs._checks import broadcast, nonnegative, probability, require
from hybrid_rs._roots import bracketed_root
from hybrid_rs.certificates.likelihood_ratio import EPS, LikelihoodRatio, a_ratio
from hybrid_rs.certificates.worst_case import attack_shift, certified_radius, p_adv, required_p_a

FloatArray = NDArray[np.float64]
IMAGE_ALONE = LikelihoodRatio.identity()  # the ratio of an unedited text


def p_adv_texts(p: ArrayLike, epsilon: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike) -> FloatArray:
    r"""Return the least value of the smoothed classifier under attack, from several texts for one image.

    Args:
        p: lower bounds of P(K >= k), k = 1..m, all valid together; shape ``(..., m)``, in [0, 1]. The texts were drawn
            from the reference law of ``ratio``: the clean law or, if ``ratio.masked``, the clean law given that all
            edited positions were replaced.
        epsilon: image budget, l2, in the units of ``sigma``; broadcasts with ``p`` without its last axis.
        ratio: law of the token ratio, from ``kernel.likelihood_ratio(d)``, plain or masked.
        sigma: standard deviation of the image noise; 0 (no noise, so no image budget) to infinity.

    Returns:
        float64 in [0, 1], of the broadcast shape; never above the exact value.

    Raises:
        ValueError: if an argument is outside its range.

    References:
        The page "Several texts for one image" of the book. Kumar et al. (2020) sum such levels of a score under
        Gaussian noise; here the score is the share of texts, which need not be known.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=32_000).likelihood_ratio(d=1, masked=True)
        >>> four_texts = p_adv_texts([0.999, 0.99, 0.9, 0.6], 1.0, ratio, sigma=0.5)
        >>> pooled = hrs.p_adv((0.999 + 0.99 + 0.9 + 0.6) / 4, 1.0, ratio, sigma=0.5)
        >>> hrs.floored([four_texts, pooled], 4)
        array([0.1104, 0.0485])
    """
    a_ratio(ratio)
    layered = p_adv(attacked_share(p, epsilon, sigma=sigma), 0.0, ratio, sigma=1.0)
    if straight(ratio):
        return np.asarray(layered)[()]
    return np.maximum(layered, p_adv(attacked_share(p, 0.0, sigma=sigma), epsilon, ratio, sigma=sigma))[()]


def attacked_share(p: ArrayLike, epsilon: ArrayLike, *, sigma: ArrayLike) -> FloatArray:
    """Return a(s), the least share of flagged texts under an image perturbation; see :func:`p_adv_texts`."""
    levels, shift = _levels(p), attack_shift(epsilon, sigma)
    broadcast(p=levels[..., 0], **{"epsilon / sigma": shift})
    tests = p_adv(
        levels,
        np.asarray(epsilon, dtype=np.float64)[..., None],
        IMAGE_ALONE,
        sigma=np.asarray(sigma, dtype=np.float64)[..., None],
    )
    if tests.shape[-1] == 1:
        return np.asarray(tests[..., 0])[()]
    # the mean of m terms, computed from the smaller of the terms and their complements: means near 1 stay precise
    slack = (tests.shape[-1] + 4) * EPS
    flagged, passed = tests.mean(axis=-1) * (1 - slack), (1 - tests).mean(axis=-1) * (1 + slack)
    near_one = np.where(passed > 0, np.nextafter(1 - passed, 0.0), 1.0)
    return np.where(passed < 0.5, near_one, flagged)[()]


def certified_radius_texts(p: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike, tau: ArrayLike) -> FloatArray:
    r"""Return the largest image budget at which the worst case stays at or above the threshold.

    The text channel is inverted first: :math:`V_0(a) \ge \tau` if and only if a is at least some a*. The radius is then
    the root of :math:`a(s) = a^*`, and one evaluation of the bound itself confirms it.

    Args:
        p: lower bounds of P(K >= k), k = 1..m, all valid together; shape ``(..., m)``, in [0, 1].
        ratio: law of the token ratio, plain or masked; see :func:`p_adv_texts`.
        sigma: standard deviation of the image noise, finite; broadcasts with ``p`` without its last axis.
        tau: decision threshold, in [0, 1]; likewise.

    Returns:
        float64: nan where not even epsilon = 0 is certified, infinity where no budget breaks the certificate. Never
        above the exact radius.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=32_000).likelihood_ratio(d=1, masked=True)
        >>> radii = certified_radius_texts([[0.999, 0.99, 0.9, 0.6], [0.87] * 4], ratio, sigma=0.5, tau=0.05)
        >>> hrs.floored(radii, 3)
        array([1.519, 0.984])
    """
    levels, noise, threshold = _levels(p), nonnegative("sigma", sigma), probability("tau", tau)
    broadcast(p=levels[..., 0], sigma=noise, tau=threshold)
    a_ratio(ratio)
    layered = _layered_radius(levels, ratio, noise, threshold)
    if straight(ratio):
        return layered
    pooled = attacked_share(levels, 0.0, sigma=1.0)
    return np.fmax(layered, certified_radius(pooled, ratio, sigma=noise, tau=threshold))[()]


def _layered_radius(levels: FloatArray, ratio: LikelihoodRatio, noise: FloatArray, threshold: FloatArray) -> FloatArray:
    shape = np.broadcast_shapes(levels.shape[:-1], noise.shape, threshold.shape)
    levels = np.broadcast_to(levels, (*shape, levels.shape[-1])).reshape(-1, levels.shape[-1])
    noise, threshold = (np.broadcast_to(each, shape).ravel() for each in (noise, threshold))

    def holds(at: NDArray[np.intp], radius: FloatArray) -> NDArray[np.bool_]:
        share = attacked_share(levels[at], radius, sigma=noise[at])
        return np.asarray(p_adv(share, 0.0, ratio, sigma=1.0) >= threshold[at])

    everyone = np.arange(len(levels))
    radius = np.where(holds(everyone, np.zeros(len(levels))), 0.0, np.nan)
    needed = required_p_a(0.0, ratio, sigma=1.0, tau=threshold)
    always = attacked_share((levels == 1).astype(float), 0.0, sigma=1.0)  # levels of 1 stay at 1
    radius[(radius == 0) & ((threshold == 0) | ((always >= needed) & (noise > 0)))] = np.inf
    search = everyone[(radius == 0) & (noise > 0)]
    if search.size:
        radius[search] = _root(levels[search], needed[search]) * noise[search]
        # the search may stop slightly above the root: step back until the bound itself reaches tau
        step = 2.0**-50
        while (search := search[~holds(search, radius[search])]).size:
            radius[search] = radius[search] * (1 - step) if step < 0.5 else 0.0
            step *= 4
    return radius.reshape(shape)[()]


def _root(p: FloatArray, needed: FloatArray) -> FloatArray:
    """Find s with a(s) = needed, on the scale of normal quantiles; p of shape ``(n, m)``, needed ``(n,)`` in (0, 1)."""
    quantiles = ndtri(p)
    target = ndtri(needed)
    levels = tuple(quantiles.T)

    def excess(s: FloatArray, target: FloatArray, *levels: FloatArray) -> FloatArray:
        log_share = logsumexp(log_ndtr(np.array(levels) - s), axis=0) - np.log(len(levels))
        return np.clip(ndtri_exp(np.minimum(log_share, 0.0)), -1e3, 1e3) - target

    # brackets: after terms with P = 1 are removed, the sum lies above the straight line of the mean (the sum is
    # superadditive) and below the straight line of its largest term
    certain = (p == 1).mean(axis=1)
    rest = np.clip((needed - certain) / (1 - certain), 2.0**-1000, 1.0)
    top = np.where(p < 1, quantiles, -np.inf).max(axis=1)
    high = np.maximum(top - ndtri(rest), 0.0) * (1 + 1e-12) + 1e-12
    return bracketed_root(excess, np.zeros_like(high), high, (target, *levels), xatol=1e-300, xrtol=1e-13)


def straight(ratio: LikelihoodRatio) -> bool:
    """Return whether V_0 is linear: then the joint certificate from the pooled share cannot be better."""
    return ratio.log_gamma.size < 2 and ratio.p_at_zero == 0


def _levels(p: ArrayLike) -> FloatArray:
    levels = probability("p", p)
    require(levels.ndim > 0 and levels.shape[-1] > 0, "p", levels.shape, "give P(K >= k) for k = 1..m on the last axis")
    return np.asarray(levels)
