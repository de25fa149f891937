"""Tails of the binomial law, and Clopper-Pearson bounds that prove themselves, against interval arithmetic."""

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.evidence.binomial import LEAST, log_tail, rounding, tail_quantile

flint = pytest.importorskip("flint")


@pytest.fixture(autouse=True)
def _precision():
    """Balls narrow enough for 1 - (1 - 1e-100)."""
    before, flint.ctx.prec = flint.ctx.prec, 420
    yield
    flint.ctx.prec = before


def risky(count, seed):
    """Counts, draws and risks where inverse beta functions lose digits: at 1000, powers of 2, rare and middling."""
    rng = np.random.default_rng(seed)
    n = np.floor(np.exp(rng.uniform(0, np.log(4e9), count)))
    kinds = [
        np.ceil(n * rng.random(count)),
        np.floor(np.exp(np.log(n) * rng.random(count))),
        np.full(count, rng.integers(998, 1003, count)),
        2.0 ** rng.integers(0, 31, count) + rng.integers(-1, 2, count),
    ]
    k = np.clip(np.choose(rng.integers(0, len(kinds), count), kinds), 1, n)
    k = np.where(rng.random(count) < 0.5, k, n + 1 - k)
    risks = np.array([0.9, 0.5, 0.1, 0.05, 0.01, 1e-3, 1e-6, 1e-9, 1e-12, 1e-20, 1e-50, 1e-100])
    return k, n, rng.choice(risks, count)


def exact_risk(k, n, p):
    """P(K >= k) at the exact value of the float p, as a ball."""
    return flint.arb(p).beta_lower(k, n - k + 1, True)


@pytest.mark.seconds
def test_tails_are_within_their_stated_error():
    k, n, alpha = risky(40, seed=0)
    a, log_risk = np.minimum(k, n + 1 - k), np.log(alpha)
    for side in (-1.0, 1.0):
        sides = np.full(a.shape, side)
        x = tail_quantile(a, n, log_risk, sides)
        inside = (x >= LEAST) & (x < 1)
        found = log_tail(a[inside], n[inside], x[inside], sides[inside])
        slack = rounding(a, log_risk)[inside]
        for at, tail, error in zip(np.flatnonzero(inside), found, slack, strict=True):
            exact = exact_risk(a[at], n[at], x[at])
            exact = (exact if side < 0 else 1 - exact).log()
            assert abs(float(tail - exact)) < error / 3


@pytest.mark.slow
def test_bounds_keep_their_risk_and_lose_no_more_than_rounding():
    k, n, alpha = risky(16, seed=1)
    lower, upper = hrs.clopper_pearson_lower(k, n, alpha), hrs.clopper_pearson_upper(n - k, n, alpha)
    for hits, draws, risk, low, high in zip(k, n, alpha, lower, upper, strict=True):
        assert exact_risk(hits, draws, low) <= risk
        closer = min(np.nextafter(low, 1), 1 - 1e-16) + 1e-11 * min(low, 1 - low)
        assert exact_risk(hits, draws, closer) > risk
        if high < 1:  # as many misses
            assert 1 - exact_risk(draws - hits + 1, draws, high) <= risk
        if high > 1e-15:
            closer = max(np.nextafter(high, 0), 1e-16) - 1e-11 * min(high, 1 - high)
            assert 1 - exact_risk(draws - hits + 1, draws, closer) > risk


@pytest.mark.seconds
@pytest.mark.parametrize("misses", [998, 999, 1000])
@pytest.mark.parametrize("n", [150_000, 10**7, 10**9])
def test_a_parameter_of_exactly_1000_costs_nothing(misses, n):
    assert exact_risk(n - misses, n, float(hrs.clopper_pearson_lower(n - misses, n))) <= 0.01
    assert 1 - exact_risk(misses + 1, n, float(hrs.clopper_pearson_upper(misses, n))) <= 0.01
    assert hrs.clopper_pearson_lower(misses, n) < misses / n


def test_bounds_are_monotone_in_counts_and_risk():
    n = 5000
    k = np.arange(n + 1)
    for alpha in (0.3, 1e-3, 1e-12):
        for bound in (hrs.clopper_pearson_lower, hrs.clopper_pearson_upper):
            assert np.all(np.diff(bound(k, n, alpha)) > 0)
    risks = np.geomspace(1e-300, 0.99, 500)
    assert np.all(np.diff(hrs.clopper_pearson_lower(700, 1000, risks)) > 0)
    assert np.all(np.diff(hrs.clopper_pearson_upper(700, 1000, risks)) < 0)


def test_the_two_bounds_are_one_seen_from_both_sides():
    k, n, alpha = risky(500, seed=2)
    lower, upper = hrs.clopper_pearson_lower(k, n, alpha), hrs.clopper_pearson_upper(n - k, n, alpha)
    np.testing.assert_allclose(1 - upper, lower, rtol=1e-15, atol=1.2e-16)


@pytest.mark.parametrize("alpha", [1e-320, 1e-300, 1e-12, 0.01, 0.99, 1 - 2**-53])
def test_extreme_counts_and_risks_stay_in_range(alpha):
    n = np.array([1.0, 2.0, 1e3, 1e15, 2.0**53 - 1])
    for k in (np.zeros(5), np.ones(5), n):
        assert np.all((hrs.clopper_pearson_lower(k, n, alpha) >= 0) & (hrs.clopper_pearson_lower(k, n, alpha) < 1))
        assert np.all((hrs.clopper_pearson_upper(k, n, alpha) > 0) & (hrs.clopper_pearson_upper(k, n, alpha) <= 1))


def test_more_draws_than_a_float_tells_apart_are_refused():
    with pytest.raises(ValueError, match="n = 9007199254740992: give at most"):
        hrs.clopper_pearson_lower(5, 2**53)
