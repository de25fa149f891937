r"""Base classifiers with a score in [0, 1]: the distribution of the score gives more than its mean.

A score is the integral of verdicts, :math:`f = \int_0^1 1\{f \ge s\}\,ds`, and each verdict is a classifier with its
own certificate. The certificate of the mean, ``p_adv(mean, ...)``, is valid for scores, too. But the worst-case value V
is convex, so the sum of the certificates of the verdicts is never smaller.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import probability, require, risk
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.certificates.worst_case import attack_shift, p_adv
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower

FloatArray = NDArray[np.float64]


def layer_bounds(scores: ArrayLike, levels: ArrayLike, alpha: float = 0.01) -> FloatArray:
    """Return lower confidence bounds of P(score >= level) that hold at all levels together.

    Args:
        scores: outputs of the base classifier on independent draws, shape ``(n,)``, in [0, 1].
        levels: shape ``(k,)``, increasing, in (0, 1]; chosen before the draws are seen.
        alpha: risk of all bounds together, in (0, 1); split equally.

    Returns:
        shape ``(k,)``, in [0, 1), rounded down.

    Raises:
        ValueError: if an argument is outside its range or of another shape.

    Example:
        >>> scores = np.random.default_rng(0).beta(20, 1, size=1000)
        >>> layer_bounds(scores, [0.5, 0.9]).round(2)
        array([0.99, 0.86])
    """
    x, at = probability("scores", scores), _levels(levels)
    require(x.ndim == 1 and x.size > 0, "scores", x.shape, "give one score per draw, shape (n,)")
    return np.asarray(clopper_pearson_lower((x >= at[:, None]).sum(axis=1), x.size, risk("alpha", alpha) / at.size))


def p_adv_layers(
    p: ArrayLike, levels: ArrayLike, epsilon: ArrayLike, ratio: LikelihoodRatio, *, sigma: ArrayLike
) -> FloatArray:
    r"""Return the least mean score under attack, from bounds on the distribution of the score.

    If :math:`p_j \le P(f \ge s_j)`, the mean score under attack is at least
    :math:`\sum_j (s_j - s_{j-1}) V(p_j)`. If the probabilities are exact, some f attains this value.

    Args:
        p: lower bounds of the clean probabilities that the score reaches each level, shape ``(k,)``, from
            :func:`layer_bounds`.
        levels: the levels, shape ``(k,)``, increasing, in (0, 1].
        epsilon: image budget, l2, in the units of ``sigma``; any shape.
        ratio: law of the token ratio, from ``kernel.likelihood_ratio(d)``.
        sigma: standard deviation of the image noise, of a shape that broadcasts with ``epsilon``.

    Returns:
        float64 of the shape of ``epsilon`` and ``sigma``, never above the exact value.

    Raises:
        ValueError: if an argument is outside its range or shapes differ.

    References:
        The page "Both sides, several classes, soft outputs" of the book, theorem on layers.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=32_000).likelihood_ratio(d=1)
        >>> layered = p_adv_layers([0.99, 0.95], [0.5, 0.9], 1.0, ratio, sigma=1.0)
        >>> bool(layered > hrs.p_adv(0.5 * 0.99 + 0.4 * 0.95, 1.0, ratio, sigma=1.0))
        True
    """
    at, each = _levels(levels), probability("p", p)
    require(each.shape == at.shape, "p", each.shape, f"give one probability per level, shape {at.shape}")
    width = np.nextafter(np.diff(at, prepend=0.0), 0.0)
    shape = attack_shift(epsilon, sigma).shape
    column = each.reshape(-1, *(1 for _ in shape))
    values = p_adv(column, epsilon, ratio, sigma=sigma)
    return np.asarray(np.tensordot(width, values, axes=1) * (1 - at.size * 2.0**-52))[()]


def _levels(levels: ArrayLike) -> FloatArray:
    at = probability("levels", levels)
    rising = at.ndim == 1 and at.size > 0 and at[0] > 0 and bool(np.all(np.diff(at) > 0))
    require(rising, "levels", levels, "give increasing levels in (0, 1], shape (k,)")
    return at
