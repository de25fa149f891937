"""The frontier that counts support, whatever they are counts of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import flag, kind, require, risk, several
from hybrid_rs.certificates.frontier import Frontier, frontiers
from hybrid_rs.certificates.kernels import Kernel, text_budget
from hybrid_rs.certificates.threshold import CalibratedThreshold, threshold
from hybrid_rs.evidence.kinds import KINDS, AnyCounts
from hybrid_rs.evidence.subset_counts import SubsetCounts


def frontier_of(
    counts: AnyCounts,
    kernel: Kernel,
    *,
    sigma: float,
    tau: float | CalibratedThreshold,
    d_max: int,
    alpha: float = 0.01,
    simultaneous: bool = False,
) -> Frontier:
    """Return the frontier that counts support, whatever they are counts of.

    Plain counts go with the plain certificate, masked counts with the masked one. Subset counts bound p_A as well,
    within the same risk: at each d the better of the two certificates is taken. Counts of several texts for each image
    go with the certificate from their levels: masked, if they have a row for each d, else plain.

    Args:
        counts: what was drawn.
        kernel: the token kernel of the draws.
        sigma: standard deviation of the image noise of the draws.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        d_max: the largest text budget.
        alpha: risk, in (0, 1).
        simultaneous: pay for a confidence that covers all points at once, by a union bound, where each would have its
            own: per-d and masked counts. Others cover all points anyway.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> counts = hrs.SubsetCounts((1_500, 220, 41), n=10_000, length=20, beta=0.25)
        >>> hrs.frontier_of(counts, kernel, sigma=1.0, tau=4.6e-5, d_max=2).to_frame().evidence.tolist()
        ['p_A', 'p_S', 'p_S']
    """
    law = {"sigma": sigma, "alpha": alpha}
    return frontiers_of([counts], kernel, tau=tau, d_max=d_max, simultaneous=simultaneous, **law)[0]


def frontiers_of(
    counts: Sequence[AnyCounts],
    kernel: Kernel,
    *,
    sigma: float,
    tau: float | CalibratedThreshold,
    d_max: int,
    alpha: float = 0.01,
    simultaneous: bool = False,
) -> list[Frontier]:
    """Return :func:`frontier_of` of many examples at once, which is many times faster; all counts of one kind."""
    text_budget("d_max", d_max)
    risk("alpha", alpha)
    flag("simultaneous", simultaneous)
    kind("kernel", kernel, Kernel, "give the kernel of the draws")
    counts = several("counts", counts, "give Counts, MaskedCounts, SubsetCounts or TextCounts", KINDS)
    if not counts:
        return []
    kinds = {(type(c), c.by_budget, c.texts) for c in counts}
    require(len(kinds) == 1, "counts", sorted({k.__name__ for k, _, _ in kinds}), "give counts of one kind")
    many = counts[0].by_budget
    each_risk = alpha / (d_max + 1) if simultaneous and many else alpha
    bounds = [c.bounds(each_risk) for c in counts]
    law = (kernel, sigma, threshold(tau, [(c.example, c.seed) for c in counts]))
    if many:
        masked = counts[0].masked  # then one classifier serves every budget; else each has its own
        made = frontiers(_up_to(d_max, bounds), *law, masked=masked, single=masked, all_at_once=simultaneous)
    elif isinstance(counts[0], SubsetCounts):
        made = _best_of_subsets([c for c in counts if isinstance(c, SubsetCounts)], bounds, *law, d_max)
    else:
        made = frontiers(np.repeat(bounds, d_max + 1, axis=1), *law, masked=False, single=True, all_at_once=True)
    return [
        replace(front, alpha=alpha, n=c.n, example=c.example, texts=c.texts)
        for front, c in zip(made, counts, strict=True)
    ]


def _up_to(d_max: int, bounds: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    largest = min(len(p) for p in bounds) - 1
    require(d_max <= largest, "d_max", d_max, f"give at most {largest}, the largest budget sampled")
    return np.array([p[: d_max + 1] for p in bounds])


def _best_of_subsets(
    counts: Sequence[SubsetCounts],
    bounds: list[NDArray[np.float64]],
    kernel: Kernel,
    sigma: float,
    tau: float,
    d_max: int,
) -> list[Frontier]:
    """At each d the better of plain and masked; past the length of the text there is nothing left to edit."""
    budgets = []
    for c, p in zip(counts, bounds, strict=True):
        largest = len(p) - 1
        enough = d_max <= largest or largest == c.length
        require(enough, "d_max", d_max, f"give at most {largest}, the largest size counted")
        require(c.beta == kernel.beta, "kernel", kernel, f"give the kernel of the draws, with beta = {c.beta}")
        budgets.append(np.minimum(np.arange(d_max + 1), largest))
    p_s = np.array([p[at] for p, at in zip(bounds, budgets, strict=True)])
    p_a = np.broadcast_to(p_s[:, :1], p_s.shape)
    plain = frontiers(p_a, kernel, sigma, tau, masked=False, single=True, all_at_once=True)
    masked = frontiers(p_s, kernel, sigma, tau, masked=True, single=True, all_at_once=True)
    best = [a.best(b) for a, b in zip(plain, masked, strict=True)]
    return [
        replace(front, radii=front.radii[at], p=front.p[at], masked=front.masked[at])
        for front, at in zip(best, budgets, strict=True)
    ]
