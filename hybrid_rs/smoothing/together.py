"""Counts of unsafe verdicts; smoothed guards that differ only in kernel share their draws of noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import flag, integer, kind, require, several
from hybrid_rs.certificates.threats import Threat
from hybrid_rs.evidence.counts import Counts, MaskedCounts, smoothing_text
from hybrid_rs.evidence.subset_counts import SubsetCounts
from hybrid_rs.smoothing.draws import Smoothing, distance, drawn
from hybrid_rs.smoothing.example import Example


def sample_together(
    smoothed: Sequence[Smoothing],
    example: Example,
    n: int,
    *,
    masked: bool = False,
    seed: int = 0,
    batch_draws: int = 256,
    progress: bool = False,
) -> list[Any]:
    """Sample several smoothed guards that differ only in kernel, with the same noise; cheaper than one by one.

    With one seed, all kernels see the same image noise. A larger beta replaces a superset of positions, by the same
    tokens if the kernels are uniform. So each distinct pair of image and text is evaluated once for all kernels. Each
    guard's draws are those of its own :meth:`SmoothedGuard.sample` and have its own law. The counts of different
    kernels are dependent.

    Args:
        smoothed: the smoothed guards, at least one.
        example: the input.
        n: number of draws, at least 1.
        masked: collect evidence for the masked certificate; see :meth:`SmoothedGuard.sample`.
        seed: a non-negative whole number.
        batch_draws: draws given to the guard at a time, rounded up to a multiple of 64; it limits only the memory.
        progress: show a bar on stderr.

    Returns:
        the counts of each smoothed guard, equal to those that :meth:`SmoothedGuard.sample` returns.

    Raises:
        ValueError: if the smoothed guards differ in anything but kernel, or as in :meth:`SmoothedGuard.sample`.

    Example:
        >>> class Empty:
        ...     alphabet, pad_id, mask_id = np.arange(100), 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return (token_ids == 0).sum(axis=1) > 1
        >>> from hybrid_rs import SmoothedGuard, SuffixThreat, UniformKernel
        >>> guard, threat = Empty(), SuffixThreat(max_edits=2)
        >>> smoothed = [SmoothedGuard(guard, UniformKernel(beta, 100), 0.5, threat) for beta in (0.1, 0.2)]
        >>> example = Example("white", np.array([7, 8]), np.ones((3, 8, 8), np.float32))
        >>> sample_together(smoothed, example, 1000) == [each.sample(example, 1000) for each in smoothed]
        True
    """
    first = require_alike(several("smoothed", smoothed, "give a list of smoothed guards", Smoothing))
    flag("masked", masked)
    kind("example", example, Example, "give a hybrid_rs.Example")
    n, seed = integer("n", n, at_least=1), integer("seed", seed, at_least=0)
    forced = conditions(first.threat, example) if masked else None
    total: NDArray[np.int64] = np.zeros((len(smoothed), 1), dtype=np.int64)
    missed: list[list[NDArray[np.bool_]]] = [[] for _ in smoothed]
    for parts in drawn(smoothed, example, n, seed, batch_draws, forced=forced, progress=progress):
        total = total + [verdicts.sum(axis=0) for verdicts, _ in parts]
        for failures, (verdicts, replaced) in zip(missed, parts, strict=True):
            failures.append(replaced[~verdicts[:, 0]])
    sources: list[dict[str, Any]] = [
        {
            "example": example.id,
            "seed": seed,
            "distance": distance(each, example),
            "smoothing": smoothing_text(each.kernel, each.sigma),
        }
        for each in smoothed
    ]
    if not masked or forced is not None:
        of_kind = MaskedCounts if masked else Counts
        return [of_kind(tuple(k), n, **source) for k, source in zip(total.tolist(), sources, strict=True)]
    return [
        SubsetCounts.from_failures(np.concatenate(failures), n, s.threat.max_edits, s.kernel.beta, **source)
        for s, failures, source in zip(smoothed, missed, sources, strict=True)
    ]


def require_alike(smoothed: Sequence[Smoothing]) -> Smoothing:
    """Require smoothed guards that differ only in kernel; return the first."""
    require(len(smoothed) > 0, "smoothed", smoothed, "give at least one smoothed guard")
    first = smoothed[0]
    alike = all(
        s.guard is first.guard and (s.sigma, s.threat, s.noise) == (first.sigma, first.threat, first.noise)
        for s in smoothed
    )
    seen = [(s.guard, s.sigma, s.threat, s.noise) for s in smoothed]
    require(alike, "smoothed", seen, "sample together only what differs in kernel alone")
    return first


def conditions(threat: Threat, example: Example) -> NDArray[np.bool_] | None:
    """Return for each d which positions masked evidence replaces; None if the edits may be anywhere.

    Raises:
        ValueError: if the threat has more than one smoothed classifier.
    """
    one = len(threat.noised(example.token_ids.size)) == 1
    require(one, "threat", threat, "masked evidence needs one classifier: use one_shot=True")
    return threat.conditions(example.token_ids.size)
