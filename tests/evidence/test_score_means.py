"""Bounds of the mean of scores: a fair game, valid at all times, better than what ignores the variance."""

from bisect import bisect_left
from itertools import combinations_with_replacement
from math import factorial, fsum, prod

import numpy as np
import pytest
from evidence.test_confidence_sequences import HORIZON, alphas, ever
from hypothesis import given, settings, strategies as st
from scipy.stats import binom

from hybrid_rs.evidence.score_means import RATES, ScoreEvidence, bounded_mean_lower


def test_score_evidence_is_a_fair_game_by_enumeration():
    values, masses, n = np.array([0.0, 0.3, 1.0]), np.array([0.1, 0.5, 0.4]), 6
    mean, above, below = values @ masses, [], []
    for path in combinations_with_replacement(range(3), n):
        evidence = ScoreEvidence().add(values[list(path)])
        orders = factorial(n) // prod(factorial(path.count(i)) for i in range(3))
        probability = orders * masses[list(path)].prod()
        above.append(probability * (evidence.lower(0.3) > mean))
        below.append(probability * (evidence.upper(0.3) < mean))
    assert 0 < sum(above) <= 0.3
    assert 0 < sum(below) <= 0.3


@pytest.mark.seconds
@pytest.mark.parametrize("p", [0.3, 0.98])
def test_bounds_of_a_mean_cover_verdicts_at_all_times_together(p):
    alpha = 0.05
    steps = np.unique(np.geomspace(1, HORIZON, 30).astype(int))
    gains = ScoreEvidence().add([1.0]), ScoreEvidence().add([0.0])

    def of_counts(k, n):
        return ScoreEvidence(n, k * gains[0].above, (n - k) * gains[1].below)

    by_n = {}
    for n in steps.tolist():
        every = range(n + 1)
        high = bisect_left(every, True, key=lambda k, n=n: of_counts(k, n).lower(alpha) > p)
        low = bisect_left(every, True, key=lambda k, n=n: of_counts(k, n).upper(alpha) >= p)
        by_n[n] = (high, low - 1)
    assert ever(p, lambda k, n: k >= by_n.get(n, (n + 1, -1))[0]) <= alpha
    assert ever(p, lambda k, n: k <= by_n.get(n, (n + 1, -1))[1]) <= alpha


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 400), alphas)
def test_score_evidence_comes_in_any_batches_and_is_mirrored(seed, n, alpha):
    rng = np.random.default_rng(seed)
    x = rng.beta(*rng.uniform(0.2, 8, 2), size=n)
    whole, parts = ScoreEvidence().add(x), ScoreEvidence()
    for batch in np.array_split(x, rng.integers(1, 6)):
        parts = parts.add(batch)
    assert parts.draws == whole.draws == n
    assert parts.lower(alpha) == pytest.approx(whole.lower(alpha), abs=1e-10)
    assert parts.upper(alpha) == pytest.approx(whole.upper(alpha), abs=1e-10)
    assert ScoreEvidence().add(1 - x).lower(alpha) == pytest.approx(1 - whole.upper(alpha), abs=1e-8)
    assert 0 <= whole.lower(alpha) <= x.mean() <= whole.upper(alpha) <= 1


def test_no_scores_say_nothing():
    nothing = ScoreEvidence()
    assert (nothing.lower(), nothing.upper()) == (0.0, 1.0)
    assert nothing.add([]).draws == 0
    assert ScoreEvidence().add(np.zeros(10)).lower() == 0
    assert ScoreEvidence().add(np.ones(10)).upper() == 1


@pytest.mark.parametrize("n", [1, 7, 60])
@pytest.mark.parametrize("alpha", [0.2, 0.01])
def test_the_bound_of_a_mean_covers_bernoulli_means_exactly(n, alpha):
    bounds = np.array([bounded_mean_lower((np.arange(n) < k).astype(float), alpha) for k in range(n + 1)])
    assert np.all(np.diff(bounds) > 0)
    for mean in [*bounds[1:] - 1e-9, 0.5]:  # where coverage is worst: just below a bound
        too_high = bounds > mean
        assert binom.pmf(np.arange(n + 1), n, mean)[too_high].sum() <= alpha


@pytest.mark.slow
def test_the_bound_of_a_mean_holds_at_any_time_and_gains_from_small_variance():
    # a bound that is wrong in 15 % of all runs is found out by 250 runs in 98 of 100 cases
    rng, alpha, runs = np.random.default_rng(0), 0.1, 250
    values, masses = np.array([0.0, 0.5, 0.98]), np.array([0.02, 0.08, 0.9])
    scores = rng.choice(values, p=masses, size=(runs, 300))
    stops = (5, 20, 80, 300)
    worst = [max(bounded_mean_lower(run[:n], alpha) for n in stops) for run in scores]
    assert np.mean(np.array(worst) > values @ masses) <= alpha
    hoeffding = scores[0].mean() - np.sqrt(np.log(1 / 0.01) / (2 * 300))
    assert bounded_mean_lower(scores[0], 0.01) > hoeffding


@pytest.mark.parametrize(
    ("scores", "alpha", "name"),
    [([0.5, 1.5], 0.01, "scores"), ([], 0.01, "scores"), ([[0.5]], 0.01, "scores"), ([0.5], 0.0, "alpha")],
)
def test_what_is_no_score_is_refused(scores, alpha, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        bounded_mean_lower(scores, alpha)


def test_scores_of_zero_bound_the_mean_by_zero():
    assert bounded_mean_lower(np.zeros(10)) == 0
    assert bounded_mean_lower([1e-300]) < 1e-300


def test_what_is_no_score_or_risk_is_named():
    with pytest.raises(ValueError, match=r"^scores = 1\.5: "):
        ScoreEvidence().add([1.5])
    with pytest.raises(ValueError, match=r"^scores = \(1, 1\): "):
        ScoreEvidence().add([[0.5]])
    with pytest.raises(ValueError, match=r"^alpha = nan: "):
        ScoreEvidence().lower(float("nan"))


def test_many_small_batches_never_gain_from_rounding():
    x = np.random.default_rng(0).beta(5, 2, size=3000)
    single = ScoreEvidence()
    for score in x:
        single = single.add([score])
    exact = ScoreEvidence(x.size, *(np.array([fsum(np.log1p(r * y)) for r in RATES]) for y in (x, 1 - x)))
    assert single.lower(0.01) <= exact.lower(0.01) + 2e-9  # both round down; the sums differ in their last digits
    assert single.lower(0.01) == pytest.approx(exact.lower(0.01), abs=1e-8)
