"""The kinds of counts, and what they have in common.

Each knows its law, its bounds, and what of it is stored; nobody else tells them apart for that. Members: ``n``,
``example`` and ``seed``; ``masked``, whether the bounds are of p_S; ``by_budget``, whether each text budget has a bound
and a risk of its own; ``texts`` for each image; ``bounds(alpha)``, of shape ``(bounds,)``, or ``(bounds, m)`` of m
texts; and ``drawn()``, what a store keeps.
"""

from __future__ import annotations

from typing import TypeAlias

from hybrid_rs.evidence.counts import Counts, MaskedCounts
from hybrid_rs.evidence.subset_counts import SubsetCounts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts
from hybrid_rs.evidence.text_counts import TextCounts

AnyCounts: TypeAlias = Counts | MaskedCounts | SubsetCounts | SubsetTextCounts | TextCounts
KINDS = (Counts, MaskedCounts, SubsetCounts, SubsetTextCounts, TextCounts)
