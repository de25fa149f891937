"""Counts for an adversary whose positions are unknown: one set of draws bounds p_S for the worst set of positions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, one, probability, require, risk
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_upper
from hybrid_rs.evidence.counts import Counts, far, source, whole_counts

FloatArray = NDArray[np.float64]
MAX_LENGTH = 100_000  # largest number of positions


@dataclass(frozen=True)
class Subsets:
    """The sets of positions to which one count of :class:`SubsetCounts` belongs, and its share of the risk.

    Args:
        length: L, the number of positions that are noised.
        size: j, the number of positions in each set, 0 to ``largest``.
        largest: the largest size counted, at most L.

    Raises:
        ValueError: if these are not whole numbers, or not in this order.

    Example:
        >>> Subsets(length=20, size=1, largest=2).parts
        4
    """

    length: int
    size: int
    largest: int

    def __post_init__(self) -> None:
        numbers = (self.length, self.size, self.largest)
        fits = all(type(x) is int for x in numbers) and 0 <= self.size <= self.largest <= self.length <= MAX_LENGTH
        require(fits, "subsets", self, f"give 0 <= size <= largest <= length <= {MAX_LENGTH}")

    @property
    def parts(self) -> int:
        """The whole risk divided by this is the risk of this size: half for size 0, the rest shared equally."""
        return 1 if self.largest == 0 else 2 if self.size == 0 else 2 * self.largest


@dataclass(frozen=True)
class SubsetCounts:
    r"""The largest number of draws, over all sets of positions, in which the set was replaced and the guard said safe.

    One set of ordinary draws bounds the smallest p_S over all sets S of d positions, for every d up to d_max. Let r_S
    be the probability that the guard says safe and S is replaced. Then :math:`p_S = 1 - r_S / \beta^d`, where
    :math:`\beta^d` is known exactly. As :math:`r_S \le r_U` for every subset U of S, each size j of subsets gets a
    share of the risk, and the best of the sizes 0..d bounds p_S.

    No union bound over sets of one size is needed. Let S be the set with the smallest p_S; it does not depend on the
    draws. The largest count over all sets is at least the count of S. So if the bound from the largest count is wrong,
    the bound from the count of S is wrong, too, which happens with probability at most the risk.

    Args:
        safe: entry j is the largest number of draws, over all sets of j positions, in which the guard said safe and
            the whole set was replaced, or an upper bound of that number; entry 0 counts all safe verdicts.
        n: number of draws.
        length: L, the number of positions that are noised.
        beta: replacement probability of the kernel.
        example: the example's id.
        seed: the seed of the draws; None if unknown.
        distance: total variation between the law of a draw and that of the theorem; taken off every bound.
        smoothing: kernel and sigma of the draws, in words; a certificate for others is refused. "" if unknown.

    Raises:
        ValueError: if a count is not in 0..n, counts grow with j, or there are sizes beyond the length.

    References:
        Clopper and Pearson (1934); Berger (1982) for the worst set; the union over sizes is Bonferroni's.

    Example:
        >>> counts = SubsetCounts((1_500, 220, 41), n=10_000, length=20, beta=0.25)
        >>> counts.p_s(alpha=0.01).round(3)
        array([0.841, 0.894, 0.9  ])
    """

    safe: tuple[int, ...]
    n: int
    length: int
    beta: float
    example: str = field(default="", compare=False)
    seed: int | None = field(default=None, compare=False)
    distance: float = 0.0
    smoothing: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "safe", whole_counts("safe", self.safe, self.n))
        object.__setattr__(self, "distance", source(self.example, self.seed, self.distance, self.smoothing))
        object.__setattr__(self, "length", integer("length", self.length, at_least=1))
        beta = one("beta", probability("beta", self.beta))
        require(beta > 0, "beta", self.beta, "give beta > 0, so that positions are replaced")
        shrinking = all(a >= b for a, b in zip(self.safe, self.safe[1:], strict=False))
        require(shrinking, "safe", self.safe, "give counts that do not grow: a larger set is not replaced more often")
        require(len(self.safe) <= self.length + 1, "safe", self.safe, f"give sizes 0 to length = {self.length}")

    masked: ClassVar[bool] = True
    texts: ClassVar[int] = 1
    by_budget: ClassVar[bool] = False

    def drawn(self) -> dict[str, Any]:
        """Return the drawn fields by name, as a store writes them."""
        return {"length": self.length, "safe": self.safe} | far(self.distance)

    def p_s(self, alpha: float = 0.01) -> FloatArray:
        """Return lower bounds of the smallest p_S by d, shape ``(d_max + 1,)``; all hold at once, at risk alpha.

        Half of the risk goes to size 0, that is, to p_A; the rest is shared equally by the other sizes.
        """
        sizes = np.arange(len(self.safe))
        best = np.minimum.accumulate(self._joint(alpha))
        with np.errstate(over="ignore", divide="ignore"):
            missed = best / self.beta ** sizes.astype(float) * (1 + 1e-12)
        return np.clip(1 - missed - 2.0**-52, 0.0, 1.0)

    bounds = p_s  # a certificate starts from these

    def subsets(self, d: int, alpha: float = 0.01) -> Subsets:
        """Return the size of sets, 0 to ``d``, whose count gives the bound of :meth:`p_s` for d positions."""
        budget = integer("d", d, at_least=0)
        return Subsets(self.length, int(np.argmin(self._joint(alpha)[: budget + 1])), len(self.safe) - 1)

    def _joint(self, alpha: float) -> FloatArray:
        """Return upper bounds, by size, of the largest probability that the guard says safe and a set is replaced."""
        level = risk("alpha", alpha)
        split = [Subsets(self.length, size, len(self.safe) - 1) for size in range(len(self.safe))]
        share = np.array([level / s.parts for s in split])
        bounds = clopper_pearson_upper(np.array(self.safe), self.n, share)
        return np.minimum(np.nextafter(bounds + self.distance, 2.0), 1.0) if self.distance else bounds

    @property
    def clean(self) -> Counts:
        """The counts without a condition: the evidence of the plain certificate."""
        return Counts((self.n - self.safe[0],), self.n, self.example, self.seed, self.distance, self.smoothing)

    @classmethod
    def from_failures(
        cls,
        replaced: NDArray[np.bool_],
        n: int,
        d_max: int,
        beta: float,
        *,
        example: str = "",
        seed: int | None = None,
        distance: float = 0.0,
        smoothing: str = "",
    ) -> SubsetCounts:
        """Return counts, given the replaced positions of each draw that the guard called safe.

        Args:
            replaced: shape ``(failures, L)``, one row per such draw.
            n: number of all draws.
            d_max: the largest size of sets.
            beta: replacement probability of the kernel.
            example: the example's id.
            seed: the seed of the draws.
            distance: between the law of a draw and that of the theorem.
            smoothing: kernel and sigma of the draws, in words.
        """
        rows = isinstance(replaced, np.ndarray) and replaced.ndim == 2 and replaced.dtype == bool
        require(rows, "replaced", replaced, "give bools of shape (failures, L)", repr)
        d_max = integer("d_max", d_max, at_least=0)
        safe = most_replaced(replaced, min(d_max, replaced.shape[1]))
        return cls(safe, n, replaced.shape[1], beta, example, seed, distance, smoothing)


MAX_SETS = 2_000_000  # after this many sets, larger sizes are bounded instead of counted


def most_replaced(replaced: NDArray[np.bool_], d_max: int, *, max_sets: int = MAX_SETS) -> tuple[int, ...]:
    """Return, for j = 0..d_max, the largest number of rows in which some j columns are all True.

    This is a depth-first search over sets that abandons a branch when it cannot raise any entry. It visits at most
    ``max_sets`` sets (30 columns at d = 5, or 200 at d = 3, stay well below the default even without pruning). After
    that, sizes that are not finished get the value of the next smaller size, which is never below the true one.

    Args:
        replaced: shape ``(rows, columns)``, bool.
        d_max: the largest size, at most the number of columns.
        max_sets: largest number of sets to visit.

    Example:
        >>> most_replaced(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool), d_max=3)
        (3, 3, 2, 1)
    """
    rows, columns = replaced.shape
    require(0 <= d_max <= columns, "d_max", d_max, f"give 0 to {columns}, the number of columns")
    bits = [int.from_bytes(np.packbits(column).tobytes(), "big") for column in replaced.T]
    bits.sort(key=int.bit_count, reverse=True)  # large counts first, so that more branches are abandoned
    best = [rows, *[0] * d_max]
    # small sizes come first, so that they stay exact when the budget runs out
    for size in range(1, d_max + 1):
        found, left = _largest(bits, size, best[size - 1], max_sets)
        if left < 0:
            return (*best[:size], *[best[size - 1]] * (d_max - size + 1))
        best[size], max_sets = found, left
    return tuple(best)


def _largest(bits: list[int], size: int, ceiling: int, budget: int) -> tuple[int, int]:
    """Return the largest intersection of ``size`` of the bit sets, and the rest of the budget (-1 if it ran out)."""
    best = 0

    def visit(first: int, depth: int, rows: int | None) -> None:
        nonlocal best, budget
        for i in range(first, len(bits) - (size - depth) + 1):
            if best == ceiling or budget < 0:
                return
            budget -= 1
            both = bits[i] if rows is None else rows & bits[i]
            count = both.bit_count()
            if count > best:
                if depth + 1 == size:
                    best = count
                else:
                    visit(i + 1, depth + 1, both)

    visit(0, 0, None)
    return best, budget
