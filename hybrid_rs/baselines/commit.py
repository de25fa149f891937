r"""Anisotropic Gaussian smoothing of several continuous inputs, as in COMMIT: one standard deviation for each sensor.

With noise :math:`N(0, \sigma_j^2 I)` on input j and an adversary who moves input j by at most :math:`\epsilon_j` in l2,
scaling each input by its own sigma turns this into one Gaussian smoothing, moved by
:math:`r = \sqrt{\sum_j (\epsilon_j / \sigma_j)^2}`. So the smoothed value stays at or above
:math:`\Phi(\Phi^{-1}(p_A) - r)`. The bound is exact, but it needs continuous inputs. For text it certifies small moves
of an embedding, not edits of tokens.

References:
    Huang et al. (2024), COMMIT, for cameras and lidar (their semantic transformations and the medians of boxes are not
    part of this); Cohen et al. (2019) for one input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import nonnegative, positive, require
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.certificates.worst_case import p_adv

FloatArray = NDArray[np.float64]


def anisotropic_p_adv(p_a: ArrayLike, epsilons: Sequence[float], sigmas: Sequence[float]) -> FloatArray:
    """Return the least smoothed value under moves of all inputs together.

    Args:
        p_a: clean smoothed probability, or a lower confidence bound of it; in [0, 1].
        epsilons: l2 budget of each input, in the units of its sigma.
        sigmas: standard deviation of the noise on each input; positive.

    Returns:
        float64 of the shape of ``p_a``; never above the exact value by more than rounding.

    Raises:
        ValueError: if an argument is out of range or the numbers of inputs differ.

    Example:
        >>> anisotropic_p_adv(0.99, epsilons=[0.3, 2.0], sigmas=[0.5, 4.0]).round(4)
        np.float64(0.9389)
    """
    moves, noise = nonnegative("epsilons", epsilons), positive("sigmas", sigmas)
    fits = moves.ndim == noise.ndim == 1 and moves.shape == noise.shape and moves.size > 0
    require(fits, "epsilons, sigmas", (moves.shape, noise.shape), "give one of each for every input")
    distance = math.hypot(*(moves / noise)) * (1 + 4 * moves.size * float(np.finfo(np.float64).eps))
    return p_adv(p_a, distance, LikelihoodRatio.identity(), sigma=1.0)
