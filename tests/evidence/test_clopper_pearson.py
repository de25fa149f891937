"""Binomial bounds by their definition, and counts as values."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from mpmath import binomial, mp, mpf
from scipy.special import betainc
from scipy.stats import binom, binomtest

import hybrid_rs as hrs

alphas = st.sampled_from([0.1, 0.01, 1e-3, 1e-6])


@given(st.integers(1, 10**6), st.floats(0, 1), alphas)
def test_the_bound_is_where_the_tail_has_probability_alpha(n, share, alpha):
    k = round(share * n)
    lower, upper = hrs.clopper_pearson_lower(k, n, alpha), hrs.clopper_pearson_upper(k, n, alpha)
    assert 0 <= lower <= k / n <= upper <= 1
    if k > 0:
        assert binom.sf(k - 1, n, lower) == pytest.approx(alpha, rel=1e-6)
        assert binom.sf(k - 1, n, lower) <= alpha * (1 + 1e-9)
    if k < n:
        assert binom.cdf(k, n, upper) == pytest.approx(alpha, rel=1e-6)


@given(st.integers(1, 2000), st.floats(0, 1), alphas)
def test_agrees_with_scipys_exact_interval(n, share, alpha):
    k = round(share * n)
    low = binomtest(k, n, alternative="greater").proportion_ci(1 - alpha, method="exact").low
    ours = hrs.clopper_pearson_lower(k, n, alpha)
    assert ours == pytest.approx(low, rel=1e-9, abs=4e-12)  # SciPy searches by Brent's method, to 2e-12
    if k:  # what it searches for, to more digits
        assert betainc(k, n - k + 1, ours) == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize(
    ("k", "n", "alpha"),
    [
        (813, 1607, 1e-3),
        (9_146_000, 9_146_013, 0.416),
        *(
            (round(n * share), n, a)
            for n in (97, 1999, 20_000)
            for share in (0.1, 0.5, 0.83, 0.999)
            for a in (1e-2, 1e-6)
        ),
    ],
)
def test_bounds_are_on_the_safe_side_in_forty_digits(k, n, alpha):
    with mp.workdps(40):
        low, high = (mpf(float(bound(k, n, alpha))) for bound in (hrs.clopper_pearson_lower, hrs.clopper_pearson_upper))
        assert at_least(k, n, low) <= mpf(alpha)
        assert k == n or at_least(n - k, n, 1 - high) <= mpf(alpha)  # k or fewer hits are n - k or more misses


def at_least(k, n, p):
    """P(k or more of n), term by term."""
    if 2 * k < n:  # through fewer terms, the other tail
        return 1 - at_least(n - k + 1, n, 1 - p) if k > 0 else mpf(1)
    term, total = binomial(n, k) * p**k * (1 - p) ** (n - k), mpf(0)
    for j in range(k, n + 1):
        total += term
        term *= mpf(n - j) / (j + 1) * p / (1 - p)
    return total


@given(st.integers(1, 10**5), alphas)
def test_all_hits_and_no_hit_have_closed_forms(n, alpha):
    assert hrs.clopper_pearson_lower(n, n, alpha) == pytest.approx(alpha ** (1 / n), rel=1e-12)
    assert hrs.clopper_pearson_lower(0, n, alpha) == 0
    assert hrs.clopper_pearson_upper(n, n, alpha) == 1
    assert hrs.clopper_pearson_upper(0, n, alpha) == pytest.approx(-np.expm1(np.log(alpha) / n), rel=1e-9)


def test_exact_coverage_is_never_below_the_confidence():
    n, alpha = 50, 0.05
    bounds = hrs.clopper_pearson_lower(np.arange(n + 1), n, alpha)
    for p in np.linspace(0.001, 0.999, 200):
        assert binom.pmf(np.arange(n + 1), n, p)[bounds > p].sum() <= alpha + 1e-12


def test_counts_give_the_classifier_of_a_budget():
    own = hrs.Counts((100, 98, 95), n=100)
    assert own.of_budget(2) == hrs.Counts((95,), n=100)
    assert not own.one_classifier
    assert hrs.Counts(95, n=100).of_budget(7).unsafe == (95,)
    with pytest.raises(ValueError, match="d = 3"):
        own.of_budget(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hrs.clopper_pearson_lower(5, 0), "n = 0"),
        (lambda: hrs.clopper_pearson_lower(11, 10), "k = 11"),
        (lambda: hrs.clopper_pearson_lower(-1, 10), "k = -1"),
        (lambda: hrs.clopper_pearson_lower(2.5, 10), r"k = 2\.5"),
        (lambda: hrs.clopper_pearson_lower(5, 10, alpha=0), "alpha = 0"),
        (lambda: hrs.clopper_pearson_lower(5, 10, alpha=float("nan")), "alpha = nan"),
        (lambda: hrs.Counts((11,), n=10), "unsafe = 11"),
        (lambda: hrs.Counts((), n=10), "unsafe"),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
