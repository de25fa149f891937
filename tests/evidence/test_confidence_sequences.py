"""Evidence that may be looked at all the time: martingales by enumeration, coverage by exact dynamic programming."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mpmath import inf, mp, mpf, quad
from scipy.stats import binom

import hybrid_rs as hrs
from hybrid_rs.decisions.decide import Decision, decide, decision_draws, draws_floor, stopping_boundary, stopping_law
from hybrid_rs.evidence.confidence_sequences import log_evidence_above, log_evidence_below, mixture_lower, mixture_upper

HORIZON = 2000
inner = st.floats(0.01, 0.99)
alphas = st.sampled_from([0.1, 0.01, 1e-4])


def ever(p, stops):
    """P(stops(k, n) at some n <= HORIZON): mass that moves on the lattice (n, k) until it is taken off."""
    mass, taken, k = np.array([1.0]), 0.0, np.arange(HORIZON + 1)
    for n in range(1, HORIZON + 1):
        mass = np.append(mass * (1 - p), 0.0) + np.append(0.0, mass * p)
        out = stops(k[: n + 1], n)
        taken += mass[out].sum()
        mass[out] = 0.0
    return taken


def least_k(holds):
    """By number of draws n <= HORIZON, the least k for which ``holds(k, n)``, which then stays true; else n + 1."""
    n = np.arange(1, HORIZON + 1)
    low, high = np.zeros_like(n) - 1, n + 1
    while np.any(high - low > 1):
        k = np.clip((low + high) // 2, 0, n)
        yes = holds(k, n)
        high, low = np.where(yes & (high - low > 1), k, high), np.where(yes | (high - low <= 1), low, k)
    return np.append(0, high)


@given(st.integers(1, 60), inner, inner)
def test_wealth_is_a_martingale_at_the_boundary_and_loses_beyond(n, m, other):
    k = np.arange(n + 1)
    above, below = np.exp(log_evidence_above(k, n, m)), np.exp(log_evidence_below(k, n, m))
    law = binom.pmf(k, n, m)
    assert law @ above == pytest.approx(1, rel=1e-6)
    assert law @ below == pytest.approx(1, rel=1e-6)
    wrong = above if other <= m else below  # p = other speaks against this one's claim
    assert binom.pmf(k, n, other) @ wrong <= 1 + 1e-9


@given(st.integers(0, 200), st.floats(0, 1), inner)
def test_one_draw_more_leaves_the_mean_where_it_was(n, share, m):
    k = round(share * n)
    for evidence in (log_evidence_above, log_evidence_below):
        now, miss, hit = np.exp(evidence([k, k, k + 1], [n, n + 1, n + 1], m))
        assert m * hit + (1 - m) * miss == pytest.approx(now, rel=1e-6)


@pytest.mark.parametrize(
    ("k", "n", "m"), [(0, 3, 0.2), (18, 18, 0.75), (90, 100, 0.8), (50, 100, 0.8), (480, 500, 0.984)]
)
def test_evidence_is_the_mixture_it_says_in_forty_digits(k, n, m):
    with mp.workdps(40):
        p = mpf(m)
        above = quad(lambda c: (1 - c) ** (n - k) * (1 - c + c / p) ** k * (1 - c) ** mpf(-0.75) / 4, [0, 0.1, 0.5, 1])
        below = quad(lambda c: (1 - c) ** k * (1 - c + c / (1 - p)) ** (n - k), [0, 0.1, 0.5, 1])
        assert above < inf
        for exact, found in ((above, log_evidence_above(k, n, m)), (below, log_evidence_below(k, n, m))):
            assert -1e-8 < found - float(mp.log(exact)) <= 1e-12


@pytest.mark.parametrize(
    ("k", "n", "m"),
    [
        (383_141, 383_271, 0.99967),
        (11, 572_182, 4.8e-6),
        (900_000, 1_000_000, 0.9007),
        (3, 10**6, 1e-6),
        (41, 43, 1e-9),
    ],
)
def test_evidence_of_many_draws_is_never_overstated(k, n, m):
    with mp.workdps(40):
        for found, hits, misses, b, x in (
            (log_evidence_above(k, n, m), k, n - k, mpf(1) / 4, mpf(m)),
            (log_evidence_below(k, n, m), n - k, k, mpf(1), 1 - mpf(m)),
        ):
            term = total = b / (misses + b)  # binomial series in c, integrated term by term
            for i in range(hits):
                term *= (hits - i) / (misses + b + 1 + i) * (1 - x) / x
                total += term
                if term < total * mpf(10) ** -20:
                    break
            assert -1e-6 < float(found - mp.log(total)) <= 0 or found < -300


@pytest.mark.seconds
@pytest.mark.parametrize(("p", "alpha"), [(0.2, 0.1), (0.75, 0.01), (0.98455, 0.01)])
def test_the_sequence_covers_at_all_times_together(p, alpha):
    too_high = least_k(lambda k, n: mixture_lower(k, n, alpha) > p)
    assert 0 < ever(p, lambda k, n: k >= too_high[n]) <= alpha
    not_too_low = least_k(lambda k, n: mixture_upper(k, n, alpha) >= p)
    assert 0 < ever(p, lambda k, n: k < not_too_low[n]) <= alpha
    # so much for looking at bounds made for one n: they fail several times as often
    naive = least_k(lambda k, n: hrs.clopper_pearson_lower(k, n, alpha) > p)
    assert ever(p, lambda k, n: k >= naive[n]) > alpha


@given(st.integers(1, 10**6), st.floats(0, 1), alphas)
def test_bounds_enclose_the_share_and_those_for_one_n(n, share, alpha):
    k = round(share * n)
    lower, upper = mixture_lower(k, n, alpha), mixture_upper(k, n, alpha)
    assert 0 <= lower <= hrs.clopper_pearson_lower(k, n, alpha) * (1 + 1e-9)
    assert lower <= k / n <= upper
    assert upper >= hrs.clopper_pearson_upper(k, n, alpha) * (1 - 1e-9)


@given(st.integers(1, 10**5), st.floats(0, 1), alphas)
def test_a_bound_is_where_the_evidence_is_worth_one_over_alpha(n, share, alpha):
    k = round(share * n)
    lower, upper = mixture_lower(k, n, alpha), mixture_upper(k, n, alpha)
    least = -np.log(alpha)
    if k > 0:
        assert log_evidence_above(k, n, lower) >= least
        assert log_evidence_above(k, n, lower * (1 + 1e-9)) < least
    if k < n:
        assert log_evidence_below(k, n, upper) >= least
        assert log_evidence_below(k, n, 1 - (1 - upper) * (1 + 1e-9) - 1e-11) < least


@given(st.integers(1, 3000), st.floats(0, 1), alphas)
def test_the_price_of_any_time_is_logarithmic(n, share, alpha):
    """The mixture pays at most log(4 (n + 1)) more than the best single bet: a bound from below by hand."""
    k = round(share * n)
    mean = k / n
    lower = float(mixture_lower(k, n, alpha))
    if lower > 0:
        best = k * np.log(mean / lower) + (n - k) * (np.log1p(-mean) - np.log1p(-lower) if k < n else 0)
        assert best >= -np.log(alpha) - 1e-9
        assert best <= -np.log(alpha) + np.log(4 * (n + 1) ** 1.5)


def test_ends_of_the_counts():
    n, alpha = np.array([1, 10, 1000, 10**6]), 0.01
    assert np.all(mixture_lower(0, n, alpha) == 0)
    assert np.all(mixture_upper(n, n, alpha) == 1)
    assert np.all(mixture_lower(n, n, alpha) <= alpha ** (1 / n))
    assert np.all(mixture_lower(n, n, alpha) >= (alpha / 4 / (n + 1) ** 0.25) ** (1 / n) - 1e-6)
    assert np.all(mixture_upper(0, n, alpha) < 1)
    assert np.all(np.diff(mixture_lower(np.arange(51), 50)) > 0)
    assert np.all(np.diff(mixture_upper(np.arange(51), 50)) > 0)
    assert mixture_lower([[1], [2]], 3, [0.1, 0.2, 0.3]).shape == (2, 3)


def test_ends_of_p_star():
    assert log_evidence_above(0, 0, 0.3) == log_evidence_below(0, 0, 0.3) == 0
    assert log_evidence_above(1, 5, 0.0) == log_evidence_below(4, 5, 1.0) == np.inf
    assert log_evidence_above(5, 5, 1.0) == log_evidence_below(0, 5, 0.0) == 0
    assert log_evidence_above(0, 5, 0.0) < 0
    assert log_evidence_below(5, 5, 1.0) < 0


@cache
def boundary(p_star, alpha):
    return stopping_boundary(p_star, alpha=alpha, max_draws=HORIZON)


def cut(row, sizes):
    """The row in batches of the given sizes, again and again."""
    start = 0
    while start < row.size:
        for size in sizes:
            yield row[start : start + size]
            start += size


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.75, 0.95]), st.lists(st.integers(0, 700), min_size=1, max_size=4))
def test_a_decision_depends_on_the_draws_alone(seed, p_star, sizes):
    rng = np.random.default_rng(seed)
    row = rng.random(900) < rng.uniform(p_star - 0.1, min(p_star + 0.1, 1))
    whole = decide([row], p_star, max_draws=800)
    assert decide(cut(row, [*sizes, 29]), p_star, max_draws=800) == whole
    n = whole.draws
    assert decide([np.append(row[:n], ~row[n:])], p_star, max_draws=800) == whole  # what comes after is not looked at
    assert whole.unsafe == row[:n].sum()
    certify, refuse = boundary(p_star, 0.01)
    k, steps = np.cumsum(row[:800]), np.arange(1, 801)
    stops = np.flatnonzero((k >= certify[steps]) | (k <= refuse[steps]))
    assert n == (stops[0] + 1 if stops.size else 800)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.75, 0.98]), alphas)
def test_the_verdict_is_what_the_bounds_say(seed, p_star, alpha):
    rng = np.random.default_rng(seed)
    found = decide([rng.random(600) < rng.random() ** 0.2], p_star, alpha=alpha, max_draws=600)
    assert found.lower == pytest.approx(mixture_lower(found.unsafe, found.draws, alpha), rel=1e-9)
    assert (found.lower >= p_star) == (found.verdict == "certified")
    assert (found.upper <= p_star) == (found.verdict == "not certifiable")


@pytest.mark.seconds
@pytest.mark.parametrize("p_star", [0.028, 0.7502, 0.9383, 0.98455])
@pytest.mark.parametrize("alpha", [0.1, 0.01])
def test_a_decision_is_wrong_with_probability_at_most_alpha(p_star, alpha):
    certify, refuse = boundary(p_star, alpha)

    def stopped(k, n):
        return (k >= certify[n]) | (k <= refuse[n])

    for p in (p_star, 0.5 * p_star, 0.5 * p_star + 0.5):
        first = ever(p, stopped)
        refused = first - certified_first(p, certify, refuse)
        law = stopping_law(p, certify, refuse)
        for one, several in zip(law, stopping_law(np.array([[0.3], [p]]), certify, refuse), strict=True):
            np.testing.assert_allclose(several[1, 0], one, rtol=1e-12, atol=1e-15)
        assert [x.sum() for x in law] == pytest.approx([first - refused, refused], rel=1e-9, abs=1e-12)
        wrong = refused if p >= p_star else first - refused
        assert wrong <= alpha
        if p == p_star:
            assert first - refused <= alpha  # the least p that is fine is the largest limit of those that are not
            assert refused > alpha / 20  # and the risk is spent, not wasted
        else:
            assert first > 0.3


def certified_first(p, certify, refuse):
    mass, taken = np.array([1.0]), 0.0
    for n in range(1, HORIZON + 1):
        mass = np.append(mass * (1 - p), 0.0) + np.append(0.0, mass * p)
        taken += mass[certify[n] :].sum()
        mass[certify[n] :] = 0.0
        mass[: refuse[n] + 1] = 0.0
    return taken


def test_batches_are_taken_only_while_undecided():
    taken = []

    def batches():
        for size in (10, 20, 30):
            taken.append(size)
            yield np.ones(size, dtype=bool)

    assert decide(batches(), 0.75).verdict == "certified"
    assert taken == [10, 20]
    taken.clear()
    assert decide(batches(), 0.99, max_draws=10).draws == 10
    assert taken == [10]
    taken.clear()
    assert decide(batches(), 0.99, max_draws=0).draws == 0
    assert taken == []


def test_ends_of_decisions():
    never = iter(())
    assert decide(never, np.nan) == Decision(
        "not certifiable", 0, 0, pytest.approx(np.nan, nan_ok=True), 0.01, 0.0, 1.0
    )
    assert decide(never, 0.0).verdict == "certified"
    assert decide(never, 0.5) == Decision("undecided", 0, 0, 0.5, 0.01, 0.0, 1.0)
    yes, no = np.ones(500, dtype=bool), np.zeros(500, dtype=bool)
    assert decide([yes], 1.0, max_draws=300) == Decision("undecided", 300, 300, 1.0, 0.01, mixture_lower(300, 300), 1.0)
    one_miss = decide([yes, no], 1.0)
    assert (one_miss.verdict, one_miss.draws, one_miss.unsafe) == ("not certifiable", 501, 500)
    assert decide([no], 0.5).verdict == "not certifiable"
    assert decide([yes], 0.5).draws >= np.log(100) / np.log(2)


def test_a_decision_says_what_it_found():
    assert str(decide([], np.nan)) == "not certifiable: no clean probability reaches this target"
    text = str(decide([np.ones(99, dtype=bool)], 0.75))
    assert text.startswith("certified after 18 draws, 18 of them unsafe: p in [0.75")
    assert text.endswith("required 0.75000 (risk 0.01)")


@pytest.mark.parametrize(("p", "p_star"), [(0.9, 0.7502), (0.999, 0.9383), (0.5, 0.9383), (1.0, 0.7502), (0.0, 0.5)])
def test_no_decision_is_faster_than_the_floor(p, p_star):
    alpha, mean = 0.01, 0.0
    certify, refuse = boundary(p_star, alpha)
    mass, at_n = np.array([1.0]), []
    for n in range(1, HORIZON + 1):
        mean += mass.sum()  # E[N] is the sum over n of P(N >= n)
        mass = np.append(mass * (1 - p), 0.0) + np.append(0.0, mass * p)
        mass[certify[n] :] = 0.0
        mass[: refuse[n] + 1] = 0.0
        at_n.append(mass.sum())
    assert at_n[-1] < 1e-3
    assert np.allclose(1 - np.cumsum(sum(stopping_law(p, certify, refuse)))[1:], at_n, atol=1e-12)
    assert mean >= 0.97 * draws_floor(p, p_star, alpha)  # a wrong end has a chance of its own, at most alpha
    assert mean <= 2.2 * draws_floor(p, p_star, alpha)


def test_the_floor_is_wald_s():
    assert draws_floor(1.0, 0.5, 1 / 1024) == pytest.approx(10)
    assert draws_floor(0.0, 0.5, 1 / 1024) == pytest.approx(10)
    assert draws_floor(0.7, 0.7) == np.inf
    assert draws_floor(0.7, 0.0) == draws_floor(0.7, 1.0) == 0
    assert np.all(np.diff(draws_floor(np.linspace(0.8, 1, 9), 0.75)) < 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mixture_lower(5, 0), "^n = 0: "),
        (lambda: mixture_upper(11, 10), "^k = 11: "),
        (lambda: mixture_lower(5, 10, alpha=1), r"^alpha = 1\.0: "),
        (lambda: log_evidence_above(5, 4, 0.5), "^k = 5: "),
        (lambda: log_evidence_below(1, 2.5, 0.5), r"^n = 2\.5: "),
        (lambda: log_evidence_above(1, 2, 1.5), r"^p_star = 1\.5: "),
        (lambda: decide([], 1.5), r"^p_star = 1\.5: "),
        (lambda: decide([], 0.5, alpha=0), r"^alpha = 0\.0: "),
        (lambda: decide([], 0.5, max_draws=-1), "^max_draws = -1: "),
        (lambda: decide([[[True]]], 0.5), r"^verdicts = .*\(1, 1\)"),
        (lambda: decide([[0.9]], 0.5), "^verdicts = .*float64"),
        (lambda: draws_floor(2, 0.5), r"^p = 2\.0: "),
        (lambda: draws_floor(0.9, 0.5, 0), r"^alpha = 0\.0: "),
        (lambda: stopping_boundary(0.0), r"^p_star = 0\.0: "),
        (lambda: decision_draws([0.9, 0.98], 0.75), r"^p = .*: give one number"),
        (lambda: stopping_boundary(0.5, alpha=2.0), r"^alpha = 2\.0: "),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
