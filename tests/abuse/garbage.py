"""Garbage into every public function: a valid result, or one short error that names the parameter.

The functions, classes and methods are those of :data:`PUBLIC`; their parameters are read off their signatures.
Each parameter has a strategy for good values in ``GOOD``. A call takes good values for most parameters and hostile ones
for the rest. What comes back is checked by ``RESULTS``; what is raised must be an error that names a parameter.
"""

from __future__ import annotations

import inspect
import re
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pandas as pd

import hybrid_rs as hrs
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.layers import layer_bounds, p_adv_layers
from hybrid_rs.certificates.several_texts import certified_radius_texts, p_adv_texts
from hybrid_rs.certificates.upper import certified_radius_top, p_adv_upper
from hybrid_rs.certificates.worst_case import log_p_adv
from hybrid_rs.decisions.calibrate import Calibration
from hybrid_rs.decisions.decide import Decision
from hybrid_rs.decisions.plan import Plan
from hybrid_rs.decisions.select import Candidate, choose, robustness_curve
from hybrid_rs.evidence.confidence_sequences import mixture_lower, mixture_upper
from hybrid_rs.evidence.score_means import ScoreEvidence, bounded_mean_lower
from hybrid_rs.smoothing.margins import sample_margins
from hybrid_rs.smoothing.together import sample_together

IN_ROOMS = (
    *(Calibration, Candidate, Decision, Plan, ScoreEvidence),
    *(bounded_mean_lower, certified_radius_texts, certified_radius_top, choose, frontiers_of, layer_bounds, log_p_adv),
    *(mixture_lower, mixture_upper, p_adv_layers, p_adv_texts, p_adv_upper, robustness_curve),
    *(sample_margins, sample_together),
)
PUBLIC = {name: getattr(hrs, name) for name in hrs.__all__} | {thing.__name__: thing for thing in IN_ROOMS}

LONGEST = 2_000  # characters of a message
CPU_SECONDS = 3  # of one call, after which it counts as hanging
KERNELS = (
    hrs.UniformKernel(0.25, 32_000),
    hrs.UniformKernel(0.25, 3),
    hrs.UniformKernel(1.0, 4),
    hrs.UniformKernel(0.0, 2),
    hrs.AbsorbingKernel(0.5),
    hrs.AbsorbingKernel(0.0),
    hrs.FeatureKernel(0.25, (2, 5, 3)),
)
FAULTS_SHOWN = 20


class Parity:
    """A toy guard: it speaks by its texts and images, fast; scored, with a margin."""

    alphabet, pad_id, mask_id = np.arange(8), 0, 8
    margin = 0.0

    def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2, 3)) + 0.1 * (token_ids == 0).sum(axis=1) > 0.2


@dataclass(frozen=True)
class Scored(Parity):
    """The same with scores and a field for the margin."""

    margin: float = 0.0

    def scores(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2, 3)) + 0.1 * (token_ids == 0).sum(axis=1) - 0.2

    def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        return self.scores(token_ids, images) > self.margin


def hostile(random: Random) -> Any:
    """A value that hardly any parameter is meant to take."""
    return random.choice(HOSTILE)()


HOSTILE: list[Callable[[], Any]] = [
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: -float("inf"),
    lambda: 0.0,
    lambda: -0.0,
    lambda: 5e-324,
    lambda: 1e308,
    lambda: -1.0,
    lambda: 1.0 + 2.0**-52,
    lambda: 1.0 - 2.0**-53,
    lambda: 0,
    lambda: -1,
    lambda: 1,
    lambda: 2**31,
    lambda: 2**63,
    lambda: 10**30,
    lambda: 10**5000,
    lambda: True,
    lambda: False,
    lambda: None,
    lambda: ...,
    lambda: "",
    lambda: "0.5",
    lambda: "false",
    lambda: "two\nlines\x1b[2J",
    lambda: "x" * 100_000,
    lambda: b"0.5",
    lambda: 0.5j,
    lambda: Fraction(1, 3),
    lambda: Decimal("0.1"),
    lambda: Decimal("NaN"),
    lambda: np.float16(0.5),
    lambda: np.float32(0.5),
    lambda: np.longdouble(1) / 3,
    lambda: np.int8(3),
    lambda: np.uint64(2**63),
    lambda: np.bool_(True),
    lambda: np.datetime64("2020"),
    lambda: np.array(0.5),
    lambda: np.array(3),
    lambda: np.array([]),
    lambda: np.array([0.5, np.nan]),
    lambda: np.array([0.25, 0.5, 0.75]),
    lambda: np.zeros((2, 3)),
    lambda: np.zeros((0, 3)),
    lambda: np.ones((1, 1, 1, 1)),
    lambda: np.array([True, False]),
    lambda: np.array([0.5, None], dtype=object),
    lambda: np.array(["a", "b"]),
    lambda: np.ma.array([0.5, 0.5], mask=[True, False]),
    lambda: np.full(100_000, 0.5),
    list,
    lambda: [0.5, [0.5]],
    lambda: [True, 0.5],
    lambda: [[0.5, 0.25], [0.5, 0.25]],
    lambda: (0.5,),
    lambda: [1, 2, 3],
    dict,
    lambda: {"p": 0.5},
    lambda: {0.5, 0.25},
    lambda: range(3),
    lambda: (x for x in (0.5, 0.25)),
    lambda: pd.Series([0.5, 0.25], index=[7, 7]),
    lambda: pd.Series([None, 0.5], dtype="Float64"),
    lambda: pd.DataFrame({"p": [0.5]}),
    lambda: object(),
    lambda: object,
    lambda: len,
    lambda: lambda: 0.5,
    lambda: hrs,
    lambda: hrs.UniformKernel,
    lambda: hrs.AbsorbingKernel(0.5),
    lambda: hrs.LikelihoodRatio.identity(),
    lambda: hrs.Counts((5,), 10),
    lambda: _tensor(0.5),
    lambda: _tensor([0.5, 0.25], requires_grad=True),
]


def _tensor(value: Any, **options: Any) -> Any:
    import torch

    return torch.tensor(value, **options)


def _ratio(random: Random) -> hrs.LikelihoodRatio:
    kernel = random.choice(KERNELS[:-1])
    return kernel.likelihood_ratio(random.randrange(5), masked=random.random() < 0.2)


def _counts(random: Random) -> hrs.Counts:
    n, many = random.choice((1, 10, 1000)), random.choice((1, 1, 3))
    return hrs.Counts(tuple(random.randint(0, n) for _ in range(many)), n, random.choice("abc"), random.randrange(3))


def _evidence(random: Random) -> Any:
    n = random.choice((1, 10, 1000))
    some = sorted((random.randint(0, n) for _ in range(3)), reverse=True)
    masked, subsets = hrs.MaskedCounts(tuple(some), n, "a", 0), hrs.SubsetCounts(tuple(some), n, 5, 0.25, "a", 0)
    return random.choice((_counts(random), masked, subsets, _text_counts(random)))


def _text_counts(random: Random) -> hrs.TextCounts:
    n, m = random.choice((1, 10, 1000)), random.choice((1, 2, 5))
    rows = [tuple(sorted((random.randint(0, n) for _ in range(m)), reverse=True)) for _ in range(random.choice((1, 3)))]
    return hrs.TextCounts(tuple(rows), n, "a", 0)


def _text_certificate(random: Random) -> hrs.TextCertificate:
    return hrs.certify(_text_counts(random), random.choice(KERNELS[:-1]), d=0, epsilon=0.5, sigma=1.0, tau=0.1)


def _benign(random: Random) -> list[hrs.Counts]:
    return [hrs.Counts((random.randint(0, 9),), 100, f"benign {i}", 0) for i in range(random.choice((1, 5, 40)))]


def _candidate(random: Random) -> Candidate:
    return Candidate(_benign(random), [hrs.Counts((90,), 100, "u", 1)], hrs.UniformKernel(0.25, 9), 1.0)


@cache
def _example(number: int) -> hrs.Example:
    image = np.full((3, 2, 2), 0.1 * number, np.float32)
    return hrs.Example(f"example {number}", np.arange(number), image, unsafe=number % 2 == 0)


def _smoothed(random: Random) -> hrs.SmoothedGuard:
    kernel = random.choice((hrs.UniformKernel(0.25, 8), hrs.AbsorbingKernel(0.5)))
    guard, sigma = random.choice((Parity(), Scored())), random.choice((0.0, 0.5))
    return hrs.SmoothedGuard(guard, kernel, sigma, _threat(random))


def _threat(random: Random) -> Any:
    return random.choice((hrs.SuffixThreat(2), hrs.SuffixThreat(2, one_shot=False), hrs.L0Threat(2)))


def _frontier(random: Random) -> hrs.Frontier:
    return hrs.frontier(random.choice((0.9, 0.9999)), KERNELS[0], sigma=1.0, tau=random.choice((0.01, 0.5)), d_max=2)


def _certificate(random: Random) -> hrs.Certificate:
    return hrs.certify(random.choice((0.3, 0.9999)), random.choice(KERNELS), d=1, epsilon=0.5, sigma=1.0, tau=0.1)


def _score(random: Random) -> float:
    return random.choice((0.0, 1.0, random.random()))


GOOD: dict[str, Callable[[Random], Any]] = {
    "alpha": lambda r: r.choice((0.01, 0.05, 0.5, 1e-9)),
    "above": lambda r: [0, 1],
    "ax": lambda r: None,
    "batch_draws": lambda r: r.choice((1, 64, 200)),
    "benign": _benign,
    "beta": lambda r: r.choice((0.0, 0.25, 1.0)),
    "candidate": _candidate,
    "candidates": lambda r: 1 + r.randrange(3),
    "certificate": lambda r: r.choice((_certificate, _text_certificate))(r),
    "clean": lambda r: np.zeros(3, dtype=np.int64),
    "confidence": lambda r: r.choice((0.5, 0.9)),
    "counts": _evidence,
    "counts_or_p_a": lambda r: r.choice((_evidence(r), 0.999, 0.5)),
    "d": lambda r: r.randrange(3),
    "d_max": lambda r: r.randrange(3),
    "digits": lambda r: r.randrange(9),
    "draws": lambda r: [("a", 0)],
    "effort": lambda r: None,
    "epsilon": lambda r: r.choice((0.0, 0.25, 1.0, 3.0)),
    "example": lambda r: _example(1 + r.randrange(4)),
    "false_alarms": lambda r: r.choice((0.0, 0.05, 0.5)),
    "guard": lambda r: Parity(),
    "id": lambda r: r.choice(("a", "b/c")),
    "image": lambda r: np.full((3, 2, 2), 0.5),
    "k": lambda r: r.randrange(10),
    "kernel": lambda r: r.choice(KERNELS),
    "length": lambda r: 1 + r.randrange(4),
    "levels": lambda r: r.choice(([0.5, 1.0], [0.1, 0.2])),
    "margins": lambda r: [0.0, 0.1],
    "masked": lambda r: r.random() < 0.5,
    "flagged": lambda r: [[2], [0], [1]],
    "max_draws": lambda r: r.choice((1, 100, 300)),
    "max_edits": lambda r: 1 + r.randrange(3),
    "n": lambda r: r.choice((10, 100)),
    "one_shot": lambda r: r.random() < 0.5,
    "other": _frontier,
    "p": lambda r: r.choice(([0.9, 0.5], [0.5, 0.5])),
    "p_a": lambda r: r.choice((0.0, 0.5, 0.99, 1.0, [0.9, 0.95, 0.999])),
    "p_b": lambda r: r.choice((0.0, 0.3, 0.5)),
    "power": lambda r: r.choice((0.6, 0.9)),
    "progress": lambda r: False,
    "q": lambda r: r.choice(([0.9, 0.1], [0.5, 0.5])),
    "ratio": _ratio,
    "reached": lambda r: ((9, 5), (8, 4)),
    "replaced": lambda r: np.array([[True, False, True], [True, True, False]]),
    "rng": lambda r: np.random.default_rng(0),
    "safe": lambda r: (9, 4, 1),
    "scores": lambda r: [_score(r) for _ in range(9)],
    "seed": lambda r: r.randrange(4),
    "sigma": lambda r: r.choice((0.5, 1.0)),
    "simultaneous": lambda r: r.random() < 0.5,
    "sizes": lambda r: (2, 5, 3),
    "smoothed": _smoothed,
    "tau": lambda r: r.choice((4.6e-5, 0.3, 1.0)),
    "taus": lambda r: [0.1, 0.5],
    "text": lambda r: "a text",
    "texts": lambda r: r.choice((1, 1, 2, 3)),
    "threat": _threat,
    "noise": lambda r: r.choice(("float32", "lattice")),
    "distance": lambda r: r.choice((0.0, 1e-12)),
    "token_ids": lambda r: np.arange(3),
    "unsafe": lambda r: r.choice(((1,), (3, 2, 1))),
    "values": lambda r: [0.123, 4.567],
    "vocab_size": lambda r: r.choice((2, 8, 32_000)),
}
OWN: dict[str, dict[str, Callable[[Random], Any]]] = {  # where a name means something else in one place
    "choose": {
        "candidates": lambda r: {"first": _candidate(r), "second": _candidate(r)},
        "score": lambda r: lambda fronts: float(len(fronts)),
    },
    "Candidate": {"unsafe": lambda r: [hrs.Counts((90,), 100, "u", 1)]},
    "Certificate.from_json": {"text": lambda r: _certificate(r).to_json()},
    "TextCertificate.from_json": {"text": lambda r: _text_certificate(r).to_json()},
    "TextCounts.from_dict": {"values": lambda r: _text_counts(r).to_dict()},
    "read_certificate": {"text": lambda r: r.choice((_certificate, _text_certificate))(r).to_json()},
    "Example": {"unsafe": lambda r: r.choice((True, False, None))},
    "FeatureKernel.sample": {"clean": lambda r: np.zeros(3, dtype=np.int64)},
    "LikelihoodRatio.from_masses": {"p": lambda r: r.choice(([0.5, 0.5], [0.9, 0.1]))},
    "LikelihoodRatio.compose": {"other": _ratio},
    "LikelihoodRatio.power": {"d": lambda r: r.randrange(4)},
    "L0Threat.noised": {"length": lambda r: 1 + r.randrange(4)},
    "SubsetCounts": {"length": lambda r: 5},
    "SuffixThreat.noised": {"length": lambda r: r.randrange(4)},
    "Calibration.flags": {"counts": lambda r: hrs.Counts((r.randrange(100),), 100)},
    "frontiers_of": {"counts": lambda r: [hrs.Counts((90,), 100, "u", 1)] * 2},
    "sample_margins": {"smoothed": lambda r: hrs.SmoothedGuard(Scored(), hrs.UniformKernel(0.25, 8), 0.5, _threat(r))},
    "sample_together": {"smoothed": lambda r: [_smoothed(r)]},
    "SubsetCounts.from_failures": {"d_max": lambda r: r.randrange(3)},
}
SELF: dict[str, Callable[[Random], Any]] = {  # an object of each class, for its methods
    "AbsorbingKernel": lambda r: hrs.AbsorbingKernel(0.5),
    "Calibration": lambda r: hrs.calibrate(_benign(r), 0.5),
    "Candidate": _candidate,
    "Certificate": _certificate,
    "Counts": _counts,
    "Example": lambda r: _example(2),
    "FeatureKernel": lambda r: KERNELS[-1],
    "Frontier": _frontier,
    "L0Threat": lambda r: hrs.L0Threat(2),
    "LikelihoodRatio": _ratio,
    "MaskedCounts": lambda r: hrs.MaskedCounts((9, 5, 1), 10),
    "ScoreEvidence": lambda r: ScoreEvidence().add([0.5, 1.0]),
    "SmoothedGuard": _smoothed,
    "SubsetCounts": lambda r: hrs.SubsetCounts((9, 4, 1), 10, 5, 0.25),
    "SuffixThreat": lambda r: hrs.SuffixThreat(2),
    "TextCertificate": lambda r: _text_certificate(r),
    "TextCounts": lambda r: _text_counts(r),
    "UniformKernel": lambda r: hrs.UniformKernel(0.25, 8),
}
MADE_ELSEWHERE = {  # plain records that the package fills in; protocols; errors
    "Calibration",
    "Certificate",
    "Decision",
    "Frontier",
    "Guard",
    "LikelihoodRatio",
    "Plan",
    "ScoreEvidence",
    "TextCertificate",
    "VerificationError",
}
NOT_CALLED = {"Decision", "Guard", "Plan", "VerificationError"}  # no method of theirs takes an argument
EXPENSIVE = {"Frontier.plot"}  # drawn by the tests of plots


@dataclass(frozen=True)
class Target:
    """One public callable.

    Args:
        name: as people call it, without the package.
        parameters: those it takes, without self.
        call: calls it: first argument a random generator that makes self where there is one.
    """

    name: str
    parameters: tuple[str, ...]
    call: Callable[[Random, dict[str, Any]], Any]

    def good(self, parameter: str) -> Callable[[Random], Any]:
        """The strategy of a parameter; a KeyError says that a new one needs its own."""
        own = OWN.get(self.name, {})
        return own[parameter] if parameter in own else GOOD[parameter]


def targets() -> list[Target]:
    """Every public function, constructor and method with arguments, read off :data:`PUBLIC`."""
    found: list[Target] = []
    for name, thing in PUBLIC.items():
        if not callable(thing):  # __version__
            continue
        if not inspect.isclass(thing):
            found.append(_function(name, thing))
            continue
        if name not in MADE_ELSEWHERE:
            found.append(_function(name, thing))
        if name in NOT_CALLED:
            continue
        for attribute, member in inspect.getmembers(thing, callable):
            full = f"{name}.{attribute}"
            if attribute.startswith("_") or attribute == "mro" or full in EXPENSIVE:
                continue
            found.append(_function(full, member) if inspect.ismethod(member) else _method(name, full, attribute))
    return found


def _parameters(function: Any) -> tuple[str, ...]:
    names = [parameter.name for parameter in inspect.signature(function).parameters.values()]
    return tuple(name for name in names if name != "self")


def _function(name: str, function: Any) -> Target:
    return Target(name, _parameters(function), lambda random, given: function(**given))


def _method(owner: str, full: str, attribute: str) -> Target:
    make = SELF[owner]
    return Target(
        full,
        _parameters(getattr(PUBLIC[owner], attribute)),
        lambda random, given: getattr(make(random), attribute)(**given),
    )


# --- what a result must look like -------------------------------------------------------------------------------------


def check(name: str, given: dict[str, Any], result: Any) -> None:
    """Raise AssertionError unless the result is one that this callable may give."""
    rule = RESULTS.get(name)
    if rule is not None:
        rule(given, result)
    elif inspect.isgenerator(result):
        for each, _ in zip(result, range(2), strict=False):
            check("frontier", given, each) if isinstance(each, hrs.Frontier) else None
    for part in result if isinstance(result, list) else [result]:
        if isinstance(part, hrs.Frontier):
            _sound_frontier(part)
        if isinstance(part, hrs.Counts | hrs.MaskedCounts):
            assert all(isinstance(k, int) and 0 <= k <= part.n for k in part.unsafe)
        if isinstance(part, hrs.Certificate):
            assert 0 <= part.p_adv <= max(part.p, 0.0) <= 1
            assert hrs.verify(part) >= part.p_adv
        if isinstance(part, hrs.TextCertificate):
            assert hrs.verify(part) >= part.p_adv >= 0
        if isinstance(part, hrs.LikelihoodRatio):
            assert abs(part.p_finite + part.p_at_zero - 1) < 1e-8


def _sound_frontier(front: hrs.Frontier) -> None:
    radii = front.radii[~np.isnan(front.radii)]
    assert front.radii.dtype == np.float64
    assert np.all(radii >= 0)
    assert np.all((front.p >= 0) & (front.p <= 1))


def _broadcast(given: dict[str, Any], names: tuple[str, ...]) -> tuple[int, ...]:
    return np.broadcast_shapes(*(np.shape(given[name]) for name in names))


def _probabilities(*names: str) -> Callable[[dict[str, Any], Any], None]:
    def rule(given: dict[str, Any], result: Any) -> None:
        array = np.asarray(result)
        assert array.dtype == np.float64
        assert array.shape == _broadcast(given, names)
        assert np.all((array >= 0) & (array <= 1))

    return rule


def _p_adv(given: dict[str, Any], result: Any) -> None:
    _probabilities("p_a", "epsilon", "sigma")(given, result)
    assert np.all(result <= np.asarray(given["p_a"], dtype=np.float64))


def _p_adv_upper(given: dict[str, Any], result: Any) -> None:
    _probabilities("p_a", "epsilon", "sigma")(given, result)
    assert np.all(result >= np.asarray(given["p_a"], dtype=np.float64))


def _log_p_adv(given: dict[str, Any], result: Any) -> None:
    assert np.shape(result) == _broadcast(given, ("p_a", "epsilon", "sigma"))
    assert np.all(np.asarray(result) <= 0)


def _radii(*names: str) -> Callable[[dict[str, Any], Any], None]:
    def rule(given: dict[str, Any], result: Any) -> None:
        array = np.asarray(result)
        assert array.dtype == np.float64
        assert array.shape == _broadcast(given, names)
        assert np.all(np.isnan(array) | (array >= 0))

    return rule


def _required(given: dict[str, Any], result: Any) -> None:
    array = np.asarray(result)
    assert array.shape == _broadcast(given, ("epsilon", "sigma", "tau"))
    assert np.all(np.isnan(array) | ((array >= 0) & (array <= 1)))


def _edits(given: dict[str, Any], result: Any) -> None:
    assert np.all((np.asarray(result) >= -1) & (np.asarray(result) <= given["d_max"]))
    assert np.asarray(result).dtype == np.int64


def _lower(given: dict[str, Any], result: Any) -> None:
    _probabilities("k", "n", "alpha")(given, result)
    assert np.all(result <= np.asarray(given["k"]) / np.asarray(given["n"]) + (np.asarray(given["alpha"]) > 0.5))


def _upper(given: dict[str, Any], result: Any) -> None:
    _probabilities("k", "n", "alpha")(given, result)
    assert np.all(result >= np.asarray(given["k"]) / np.asarray(given["n"]) - (np.asarray(given["alpha"]) > 0.5))


def _one_probability(given: dict[str, Any], result: Any) -> None:
    assert isinstance(result, float)
    assert 0 <= result <= 1


def _floored(given: dict[str, Any], result: Any) -> None:
    values = np.asarray(given["values"], dtype=np.float64)
    assert np.shape(result) == values.shape
    assert np.all((result <= values) | np.isnan(values))
    assert np.array_equal(np.isnan(result), np.isnan(values))


def _layers(given: dict[str, Any], result: Any) -> None:
    assert np.shape(result) == _broadcast(given, ("epsilon", "sigma"))
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


def _decision(given: dict[str, Any], result: Any) -> None:
    assert result.verdict in ("certified", "not certifiable", "undecided")
    assert 0 <= result.lower <= 1
    assert 0 <= result.upper <= 1
    assert 0 <= result.unsafe <= result.draws <= given["max_draws"]


def _plan(given: dict[str, Any], result: Any) -> None:
    assert np.isnan(result.required) or 0 <= result.required <= 1
    assert result.draws is None or result.draws >= 1
    assert 0 <= result.chance <= 1


RESULTS: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "bounded_mean_lower": _one_probability,
    "certified_edits": _edits,
    "certified_radius": _radii("p_a", "sigma", "tau"),
    "certified_radius_texts": _text_radii,
    "certified_radius_top": _radii("p_a", "p_b", "sigma"),
    "clopper_pearson_lower": _lower,
    "clopper_pearson_upper": _upper,
    "floored": _floored,
    "layer_bounds": _bounds,
    "log_p_adv": _log_p_adv,
    "mixture_lower": _probabilities("k", "n", "alpha"),
    "mixture_upper": _probabilities("k", "n", "alpha"),
    "p_adv": _p_adv,
    "p_adv_layers": _layers,
    "p_adv_texts": _text_values,
    "p_adv_upper": _p_adv_upper,
    "plan": _plan,
    "required_p_a": _required,
    "Calibration.false_alarm_bound": _one_probability,
    "ScoreEvidence.lower": _one_probability,
    "ScoreEvidence.upper": _one_probability,
    "SmoothedGuard.decide": _decision,
    "verify": lambda given, result: _one_probability(given, result),
}


# --- the run ----------------------------------------------------------------------------------------------------------


class Hang(BaseException):
    """A call took longer than any call may."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise Hang in a block that takes more seconds of this process's processor time."""

    def ring(number: int, frame: Any) -> None:
        raise Hang(f"{seconds} seconds of processor time")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def names_a_parameter(error: BaseException, parameters: tuple[str, ...]) -> bool:
    """Whether a message is of the one form, ``name = value: remedy``, and its name that of a parameter."""
    subject, equals, rest = str(error).partition(" = ")
    # a part of an argument is named as guard.alphabet, or by its field, as the unsafe of counts
    known = {*parameters, *FIELDS}
    return bool(equals) and ": " in rest and any(word in known for word in re.findall(r"\w+", subject))


FIELDS = {
    "unsafe",
    "safe",
    "n",
    "k",
    "p",
    "counts",
    "example",
    "log_t",
    "p_adv",
    "atoms",
    "alphabet",
    "tau",
    "length",
} | {"threat", "kernel", "guard", "smoothed"}


def fault(target: Target, given: dict[str, Any], random: Random) -> str:
    """Make one call; return what is wrong with its outcome, or an empty string."""
    try:
        with warnings.catch_warnings(), bounded(CPU_SECONDS):
            warnings.simplefilter("error")
            result = target.call(random, given)
            check(target.name, given, result)
    except AssertionError as error:
        line = error.__traceback__
        while line is not None and line.tb_next is not None:
            line = line.tb_next
        where = f"line {line.tb_lineno}" if line is not None else ""
        return f"a result that is not valid ({where})"
    except (ValueError, TypeError) as error:
        if len(str(error)) > LONGEST:
            return f"a message of {len(str(error))} characters"
        if not str(error).isprintable() and "\n" in str(error).strip():
            return f"a message of several lines: {str(error)[:80]!r}"
        if not names_a_parameter(error, target.parameters):
            return f"{type(error).__name__} that names no parameter: {str(error)[:120]!r}"
    except (Exception, Hang) as error:
        return f"{type(error).__name__}: {str(error)[:120]!r}"
    return ""


def run(count: int, seed: int) -> dict[str, Any]:
    """Make so many calls, shared equally among the public callables; return what came of them.

    Returns:
        ``calls``, ``targets``, ``refused`` (calls with at least one hostile value, for those that were refused),
        ``seconds``, ``slowest`` (seconds, name), and ``faults``, a list of sentences, empty if all is well.
    """
    random, began = Random(seed), time.perf_counter()
    every = targets()
    faults: Counter[str] = Counter()
    slowest = (0.0, "")
    for number in range(count):
        target = every[number % len(every)]
        given = {name: target.good(name)(random) for name in target.parameters}
        names = list(given)
        # with each tenth call all good, so that results are checked, too
        for name in random.sample(names, min(len(names), random.choice((0, 1, 1, 1, 1, 1, 1, 2, 2, 3)))):
            given[name] = hostile(random)
        before = time.process_time()
        found = fault(target, given, random)
        slowest = max(slowest, (round(time.process_time() - before, 2), target.name))
        if found:
            faults[f"{target.name}({_few(given)}): {found}"] += 1
    return {
        "calls": count,
        "targets": len(every),
        "seconds": round(time.perf_counter() - began, 1),
        "slowest": list(slowest),
        "faults": [f"{what} ({many} times)" for what, many in faults.most_common()],
    }


def _few(given: dict[str, Any]) -> str:
    from hybrid_rs._checks import shown

    return ", ".join(f"{name}={shown(value, how=repr)[:40]}" for name, value in given.items())
