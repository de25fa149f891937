"""Plans against their definition: every n and every count tried, tails summed in 40 digits."""

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mpmath import binomial, mp, mpf
from scipy.stats import binom

import hybrid_rs as hrs
from hybrid_rs.decisions.decide import decide, decision_draws
from hybrid_rs.decisions.plan import ceiling, plan
from hybrid_rs.decisions.sample_size import draws_needed

KERNEL = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
LAW = {"sigma": 1.0, "tau": 4.6e-5}
LIMIT = 60


@cache
def tails(n, p):
    """P(K >= k) for k = 0..n + 1, from the definition."""
    with mp.workdps(40):
        terms = [binomial(n, k) * mpf(p) ** k * (1 - mpf(p)) ** (n - k) for k in range(n + 1)]
        found = [mpf(0)]
        for term in reversed(terms):
            found.append(found[-1] + term)
        return found[::-1]


def chance(n, required, alpha, p_a):
    """Probability that n draws reject "p is at most the required one" at level alpha, by the definition of the test."""
    k = next(k for k in range(n + 2) if tails(n, required)[k] <= alpha)
    return tails(n, p_a)[k]


@pytest.mark.seconds
@settings(max_examples=15)
@given(st.floats(0.02, 0.95), st.floats(0.05, 0.999), st.sampled_from([0.2, 0.05, 0.01]), st.sampled_from([0.5, 0.9]))
def test_it_is_the_least_number_of_draws_that_reaches_the_power(required, share, alpha, power):
    p_a = required + (1 - required) * share
    found = draws_needed(required, alpha, p_a, power)
    first = next((n for n in range(1, LIMIT) if chance(n, required, alpha, p_a) >= power), None)
    assert first == (found if found is not None and found < LIMIT else None)


def test_the_chance_is_a_saw_so_more_draws_may_do_worse():
    n = draws_needed(0.75, p_a=0.9)
    assert chance(n - 1, 0.75, 0.01, 0.9) < 0.9 <= chance(n, 0.75, 0.01, 0.9)
    assert min(chance(later, 0.75, 0.01, 0.9) for later in range(n + 1, n + 8)) < 0.9


@pytest.mark.seconds
@given(st.floats(0.001, 0.9999), st.sampled_from([0.3, 0.01, 1e-6]), st.sampled_from([0.5, 0.99]))
def test_without_misses_there_is_a_closed_form(required, alpha, power):
    with mp.workdps(40):
        exact = int(mp.ceil(mp.log(mpf(alpha)) / mp.log(mpf(required))))
        tied = abs(mpf(required) ** exact / mpf(alpha) - 1) < 1e-11  # the bound is rounded down, and misses by that
    assert draws_needed(required, alpha, 1.0, power) in ({exact, exact + 1} if tied else {exact})


@pytest.mark.parametrize("gap", [1e-6, 1e-8, 3e-8])
def test_many_draws_cost_no_more_than_the_margin_of_the_bound(gap):
    found = draws_needed(1 - gap)
    exact = math.log(0.01) / math.log1p(-(1 - (1 - gap)))  # of the float
    assert exact <= found <= exact * (1 + 2e-12 / gap) + 1
    assert hrs.clopper_pearson_lower(found, found) >= 1 - gap


@pytest.mark.seconds
@pytest.mark.parametrize(
    ("required", "p_a"), [(0.5, 0.51), (0.9, 0.901), (0.999, 0.9991), (0.01, 0.0105), (0.99999, 0.999999)]
)
def test_no_fewer_of_thousands_of_draws_suffice(required, p_a):
    found = draws_needed(required, p_a=p_a)
    n = np.unique(np.append(np.arange(max(1, found - 3000), found + 1), np.geomspace(1, found, 3000).astype(int)))
    hits = binom.isf(0.01, n, required) + 1  # P(K >= hits) <= alpha
    reached = binom.sf(hits - 1, n, p_a) >= 0.9
    assert reached[-1]
    assert not reached[:-1].any()


@given(st.floats(0.001, 1), st.floats(0, 1))
def test_a_model_that_does_not_exceed_the_requirement_is_hopeless(required, share):
    assert draws_needed(required, p_a=required * share) is None
    assert draws_needed(required, p_a=required) is None


def test_nothing_required_takes_one_draw_and_too_close_is_none():
    assert draws_needed(0.0, p_a=0.0) == 1
    assert draws_needed(1 - 1e-9) is None


def test_more_is_never_cheaper():
    by_d = [plan(d, 1.0, KERNEL, **LAW).draws for d in range(6)]
    by_epsilon = [plan(2, e, KERNEL, **LAW).draws for e in (0.0, 0.5, 1.0, 2.0, 3.0)]
    by_confidence = [plan(2, 1.0, KERNEL, alpha=a, **LAW).draws for a in (0.1, 0.01, 1e-4)]
    by_power = [plan(2, 1.0, KERNEL, p_a=0.97, power=w, **LAW).draws for w in (0.1, 0.5, 0.9, 0.99)]
    for draws in (by_d, by_epsilon, by_confidence, by_power):
        assert draws == sorted(draws)
        assert draws[0] < draws[-1]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kernel", [KERNEL, hrs.AbsorbingKernel(0.25)])
@pytest.mark.parametrize(("d", "epsilon", "p_a"), [(0, 0.5, 1.0), (1, 1.0, 0.9), (2, 0.0, 0.99), (3, 1.5, 1.0)])
def test_the_draws_planned_certify_and_those_forgiven_are_the_most(masked, kernel, d, epsilon, p_a):
    made = plan(d, epsilon, kernel, p_a=p_a, masked=masked, **LAW)

    def certified(n, unsafe):
        counts = hrs.MaskedCounts((unsafe,) * (d + 1), n) if masked else hrs.Counts((unsafe,), n)
        return hrs.certify(counts, kernel, d=d, epsilon=epsilon, **LAW).certified

    assert certified(made.draws, made.draws)
    assert certified(made.draws, made.draws - made.misses)
    assert not certified(made.draws, made.draws - made.misses - 1)
    assert made.no_miss == 1 or not certified(made.no_miss - 1, made.no_miss - 1)
    assert made.chance == pytest.approx(binom.cdf(made.misses, made.draws, 1 - p_a))
    assert made.chance >= made.power
    assert made.masked is masked


def test_ceiling_and_plan_are_inverse():
    for masked in (False, True):
        for d in (1, 3):
            n = plan(d, 1.0, KERNEL, masked=masked, **LAW).draws
            assert ceiling(n, KERNEL, masked=masked, **LAW).radius(d) >= 1.0
            assert n == 1 or not ceiling(n - 1, KERNEL, masked=masked, **LAW).radius(d) >= 1.0
    front = ceiling(10_000, KERNEL, d_max=4, alpha=0.05, **LAW)
    np.testing.assert_allclose(front.p, 0.05 ** (1 / 10_000), rtol=1e-11)
    assert (front.n, front.alpha, front.d_max) == (10_000, 0.05, 4)


@pytest.mark.seconds
def test_a_plan_reads_as_sentences():
    text = str(plan(3, 1.0, KERNEL, p_a=0.995, **LAW))
    assert "p_A must be at least 0.98498" in text
    assert "Draw 1336 times: with at most 10 safe verdicts" in text
    assert "Fewer than 305 draws cannot" in text
    assert "a median of 1029, and 1183 on average" in text
    assert "is certified for any model" in str(plan(3, 1.0, KERNEL, **LAW | {"tau": 0.0}))
    assert "Draw 305 times: if all are unsafe" in str(plan(3, 1.0, KERNEL, **LAW))
    assert "p_S must be at least 0.03972" in str(plan(3, 1.0, KERNEL, masked=True, **LAW))
    assert "Hopeless at p_A = 0.98:" in str(plan(3, 1.0, KERNEL, p_a=0.98, **LAW))
    assert "more than 1000000000 draws" in str(plan(3, 8.0, KERNEL, **LAW))
    never = plan(3, 1.0, hrs.AbsorbingKernel(0.01), **LAW)
    assert never.hopeless
    assert never.draws is never.no_miss is None
    assert "even if every draw is unsafe" in str(never)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alpha": 0.0}, "alpha = 0.0: give a risk in"),
        ({"alpha": float("nan")}, "alpha = nan"),
        ({"p_a": 1.2}, "p_a = 1.2"),
        ({"power": 1.0}, "power = 1.0: give a probability between alpha = 0.01 and 1"),
        ({"power": 0.01}, "power = 0.01"),
        ({"sigma": -1.0}, "sigma = -1.0"),
        ({"tau": [0.1, 0.2]}, "give one number"),
        ({"d": -1}, "d = -1"),
        ({"epsilon": -0.5}, "epsilon = -0.5"),
    ],
)
def test_a_mistake_is_named(changed, message):
    arguments = {"d": 1, "epsilon": 1.0, "kernel": KERNEL, **LAW} | changed
    with pytest.raises(ValueError, match=message):
        plan(**arguments)


def test_mistakes_of_the_other_two_are_named():
    with pytest.raises(ValueError, match=r"required = 1\.5"):
        draws_needed(1.5)
    with pytest.raises(ValueError, match="n = 0"):
        ceiling(0, KERNEL, **LAW)


def test_features_are_planned_for_their_worst_subset():
    kernel, target = hrs.FeatureKernel(0.75, (2, 6, 5)), {"sigma": 1.0, "tau": 0.3}
    made = plan(2, 0.5, kernel, **target)
    needs = [float(hrs.required_p_a(0.5, ratio, **target)) for ratio in kernel.likelihood_ratios(2)]
    assert len(set(needs)) > 1
    assert made.required == max(needs)


@pytest.mark.seconds
def test_draws_of_a_decision_are_those_of_its_law():
    median, mean = decision_draws(0.9, 0.75, max_draws=400)
    rng, stops = np.random.default_rng(0), []
    for _ in range(300):
        stops.append(decide([rng.random(400) < 0.9], 0.75, max_draws=400).draws)
    assert abs(np.mean(stops) - mean) < 5 * np.std(stops) / np.sqrt(len(stops))
    assert abs(np.median(stops) - median) <= 3
    assert decision_draws(0.9, 0.0) == (0.0, 0.0)
    assert decision_draws(0.75, 0.75, max_draws=50)[0] == 50


def test_targets_next_to_0_and_1_are_planned_without_a_warning():
    assert draws_needed(1e-17, 0.999, 0.9, 0.9995) == draws_needed(1e-12, 0.999, 0.9, 0.9995)
    assert draws_needed(1 - 2**-53, 1e-300, 1.0, 0.5) is None
