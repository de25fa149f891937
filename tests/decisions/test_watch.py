"""A watched frontier: its bounds hold at every draw at once, never shrink, and are those of a decision."""

from dataclasses import replace

import numpy as np
import pytest
from toys import EXAMPLE, KERNEL, NESTED, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.decisions.decide import decide
from hybrid_rs.decisions.watch import watch
from hybrid_rs.evidence.confidence_sequences import mixture_lower

WORDS = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
LAW = {"sigma": 1.0, "tau": 0.01}


def toy(threat=SUFFIX):
    return hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=threat)


@pytest.mark.seconds
def test_the_largest_bound_so_far_is_above_p_at_any_draw_with_the_stated_probability_alone():
    rng, p, runs, alpha = np.random.default_rng(0), 0.9, 300, 0.1
    wrong = fixed = 0
    for row in rng.random((runs, 200)) < p:
        *_, last = watch([row[:, None]], WORDS, d_max=0, alpha=alpha, **LAW)
        k, n = np.cumsum(row), np.arange(1, row.size + 1)
        wrong += last.p[0] > p
        # what the same look-and-keep-the-best does to bounds that are made for one n
        fixed += np.any(hrs.clopper_pearson_lower(k[9::10], n[9::10], alpha) > p)
    assert wrong / runs <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / runs)
    assert wrong / runs >= alpha / 10  # it is not won by bounds that say nothing
    assert fixed / runs > 2 * alpha


@pytest.mark.parametrize(
    ("threat", "masked"),
    [(SUFFIX, False), (NESTED, False), (hrs.L0Threat(2), False), (SUFFIX, True), (hrs.L0Threat(2), True)],
)
def test_radii_never_shrink_and_the_batches_change_nothing(threat, masked):
    def at(batch_draws):
        fronts = toy(threat).watch(EXAMPLE, 512, tau=0.01, masked=masked, batch_draws=batch_draws)
        return {front.n: front for front in fronts}

    few, many = at(256), at(64)
    assert list(few) == [256, 512]
    assert list(many) == [64 * i for i in range(1, 9)]
    for n, front in few.items():
        np.testing.assert_array_equal(front.p, many[n].p)
        np.testing.assert_array_equal(front.radii, many[n].radii)
    radii = np.nan_to_num([front.radii for front in many.values()], nan=-1.0)
    assert np.all(np.diff(radii, axis=0) >= 0)
    assert np.any(np.diff(radii, axis=0) > 0)


@pytest.mark.parametrize("masked", [False, True])
def test_a_point_is_certified_at_the_draw_at_which_a_decision_certifies_it(masked):
    smoothed = toy()
    fronts = list(smoothed.watch(EXAMPLE, 640, tau=0.01, masked=masked, batch_draws=64))
    reached = []
    for d in range(4):
        for epsilon in np.linspace(0.01, 0.6, 7):
            decision = smoothed.decide(EXAMPLE, d, epsilon, tau=0.01, max_draws=640, masked=masked)
            by = [front.n for front in fronts if front.radii[d] >= epsilon]
            assert (min(by) - 64 < decision.draws <= min(by)) if by else decision.verdict != "certified"
            reached += by[:1]
    assert len(set(reached)) > 1


def test_at_a_decision_the_bound_is_the_decisions():
    rows = np.random.default_rng(1).random(1000) < 0.97
    for p_star in (0.5, 0.8, 0.9):
        decision = decide([rows], p_star)
        assert decision.verdict == "certified"
        *_, front = watch([rows[: decision.draws, None]], WORDS, d_max=0, **LAW)
        assert front.p[0] == pytest.approx(decision.lower, rel=1e-9)
        *_, before = watch([rows[: decision.draws - 1, None]], WORDS, d_max=0, **LAW)
        assert before.p[0] < p_star


def test_no_draw_is_made_in_vain():
    smoothed = toy()
    fronts = smoothed.watch(EXAMPLE, 10_000, tau=0.01, batch_draws=64)
    assert smoothed.guard.seen == []
    next(fronts)
    assert len(smoothed.guard.shown()[0]) == 64
    *_, last = smoothed.watch(EXAMPLE, 100, tau=0.01, batch_draws=64)
    assert last.n == 100


def test_the_claim_names_moments_points_and_classifiers():
    def claim(threat, **how):
        return next(toy(threat).watch(EXAMPLE, 64, tau=0.01, **how))

    one = claim(SUFFIX)
    assert (one.one_classifier, one.simultaneous, one.anytime) == (True, True, True)
    assert "simultaneously, whenever one stops, with confidence 0.99 (64 draws so far)" in one.claim
    each = claim(NESTED)
    assert (each.one_classifier, each.simultaneous, each.anytime) == (False, False, True)
    assert "by itself, whenever one stops (64 draws so far); not simultaneously" in each.claim
    together = claim(NESTED, simultaneous=True)
    assert together.simultaneous
    assert np.all(together.p <= each.p)
    assert np.any(together.p < each.p)
    assert claim(SUFFIX, masked=True).masked.all()
    assert not claim(SUFFIX, masked=True).simultaneous
    fixed = toy().certify(EXAMPLE, 64, tau=0.01)
    assert not fixed.anytime
    assert "stops" not in fixed.claim
    assert fixed.best(one).anytime is False


def test_the_union_bound_shares_the_risk_equally():
    rows = np.ones((50, 3), dtype=bool)
    (front,) = watch([rows], WORDS, d_max=2, alpha=0.03, simultaneous=True, **LAW)
    np.testing.assert_allclose(front.p, mixture_lower(50, 50, 0.01))
    assert front.alpha == 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: next(toy(NESTED).watch(EXAMPLE, tau=0.1, masked=True)), "use one_shot=True"),
        (lambda: toy().watch(EXAMPLE, 0, tau=0.1), "max_draws = 0"),
        (lambda: next(watch([np.ones((5, 2), bool)], WORDS, d_max=2, **LAW)), r"shape \(batch, 1 or 3\)"),
        (lambda: next(watch([np.ones((5, 1))], WORDS, d_max=2, **LAW)), "verdicts"),
        (lambda: list(watch([np.ones((5, 1), bool), np.zeros((5, 3), bool)], WORDS, d_max=2, **LAW)), r"\(batch, 1\)"),
        (lambda: next(watch([np.ones((5, 1), bool)], WORDS, d_max=2, alpha=2, **LAW)), "alpha = 2"),
        (lambda: next(watch([np.ones((5, 1), bool)], WORDS, d_max=2, **LAW | {"tau": 2})), "tau = 2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_two_watched_frontiers_of_one_classifier_may_be_joined():
    (plain,) = toy().watch(EXAMPLE, 64, tau=0.01)
    (masked,) = toy().watch(EXAMPLE, 64, tau=0.01, masked=True, simultaneous=True)
    both = plain.best(masked)
    assert both.anytime
    assert both.simultaneous
    assert both.alpha == pytest.approx(0.02)
    assert replace(both, anytime=False).claim != both.claim
