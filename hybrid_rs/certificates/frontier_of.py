"""From counts of any kind to a frontier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import flag, kind, nonnegative, one, probability, require, risk, several
from hybrid_rs.certificates.commitment import TokenKernel, pays, radii_committed
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.certificates.frontier import Frontier, frontiers
from hybrid_rs.certificates.kernels import AbsorbingKernel, Kernel, UniformKernel, text_budget
from hybrid_rs.certificates.several_texts import attacked_share
from hybrid_rs.certificates.threshold import CalibratedThreshold, threshold
from hybrid_rs.evidence.counts import require_smoothing
from hybrid_rs.evidence.kinds import KINDS, AnyCounts
from hybrid_rs.evidence.subset_counts import SubsetCounts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts


def frontier_of(
    counts: AnyCounts,
    kernel: Kernel | DeletionKernel,
    *,
    sigma: float,
    tau: float | CalibratedThreshold,
    d_max: int,
    alpha: float = 0.01,
    simultaneous: bool = False,
) -> Frontier:
    """Return the frontier that counts of any kind support.

    The kind of the counts decides the certificate.

    - Plain counts give the plain certificate, from p_A.
    - Masked and subset counts bound p_A and p_S, and give the certificate from both. For each number of edits within d
      the best bound from p_A and p_S is taken, and the least of these is the worst case. The bounds of subset counts
      share one risk anyway. For masked counts the risk of a point is split between p_A and p_S if that can help
      (:func:`hybrid_rs.certificates.commitment.pays`); otherwise the point uses p_S alone.
    - Counts of several texts for each image give the certificate from their levels, in the same way. If texts were
      drawn from the clean law alone, it is the plain certificate.

    Args:
        counts: the counts of the draws.
        kernel: the token kernel of the draws.
        sigma: standard deviation of the image noise of the draws.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        d_max: the largest text budget.
        alpha: risk, in (0, 1).
        simultaneous: make the confidence cover all points at once, by a union bound. It matters for per-d and masked
            counts, where each point has its own confidence; other counts cover all points anyway.

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
    kernel: Kernel | DeletionKernel,
    *,
    sigma: float,
    tau: float | CalibratedThreshold,
    d_max: int,
    alpha: float = 0.01,
    simultaneous: bool = False,
) -> list[Frontier]:
    """Return :func:`frontier_of` for many examples at once, which is much faster; all counts must be of one kind."""
    text_budget("d_max", d_max)
    risk("alpha", alpha)
    flag("simultaneous", simultaneous)
    kind("kernel", kernel, (Kernel, DeletionKernel), "give the kernel of the draws")
    counts = several("counts", counts, "give counts, of one kind", KINDS)
    if not counts:
        return []
    kinds = {(type(c), c.by_budget, c.texts) for c in counts}
    require(len(kinds) == 1, "counts", sorted({k.__name__ for k, _, _ in kinds}), "give counts of one kind")
    known = not (counts[0].masked and isinstance(kernel, FeatureKernel))
    require(known, "kernel", kernel, "masked counts are for tokens: give the kernel of the draws, uniform or absorbing")
    for c in counts:
        require_smoothing(c, kernel, sigma)
    many = counts[0].by_budget
    each_risk = alpha / (d_max + 1) if simultaneous and many else alpha
    law = (kernel, sigma, threshold(tau, [(c.example, c.seed) for c in counts]))
    if isinstance(counts[0], SubsetCounts | SubsetTextCounts):
        made = _of_subsets([c for c in counts if isinstance(c, SubsetCounts | SubsetTextCounts)], *law, d_max, alpha)
    else:
        bounds = [c.bounds(each_risk) for c in counts]
        if many:
            masked = counts[0].masked  # if masked, one classifier serves every budget; else each has its own
            made = frontiers(_up_to(d_max, bounds), *law, masked=masked, single=masked, all_at_once=simultaneous)
            if masked:
                made = _committed(made, bounds, [c.bounds(each_risk / 2) for c in counts], counts, each_risk)
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


def _committed(
    alone: list[Frontier],
    whole: list[NDArray[np.float64]],
    half: list[NDArray[np.float64]],
    counts: Sequence[AnyCounts],
    each_risk: float,
) -> list[Frontier]:
    """Return the frontiers from p_A and p_S at points where splitting the risk can help; else those from p_S alone.

    ``whole`` has the bounds at the risk of a point, ``half`` those at half of it: shape ``(d_max + 1,)``, or
    ``(..., m)`` for m texts.
    """
    first, everyone, texts = alone[0], range(len(counts)), counts[0].texts
    kernel, shared = first.kernel, first.simultaneous  # if shared, the bounds of all d (p_A at d = 0) hold together
    if not isinstance(kernel, UniformKernel | AbsorbingKernel):
        return alone
    radii, p = (np.array([getattr(front, name) for front in alone]) for name in ("radii", "p"))
    bounds = whole if shared else half
    for d in range(1, radii.shape[1]):
        at = [i for i in everyone if shared or pays(kernel, d, counts[i].n, each_risk, first.tau, texts)]
        if at:
            both = {j: np.array([bounds[i][j] for i in at]) for j in (0, d)}
            levels = both[d].ndim > 1  # counts of several texts give levels, even if there is but one text
            each, _ = radii_committed(both, kernel, d, sigma=first.sigma, tau=first.tau, texts=levels)
            radii[at, d] = each.min(axis=0)  # nan where some number of edits is not certified
            p[at, d] = attacked_share(both[d], 0.0, sigma=1.0) if levels else both[d]
    return [replace(front, radii=r, p=x) for front, r, x in zip(alone, radii, p, strict=True)]


def _of_subsets(
    counts: Sequence[SubsetCounts | SubsetTextCounts],
    kernel: Kernel | DeletionKernel,
    sigma: float,
    tau: float,
    d_max: int,
    alpha: float,
) -> list[Frontier]:
    """Return frontiers from p_A and p_S of all sizes; a budget above the text's length counts as its length."""
    law = cast(TokenKernel, kind("kernel", kernel, (UniformKernel, AbsorbingKernel), "give the kernel of the draws"))
    sigma, tau = one("sigma", nonnegative("sigma", sigma)), one("tau", probability("tau", tau))
    made: list[Frontier | None] = [None] * len(counts)
    alike: dict[tuple[int, int], list[int]] = {}  # by the largest size counted, and the most positions to edit
    for i, c in enumerate(counts):
        largest = len(c.safe if isinstance(c, SubsetCounts) else c.reached) - 1
        alike.setdefault((largest, min(c.length, d_max)), []).append(i)
    for (largest, edits), which in alike.items():
        p = np.array([counts[i].bounds(alpha) for i in which])
        evidence = [_evidence(counts[i], alpha) for i in which]
        together = {j: np.array([rows[j] for rows in evidence]) for j in range(largest + 1)}
        texts = isinstance(counts[0], SubsetTextCounts)
        each, size = radii_committed(together, law, edits, sigma=sigma, tau=tau, texts=texts, all_sets=True)
        for i, bounds, radii, sizes in zip(which, p, each.T, size.T, strict=True):
            made[i] = least_over_edits(bounds, radii, sizes, law, sigma, tau, d_max)
    return [front for front in made if front is not None]


def least_over_edits(
    bounds: NDArray[np.float64],
    radii: NDArray[np.float64],
    sizes: NDArray[np.int64],
    kernel: TokenKernel,
    sigma: float,
    tau: float,
    d_max: int,
) -> Frontier:
    """Return the frontier from the radii against exactly e edits, and the sizes of sets that give them.

    Args:
        bounds: by size of sets, the bound of p_S, or the mean of the levels.
        radii: against exactly e = 0, 1, ... edits; the last e is the most edits that any budget allows.
        sizes: the size of the sets behind each radius, 0 for p_A.
        kernel: the token kernel.
        sigma: standard deviation of the image noise.
        tau: decision threshold.
        d_max: the largest text budget.
    """
    edits = len(radii) - 1
    worst = [int(np.argmin(np.nan_to_num(radii[: d + 1], nan=-1.0))) for d in range(edits + 1)]
    at = np.array([worst[min(d, edits)] for d in range(d_max + 1)])
    return Frontier(radii[at], bounds[sizes[at]], sizes[at] > 0, kernel, sigma, tau)


def _evidence(counts: SubsetCounts | SubsetTextCounts, alpha: float) -> list[NDArray[np.float64]]:
    """Return the bounds by size: one number each for one text per image, the levels for several."""
    return list(counts.p_s(alpha) if isinstance(counts, SubsetCounts) else counts.levels(alpha))
