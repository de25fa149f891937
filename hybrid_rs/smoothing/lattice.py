r"""Image noise with the law of the theorem: a Gaussian rounded to the 8-bit lattice, computed with integers only.

An 8-bit image is a vector x of whole numbers. For such an x and a Gaussian Z, round(x + Z) = x + round(Z). So the
verdict of any guard on x + round(Z) is a function of x + Z, and the theorems apply to it. With floating-point noise
they need not: the last bits of the sum x + z may reveal x.

A value of round(Z) is found by comparing a uniform 64-bit integer with thresholds: the probabilities P(round(Z) <= k),
rounded to 64 bits. The distance of this law from the exact one is computed in ball arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import nonnegative, one, require
from hybrid_rs._extras import needs

LEVELS = 255  # steps of the lattice from black to white
LARGEST = 100.0  # largest sigma, in pixel units; its table has half a million thresholds
MOST_STEPS = 2**18  # largest standard deviation on another lattice, in its steps
FIRST = 16  # bits drawn for every pixel; 48 more are drawn only if these do not determine the value

Words = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class RoundedGaussian:
    """The law of round(Z) as integers; :func:`rounded_gaussian` makes it.

    Args:
        sigma: standard deviation of Z in pixel units; in steps of the lattice it is 255 times as large. (On another
            lattice it is ``levels`` times as large; see :func:`rounded_gaussian`.)
        thresholds: uint64, ascending, shape ``(2 * most,)``. A 64-bit integer u gives the value
            ``(number of thresholds that are at most u) - most``.
        distance: an upper bound of the total variation between this law and that of round(Z).
    """

    sigma: float
    thresholds: Words
    distance: float

    @property
    def most(self) -> int:
        """The largest value; the smallest is its negative."""
        return self.thresholds.size // 2

    @cached_property
    def cells(self) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.bool_]]:
        """By the first 16 bits: the value or ``unknown``, the number of thresholds below, whether one is inside."""
        start = np.arange(1 << FIRST, dtype=np.uint64) << np.uint64(64 - FIRST)
        last = start | np.uint64((1 << (64 - FIRST)) - 1)
        below, up_to = (np.searchsorted(self.thresholds, at, side="right") for at in (start, last))
        values = np.where(below == up_to, below - self.most, self.unknown)
        return values.astype(np.int16 if self.unknown == -(2**15) else np.int32), below, up_to - below == 1

    @property
    def unknown(self) -> int:
        """The mark for a value that needs more than 16 bits; it is not a value of the law."""
        return -(2**15) if self.most < 2**15 - 256 else -(2**31)  # int16 if the sum of level and value fits into it

    def values(self, bits: NDArray[np.uint16], more: Callable[[int], Words]) -> NDArray[Any]:
        """Return one value of the law for each entry.

        Args:
            bits: the first 16 bits of each uniform integer, shape ``(n,)``.
            more: returns a given number of fresh words, of which the upper 48 bits are used. It is called once, with
                the number of entries that the first bits do not determine.

        Example:
            >>> philox = np.random.Philox(0)
            >>> rounded_gaussian(0.5).values(philox.random_raw(1).view(np.uint16), philox.random_raw)
            array([-114, -140,  161, -280], dtype=int16)
        """
        values, below, alone = self.cells
        found = np.take(values, bits, mode="clip")
        at = np.flatnonzero(found == self.unknown)
        cell = bits[at]
        u = (cell.astype(np.uint64) << np.uint64(64 - FIRST)) | (more(at.size) >> np.uint64(FIRST))
        count = below[cell] + (u >= self.thresholds[below[cell]])
        many = ~alone[cell]
        count[many] = np.searchsorted(self.thresholds, u[many], side="right")
        found[at] = count - self.most
        return found


@lru_cache(maxsize=32)
def rounded_gaussian(sigma: float, levels: int = LEVELS) -> RoundedGaussian:
    """Return the law of a Gaussian rounded to the lattice, with its distance from the exact one.

    Args:
        sigma: standard deviation; at most 100 in pixel units, or 2^18 steps of another lattice.
        levels: steps of the lattice in one unit of sigma: 255 for pixels; 1 if sigma is given in steps.

    Raises:
        ValueError: if sigma is negative, not a number or too large.
        ImportError: if python-flint is missing.

    References:
        Voracek and Hein (2022) and Jin et al. (2022), for rounding to a lattice before the classifier.

    Example:
        >>> law = rounded_gaussian(0.5)
        >>> law.most, law.distance < 2**-54
        (1167, True)
    """
    deviation = one("sigma", nonnegative("sigma", sigma))
    most, why = (LARGEST, "pixels lie in [0, 1]") if levels == LEVELS else (MOST_STEPS / levels, "the table is limited")
    require(deviation <= most, "sigma", sigma, f"give at most {most:g}: {why}")
    with needs("verify"):
        from flint import arb, ctx

    before, ctx.prec = ctx.prec, 128
    try:
        unit, half = arb(2) ** 64, arb(1) / 2
        root = (arb(2)).sqrt() * levels * arb(deviation)
        tails: list[int] = []  # P(round(Z) < -k) in units of 2^-64
        wrong = arb(0)  # the sum of their rounding errors
        while deviation > 0:
            exact = ((arb(len(tails)) + half) / root).erfc() / 2
            nearest = int((exact * unit + half).mid().floor().unique_fmpz() or 0)
            if nearest == 0:  # further tails are 0, too; the Mills ratio bounds their sum
                wrong += exact * (1 + levels * arb(deviation) * root / (arb(2).sqrt() * (arb(len(tails)) + half)))
                break
            wrong += abs(exact - arb(nearest) / unit)
            tails.append(nearest)
        distance = float((2 * wrong).upper())
    finally:
        ctx.prec = before
    thresholds = [*reversed(tails), *((1 << 64) - tail for tail in tails)]
    return RoundedGaussian(deviation, np.array(thresholds, dtype=np.uint64), float(np.nextafter(distance, np.inf)))
