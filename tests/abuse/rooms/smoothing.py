"""Smoothing: a guard and its noise."""

from __future__ import annotations

from typing import Any

from abuse import values
from abuse.room import Room

import hybrid_rs as hrs
from hybrid_rs.smoothing.margins import sample_margins
from hybrid_rs.smoothing.together import sample_together


def _decision(given: dict[str, Any], result: Any) -> None:
    assert result.verdict in ("certified", "not certifiable", "undecided")
    assert 0 <= result.lower <= 1
    assert 0 <= result.upper <= 1
    assert 0 <= result.unsafe <= result.draws <= given["max_draws"]


ROOM = Room(
    things=(hrs.Example, hrs.Guard, hrs.SmoothedGuard, sample_margins, sample_together),
    own={
        "Example": {"unsafe": lambda r: r.choice((True, False, None))},
        "sample_margins": {"smoothed": lambda r: values.smoothed(r, values.Scored())},
        "sample_together": {"smoothed": lambda r: [values.smoothed(r)]},
    },
    selves={"Example": values.example, "SmoothedGuard": values.smoothed},
    rules={"SmoothedGuard.decide": _decision},
    made_elsewhere=frozenset({"Guard"}),
    silent=frozenset({"Guard"}),
)
