"""Evidence: what draws say of a probability."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from abuse import values
from abuse.room import Room, one_probability, probabilities

import hybrid_rs as hrs
from hybrid_rs.evidence.confidence_sequences import mixture_lower, mixture_upper
from hybrid_rs.evidence.score_means import ScoreEvidence, bounded_mean_lower


def _lower(given: dict[str, Any], result: Any) -> None:
    probabilities("k", "n", "alpha")(given, result)
    assert np.all(result <= np.asarray(given["k"]) / np.asarray(given["n"]) + (np.asarray(given["alpha"]) > 0.5))


def _upper(given: dict[str, Any], result: Any) -> None:
    probabilities("k", "n", "alpha")(given, result)
    assert np.all(result >= np.asarray(given["k"]) / np.asarray(given["n"]) - (np.asarray(given["alpha"]) > 0.5))


def _reached(random: Random) -> tuple[tuple[int, ...], ...]:
    return ((9, 5), (8, 4))


ROOM = Room(
    things=(
        *(hrs.Counts, hrs.MaskedCounts, hrs.SubsetCounts, hrs.TextCounts),
        *(hrs.clopper_pearson_lower, hrs.clopper_pearson_upper, mixture_lower, mixture_upper),
        *(ScoreEvidence, bounded_mean_lower),
    ),
    good={
        "above": lambda r: [0, 1],
        "flagged": lambda r: [[2], [0], [1]],
        "reached": _reached,
        "replaced": lambda r: np.array([[True, False, True], [True, True, False]]),
    },
    own={
        "SubsetCounts": {"length": lambda r: 5},
        "TextCounts.from_dict": {"values": lambda r: values.text_counts(r).to_dict()},
    },
    selves={
        "Counts": values.counts,
        "MaskedCounts": lambda r: hrs.MaskedCounts((9, 5, 1), 10),
        "ScoreEvidence": lambda r: ScoreEvidence().add([0.5, 1.0]),
        "SubsetCounts": lambda r: hrs.SubsetCounts((9, 4, 1), 10, 5, 0.25),
        "TextCounts": values.text_counts,
    },
    rules={
        "bounded_mean_lower": one_probability,
        "clopper_pearson_lower": _lower,
        "clopper_pearson_upper": _upper,
        "mixture_lower": probabilities("k", "n", "alpha"),
        "mixture_upper": probabilities("k", "n", "alpha"),
        "ScoreEvidence.lower": one_probability,
        "ScoreEvidence.upper": one_probability,
    },
    made_elsewhere=frozenset({"ScoreEvidence"}),
)
