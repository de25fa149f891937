"""Decisions: how many draws, and which design."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from abuse import values
from abuse.room import Room, one_probability

import hybrid_rs as hrs
from hybrid_rs.decisions.calibrate import Calibration
from hybrid_rs.decisions.decide import Decision
from hybrid_rs.decisions.plan import Plan
from hybrid_rs.decisions.select import Candidate, choose, robustness_curve


def _candidate(random: Random) -> Candidate:
    return Candidate(values.benign(random), [hrs.Counts((90,), 100, "u", 1)], hrs.UniformKernel(0.25, 9), 1.0)


def _plan(given: dict[str, Any], result: Any) -> None:
    assert np.isnan(result.required) or 0 <= result.required <= 1
    assert result.draws is None or result.draws >= 1
    assert 0 <= result.chance <= 1


ROOM = Room(
    things=(Calibration, Candidate, Decision, Plan, hrs.calibrate, hrs.ceiling, choose, hrs.plan, robustness_curve),
    good={
        "candidate": _candidate,
        "candidates": lambda r: 1 + r.randrange(3),
        "draws": lambda r: [("a", 0)],
    },
    own={
        "Calibration.flags": {"counts": lambda r: hrs.Counts((r.randrange(100),), 100)},
        "Candidate": {"unsafe": lambda r: [hrs.Counts((90,), 100, "u", 1)]},
        "choose": {
            "candidates": lambda r: {"first": _candidate(r), "second": _candidate(r)},
            "score": lambda r: lambda fronts: float(len(fronts)),
        },
    },
    selves={"Calibration": lambda r: hrs.calibrate(values.benign(r), 0.5), "Candidate": _candidate},
    rules={"Calibration.false_alarm_bound": one_probability, "plan": _plan},
    made_elsewhere=frozenset({"Calibration", "Decision", "Plan"}),
    silent=frozenset({"Decision", "Plan"}),
)
