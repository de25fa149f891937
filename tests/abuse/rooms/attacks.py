"""Attacks: what they lower, how hard they search, and what they found."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from abuse import values
from abuse.room import Room

import hybrid_rs as hrs
from hybrid_rs.attacks import Attack, Effort
from hybrid_rs.attacks.bounds import beside_bounds
from hybrid_rs.attacks.image import attack_image, project
from hybrid_rs.attacks.joint import attack_jointly, evaluate, without_noise
from hybrid_rs.attacks.text import attack_text

LITTLE = Effort(draws=2, probes=4, candidates=4, sweeps=0, steps=1, rounds=1, restarts=1, select=4)


def _attack(random: Random) -> Attack:
    image = np.full((3, 2, 2), 0.1, np.float32)
    return Attack(np.array([0, 3, 0]), image, 1, 0.0, 0.5, 10)


def _rows(random: Random) -> list[dict[str, Any]]:
    found = {"edits": 1, "queries": 10, "estimate": 0.5, "unsafe": 40, "n": 100, "adaptive": True, "sigma": 0.5}
    return [found | {"example": "a", "d": 1, "epsilon": 0.5, "threat": {"name": "SuffixThreat", "max_edits": 2}}]


def _within(given: dict[str, Any], result: Any) -> None:
    example, budget = given["example"], given.get("epsilon", 0.0)
    assert 0 <= result.edits <= given.get("d", 0)
    assert result.epsilon_used <= budget
    assert np.all((result.image >= 0) & (result.image <= 1))
    assert result.image.shape == example.image.shape
    assert 0 <= result.estimate <= 1


def _projected(given: dict[str, Any], result: Any) -> None:
    assert result.dtype == np.float32
    assert np.all((result >= 0) & (result <= 1))
    assert np.linalg.norm(result.astype(np.float64) - given["centre"]) <= given["epsilon"]


def _estimated(given: dict[str, Any], result: Any) -> None:
    assert 0 <= result.lower <= result.unsafe / result.n <= result.upper <= 1


EFFORT = {
    name: (lambda r: 1 + r.randrange(9))
    for name in ("draws", "probes", "candidates", "sweeps", "steps", "rounds", "restarts", "select")
}
ROOM = Room(
    things=(Effort, attack_image, attack_jointly, attack_text, beside_bounds, evaluate, project, without_noise),
    good={
        "attack": _attack,
        "attacks": _rows,
        "centre": lambda r: np.full((3, 2, 2), 0.5, np.float32),
        "effort": lambda r: LITTLE,
        "evidence": lambda r: [hrs.MaskedCounts((90, 80, 70), 100)],
        "risk": lambda r: r.choice((0.01, 0.5)),
    },
    own={
        "Effort": EFFORT | {"uses": lambda r: r.choice(("verdicts", "scores", "gradients"))},
        "beside_bounds": {"kernel": lambda r: hrs.UniformKernel(0.25, 8)},
        "evaluate": {
            "d": lambda r: r.choice((None, 1)),
            "example": lambda r: hrs.Example("a", np.array([0]), np.full((3, 2, 2), 0.1, np.float32)),
            "smoothed": lambda r: hrs.SmoothedGuard(
                values.Parity(), hrs.UniformKernel(0.25, 8), 0.5, hrs.SuffixThreat(2)
            ),
        },
    },
    rules={
        "attack_image": _within,
        "attack_jointly": _within,
        "attack_text": _within,
        "evaluate": _estimated,
        "project": _projected,
    },
)
