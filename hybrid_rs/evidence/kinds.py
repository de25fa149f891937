"""The kinds of counts, and the members that they have in common.

- ``n``, ``example`` and ``seed``: the number of draws, and what they are a function of;
- ``smoothing``: the noise of the draws (see :func:`hybrid_rs.evidence.counts.require_smoothing`);
- ``masked``: whether the bounds are of p_S;
- ``by_budget``: whether each text budget has its own bound and its own risk;
- ``texts``: the number of texts for each image;
- ``bounds(alpha)``: shape ``(bounds,)``, or ``(bounds, m)`` for m texts per image;
- ``drawn()``: the fields that a store keeps.
"""

from __future__ import annotations

from typing import TypeAlias

from hybrid_rs.evidence.counts import Counts, MaskedCounts
from hybrid_rs.evidence.subset_counts import SubsetCounts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts
from hybrid_rs.evidence.text_counts import TextCounts

AnyCounts: TypeAlias = Counts | MaskedCounts | SubsetCounts | SubsetTextCounts | TextCounts
KINDS = (Counts, MaskedCounts, SubsetCounts, SubsetTextCounts, TextCounts)
