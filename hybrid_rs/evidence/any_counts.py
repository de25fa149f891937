"""What the kinds of counts have in common: the bounds that a certificate starts from."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybrid_rs.evidence.counts import Counts, MaskedCounts, SubsetCounts
from hybrid_rs.evidence.text_counts import TextCounts

AnyCounts: TypeAlias = Counts | MaskedCounts | SubsetCounts | TextCounts
KINDS = (Counts, MaskedCounts, SubsetCounts, TextCounts)


def by_budget(counts: AnyCounts) -> bool:
    """Whether each text budget has counts of its own, each with a risk of its own."""
    if isinstance(counts, TextCounts):
        return len(counts.reached) > 1
    return isinstance(counts, MaskedCounts) or (isinstance(counts, Counts) and not counts.one_classifier)


def lower_bounds(counts: AnyCounts, risk: float) -> NDArray[np.float64]:
    """Return lower confidence bounds, one per classifier or text budget; those of several texts have m levels each.

    Args:
        counts: what was drawn.
        risk: of each bound, in (0, 1); of all levels of several texts together, and of all subset counts together.

    Returns:
        shape ``(bounds,)``, or ``(bounds, m)`` for :class:`TextCounts`.
    """
    if isinstance(counts, TextCounts):
        return counts.levels(risk)
    return counts.p_a(risk) if isinstance(counts, Counts) else counts.p_s(risk)
