"""Baselines: subsampling, two certificates in sequence, one modality alone."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from abuse import values
from abuse.room import Room, probabilities, radii
from abuse.rooms.attacks import LITTLE
from abuse.rooms.datasets import home

import hybrid_rs as hrs
from hybrid_rs.baselines.composition import composed_p_adv, composed_radius
from hybrid_rs.baselines.mmcert import SubsamplingLaw, log_untouched, pixels_within
from hybrid_rs.baselines.subsampling import SubsampledGuard, Subsampling
from hybrid_rs.baselines.unimodal import image_only, text_only, trials


def _law(random: Random) -> SubsamplingLaw:
    return SubsamplingLaw(20, 5, 100, 10)


def _subsampling(random: Random) -> Subsampling:
    return Subsampling(1, 2, 0)


def _subsampled(random: Random) -> SubsampledGuard:
    return SubsampledGuard(values.Parity(), _subsampling(random))


def _at_most_one(given: dict[str, Any], result: Any) -> None:
    assert np.all(np.asarray(result) <= 0)


def _p_adv(given: dict[str, Any], result: Any) -> None:
    assert np.all((np.asarray(result) >= 0) & (np.asarray(result) <= np.asarray(given["p_a"])))


def _pixels(given: dict[str, Any], result: Any) -> None:
    assert np.asarray(result).dtype == np.int64
    assert np.all(np.asarray(result) >= -1)


ROOM = Room(
    things=(
        *(composed_p_adv, composed_radius, image_only, log_untouched, pixels_within, text_only, trials),
        *(SubsampledGuard, Subsampling, SubsamplingLaw),
    ),
    good={
        "budgets": lambda r: [(1, 0.5)],
        "classifier": lambda r: "toy",
        "effort": lambda r: LITTLE,
        "examples": lambda r: [values.example(r)],
        "keep_pixels": lambda r: r.randrange(5),
        "keep_tokens": lambda r: r.randrange(5),
        "kept": lambda r: r.randrange(5),
        "order": lambda r: r.choice(("text first", "image first")),
        "pixel_fill": lambda r: r.choice((0.0, 0.5, 1.0)),
        "pixels": lambda r: r.choice((5, 100)),
        "r_pixels": lambda r: r.choice((0, 1, [0, 1, 2])),
        "r_tokens": lambda r: r.choice((0, 1)),
        "search": lambda r: True,
        "smoothing": lambda r: "toy",
        "store": lambda r: home() / "trials.jsonl",
        "token_fill": lambda r: r.randrange(8),
        "tokens": lambda r: r.choice((5, 20)),
        "total": lambda r: r.choice((5, 20)),
        "touched": lambda r: r.choice((0, 1, [0, 1, 2])),
    },
    own={
        "SubsampledGuard": {"kernel": _subsampling},
        "image_only": {"sigma": lambda r: r.choice((0.0, 0.5))},
        "text_only": {"kernel": lambda r: hrs.UniformKernel(0.25, 8)},
        "trials": {"n": lambda r: 10},
    },
    selves={"SubsampledGuard": _subsampled, "Subsampling": _subsampling, "SubsamplingLaw": _law},
    rules={
        "composed_p_adv": probabilities("p_a", "epsilon", "sigma"),
        "composed_radius": radii("p_a", "sigma", "tau"),
        "log_untouched": _at_most_one,
        "pixels_within": _pixels,
        "SubsamplingLaw.certified_pixels": _pixels,
        "SubsamplingLaw.log_untouched": _at_most_one,
        "SubsamplingLaw.p_adv": _p_adv,
    },
)
