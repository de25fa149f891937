"""Selection: prices fall as thresholds rise, and what chose a candidate does not certify it."""

from functools import partial

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.decisions.select import Candidate, choose, mean_edits, mean_radius, robustness_curve, share_certified

KERNEL = hrs.UniformKernel(beta=0.25, vocab_size=1000)


def counts(name, ks, seed=0, n=1000):
    return [hrs.Counts((int(k),), n, f"{name} {i}", seed) for i, k in enumerate(ks)]


@pytest.fixture
def candidate():
    rng = np.random.default_rng(0)
    return Candidate(
        counts("safe", rng.geometric(0.02, 30) - 1), counts("unsafe", 1000 - rng.geometric(0.03, 20)), KERNEL, 0.5
    )


def test_along_the_curve_false_alarms_and_certificates_fall_together(candidate):
    curve = robustness_curve(candidate, np.geomspace(1e-4, 0.9, 6), d=1, epsilon=0.3)
    for column in ("estimated alarms", "deployed alarms", "certified", "mean radius", "mean d"):
        assert np.all(np.diff(curve[column]) <= 0)
        assert curve[column].iloc[0] > curve[column].iloc[-1]
    assert np.all(curve["estimated alarms"] <= curve["deployed alarms"])


def test_a_row_of_the_curve_is_what_the_frontiers_say(candidate):
    (row,) = robustness_curve(candidate, [0.05], d=1, epsilon=0.3, d_max=3).to_dict("records")
    radii = [hrs.frontier_of(c, KERNEL, sigma=0.5, tau=0.05, d_max=3).radii for c in candidate.unsafe]
    assert row["mean radius"] == pytest.approx(sum(0 if np.isnan(r[1]) else r[1] for r in radii) / 20)
    assert row["certified"] == sum(bool(r[1] >= 0.3) for r in radii) / 20
    assert row["mean d"] == sum(max(0, (~np.isnan(r)).sum() - 1) for r in radii) / 20
    assert row["estimated alarms"] == np.mean([c.unsafe[0] >= 50 for c in candidate.benign])


def test_the_best_score_wins_at_its_own_threshold_and_the_first_of_equals():
    ks = {"strict": (0, 700), "middle": (20, 980), "lax": (600, 1000)}
    candidates = {
        name: Candidate(counts("safe", [safe] * 5), counts("unsafe", [unsafe] * 3), KERNEL, 0.5)
        for name, (safe, unsafe) in ks.items()
    }
    made = choose(candidates, partial(mean_radius, d=1), false_alarms=0.0)
    assert made.name == "middle" == max(made.scores, key=made.scores.get)
    assert made.calibration.tau == hrs.calibrate(candidates["middle"].benign, 0.0).tau
    assert choose(candidates, lambda found: 1.0).name == "strict"


def test_a_choice_refuses_the_draws_of_every_candidate_and_no_others(candidate):
    other = Candidate(candidate.benign, counts("spare", [500]), KERNEL, 0.5)
    made = choose({"a": candidate, "b": other}, mean_edits)
    for given in (candidate.unsafe, other.unsafe, candidate.benign):
        for c in given:
            with pytest.raises(ValueError, match="helped to choose tau"):
                hrs.frontier_of(c, KERNEL, sigma=0.5, tau=made.calibration, d_max=1)
    again = counts("unsafe", [990], seed=1) + counts("further", [990])
    assert len(frontiers_of(again, KERNEL, sigma=0.5, tau=made.calibration, d_max=1)) == 2
    with pytest.raises(ValueError, match="helped to choose tau"):
        robustness_curve(candidate, [made.calibration], d=1, epsilon=0.1)


def test_candidates_share_the_risk_of_the_populations_bound():
    safe = counts("safe", range(200))
    candidates = {name: Candidate(safe, counts("unsafe", [990]), KERNEL, 0.5) for name in range(4)}
    paid = choose(candidates, mean_edits, false_alarms=0.1, confidence=0.9).calibration
    alone = hrs.calibrate(safe, 0.1, confidence=0.975)
    assert (paid.tau, paid.above) == (alone.tau, alone.above)
    assert paid.false_alarm_bound(0.9) == pytest.approx(alone.false_alarm_bound(0.975))
    assert paid.false_alarm_bound(0.9) <= 0.1


def test_share_certified_counts_the_examples_that_reach_both_budgets(candidate):
    found = candidate.frontiers(0.05, d_max=2)
    assert share_certified(found, 1, 0.0) == np.mean([front.edits() >= 1 for front in found])
    assert share_certified(found, 1, 0.0) >= share_certified(found, 1, 0.5) >= share_certified(found, 2, 0.5)
