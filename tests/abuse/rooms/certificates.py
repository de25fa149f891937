"""Certificates: what a probability is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from abuse import values
from abuse.room import Room, broadcast, one_probability, probabilities, radii

import hybrid_rs as hrs
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.layers import layer_bounds, p_adv_layers
from hybrid_rs.certificates.several_texts import certified_radius_texts, p_adv_texts
from hybrid_rs.certificates.threats import InPlaceThreat
from hybrid_rs.certificates.upper import certified_radius_below, certified_radius_top, p_adv_upper
from hybrid_rs.certificates.worst_case import log_p_adv


def _p_adv(given: dict[str, Any], result: Any) -> None:
    probabilities("p_a", "epsilon", "sigma")(given, result)
    assert np.all(result <= np.asarray(given["p_a"], dtype=np.float64))


def _p_adv_upper(given: dict[str, Any], result: Any) -> None:
    probabilities("p_a", "epsilon", "sigma")(given, result)
    assert np.all(result >= np.asarray(given["p_a"], dtype=np.float64))


def _log_p_adv(given: dict[str, Any], result: Any) -> None:
    assert np.shape(result) == broadcast(given, ("p_a", "epsilon", "sigma"))
    assert np.all(np.asarray(result) <= 0)


def _required(given: dict[str, Any], result: Any) -> None:
    array = np.asarray(result)
    assert array.shape == broadcast(given, ("epsilon", "sigma", "tau"))
    assert np.all(np.isnan(array) | ((array >= 0) & (array <= 1)))


def _edits(given: dict[str, Any], result: Any) -> None:
    assert np.all((np.asarray(result) >= -1) & (np.asarray(result) <= given["d_max"]))
    assert np.asarray(result).dtype == np.int64


def _floored(given: dict[str, Any], result: Any) -> None:
    numbers = np.asarray(given["values"], dtype=np.float64)
    assert np.shape(result) == numbers.shape
    assert np.all((result <= numbers) | np.isnan(numbers))
    assert np.array_equal(np.isnan(result), np.isnan(numbers))


def _layers(given: dict[str, Any], result: Any) -> None:
    assert np.shape(result) == broadcast(given, ("epsilon", "sigma"))
    assert np.all((np.asarray(result) >= 0) & (np.asarray(result) <= np.max(given["p"])))


def _text_values(given: dict[str, Any], result: Any) -> None:
    shape = np.broadcast_shapes(np.shape(given["p"])[:-1], np.shape(given["epsilon"]), np.shape(given["sigma"]))
    assert np.shape(result) == shape
    assert np.all((np.asarray(result) >= 0) & (np.asarray(result) <= np.max(given["p"])))


def _text_radii(given: dict[str, Any], result: Any) -> None:
    shape = np.broadcast_shapes(np.shape(given["p"])[:-1], np.shape(given["sigma"]), np.shape(given["tau"]))
    assert np.shape(result) == shape
    assert np.all(np.isnan(result) | (np.asarray(result) >= 0))


def _bounds(given: dict[str, Any], result: Any) -> None:
    assert np.shape(result) == np.shape(given["levels"])
    assert np.all((np.asarray(result) >= 0) & (np.asarray(result) < 1))


ROOM = Room(
    things=(
        *(hrs.AbsorbingKernel, hrs.FeatureKernel, hrs.UniformKernel, hrs.LikelihoodRatio, hrs.L0Threat),
        *(hrs.SuffixThreat, hrs.Certificate, hrs.TextCertificate, hrs.Frontier, hrs.VerificationError),
        *(hrs.ceiled, hrs.certified_edits, hrs.certified_radius, hrs.certify, hrs.floored, hrs.frontier),
        *(hrs.frontier_of, hrs.p_adv, hrs.read_certificate, hrs.required_p_a, hrs.verify),
        *(certified_radius_texts, certified_radius_top, frontiers_of, layer_bounds, log_p_adv, p_adv_layers),
        *(p_adv_texts, p_adv_upper, certified_radius_below, DeletionKernel, InPlaceThreat),
    ),
    good={
        "ax": lambda r: None,
        "certificate": lambda r: r.choice((values.certificate, values.text_certificate))(r),
        "clean": lambda r: np.zeros(3, dtype=np.int64),
        "edits": lambda r: r.choice(("insertions", "deletions", "insertions and deletions", "all")),
        "digits": lambda r: r.randrange(9),
        "other": values.frontier,
        "sizes": lambda r: (2, 5, 3),
        "values": lambda r: [0.123, 4.567],
    },
    own={
        "Certificate.from_json": {"text": lambda r: values.certificate(r).to_json()},
        "TextCertificate.from_json": {"text": lambda r: values.text_certificate(r).to_json()},
        "read_certificate": {"text": lambda r: r.choice((values.certificate, values.text_certificate))(r).to_json()},
        "FeatureKernel.sample": {"clean": lambda r: np.zeros(3, dtype=np.int64)},
        "LikelihoodRatio.from_masses": {"p": lambda r: r.choice(([0.5, 0.5], [0.9, 0.1]))},
        "LikelihoodRatio.compose": {"other": values.ratio},
        "LikelihoodRatio.power": {"d": lambda r: r.randrange(4)},
        "SuffixThreat.noised": {"length": lambda r: r.randrange(4)},
        "InPlaceThreat.conditions": {"length": lambda r: r.randrange(4)},
        "frontiers_of": {"counts": lambda r: [hrs.Counts((90,), 100, "u", 1)] * 2},
    },
    selves={
        "AbsorbingKernel": lambda r: hrs.AbsorbingKernel(0.5),
        "Certificate": values.certificate,
        "DeletionKernel": lambda r: DeletionKernel(0.25),
        "FeatureKernel": lambda r: values.KERNELS[-1],
        "Frontier": values.frontier,
        "InPlaceThreat": lambda r: InPlaceThreat(2),
        "L0Threat": lambda r: hrs.L0Threat(2),
        "LikelihoodRatio": values.ratio,
        "SuffixThreat": lambda r: hrs.SuffixThreat(2),
        "TextCertificate": values.text_certificate,
        "UniformKernel": lambda r: hrs.UniformKernel(0.25, 8),
    },
    rules={
        "certified_edits": _edits,
        "certified_radius": radii("p_a", "sigma", "tau"),
        "certified_radius_below": radii("p_a", "sigma", "tau"),
        "certified_radius_texts": _text_radii,
        "certified_radius_top": radii("p_a", "p_b", "sigma"),
        "floored": _floored,
        "layer_bounds": _bounds,
        "log_p_adv": _log_p_adv,
        "p_adv": _p_adv,
        "p_adv_layers": _layers,
        "p_adv_texts": _text_values,
        "p_adv_upper": _p_adv_upper,
        "required_p_a": _required,
        "verify": one_probability,
    },
    made_elsewhere=frozenset({"Certificate", "Frontier", "LikelihoodRatio", "TextCertificate", "VerificationError"}),
    silent=frozenset({"VerificationError"}),
    left_out=frozenset({"Frontier.plot"}),  # the tests of plots draw it
)
