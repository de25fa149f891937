"""A frontier from p_A and p_S that can be watched during the draws, where the edited positions are unknown.

The bounds of every size of sets are those of :mod:`hybrid_rs.decisions.decide_sets`: they hold at all numbers of draws
at once, and for all sets of the size, without a union bound over sets. The sizes share the risk as in
:class:`hybrid_rs.SubsetCounts`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import takewhile

import numpy as np
from numpy.typing import ArrayLike

from hybrid_rs._checks import integer, kind, risk
from hybrid_rs.certificates.commitment import TokenKernel, radii_committed
from hybrid_rs.certificates.frontier import Frontier
from hybrid_rs.certificates.frontier_of import least_over_edits
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel, text_budget
from hybrid_rs.decisions.decide_sets import WorstSet, batch_of
from hybrid_rs.evidence.confidence_sequences import mixture_lower
from hybrid_rs.evidence.counts import lowered
from hybrid_rs.evidence.subset_counts import Subsets
from hybrid_rs.evidence.subset_text_counts import MAX_SETS


def watch_sets(
    draws: Iterable[tuple[ArrayLike, ArrayLike]],
    kernel: TokenKernel,
    *,
    length: int,
    sigma: float,
    tau: float,
    d_max: int,
    alpha: float = 0.01,
    distance: float = 0.0,
) -> Iterator[Frontier]:
    """Yield, after every batch of draws, the frontier that all draws so far support, against edits anywhere.

    The confidence covers all moments, all text budgets and all sets of positions together. Sizes with more than 20,000
    sets are not counted; the largest size counted is used against more edits, too.

    Args:
        draws: batches of independent draws: the unsafe verdicts, bool of shape ``(batch,)``, and which positions were
            replaced, bool of shape ``(batch, length)``. A batch is requested when the next frontier is.
        kernel: the token kernel of the draws, with beta > 0.
        length: L, the number of positions that are noised.
        sigma: standard deviation of the image noise of the draws.
        tau: decision threshold, in [0, 1].
        d_max: the largest text budget.
        alpha: risk, in (0, 1).
        distance: total variation between the law of a draw and that of the theorem.

    Raises:
        ValueError: if an argument is outside its range or a batch has another shape.

    Example:
        >>> import hybrid_rs as hrs
        >>> rng, kernel = np.random.default_rng(0), hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> draws = ((rng.random(64) < 0.99, rng.random((64, 20)) < 0.25) for _ in range(20))
        >>> for front in watch_sets(draws, kernel, length=20, sigma=1.0, tau=4.6e-5, d_max=3):
        ...     if front.edits(epsilon=1.0) >= 2:
        ...         break
        >>> front.n, front.anytime
        (256, True)
    """
    kind("kernel", kernel, (UniformKernel, AbsorbingKernel), "give the kernel of the draws, uniform or absorbing")
    budget, level = text_budget("d_max", d_max), risk("alpha", alpha)
    positions, seen = integer("length", length, at_least=0), 0
    edits = min(budget, positions)
    sizes = [*takewhile(lambda j: math.comb(positions, j) <= MAX_SETS, range(edits + 1))]
    worst = [WorstSet(positions, j) for j in sizes]
    shares = [level / Subsets(positions, j, sizes[-1]).parts for j in sizes]
    best = np.zeros(len(sizes))  # lower bounds of the probability that a draw is no miss of a set
    for verdicts, replaced in draws:
        flagged, where = batch_of(verdicts, replaced, positions, None)
        for j in sizes:
            k, n = worst[j].add(flagged, where)
            at = np.append(np.diff(k) == 0, np.ones(min(k.size, 1), dtype=bool))  # the bound peaks before a miss
            best[j] = max(best[j], lowered(mixture_lower(k[at], n[at], shares[j]), distance).max(initial=0.0))
        seen += flagged.size
        missed = np.minimum.accumulate(1 - best) / kernel.beta ** np.array(sizes, dtype=float) * (1 + 1e-12)
        p = np.clip(1 - missed - 2.0**-50, 0.0, 1.0)
        radii, used = radii_committed(dict(enumerate(p)), kernel, edits, sigma=sigma, tau=tau, all_sets=True)
        front = least_over_edits(p, radii, used, kernel, sigma, tau, budget)
        yield replace(front, anytime=True, alpha=level, n=seen)
