"""Several margins from one set of draws: each margin is another base classifier, with the same forward passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from hybrid_rs._checks import integer, kind, numbers, one, require, several
from hybrid_rs.evidence.counts import Counts, smoothing_text
from hybrid_rs.smoothing.draws import distance, drawn
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

MOST = 1000  # largest number of margins


def has_margin(guard: Guard) -> bool:
    """Return whether a guard can have several margins: it has scores, and is a dataclass with a field ``margin``."""
    return "margin" in getattr(guard, "__dataclass_fields__", {}) and hasattr(guard, "scores")


def at_margin(smoothed: SmoothedGuard, margin: float) -> SmoothedGuard:
    """Return the same smoothing of a guard with another margin.

    Args:
        smoothed: a smoothed guard whose base is a dataclass with a field ``margin``.
        margin: what the base's score must exceed for a verdict of unsafe, in logits.

    Raises:
        ValueError: if the base has no margin and no scores, or the margin is not a finite number.
    """
    guard, level = _scored(smoothed), _logits("margin", margin)
    return replace(smoothed, guard=replace(cast(Any, guard), margin=level))


def levels_of(smoothed: SmoothedGuard, margins: Iterable[float]) -> list[float]:
    """Return margins for :func:`at_margin`, as the guard keeps them; what it refuses is refused here."""
    guard, given = _scored(smoothed), several("margins", margins, "give numbers of logits")
    require(0 < len(given) <= MOST, "margins", given, f"give from one to {MOST} margins")
    return [float(cast(Any, replace(cast(Any, guard), margin=_logits("margins", each))).margin) for each in given]


def _scored(smoothed: SmoothedGuard) -> Guard:
    guard = kind("smoothed", smoothed, SmoothedGuard, "give a smoothed guard").guard
    require(
        has_margin(guard), "smoothed.guard", type(guard).__name__, "give a guard with scores(...) and a field margin"
    )
    return cast(Guard, guard)


def _logits(name: str, value: Any) -> float:
    level = one(name, numbers(name, value))
    require(bool(np.isfinite(level)), name, level, "give a finite number of logits")
    return level


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
    levels = levels_of(smoothed, margins)
    n, seed = integer("n", n, at_least=1), integer("seed", seed, at_least=0)
    totals = [np.zeros(1, dtype=np.int64) for _ in levels]
    batches = drawn([smoothed], example, n, seed, batch_draws, forced=None, ask="scores", progress=progress)
    for [(scores, _)] in batches:  # one margin at a time, in the precision of the scores, as the guard compares
        totals = [total + (scores > level).sum(axis=0) for total, level in zip(totals, levels, strict=True)]
    source = (n, example.id, seed, distance(smoothed, example), smoothing_text(smoothed.kernel, smoothed.sigma))
    return [Counts(tuple(total.tolist()), *source) for total in totals]
