r"""Noise on the numbers of a table with the law of the theorem: a Gaussian rounded to a fine lattice of each feature.

The step of a feature's lattice is a power of two: at most a 1024th of its standard deviation, and at most 1. Values are
whole multiples of it, or are rounded to one. For such a value x and a Gaussian Z, round(x + Z) = x + round(Z). So the
verdict of any classifier on x + round(Z) is a function of x + Z, and the theorems apply to it. With floating-point
noise they need not: the last bits of the sum may reveal x.

The certificate covers adversaries on the lattice. All whole numbers are on it. It is so fine that the rounding hardly
matters to a linear classifier: its smoothed value changes by less than :math:`2^{-11} \sqrt{k} / (\sqrt{2\pi} \sigma)`
for k features, as a score moves by at most :math:`2^{-11} \sum_j |w_j|`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, nonnegative, one
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.smoothing.lattice import RoundedGaussian, rounded_gaussian

FloatArray = NDArray[np.float64]
FINE = 10  # a standard deviation is 2^10 steps or more
FIRST, MORE, CATEGORIES = 0, 1, 2  # streams of a row: first bits and further bits of each feature, and the categories


def steps_of(scale: FloatArray) -> FloatArray:
    """Return the step of each feature: the largest power of two up to 1 and to a 1024th of its standard deviation.

    Args:
        scale: shape ``(k,)``, positive.

    Example:
        >>> steps_of(np.array([8.0, 100_000.0]))
        array([0.0078125, 1.       ])
    """
    return np.asarray(np.ldexp(1.0, np.minimum(np.frexp(scale)[1] - 1 - FINE, 0)))


@dataclass(frozen=True, eq=False)
class NumberLattice:
    """The lattice of the numeric features, and how its points become numbers for a classifier.

    Args:
        centre: shape ``(k,)``, the training mean of each feature, in its own unit.
        scale: shape ``(k,)``, its training standard deviation: one unit of sigma and of epsilon.
        steps: shape ``(k,)``, of which every value is a whole multiple; see :func:`steps_of`.

    Example:
        >>> scale = np.array([8.0])
        >>> lattice = NumberLattice(np.array([30.0]), scale, steps_of(scale))
        >>> lattice.numbers(lattice.levels(np.array([[30.0], [38.0]])))
        array([[0.],
               [1.]])
    """

    centre: FloatArray
    scale: FloatArray
    steps: FloatArray

    def levels(self, values: FloatArray) -> NDArray[np.int64]:
        """Return the nearest lattice points of values in their own units, shape ``(..., k)``."""
        return np.rint(values / self.steps).astype(np.int64)

    def numbers(self, levels: NDArray[np.int64]) -> FloatArray:
        """Return standardised numbers for lattice points of shape ``(..., k)``: a function of integers alone."""
        return np.asarray((levels * self.steps - self.centre) / self.scale)

    def laws(self, sigma: float) -> list[RoundedGaussian]:
        """Return the law of the noise of each feature, in steps."""
        deviation = one("sigma", nonnegative("sigma", sigma))
        return [rounded_gaussian(float(w), levels=1) for w in deviation * self.scale / self.steps]

    def noisy(self, levels: NDArray[np.int64], sigma: float, n: int, entropy: list[int]) -> FloatArray:
        """Return ``n`` noisy copies of a row as standardised numbers, shape ``(n, k)``.

        Args:
            levels: shape ``(k,)``, the row's lattice points.
            sigma: standard deviation of the noise in standard deviations of a feature; 0 for none.
            n: number of copies; the first of them are those of a smaller ``n``.
            entropy: whole numbers that determine the draws.
        """
        draws = integer("n", n, at_least=1)
        if sigma == 0:
            return np.broadcast_to(self.numbers(levels), (draws, levels.size))
        noise = np.empty((draws, levels.size), dtype=np.int64)
        for j, law in enumerate(self.laws(sigma)):
            words = _stream(entropy, FIRST, j).random_raw(-(-draws // 4))
            bits = words.astype("<u8", copy=False).view("<u2")[:draws]
            noise[:, j] = law.values(bits, _stream(entropy, MORE, j).random_raw)
        return self.numbers(levels + noise)


def distance(lattice: NumberLattice, kernel: FeatureKernel, sigma: float) -> float:
    """Return a bound of the total variation between the law of a noisy row and that of the theorem.

    It is a sum: over numeric features, of the distance of :class:`RoundedGaussian`; and over categorical features, of
    the difference between beta and a multiple of 2^-53.
    """
    beta = Fraction(kernel.beta)
    off = len(kernel.sizes) * (Fraction(math.ceil(beta * 2**53), 2**53) - beta)
    off += sum(Fraction(law.distance) for law in lattice.laws(sigma)) if sigma else 0
    return float(np.nextafter(float(off), 1.0)) if off else 0.0


def categories(entropy: list[int]) -> np.random.Generator:
    """Return the generator of a row's noise on categories."""
    return np.random.Generator(_stream(entropy, CATEGORIES, 0))


def _stream(entropy: list[int], kind: int, feature: int) -> np.random.Philox:
    return np.random.Philox(np.random.SeedSequence(entropy, spawn_key=(kind, feature)))
