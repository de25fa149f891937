r"""Counts of images by how many of their m noisy texts the guard flagged, and the bounds that they support.

Let K be the number of flagged texts of an image. The bounds of all levels :math:`P(K \ge k)` must hold together, so
each level has a share of the risk. As :math:`P(K \ge k) \ge P(K \ge k + 1)`, a bound for one k also holds for every
smaller k. Half of the risk goes to k = m, where all texts are flagged. If the verdict depends on the image alone, this
one count bounds all levels, at half the risk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import integer, numbers, require, risk, several
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower
from hybrid_rs.evidence.counts import far, lowered, source

FloatArray = NDArray[np.float64]
MAX_TEXTS = 1 << 16  # for one image


@dataclass(frozen=True)
class TextCounts:
    """The number of images in which the guard flagged at least k of m noisy texts, for each condition on the texts.

    Args:
        reached: one row per condition; entry k - 1 of a row is the number of images in which at least k of the m texts
            were flagged, k = 1..m. Row d is for texts drawn given that pads 1 to d were replaced, d = 0, 1, ...; row 0
            has no condition. A single row is evidence from the clean law, which serves every text budget.
        n: number of images; one noise draw may serve all rows.
        example: the example's id.
        seed: the seed of the draws; None if unknown.
        distance: total variation between the law of an image with its texts and that of the theorem; taken off every
            bound.
        smoothing: kernel and sigma of the draws, in words; a certificate for others is refused. "" if unknown.

    Raises:
        ValueError: if a count is not in 0..n, counts grow with k, or rows differ in length.

    Example:
        >>> counts = TextCounts(((1_000, 990, 940), (1_000, 980, 900)), n=1_000)
        >>> counts.texts, counts.levels(alpha=0.01).round(3).tolist()
        (3, [[0.994, 0.978, 0.918], [0.994, 0.964, 0.873]])
    """

    reached: tuple[tuple[int, ...], ...]
    n: int
    example: str = field(default="", compare=False)
    seed: int | None = field(default=None, compare=False)
    distance: float = 0.0
    smoothing: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        remedy = "give one row of counts per condition, each with a count per k = 1..m"
        draws, rows = integer("n", self.n, at_least=1), []
        for row in several("reached", self.reached, remedy):
            counts = tuple(integer("reached", count, at_least=0) for count in several("reached", row, remedy))
            falling = all(a >= b for a, b in pairwise(counts))
            require(falling, "reached", counts, "give falling counts: k + 1 flagged texts are not more frequent than k")
            require(max(counts, default=0) <= draws, "reached", counts, f"give counts from 0 to n = {draws}")
            rows.append(counts)
        require(bool(rows) and len(rows[0]) > 0 and len({*map(len, rows)}) == 1, "reached", rows, remedy)
        object.__setattr__(self, "distance", source(self.example, self.seed, self.distance, self.smoothing))
        object.__setattr__(self, "reached", tuple(rows))
        object.__setattr__(self, "n", draws)

    @property
    def texts(self) -> int:
        """m, the number of texts drawn for each image."""
        return len(self.reached[0])

    @property
    def masked(self) -> bool:
        """Whether texts were also drawn given that the edited positions were replaced."""
        return len(self.reached) > 1

    @property
    def by_budget(self) -> bool:
        """Whether each text budget has its own bounds and its own risk."""
        return self.masked

    def drawn(self) -> dict[str, Any]:
        """Return the drawn fields by name, as a store writes them."""
        return {"reached": self.reached} | far(self.distance)

    def levels(self, alpha: float = 0.01) -> FloatArray:
        """Return lower bounds of P(K >= k), shape ``(rows, m)``; the bounds of a row hold together, at risk alpha."""
        return lowered(level_bounds(self.reached, self.n, alpha), self.distance)

    bounds = levels  # a certificate starts from these

    @classmethod
    def from_flagged(
        cls,
        flagged: ArrayLike,
        texts: int,
        *,
        example: str = "",
        seed: int | None = None,
        distance: float = 0.0,
        smoothing: str = "",
    ) -> TextCounts:
        """Return counts, given the number of flagged texts of each image.

        Args:
            flagged: shape ``(images, rows)``, whole numbers from 0 to ``texts``.
            texts: m, the number of texts drawn for each image.
            example: the example's id.
            seed: the seed of the draws.
            distance: between the law of an image with its texts and that of the theorem.
            smoothing: kernel and sigma of the draws, in words.

        Example:
            >>> TextCounts.from_flagged([[2], [0], [1], [2]], texts=2).reached
            ((3, 2),)
        """
        each, m = numbers("flagged", flagged), integer("texts", texts, at_least=1, at_most=MAX_TEXTS)
        require(each.ndim == 2 and each.size > 0, "flagged", each.shape, "give an array of shape (images, rows)")
        inside = (each >= 0) & (each <= m) & (each == np.floor(each))
        require(bool(inside.all()), "flagged", each[~inside], f"give whole numbers from 0 to texts = {m}")
        reached = (each[:, :, None] >= np.arange(1, m + 1)).sum(axis=0)
        return cls(tuple(map(tuple, reached.tolist())), len(each), example, seed, distance, smoothing)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain values, for JSON; :meth:`from_dict` reads them.

        Example:
            >>> TextCounts(((9, 7),), n=10, example="a").to_dict()
            {'reached': [[9, 7]], 'n': 10, 'example': 'a', 'seed': None, 'distance': 0.0}
        """
        fields = {"n": self.n, "example": self.example, "seed": self.seed, "distance": self.distance}
        more = {"smoothing": self.smoothing} if self.smoothing else {}
        return {"reached": [list(row) for row in self.reached]} | fields | more

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TextCounts:
        """Read counts that :meth:`to_dict` wrote.

        Raises:
            ValueError: if they are not such counts.
        """
        known = {"reached", "n", "example", "seed", "distance"}
        fits = isinstance(values, dict) and set(values) - {"smoothing"} == known
        require(fits, "values", values, f"give the fields {sorted(known)}")
        return cls(**values)


def level_bounds(reached: ArrayLike, n: int, alpha: float = 0.01) -> FloatArray:
    """Return lower confidence bounds of P(K >= k) that hold together, at risk alpha.

    Args:
        reached: in how many of the n images at least k = 1..m texts were flagged, shape ``(..., m)``, falling.
        n: number of independent images.
        alpha: risk of all bounds together, in (0, 1).

    Returns:
        float64 of the shape of ``reached``, in [0, 1), falling along the last axis, rounded down.

    References:
        Clopper and Pearson (1934) for each level; the union over levels is Bonferroni's. With equal shares an exact
        Berk-Jones band, which holds at all real levels, is wider for up to 54 levels at n = 1,000 and alpha = 0.01.

    Example:
        >>> level_bounds([1_000, 1_000, 1_000], n=1_000).round(4)
        array([0.9947, 0.9947, 0.9947])
    """
    counts = numbers("reached", reached)
    require(counts.ndim > 0 and counts.shape[-1] > 0, "reached", counts.shape, "give a count per k = 1..m")
    shares = risk("alpha", alpha) * level_shares(counts.shape[-1])
    each = clopper_pearson_lower(counts, n, shares)
    return np.asarray(np.maximum.accumulate(each[..., ::-1], axis=-1)[..., ::-1])


def level_shares(texts: int) -> FloatArray:
    """Return the share of the risk of each level k = 1..m, shape ``(m,)``: half for k = m, the rest equally.

    Example:
        >>> level_shares(5).tolist()
        [0.125, 0.125, 0.125, 0.125, 0.5]
    """
    m = integer("texts", texts, at_least=1, at_most=MAX_TEXTS)
    shares = np.full(m, 0.5 / max(1, m - 1))
    shares[-1] = 0.5 if m > 1 else 1.0
    return shares
