"""Counts for an adversary whose positions are unknown: one set of draws bounds the p_S of the worst set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, one, probability, require, risk, shown
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_upper
from hybrid_rs.evidence.counts import Counts, source, whole_counts

FloatArray = NDArray[np.float64]
MAX_LENGTH = 100_000  # positions, of a text whose subsets are counted


@dataclass(frozen=True)
class Subsets:
    """Which sets of positions one count of :class:`SubsetCounts` is about, and how the risk is split.

    Args:
        length: L, the number of positions that are noised.
        size: j, the number of positions in each set, 0 to ``largest``.
        largest: the largest size counted, at most L.

    Raises:
        ValueError: if these are no whole numbers, or not in this order.

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
        """The risk of this size is the whole risk divided by this: half goes to size 0, the rest equally to others."""
        return 1 if self.largest == 0 else 2 if self.size == 0 else 2 * self.largest


@dataclass(frozen=True)
class SubsetCounts:
    r"""How often, at worst, the guard failed to flag while any d given positions were all replaced.

    One set of ordinary draws bounds the least p_S of all sets S of d positions, for every d up to d_max. Let r_S be the
    probability that the guard says safe and S is replaced; then :math:`p_S = 1 - r_S / \beta^d`, and :math:`\beta^d` is
    known exactly. As :math:`r_S \le r_U` for every subset U of S, each size j of subsets gets a share of the risk, and
    the best of the sizes 0..d bounds p_S.

    The worst count over all sets of a size is bounded like the count of one set, with no union over the sets. For let S
    have the least p_S. The worst count is at least that of S, so a bound from it that is wrong means that the bound of
    S, one set that does not depend on the draws, is wrong too.

    Args:
        safe: entry j is the largest number of draws, over all sets of j positions, in which the guard said safe and
            the whole set was replaced (or a number above it); entry 0 counts all safe verdicts.
        n: number of draws.
        length: L, the number of positions that are noised.
        beta: replacement probability of the kernel.
        example: the example's id.
        seed: the seed of the draws; None if unknown.

    Raises:
        ValueError: if a count is not in 0..n, counts grow with j, or there are sizes beyond the length.

    References:
        Clopper and Pearson (1934); Berger (1982) for the set that is the worst; the union over sizes is Bonferroni's.

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "safe", whole_counts("safe", self.safe, self.n))
        source(self.example, self.seed)
        object.__setattr__(self, "length", integer("length", self.length, at_least=1))
        beta = one("beta", probability("beta", self.beta))
        require(beta > 0, "beta", self.beta, "nothing is ever replaced; give beta > 0")
        shrinking = all(a >= b for a, b in zip(self.safe, self.safe[1:], strict=False))
        require(shrinking, "safe", self.safe, "a larger set is replaced in no more draws: give counts that do not grow")
        require(len(self.safe) <= self.length + 1, "safe", self.safe, f"give sizes 0 to length = {self.length}")

    masked: ClassVar[bool] = True
    texts: ClassVar[int] = 1
    by_budget: ClassVar[bool] = False

    def bounds(self, alpha: float = 0.01) -> FloatArray:
        """The bounds that a certificate starts from: :meth:`p_s`."""
        return self.p_s(alpha)

    def drawn(self) -> dict[str, Any]:
        """What was drawn, by the names of its fields, as a line of a store holds it."""
        return {"length": self.length, "safe": self.safe}

    def p_s(self, alpha: float = 0.01) -> FloatArray:
        """Lower confidence bounds of the least p_S by d, shape ``(d_max + 1,)``; all hold at once, at risk alpha.

        Half of the risk goes to size 0, that is, to p_A; the rest is shared equally by the other sizes.
        """
        sizes = np.arange(len(self.safe))
        best = np.minimum.accumulate(self._joint(alpha))
        with np.errstate(over="ignore", divide="ignore"):
            missed = best / self.beta ** sizes.astype(float) * (1 + 1e-12)
        return np.clip(1 - missed - 2.0**-52, 0.0, 1.0)

    def subsets(self, d: int, alpha: float = 0.01) -> Subsets:
        """Return the size of sets, 0 to ``d``, whose count gives the bound of :meth:`p_s` for d positions."""
        budget = integer("d", d, at_least=0)
        return Subsets(self.length, int(np.argmin(self._joint(alpha)[: budget + 1])), len(self.safe) - 1)

    def _joint(self, alpha: float) -> FloatArray:
        """Upper bounds, by size, of the largest probability that the guard says safe and some set is replaced."""
        level = risk("alpha", alpha)
        split = [Subsets(self.length, size, len(self.safe) - 1) for size in range(len(self.safe))]
        share = np.array([level / s.parts for s in split])
        return clopper_pearson_upper(np.array(self.safe), self.n, share)

    @property
    def clean(self) -> Counts:
        """The counts without a condition: the evidence of the plain certificate."""
        return Counts((self.n - self.safe[0],), self.n, self.example, self.seed)

    @classmethod
    def from_failures(
        cls, replaced: NDArray[np.bool_], n: int, d_max: int, beta: float, *, example: str = "", seed: int | None = None
    ) -> SubsetCounts:
        """Count, from the positions replaced in each draw that the guard called safe.

        Args:
            replaced: shape ``(failures, L)``, one row per such draw.
            n: number of draws, failures or not.
            d_max: the largest size of sets.
            beta: replacement probability of the kernel.
            example: the example's id.
            seed: the seed of the draws.
        """
        rows = isinstance(replaced, np.ndarray) and replaced.ndim == 2 and replaced.dtype == bool
        require(rows, "replaced", shown(replaced, how=repr), "give bools of shape (failures, L)")
        d_max = integer("d_max", d_max, at_least=0)
        safe = most_replaced(replaced, min(d_max, replaced.shape[1]))
        return cls(safe, n, replaced.shape[1], beta, example, seed)


MAX_SETS = 2_000_000  # sets visited before larger ones are bounded instead of counted


def most_replaced(replaced: NDArray[np.bool_], d_max: int, *, max_sets: int = MAX_SETS) -> tuple[int, ...]:
    """Return, for j = 0..d_max, the largest number of rows in which some j columns are all True.

    A depth-first search over sets, with a branch left when it cannot raise any entry. It visits at most ``max_sets``
    sets (30 columns at d = 5, or 200 at d = 3, stay well below the default even without pruning); past that, the
    sizes not finished get the value of the next smaller size, which is never below the true one.

    Args:
        replaced: shape ``(rows, columns)``, bool.
        d_max: the largest size, at most the number of columns.
        max_sets: bound on the sets visited.

    Example:
        >>> most_replaced(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool), d_max=3)
        (3, 3, 2, 1)
    """
    rows, columns = replaced.shape
    require(0 <= d_max <= columns, "d_max", d_max, f"give 0 to {columns}, the number of columns")
    bits = [int.from_bytes(np.packbits(column).tobytes(), "big") for column in replaced.T]
    bits.sort(key=int.bit_count, reverse=True)  # large counts early make the pruning strong
    best = [rows, *[0] * d_max]
    for size in range(1, d_max + 1):  # one size after the other, so that running out leaves small sizes exact
        found, left = _largest(bits, size, best[size - 1], max_sets)
        if left < 0:
            return (*best[:size], *[best[size - 1]] * (d_max - size + 1))
        best[size], max_sets = found, left
    return tuple(best)


def _largest(bits: list[int], size: int, ceiling: int, budget: int) -> tuple[int, int]:
    """Return the largest intersection of ``size`` of the bit sets, and what is left of the budget (-1: ran out)."""
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
