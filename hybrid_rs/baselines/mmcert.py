r"""Independent subsampling of both modalities, as in MMCert, and its certificate.

A random set of :math:`k_1` of the :math:`n_1` tokens is kept, and independently a random set of :math:`k_2` of the
:math:`n_2` pixels. Everything else is overwritten by a constant. The adversary changes any :math:`r_1` tokens and any
:math:`r_2` pixels arbitrarily. The probability that no kept element was changed is

.. math:: \omega = \binom{n_1 - r_1}{k_1} \binom{n_1}{k_1}^{-1} \binom{n_2 - r_2}{k_2} \binom{n_2}{k_2}^{-1},

and in that event the guard sees the same as for the clean input. So the smoothed value is at least :math:`\max(0, p_A -
(1 - \omega))`. No better bound follows from :math:`p_A`: if a changed element was kept, a guard may say "unsafe" at the
clean input and "safe" at the attacked one. For two classes and a majority vote (:math:`\tau = 1/2`) this is, up to
ties, :math:`\underline p_A - (1 - \omega) > \overline p_B + (1 - \omega)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import broadcast, integer, numbers, one, probability, require

FloatArray = NDArray[np.float64]
MOST = 2**30  # largest number of elements of a modality


def log_untouched(total: int, kept: int, touched: ArrayLike) -> FloatArray:
    r"""Return the log of the probability that a random set of ``kept`` elements avoids ``touched`` given ones.

    Args:
        total: number of elements n.
        kept: k, from 0 to n.
        touched: r, whole numbers from 0 to n, any shape.

    Returns:
        float64 of the shape of ``touched``: :math:`\log \binom{n-r}{k} / \binom{n}{k}`, rounded down; -inf if
        r > n - k.

    Raises:
        ValueError: if a number is not whole or out of range.

    Example:
        >>> log_untouched(total=4, kept=2, touched=[0, 1, 2, 3]).round(3)
        array([ 0.   , -0.693, -1.792,   -inf])
    """
    n, k = integer("total", total, at_least=0, at_most=MOST), integer("kept", kept, at_least=0)
    require(k <= n, "kept", k, f"keep at most all of the {n} elements")
    r = whole_to("touched", touched, n)
    if k == 0:
        return np.zeros(r.shape)[()]
    # given that the earlier ones were avoided, the i-th (from 0) is avoided with probability 1 - k / (n - i)
    last = min(int(r.max(initial=0)), n - k)
    factors = np.log1p(-k / (n - np.arange(last, dtype=np.float64)))
    logs = np.append(0.0, np.cumsum(factors))
    logs *= 1 + (np.arange(last + 1) + 16) * 2.0**-51  # rounding error of a cumulative sum, on the safe side
    return np.where(r <= n - k, logs[np.minimum(r, last)], -np.inf)[()]


def whole_to(name: str, value: ArrayLike, most: int) -> NDArray[np.int64]:
    """Return the value as an int64 array of whole numbers from 0 to ``most``."""
    array = numbers(name, value)
    inside = bool(np.all((array >= 0) & (array <= most) & (array == np.floor(array))))
    require(inside, name, value, f"give whole numbers from 0 to {most}")
    return array.astype(np.int64)


@dataclass(frozen=True)
class SubsamplingLaw:
    """The numbers of tokens and pixels, and how many of them are kept.

    Args:
        tokens: n1.
        keep_tokens: k1, at most n1.
        pixels: n2.
        keep_pixels: k2, at most n2.

    Raises:
        ValueError: if a number is not whole or negative, or more elements are kept than exist.
    """

    tokens: int
    keep_tokens: int
    pixels: int
    keep_pixels: int

    def __post_init__(self) -> None:
        for kept, total in (("keep_tokens", "tokens"), ("keep_pixels", "pixels")):
            k, n = (integer(name, getattr(self, name), at_least=0, at_most=MOST) for name in (kept, total))
            require(k <= n, kept, k, f"keep at most {total} = {n}")
            object.__setattr__(self, kept, k)
            object.__setattr__(self, total, n)

    def log_untouched(self, r_tokens: ArrayLike, r_pixels: ArrayLike) -> FloatArray:
        """Return the log of the probability that no kept element was touched; rounded down."""
        tokens = whole_to("r_tokens", r_tokens, self.tokens)
        pixels = whole_to("r_pixels", r_pixels, self.pixels)
        broadcast(r_tokens=tokens.astype(np.float64), r_pixels=pixels.astype(np.float64))
        text = log_untouched(self.tokens, self.keep_tokens, tokens)
        return text + log_untouched(self.pixels, self.keep_pixels, pixels)

    def p_adv(self, p_a: ArrayLike, r_tokens: ArrayLike, r_pixels: ArrayLike) -> FloatArray:
        """Return a lower bound of the smoothed value under r1 changed tokens and r2 changed pixels.

        Args:
            p_a: clean smoothed probability, or a lower confidence bound of it; in [0, 1].
            r_tokens: changed tokens, whole numbers from 0 to n1.
            r_pixels: changed pixels, whole numbers from 0 to n2.

        Returns:
            float64 in [0, 1], of the broadcast shape; never above the exact value.

        Raises:
            ValueError: if an argument is out of range.

        References:
            Wang et al. (2024), MMCert; Levine and Feizi (2020) for one modality.

        Example:
            >>> law = SubsamplingLaw(tokens=20, keep_tokens=5, pixels=1024, keep_pixels=128)
            >>> law.p_adv(0.999, [0, 1, 2], [0, 1, 2]).round(4)
            array([0.999 , 0.6552, 0.422 ])
        """
        p, log_omega = probability("p_a", p_a), self.log_untouched(r_tokens, r_pixels)
        broadcast(p_a=p, **{"r_tokens, r_pixels": log_omega})
        least = p + np.expm1(log_omega)  # p_A - (1 - omega)
        return np.where(log_omega == 0, p, np.maximum(least - 2.0**-52, 0.0))[()]

    def certified_pixels(self, p_a: ArrayLike, r_tokens: int, *, tau: float) -> NDArray[np.int64]:
        """Return the largest number of changed pixels that is certified together with r1 changed tokens.

        Args:
            p_a: clean smoothed probability or its lower confidence bound; in [0, 1].
            r_tokens: changed tokens.
            tau: decision threshold, in (0, 1]; a half for MMCert's majority vote.

        Returns:
            int64 of the shape of ``p_a``; -1 where not even an untouched image is certified.

        Example:
            >>> law = SubsamplingLaw(tokens=20, keep_tokens=5, pixels=1024, keep_pixels=128)
            >>> law.certified_pixels([0.5, 0.9, 0.999], r_tokens=1, tau=0.5)
            array([-1,  1,  3])
        """
        threshold, touched = one("tau", probability("tau", tau)), integer("r_tokens", r_tokens, 0, self.tokens)
        require(threshold > 0, "tau", tau, "give a positive threshold: zero is never missed")
        values = self.p_adv(probability("p_a", p_a)[..., None], touched, np.arange(self.pixels + 1))
        return (values >= threshold).sum(axis=-1).astype(np.int64) - 1  # values never increase with changed pixels


def pixels_within(image: ArrayLike, epsilon: ArrayLike) -> NDArray[np.int64]:
    r"""Return how many pixels may take any values in [0, 1] while the image moves by at most ``epsilon`` in l2.

    This translates an l2 certificate into one for changed pixels. Changing any r2 pixels moves the image at most by the
    square root of the sum of the r2 largest values of :math:`\sum_c \max(x_c, 1 - x_c)^2`. There is no converse: with
    any l2 budget, an adversary can change every pixel a little.

    Args:
        image: shape ``(channels, height, width)``, in [0, 1].
        epsilon: l2 budgets in pixel units, any shape; nan where nothing is certified.

    Returns:
        int64 of the shape of ``epsilon``, at most height x width; -1 for nan.

    Raises:
        ValueError: if a pixel lies outside [0, 1], or a budget is negative.

    Example:
        >>> pixels_within(np.full((3, 8, 8), 0.5), [np.nan, 0.0, 0.9, 2.0])
        array([-1,  0,  1,  5])
    """
    x, budget = probability("image", image), numbers("epsilon", epsilon)
    require(x.ndim == 3, "image", x.shape, "give one image of shape (channels, height, width)")
    require(not np.any(budget < 0), "epsilon", epsilon, "give l2 budgets that are not negative")
    farthest = np.sort((np.maximum(x, 1 - x) ** 2).sum(axis=0).ravel())[::-1]
    needed = np.cumsum(farthest) * (1 + (farthest.size + 16) * 2.0**-52)  # squared, rounded up
    with np.errstate(invalid="ignore", over="ignore"):
        within = np.searchsorted(needed, budget**2 * (1 - 2.0**-50), side="right")
    return np.where(np.isnan(budget), -1, within).astype(np.int64)[()]
