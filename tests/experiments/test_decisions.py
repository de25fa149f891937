"""Replayed decisions are those of ``decide``; the schedule of looks keeps its risk."""

import numpy as np
import pytest
from scipy.stats import binom
from toys import EXAMPLE, KERNEL, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.decisions.decide import decide
from hybrid_rs.experiments.decisions import decided, replay, schedule, scheduled, sequential, targets

P_STARS = np.array([0, 1e-3, 0.05, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 0.999, 0.99999, 1, np.nan])


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.7, 0.95, 0.99, 1.0])
def test_a_replay_says_what_decide_says(p):
    row = np.random.default_rng(3).random(900) < p
    verdicts, draws = sequential(row, P_STARS)
    for verdict, n, p_star in zip(verdicts, draws, P_STARS, strict=True):
        decision = decide([row], p_star, max_draws=900)
        assert (verdict, n) == (decision.verdict, decision.draws)


def test_looks_double_up_to_the_last():
    assert schedule(10_000).tolist() == [64, 128, 256, 512, 1024, 2048, 4096, 8192, 10_000]
    assert schedule(64).tolist() == [64]
    assert schedule(5).tolist() == [5]


def test_the_schedule_keeps_its_risk_exactly():
    looks, alpha, p = schedule(256), 0.05, 0.8
    wrong, undecided = 0.0, {0: 1.0}  # probability by number of unsafe verdicts, no look having told
    for look, last in zip(looks, [0, *looks[:-1]], strict=True):
        reached: dict[int, float] = {}
        for k, mass in undecided.items():
            step = np.arange(look - last + 1)
            for j, chance in zip(step, binom.pmf(step, look - last, p), strict=True):
                reached[k + j] = reached.get(k + j, 0.0) + mass * chance
        undecided = {}
        for k, mass in reached.items():
            lower = hrs.clopper_pearson_lower(k, look, alpha / looks.size)
            if lower >= np.nextafter(p, 1):  # a target just out of reach
                wrong += mass
            else:
                undecided[k] = mass
    assert 0 < wrong <= alpha


def test_the_schedule_says_what_its_first_telling_look_says():
    rng, looks = np.random.default_rng(0), schedule(1000)
    for p in (0.02, 0.5, 0.97, 1.0):
        row = rng.random(1000) < p
        verdicts, draws = scheduled(row, P_STARS, looks)
        for verdict, n, p_star in zip(verdicts, draws, P_STARS, strict=True):
            told = []
            for look in looks:
                k, risk = row[:look].sum(), 0.01 / looks.size
                if hrs.clopper_pearson_lower(k, look, risk) >= p_star:
                    told.append(("certified", look))
                elif hrs.clopper_pearson_upper(k, look, risk) < p_star:
                    told.append(("not certifiable", look))
            trivial = {True: ("not certifiable", 0), False: ("certified", 0)}
            known = np.isnan(p_star) or p_star == 0
            expected = trivial[bool(np.isnan(p_star))] if known else (told or [("undecided", 1000)])[0]
            assert (verdict, n) == expected


def test_the_schedule_does_not_know_the_draws_to_come():
    row = np.random.default_rng(0).random(1000) < 0.9
    looks = schedule(1000)
    whole, part = scheduled(row, P_STARS, looks), scheduled(row[:300], P_STARS, looks)
    early = whole[1] <= 256
    assert early.any()
    assert not early.all()
    np.testing.assert_array_equal(whole[0][early], part[0][early])
    assert np.all(part[0][~early] == "undecided")


def test_a_replayed_table_holds_the_decisions_of_the_smoothed_guard():
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=SUFFIX)
    wanted = targets(smoothed, {"low": 0.01, "high": 0.3}, (0, 1, 2), (0.05, 0.3))
    assert len(wanted) == 12
    row = np.concatenate([v[:, 0] for v in smoothed.verdicts(EXAMPLE, 640)])
    counts = smoothed.sample(EXAMPLE, 640)
    assert counts.unsafe[0] == row.sum()
    table = replay(wanted, row, counts)
    for line in table.itertuples():
        decision = smoothed.decide(EXAMPLE, line.d, line.epsilon, tau=line.tau, max_draws=640)
        assert (line.verdict, line.draws) == (decision.verdict, decision.draws)
    assert table["verdict"].nunique() > 1
    lower = counts.p_a()[0]
    np.testing.assert_array_equal(table["fixed verdict"] == "certified", lower >= table["p_star"])


def test_enough_draws_are_enough():
    row = np.random.default_rng(0).random(640) < 0.9
    p_star = [0.5, 0.7, 0.99]
    size = next(n for n in range(1, 640) if decided(row[:n], p_star, alpha=0.01, max_draws=640))
    for rule in (sequential, lambda *a, **k: scheduled(*a, schedule(640), **k)):
        (part, at), (whole, later) = rule(row[:size], p_star, alpha=0.01), rule(row, p_star, alpha=0.01)
        np.testing.assert_array_equal(part, whole)
        np.testing.assert_array_equal(at, later)
    assert not decided(row[: size - 1], p_star, alpha=0.01, max_draws=640)
    assert decided(row, [0.9], alpha=0.01, max_draws=640)


def test_targets_refuse_a_threshold_that_their_draws_helped_to_choose():
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, 0.5, SUFFIX)
    least = hrs.calibrate([hrs.Counts((3,), n=100, example="benign", seed=0)], alpha=0.01)
    law = {"budgets": [1], "epsilons": [0.5]}
    (row,) = targets(smoothed, {"calibrated": least}, **law, draws=[("unsafe", 0)]).to_dict("records")
    assert row["tau"] == least.tau
    assert row["p_star"] == hrs.required_p_a(0.5, KERNEL.likelihood_ratio(1), sigma=0.5, tau=least.tau)
    with pytest.raises(ValueError, match="helped to choose tau"):
        targets(smoothed, {"calibrated": least}, **law, draws=[("unsafe", 0), ("benign", 0)])
