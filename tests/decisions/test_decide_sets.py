"""Decisions for all sets at once: their risk, exactly the wealth of the worst set, and what they cost."""

import math
from itertools import combinations

import numpy as np
import pytest
from toys import EXAMPLE, KERNEL, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.decisions.decide import decide, stopping_boundary
from hybrid_rs.decisions.decide_sets import decide_sets

LAW = {"length": 4, "size": 2, "beta": 0.5}
PAIRS = np.array(list(combinations(range(4), 2)))
HARM = np.array([0.02, 0.1, 0.02, 0.02])  # by position, what replacing it adds to the chance of a failure
LEAST = 1 - 0.02 - (0.1 + 0.02) - 0.5 * 2 * 0.02  # p_S of a worst pair; three of the six are


def guard_draws(rng, *shape, scale=1.0):
    """A guard that fails more often where the second position was replaced."""
    replaced = rng.random((*shape, 4)) < 0.5
    return rng.random(shape) >= 0.02 + replaced @ HARM * scale, replaced


def kept_of(flagged, replaced):
    """By draw, how many draws are no miss of the pair with the most misses: from the definition."""
    missed = ~flagged[..., None] & replaced[..., PAIRS].all(axis=-1)
    return np.arange(1, flagged.shape[-1] + 1) - missed.cumsum(axis=-2).max(axis=-1)


def boundaries(p_star, alpha, draws):
    """The counts at which it certifies and refuses, from those of single probabilities."""
    required = 1 - 0.25 * (1 - p_star)
    certify, _ = stopping_boundary(required + 2.0**-50, alpha=alpha, max_draws=draws)
    _, refuse = stopping_boundary(required - 2.0**-50, alpha=alpha / len(PAIRS), max_draws=draws)
    return certify[1:], refuse[1:]


@pytest.mark.parametrize(("p_star", "alpha"), [(0.7, 0.1), (0.8, 0.01), (0.95, 0.05)])
def test_it_stops_where_the_wealth_of_the_worst_set_says(p_star, alpha):
    rng, draws = np.random.default_rng(0), 400
    certify, refuse = boundaries(p_star, alpha, draws)
    verdicts = set()
    for _ in range(25):
        flagged, replaced = guard_draws(rng, draws, scale=rng.choice([0.0, 1.0, 4.0]))
        k = kept_of(flagged, replaced)
        stops = np.flatnonzero((k >= certify) | (k <= refuse))
        cut = np.sort(rng.integers(0, draws, 3))
        made = decide_sets(
            zip(np.split(flagged, cut), np.split(replaced, cut), strict=True), p_star, alpha=alpha, **LAW
        )
        assert made == decide_sets([(flagged, replaced)], p_star, alpha=alpha, **LAW)
        at = stops[0] if stops.size else draws - 1
        assert (made.draws, made.unsafe) == (at + 1, k[at])
        expected = "undecided" if not stops.size else "certified" if k[at] >= certify[at] else "not certifiable"
        assert made.verdict == expected
        assert 0 <= made.lower <= made.upper <= 1
        verdicts.add(expected)
    assert len(verdicts) > 1


def test_a_verdict_is_wrong_at_most_as_often_as_stated():
    """10,000 runs each, at the least p_S of the guard and next to it."""
    rng, runs, draws, alpha = np.random.default_rng(1), 10_000, 150, 0.1
    for p_star, wrong in ((LEAST + 1e-6, "certified"), (LEAST, "not certifiable")):
        certify, refuse = boundaries(p_star, alpha, draws)
        k = np.concatenate([kept_of(*guard_draws(rng, 500, draws)) for _ in range(runs // 500)])
        errs = (k >= certify) if wrong == "certified" else (k <= refuse)
        share = errs.any(axis=1).mean()
        assert share <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)
        assert share > 0
    for _ in range(20):
        assert decide_sets([guard_draws(rng, 2_000, scale=0.0)], 0.8, **LAW).verdict == "certified"


def test_sets_of_no_position_are_decided_like_one_probability():
    rng = np.random.default_rng(2)
    for p_star in (0.0, 0.5, 0.9, float("nan")):
        flagged = rng.random(500) < 0.8
        mine = decide_sets([(flagged, rng.random((500, 3)) < 0.5)], p_star, length=3, size=0, beta=0.5)
        known = decide([flagged], p_star)
        assert (mine.verdict, mine.draws, mine.unsafe) == (known.verdict, known.draws, known.unsafe)
        assert mine.lower == pytest.approx(known.lower, abs=1e-9)
        assert mine.upper == pytest.approx(known.upper, abs=1e-9)


def test_the_distance_of_the_law_makes_both_verdicts_harder():
    flagged, none = np.ones(2_000, bool), np.zeros((2_000, 4), bool)
    near, far = (decide_sets([(flagged, none)], 0.9, distance=off, **LAW) for off in (0.0, 0.01))
    assert near.draws < far.draws
    all_missed = (~flagged, ~none)
    near, far = (decide_sets([all_missed], 0.2, distance=off, **LAW) for off in (0.0, 0.1))
    assert near.verdict == far.verdict == "not certifiable"
    assert near.draws < far.draws


def test_a_smoothed_guard_decides_where_p_a_alone_cannot():
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=hrs.L0Threat(3))
    target = {"d": 2, "epsilon": 0.05, "tau": 0.05}
    made = smoothed.decide(EXAMPLE, **target, masked=True, max_draws=2_000)
    again = smoothed.decide(EXAMPLE, **target, masked=True, max_draws=2_000, batch_draws=256)
    assert made == again
    assert made.draws <= 2_000
    assert made.sets > 1
    assert f"for the worst of {made.sets} sets" in str(made)
    counts = smoothed.sample(EXAMPLE, made.draws, masked=True)
    assert made.unsafe == made.draws - counts.safe[2]  # the same draws, and the same worst set
    assert smoothed.decide(EXAMPLE, 0, 0.05, tau=0.05, masked=True).verdict == "certified"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 5}, "size = 5"),
        ({"length": 300, "size": 3}, "size = 3: 300 positions have over 20000 sets"),
        ({"beta": 0.0}, "beta = 0.0"),
        ({"alpha": 1.0}, "alpha = 1.0"),
        ({"length": 3}, r"replaced = .*give bool arrays of shape \(2, 3\)"),
    ],
)
def test_bad_input_is_named_with_its_value(change, message):
    batch = (np.ones(2, bool), np.zeros((2, 4), bool))
    with pytest.raises(ValueError, match=f"^{message}"):
        decide_sets([batch], 0.9, **LAW | change)
    with pytest.raises(ValueError, match=r"^verdicts = "):
        decide_sets([(np.ones(2), batch[1])], 0.9, **LAW)
    assert decide_sets([], 0.9, **LAW).verdict == "undecided"
