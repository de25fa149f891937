"""Counts of several texts for one image, for an adversary whose positions are unknown: one set of draws for all sets.

The texts are drawn from the ordinary noise. Let S be a set of j positions. In each image, take the first m_j texts in
which all of S was replaced; take the first N_j images that have m_j such texts. This choice of texts and images depends
only on where S was replaced. So the counts K of flagged texts among the m_j are independent, and they have the law of
texts drawn given that S was replaced. The numbers m_j and N_j depend only on n, m, beta and j. If there are fewer than
N_j such images, each missing one counts as an image with no flagged text.

The least count over all sets of one size is bounded like the count of a single set; no union bound over sets is needed.
At each level there is a set with the least P(K >= k). It does not depend on the draws, and the least count is at most
the count of this set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from hybrid_rs._checks import integer, one, probability, require, risk, several
from hybrid_rs.evidence.counts import far, lowered, source
from hybrid_rs.evidence.subset_counts import MAX_LENGTH, Subsets
from hybrid_rs.evidence.text_counts import MAX_TEXTS, TextCounts, level_bounds

FloatArray = NDArray[np.float64]
ENOUGH = 0.65  # the least probability that an image has m_j texts in which a given set of j positions was replaced
FIELDS = ("reached", "n", "texts", "length", "beta", "example", "seed", "distance")
MAX_SETS = 20_000  # a size with more sets than this is not counted


def texts_of_size(texts: int, beta: float, size: int) -> int:
    """Return m_j, at least 1: the largest number of texts with a given set replaced that most images have.

    Args:
        texts: m, the number of texts drawn for each image.
        beta: replacement probability of the kernel.
        size: j, the number of positions in the set.

    Example:
        >>> [texts_of_size(16, 0.25, size) for size in range(4)]
        [16, 3, 1, 1]
    """
    if size == 0:
        return texts
    k = np.arange(1, texts + 1)
    chances = betainc(k, texts + 1 - k, beta**size)  # of at least k texts
    return max(1, int((chances >= ENOUGH).sum()))


def images_of_size(n: int, texts: int, beta: float, size: int) -> int:
    """Return N_j: how many of ``n`` images are expected to have m_j such texts, minus 3 standard deviations.

    Example:
        >>> [images_of_size(1_000, 16, 0.25, size) for size in range(4)]
        [1000, 765, 598, 183]
    """
    if size == 0:
        return n
    k = texts_of_size(texts, beta, size)
    chance = float(betainc(k, texts + 1 - k, beta**size))  # a binomial tail, without the import of scipy.stats
    return max(1, math.floor(n * chance - 3 * math.sqrt(n * chance * (1 - chance))))


@dataclass(frozen=True)
class SubsetTextCounts:
    """In how many images at least k of the texts with a set of positions replaced were flagged, for the worst set.

    Args:
        reached: one row per size j = 0, 1, ...; entry k - 1 of row j is the least number of images, over all sets of j
            positions, in which at least k of the first m_j texts with the set replaced were flagged, or a lower bound
            of that number. Row 0 counts all texts.
        n: number of images drawn; row j counts N_j of them (:func:`images_of_size`).
        texts: m, the number of texts drawn for each image; m_j is :func:`texts_of_size`.
        length: L, the number of positions that are noised.
        beta: replacement probability of the kernel.
        example: the example's id.
        seed: the seed of the draws; None if unknown.
        distance: total variation between the law of an image with its texts and that of the theorem; taken off every
            bound.
        smoothing: kernel and sigma of the draws, in words; a certificate for others is refused. "" if unknown.

    Raises:
        ValueError: if a row is not one of m_j falling counts from 0 to N_j, or there are sizes beyond the length.

    References:
        The page "Several texts for one image" of the book; Berger (1982) for the worst set.

    Example:
        >>> counts = SubsetTextCounts(((990, 950), (600, 500)), n=1_000, texts=2, length=20, beta=0.9)
        >>> [row.round(3).tolist() for row in counts.levels(alpha=0.01)]
        [[0.978, 0.928], [0.733, 0.598]]
    """

    reached: tuple[tuple[int, ...], ...]
    n: int
    texts: int
    length: int
    beta: float
    example: str = field(default="", compare=False)
    seed: int | None = field(default=None, compare=False)
    distance: float = 0.0
    smoothing: str = field(default="", compare=False, repr=False)

    masked: ClassVar[bool] = True
    by_budget: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", integer("n", self.n, at_least=1))
        object.__setattr__(self, "texts", integer("texts", self.texts, at_least=1, at_most=MAX_TEXTS))
        object.__setattr__(self, "length", integer("length", self.length, at_least=1, at_most=MAX_LENGTH))
        beta = float(one("beta", probability("beta", self.beta)))
        require(beta > 0, "beta", self.beta, "nothing is ever replaced; give beta > 0")
        object.__setattr__(self, "beta", beta)
        object.__setattr__(self, "distance", source(self.example, self.seed, self.distance, self.smoothing))
        rows = several("reached", self.reached, "give one row of counts per size of sets")
        require(0 < len(rows) <= self.length + 1, "reached", rows, f"give sizes 0 to at most length = {self.length}")
        made = []
        for size, row in enumerate(rows):
            counts = TextCounts((row,), self.images(size)).reached[0]  # TextCounts checks the row
            m = texts_of_size(self.texts, beta, size)
            require(len(counts) == m, "reached", counts, f"give {m} counts for sets of {size} positions")
            made.append(counts)
        object.__setattr__(self, "reached", tuple(made))

    def images(self, size: int) -> int:
        """Return N_j, the number of images counted in the row of this size."""
        return images_of_size(self.n, self.texts, self.beta, size)

    def subsets(self, size: int) -> Subsets:
        """Return the sets that the row of this size counts, and their share of the risk."""
        return Subsets(self.length, size, len(self.reached) - 1)

    def levels(self, alpha: float = 0.01) -> tuple[FloatArray, ...]:
        """Return, by size, lower bounds of the least P(K >= k) over all sets; all hold at once, at risk alpha.

        Half of the risk goes to size 0, the row of all texts; the rest is shared equally by the other sizes.
        """
        level = risk("alpha", alpha)
        shares = [level / self.subsets(size).parts for size in range(len(self.reached))]
        return tuple(
            lowered(level_bounds(row, self.images(size), share), self.distance)
            for size, (row, share) in enumerate(zip(self.reached, shares, strict=True))
        )

    def bounds(self, alpha: float = 0.01) -> FloatArray:
        """Return lower bounds of the least share of flagged texts, by size: the means of :meth:`levels`."""
        return np.array([row.mean() * (1 - 2.0**-40) for row in self.levels(alpha)])

    def drawn(self) -> dict[str, Any]:
        """Return the drawn fields by name, as a store writes them."""
        return {"length": self.length, "reached": self.reached} | far(self.distance)

    @property
    def clean(self) -> TextCounts:
        """The counts without a condition: the evidence of the plain certificate."""
        return TextCounts(self.reached[:1], self.n, self.example, self.seed, self.distance, self.smoothing)

    @classmethod
    def from_draws(
        cls,
        flagged: NDArray[np.bool_],
        replaced: NDArray[np.bool_],
        d_max: int,
        beta: float,
        *,
        example: str = "",
        seed: int | None = None,
        distance: float = 0.0,
        smoothing: str = "",
        max_sets: int = MAX_SETS,
    ) -> SubsetTextCounts:
        """Return counts, given the verdict of every text and the positions replaced in it.

        Every set of a size is counted, so the least counts are exact. If a size has more than ``max_sets`` sets, it and
        all larger sizes are left out, and the counts have no row for them.

        Args:
            flagged: shape ``(images, texts)``.
            replaced: shape ``(images, texts, L)``.
            d_max: the largest size of sets.
            beta: replacement probability of the kernel.
            example: the example's id.
            seed: the seed of the draws.
            distance: between the law of an image with its texts and that of the theorem.
            smoothing: kernel and sigma of the draws, in words.
            max_sets: largest number of sets of one size. It bounds the time: counting one set takes about as long as
                reading all verdicts once.
        """
        fits = flagged.ndim == 2 and replaced.ndim == 3 and replaced.shape[:2] == flagged.shape
        require(fits, "replaced", replaced.shape, "give shape (images, texts, L), and flagged of (images, texts)")
        n, texts, length = replaced.shape
        columns = np.ascontiguousarray(np.moveaxis(replaced, 2, 0))
        rows: list[tuple[int, ...]] = []
        for size in range(min(integer("d_max", d_max, at_least=0), length) + 1):
            if math.comb(length, size) > integer("max_sets", max_sets, at_least=1):
                break
            m, images = texts_of_size(texts, beta, size), images_of_size(n, texts, beta, size)
            least = np.full(m, images)
            for hit in _sets(columns, size, np.ones_like(flagged)):
                least = np.minimum(least, _reached(flagged, hit, m, images))
            rows.append(tuple(least.tolist()))
        return cls(tuple(rows), n, texts, length, beta, example, seed, distance, smoothing)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain values, for JSON; :meth:`from_dict` reads them."""
        fields = {name: getattr(self, name) for name in FIELDS if name != "reached"}
        more = {"smoothing": self.smoothing} if self.smoothing else {}
        return {"reached": [list(row) for row in self.reached]} | fields | more

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SubsetTextCounts:
        """Read counts that :meth:`to_dict` wrote.

        Raises:
            ValueError: if they are not such counts.
        """
        known = isinstance(values, dict) and set(values) - {"smoothing"} == set(FIELDS)
        require(known, "values", values, f"give the fields {sorted(FIELDS)}")
        return cls(**values)


def _sets(columns: NDArray[np.bool_], size: int, within: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Yield, for every set of ``size`` columns, the entries of ``within`` at which all of the set is True."""
    if size == 0:
        yield within
        return
    for i in range(len(columns) - size + 1):
        yield from _sets(columns[i + 1 :], size - 1, within & columns[i])


def _reached(flagged: NDArray[np.bool_], hit: NDArray[np.bool_], m: int, images: int) -> NDArray[np.int64]:
    """Count, among the first ``images`` images with m hits, those in which k = 1..m or more of these are flagged."""
    enough = np.flatnonzero(hit.sum(axis=1) >= m)[:images]
    hit = hit[enough]
    first = hit & (np.cumsum(hit, axis=1, dtype=np.int32) <= m)
    k = (first & flagged[enough]).sum(axis=1)
    return np.asarray((k[:, None] >= np.arange(1, m + 1)).sum(axis=0))
