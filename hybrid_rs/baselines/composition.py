r"""Two certificates in sequence: sound, but far weaker than the joint one.

Fix the image. Then :math:`g(\cdot, x_2)` is a smoothed classifier of the text alone, so the discrete certificate gives
:math:`g(\tilde x_1, x_2) \ge K_d(p_A)`. Now fix the attacked text. Then :math:`g(\tilde x_1, \cdot)` is a smoothed
classifier of the image alone, whose clean value is at least :math:`K_d(p_A)`. So Cohen's certificate gives
:math:`\Phi(\Phi^{-1}(K_d(p_A)) - \varepsilon / \sigma)`. The other order works in the same way. Both orders assume a
guard that is the worst for the text and also the worst for the image. In general, no guard is both.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import choice
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.certificates.worst_case import certified_radius, p_adv, required_p_a

FloatArray = NDArray[np.float64]
Order = Literal["text first", "image first"]


def composed_p_adv(
    p_a: ArrayLike, epsilon: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike, order: Order = "text first"
) -> FloatArray:
    """Return the lower bound of the smoothed value from two certificates in sequence.

    Args:
        p_a: clean smoothed probability, or a lower confidence bound of it; in [0, 1].
        epsilon: image budget, l2, in the units of ``sigma``.
        ratio: law of the token ratio, from ``kernel.likelihood_ratio(d)``.
        sigma: standard deviation of the image noise.
        order: which certificate comes first.

    Returns:
        float64 in [0, 1]; up to rounding, never above the joint :func:`hybrid_rs.p_adv`, and equal to it at d = 0 or
        epsilon = 0.

    Raises:
        ValueError: if an argument is out of range.

    References:
        Lee et al. (2019) for the text, Cohen et al. (2019) for the image.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=32_000).likelihood_ratio(d=2)
        >>> composed_p_adv(0.999, 0.5, ratio, sigma=1.0).round(4), hrs.p_adv(0.999, 0.5, ratio, sigma=1.0).round(4)
        (np.float64(0.0206), np.float64(0.0594))
    """
    if _first(order) == "text first":
        return p_adv(p_adv(p_a, 0.0, ratio, sigma=1.0), epsilon, LikelihoodRatio.identity(), sigma=sigma)
    return p_adv(p_adv(p_a, epsilon, LikelihoodRatio.identity(), sigma=sigma), 0.0, ratio, sigma=1.0)


def composed_radius(
    p_a: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike, tau: ArrayLike, order: Order = "text first"
) -> FloatArray:
    """Return the largest image budget that two certificates in sequence certify; nan if there is none.

    Args:
        p_a: clean smoothed probability or its lower confidence bound; in [0, 1].
        ratio: law of the token ratio, from ``kernel.likelihood_ratio(d)``.
        sigma: standard deviation of the image noise, finite.
        tau: decision threshold, in [0, 1].
        order: which certificate comes first.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=32_000).likelihood_ratio(d=3)
        >>> hrs.floored(composed_radius(0.99954, ratio, sigma=1.0, tau=4.6e-5), 2)
        np.float64(1.74)
        >>> hrs.floored(hrs.certified_radius(0.99954, ratio, sigma=1.0, tau=4.6e-5), 2)
        np.float64(4.64)
    """
    if _first(order) == "text first":
        after_text = p_adv(p_a, 0.0, ratio, sigma=1.0)
        return certified_radius(after_text, LikelihoodRatio.identity(), sigma=sigma, tau=tau)
    needed = required_p_a(0.0, ratio, sigma=1.0, tau=tau)  # the value that must be left after the image attack
    radius = certified_radius(p_a, LikelihoodRatio.identity(), sigma=sigma, tau=np.where(np.isnan(needed), 1.0, needed))
    return np.where(np.isnan(needed), np.nan, radius)[()]


def _first(order: str) -> str:
    return choice("order", order, get_args(Order))
