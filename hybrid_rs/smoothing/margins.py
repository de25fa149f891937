"""Several margins from one set of draws: each margin is another base classifier, with the same forward passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from hybrid_rs._checks import integer, kind, numbers, one, require, several
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.smoothing.draws import distance, drawn
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard


def at_margin(smoothed: SmoothedGuard, margin: float) -> SmoothedGuard:
    """Return the same smoothing of a guard with another margin.

    Args:
        smoothed: a smoothed guard whose base is a dataclass with a field ``margin``.
        margin: what the base's score must exceed for a verdict of unsafe, in logits.

    Raises:
        ValueError: if the base has no margin and no scores, or the margin is not a finite number.
    """
    guard = kind("smoothed", smoothed, SmoothedGuard, "give a smoothed guard").guard
    scored = "margin" in getattr(guard, "__dataclass_fields__", {}) and hasattr(guard, "scores")
    require(scored, "smoothed.guard", type(guard).__name__, "give a guard with scores(...) and a field margin")
    margin = one("margin", numbers("margin", margin))
    require(bool(np.isfinite(margin)), "margin", margin, "give a finite number of logits")
    return replace(smoothed, guard=replace(cast(Any, guard), margin=float(margin)))


def sample_margins(
    smoothed: SmoothedGuard,
    example: Example,
    n: int,
    margins: Sequence[float],
    *,
    seed: int = 0,
    batch_draws: int = 256,
    progress: bool = False,
) -> list[Counts]:
    """Draw noise ``n`` times and count, for every margin, how often the base's score exceeds it.

    The counts are those that :meth:`SmoothedGuard.sample` gives for each margin, but one forward pass serves all. Every
    margin is another base classifier and another smoothed one. Do not choose a margin by these counts and then certify
    with the same counts: that is selecting on the draws that certify; see
    :func:`hybrid_rs.decisions.select.choose`.

    Args:
        smoothed: a smoothed guard whose base has ``scores`` and a ``margin``, such as ``VisionLanguageGuard``.
        example: the input.
        n: number of draws, at least 1.
        margins: in logits, at least one; the base's own margin is not used.
        seed: a non-negative whole number.
        batch_draws: draws given to the base at a time; it limits only the memory.
        progress: show a bar on stderr.

    Returns:
        Counts, one per margin in the order given.

    Raises:
        ValueError: if the base has no scores, a margin is not finite, or an argument is out of range.
    """
    margins = several("margins", margins, "give numbers of logits")
    require(len(margins) > 0, "margins", margins, "give at least one margin")
    levels = [float(cast(Any, at_margin(smoothed, margin).guard).margin) for margin in margins]
    n, seed = integer("n", n, at_least=1), integer("seed", seed, at_least=0)
    totals = [np.zeros(1, dtype=np.int64) for _ in levels]
    batches = drawn([smoothed], example, n, seed, batch_draws, forced=None, ask="scores", progress=progress)
    for [
        (scores, _)
    ] in batches:  # compared one margin at a time, as the guard itself does: in the precision of the scores
        totals = [total + (scores > level).sum(axis=0) for total, level in zip(totals, levels, strict=True)]
    off = distance(smoothed, example)
    return [Counts(tuple(total.tolist()), n, example.id, seed, off) for total in totals]
