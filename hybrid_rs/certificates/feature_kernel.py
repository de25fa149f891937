r"""The uniform kernel for features with different alphabets, and the worst edits of them.

The columns of a table may have 2, 5 or 40 categories. Then it matters which d of them are edited, because the law of
the ratio depends on their arities. If editing the largest arities is provably the worst, there is one ratio for each d,
as for text. Otherwise at most d + 1 choices of features can be the worst, each has a ratio, and the smallest
certificate counts.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import flag, integer, kind, require, several
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.kernels import MAX_EDITS, MOST, Kernel, UniformKernel
from hybrid_rs.certificates.likelihood_ratio import MAX_ATOMS, LikelihoodRatio


@dataclass(frozen=True)
class FeatureKernel:
    r"""Keep a category with probability 1 - beta, otherwise replace it by another category of *the same* feature.

    Args:
        beta: replacement probability, in [0, 1], the same for every feature.
        sizes: the arity :math:`V_i` of each feature, in the features' order; each at least 2.

    Raises:
        ValueError: if beta is not a probability, there is no feature, or one has fewer than two categories.

    Example:
        >>> kernel = FeatureKernel(beta=0.25, sizes=(2, 6, 5))
        >>> kernel.arities(d=2)
        ((6, 5),)
        >>> FeatureKernel(beta=0.75, sizes=(2, 6, 5)).arities(d=2)
        ((6, 5), (6, 2))
        >>> import hybrid_rs as hrs
        >>> print(hrs.frontier(0.9995, kernel, sigma=0.5, tau=0.5, d_max=2))
        Certified at tau = 0.5, sigma = 0.5:
          d = 0: epsilon <= 1.645
          d = 1: epsilon <= 1.323
          d = 2: epsilon <= 0.933
        All points hold for one smoothed classifier; given that the probability is as stated.
    """

    beta: float
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        each = several("sizes", self.sizes, "give the arity of each feature")
        sizes = tuple(integer("sizes", size, at_least=2) for size in each)
        require(len(sizes) > 0, "sizes", self.sizes, "give the arity of each feature")
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "beta", UniformKernel(self.beta, 2).beta)

    @property
    def largest_is_worst(self) -> bool:
        r"""Whether editing the features of largest arity is the worst case, for all budgets and all evidence.

        It is if :math:`\frac{1-\beta}{\beta} \ge \frac12\big(\frac1{V'-1} + \frac1{V''-1}\big)` for the two smallest
        distinct arities; see the book's page on features of different arity.
        """
        smallest = sorted(set(self.sizes))[:2]
        beta = Fraction(self.beta)
        return len(smallest) < 2 or 2 * (1 - beta) >= beta * sum(Fraction(1, size - 1) for size in smallest)

    def arities(self, d: int) -> tuple[tuple[int, ...], ...]:
        r"""Return the multisets of arities, each in descending order, one of which is the worst case with ``d`` edits.

        There are at most d + 1. Among features with :math:`V - 1 > \beta / (1 - \beta)`, editing the larger one is
        worse; among the others, editing the smaller one is worse. So a candidate takes the largest of the former and
        the smallest of the latter. If ``d`` exceeds the number of features, all features are edited.

        Raises:
            ValueError: if d is out of range, or a candidate's ratio would have more than 200,000 atoms.

        References:
            The book's page on features of different arity, theorem on two arities.
        """
        edits = min(integer("d", d, at_least=0), len(self.sizes))
        require(edits <= MAX_EDITS, "d", d, f"give at most {MAX_EDITS} edits")
        large = sorted(self.sizes, reverse=True)
        small: list[int] = []
        if not self.largest_is_worst:  # above a certain arity the larger is worse, below it the smaller
            beta = Fraction(self.beta)
            small = sorted(size for size in large if (1 - beta) * (size - 1) <= beta)
            large = large[: len(large) - len(small)]
        counts = range(max(0, edits - len(large)), min(edits, len(small)) + 1)
        chosen = tuple((*large[: edits - count], *small[:count][::-1]) for count in counts)
        for many in chosen:
            atoms = math.prod(2 * count + 1 for count in Counter(many).values())
            remedy = f"these features make {atoms} atoms, more than {MAX_ATOMS}: give fewer edits"
            require(atoms <= MAX_ATOMS, "d", d, remedy)
        return chosen

    def likelihood_ratio(self, d: int, *, masked: bool = False) -> LikelihoodRatio:
        """Return the law of the ratio of the worst ``d`` edits.

        Args:
            d: number of edited features, 0 to 512; a larger number than there are features means all of them.
            masked: must be False. A certificate from p_S is at most beta^d, which is too small where tau = 1/2.

        Raises:
            ValueError: if d is out of range, masked is True, or no single choice of features is always the worst.
        """
        require(not flag("masked", masked), "masked", masked, "evidence on features is p_A: leave it out")
        ratios = self.likelihood_ratios(d)
        require(len(ratios) == 1, "beta", self.beta, "several choices of features may be worst: use likelihood_ratios")
        return ratios[0]

    def likelihood_ratios(self, d: int) -> tuple[LikelihoodRatio, ...]:
        """Return candidate laws of ``d`` edits, one of them the worst; the smallest of their certificates is sound."""
        return tuple(_ratio(self.beta, arities) for arities in self.arities(d))

    def sample(self, clean: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return ``n`` noised copies, shape ``(n, features)``, of one row of categories, shape ``(features,)``."""
        replaced, by = self.replacements(clean, n, rng)
        return np.where(replaced, by, clean)

    def replacements(
        self, clean: NDArray[np.int64], n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return where ``n`` copies are replaced, and by what: two arrays of shape ``(n, features)``.

        Args:
            clean: shape ``(features,)``, or ``(n, features)`` for one copy of each of n rows; categories 0 to V_i - 1.
            n: number of copies.
            rng: the source of randomness; uses ``n * features`` uniforms, then as many integers.
        """
        sizes = np.array(self.sizes)
        kind("rng", rng, np.random.Generator, "give a generator, such as numpy.random.default_rng(0)")
        n = integer("n", n, at_least=0, at_most=MOST // sizes.size)
        fits = isinstance(clean, np.ndarray) and clean.dtype.kind in "iu"
        fits = fits and clean.shape in (sizes.shape, (n, sizes.size)) and bool(np.all((clean >= 0) & (clean < sizes)))
        require(fits, "clean", clean, f"give one category of each feature, below its arity in {self.sizes}")
        replaced = rng.random((n, sizes.size)) < self.beta
        other = rng.integers(0, sizes - 1, size=(n, sizes.size))
        return replaced, other + (other >= clean)


def worst_ratios(kernel: Kernel | DeletionKernel, d: int, *, masked: bool = False) -> tuple[LikelihoodRatio, ...]:
    """Return candidate laws, one of which is the worst with ``d`` edits.

    There are several only if features differ in arity, or with a deletion kernel for insertions and deletions.
    """
    if isinstance(kernel, DeletionKernel):
        require(not flag("masked", masked), "masked", masked, "evidence under deletion is p_A: leave it out")
        return kernel.likelihood_ratios(d)
    kind("kernel", kernel, Kernel, "give a kernel, such as hybrid_rs.UniformKernel(beta=0.25, vocab_size=32_000)")
    if isinstance(kernel, FeatureKernel) and not flag("masked", masked):
        return kernel.likelihood_ratios(d)
    return (kernel.likelihood_ratio(d, masked=masked),)


@cache
def _ratio(beta: float, arities: tuple[int, ...]) -> LikelihoodRatio:
    """Return the composed ratio of the channels of all arities."""
    ratio = LikelihoodRatio.identity()
    for size, count in Counter(arities).items():
        ratio = ratio.compose(UniformKernel(beta, size).likelihood_ratio(count))
    return ratio
