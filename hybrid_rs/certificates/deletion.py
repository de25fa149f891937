r"""Random deletion: certificates for inserted, deleted and substituted tokens, and the image.

Each token is deleted independently with probability :math:`\beta`, and the others are kept in their order. Let an
adversary turn the text x into x', so that x without a of its tokens and x' without b of its tokens are the same text.
(A deleted token adds 1 to a, an inserted one to b, a substituted one to both.)

Given that the noise deletes these a tokens of x, the noisy x has the same law as the noisy x' given that the noise
deletes these b tokens of x': both are the common text under deletion. So no test of a noisy text distinguishes x from
x' better than these two events do, and

.. math:: g(x', x_2') \ge \beta^b\, \Phi\big(\Phi^{-1}\big((p_A - 1 + \beta^a) / \beta^a\big) - \epsilon / \sigma\big).

The bound is attained if the a and b tokens occur nowhere else, and it never grows with a or b; the book's page on
inserted and deleted tokens has the proofs. So for at most d edits it is enough to consider the pairs that
:meth:`DeletionKernel.changes` lists.

References:
    Huang et al. (2023), RS-Del, and Huang et al. (2024), CERT-ED, for the text alone; the proof here is different.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import choice, flag, integer, kind, one, probability, require
from hybrid_rs.certificates.kernels import DIGITS, MAX_EDITS, MOST, ratio_of_decimals
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio

MAX_LENGTH = 2**20  # tokens of a text
Edits = Literal["insertions", "deletions", "insertions and deletions", "all"]


@dataclass(frozen=True)
class DeletionKernel:
    """Delete each token with probability beta, independently.

    Args:
        beta: deletion probability, in [0, 1].
        edits: what one edit of the adversary may be: "insertions", "deletions", "insertions and deletions", or "all"
            (substitutions, too).

    Raises:
        ValueError: if beta is not a probability, or the kind of edits is unknown.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = DeletionKernel(beta=0.5, edits="insertions")
        >>> print(hrs.frontier(0.999, kernel, sigma=0.5, tau=0.05, d_max=2))
        Certified at tau = 0.05, sigma = 0.5:
          d = 0: epsilon <= 2.367
          d = 1: epsilon <= 2.185
          d = 2: epsilon <= 1.965
        All points hold for one smoothed classifier; given that the probability is as stated.
    """

    beta: float
    edits: Edits = "all"

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", one("beta", probability("beta", self.beta)))
        choice("edits", self.edits, get_args(Edits))

    def changes(self, d: int) -> tuple[tuple[int, int], ...]:
        """Return pairs (tokens lost, tokens gained), one of which is the worst case of at most ``d`` edits.

        Example:
            >>> DeletionKernel(0.5, "insertions and deletions").changes(d=2)
            ((0, 2), (1, 1), (2, 0))
            >>> DeletionKernel(0.5).changes(d=2)
            ((2, 2),)
        """
        count = integer("d", d, at_least=0, at_most=MAX_EDITS)
        if self.edits == "insertions and deletions":
            return tuple((lost, count - lost) for lost in range(count + 1))
        return ((0 if self.edits == "insertions" else count, 0 if self.edits == "deletions" else count),)

    def likelihood_ratio(self, d: int, *, masked: bool = False) -> LikelihoodRatio:
        """Return the law of the ratio of the worst ``d`` edits.

        Raises:
            ValueError: if d is out of range, masked is True, or no single kind of change is always the worst.
        """
        require(not flag("masked", masked), "masked", masked, "evidence under deletion is p_A: leave it out")
        ratios = self.likelihood_ratios(d)
        require(len(ratios) == 1, "edits", self.edits, "several changes may be the worst: use likelihood_ratios", repr)
        return ratios[0]

    def likelihood_ratios(self, d: int) -> tuple[LikelihoodRatio, ...]:
        """Return laws, one of which is that of the worst ``d`` edits; the smallest of their certificates is sound."""
        return tuple(shared_mass_ratio(self.beta, lost, gained) for lost, gained in self.changes(d))

    def kept(self, length: int, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Return which tokens of a text remain in ``n`` noisy copies, shape ``(n, length)``.

        Args:
            length: tokens of the text.
            n: number of copies.
            rng: the source of randomness; uses ``n * length`` uniforms.
        """
        kind("rng", rng, np.random.Generator, "give a generator, such as numpy.random.default_rng(0)")
        size = integer("length", length, at_least=0, at_most=MAX_LENGTH)
        return rng.random((integer("n", n, at_least=0, at_most=MOST // max(1, size)), size)) >= self.beta


@cache
def shared_mass_ratio(beta: float, lost: int, gained: int) -> LikelihoodRatio:
    r"""Return the law of the ratio of two laws that agree given an event of mass :math:`\beta^a` or :math:`\beta^b`.

    Args:
        beta: in [0, 1].
        lost: a; the event has mass :math:`\beta^a` under the clean law.
        gained: b; it has mass :math:`\beta^b` under the attacked law.

    Example:
        >>> ratio = shared_mass_ratio(0.5, lost=1, gained=2)
        >>> np.exp(ratio.log_gamma), ratio.p_at_zero, ratio.q_at_infinity
        (array([0.5]), 0.5, 0.75)
    """
    if lost == gained == 0:
        return LikelihoodRatio.identity()
    with localcontext(prec=DIGITS):
        clean, attacked = (Decimal(beta) ** count if count else Decimal(1) for count in (lost, gained))
        ratio = (attacked / clean).ln() if clean and attacked else Decimal(0)
        masses = [clean, 1 - clean, Decimal(0)], [attacked, Decimal(0), 1 - attacked]
        return ratio_of_decimals([ratio, Decimal(0), Decimal(0)], *masses)
