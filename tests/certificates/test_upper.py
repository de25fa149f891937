"""Upper bounds and the lead of the top class, against 50-digit arithmetic from the definition."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st
from mpmath import mp, mpf
from scipy.special import ndtri

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.upper import certified_radius_below, certified_radius_top, p_adv_upper, radii_below

mp.dps = oracle.DIGITS
SHIFTS = (0.0, 0.3, 1.7)
CHANNELS = [
    *((hrs.UniformKernel(b, v).likelihood_ratio(d), oracle.uniform_law(b, v, d))
      for b, v, d in [(0.25, 32_000, 2), (0.25, 3, 2), (0.6, 2, 1), (1.0, 5, 2), (1.0, 2, 1)]),
    *((hrs.AbsorbingKernel(b).likelihood_ratio(d), oracle.absorbing_law(b, d)) for b, d in [(0.5, 1), (0.25, 2)]),
    (hrs.LikelihoodRatio.identity(), oracle.atoms([])),
]  # fmt: skip
PROBABILITIES = (0.0, 1e-20, 4.6e-5, 0.1, 1 / 3, 0.5, 0.75, 0.9, 0.99954, 1 - 2**-53, 1.0)


def upper(p, s, law):
    return 1 - oracle.value(1 - mpf(p), s, law)


@pytest.mark.seconds
@pytest.mark.parametrize(("ratio", "law"), CHANNELS)
@pytest.mark.parametrize("s", SHIFTS)
def test_upper_value_is_never_below_the_exact_one_and_close(ratio, law, s):
    values = p_adv_upper(PROBABILITIES, s, ratio, sigma=1.0)
    exact = [upper(p, s, law) for p in PROBABILITIES]
    assert all(value >= truth for value, truth in zip(values, exact, strict=True))
    next_ones = [upper(min(1, mpf(p) + mpf(2) ** -51), s, law) for p in PROBABILITIES]  # 1 - p is a float64
    assert all(value <= truth + 1e-13 for value, truth in zip(values, next_ones, strict=True))
    assert np.allclose(values[2:-2], [float(truth) for truth in exact[2:-2]], rtol=1e-6, atol=0)
    assert np.all(values <= 1)


@given(st.floats(0, 1), st.floats(0, 5), st.floats(0, 5))
def test_upper_value_lies_above_p_and_grows_with_the_budget(p, s, more):
    ratio = hrs.UniformKernel(0.25, 100).likelihood_ratio(1)
    near, far = p_adv_upper(p, [s, s + more], ratio, sigma=1.0)
    assert p <= near <= far + 1e-14 <= 1 + 1e-14


@given(st.floats(0, 1))
def test_lower_and_upper_value_of_nothing_attacked_enclose_p(p):
    identity = hrs.LikelihoodRatio.identity()
    assert hrs.p_adv(p, 0.0, identity, sigma=1.0) <= p <= p_adv_upper(p, 0.0, identity, sigma=1.0)


@given(st.floats(0, 1), st.booleans())
def test_one_minus_is_rounded_to_the_side_that_was_asked_for(value, down):
    from hybrid_rs.certificates.upper import _one_minus

    exact, rounded = 1 - Fraction(value), Fraction(float(_one_minus(np.array(value), down=down)))
    assert rounded <= exact if down else rounded >= exact
    assert abs(rounded - exact) <= Fraction(1, 2**53)


@pytest.mark.parametrize(("p_a", "p_b"), [(0.9, 0.05), (0.5, 0.3), (0.999, 1e-6), (0.4, 0.39)])
def test_with_no_edit_the_lead_is_cohens(p_a, p_b):
    radius = certified_radius_top(p_a, p_b, hrs.LikelihoodRatio.identity(), sigma=0.5)
    assert radius == pytest.approx(0.25 * (ndtri(p_a) - ndtri(p_b)), rel=1e-9)


@pytest.mark.parametrize(("ratio", "law"), CHANNELS)
def test_with_all_the_rest_as_rival_the_lead_is_the_majority(ratio, law):
    p_a = np.array([0.6, 0.9, 0.99, 0.9999])
    majority = hrs.certified_radius(p_a, ratio, sigma=2.0, tau=0.5)
    assert certified_radius_top(p_a, 1 - p_a, ratio, sigma=2.0) == pytest.approx(majority, rel=1e-8, nan_ok=True)
    assert certified_radius_top(p_a, 1.0, ratio, sigma=2.0) == pytest.approx(majority, rel=1e-8, nan_ok=True)


@pytest.mark.seconds
@pytest.mark.parametrize(("ratio", "law"), CHANNELS)
@pytest.mark.parametrize(("p_a", "p_b"), [(0.9, 0.05), (0.97, 0.001), (0.999, 0.0), (0.99999, 1e-6)])
def test_lead_holds_at_the_radius_and_not_beyond(ratio, law, p_a, p_b):
    radius = certified_radius_top(p_a, p_b, ratio, sigma=1.0)

    def lead(s):
        return oracle.value(p_a, s, law) - upper(p_b, s, law)

    if np.isnan(radius):
        assert lead(0) <= 1e-12
    elif np.isinf(radius):
        assert p_b == 0
        assert lead(20) > 0
    else:
        assert lead(radius) > 0
        assert lead(radius * (1 + 1e-8) + 1e-8) < 0


def test_ends():
    masked = hrs.AbsorbingKernel(0.75).likelihood_ratio(1)
    lead = certified_radius_top([1.0, 1.0, 0.5], [0.0, 0.7, 0.5], masked, sigma=1.0)
    assert lead[0] == lead[1] == np.inf  # class A is certain: what is claimed of B beyond 1 - p_a is ignored
    assert np.isnan(lead[2])
    assert certified_radius_top(0.9, 0.01, masked, sigma=0.0) == 0  # no image noise, no image budget
    assert np.isnan(certified_radius_top(1.0, 0.0, hrs.AbsorbingKernel(0.25).likelihood_ratio(1), sigma=1.0))
    nothing_edited = hrs.LikelihoodRatio.identity()
    assert certified_radius_top(0.1, 0.0, nothing_edited, sigma=1.0) == np.inf  # a class that never shows never wins


def test_shapes_broadcast():
    ratio = hrs.UniformKernel(0.75, 100).likelihood_ratio(1)
    lead = certified_radius_top(np.full((2, 1), 0.99), [0.001, 0.002, 0.003], ratio, sigma=1.0)
    assert lead.shape == (2, 3)
    assert np.all(np.diff(lead, axis=1) < 0)
    assert certified_radius_top(0.99, 0.001, ratio, sigma=1.0) == lead[0, 0]


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_what_is_no_probability_is_refused(bad):
    identity = hrs.LikelihoodRatio.identity()
    with pytest.raises(ValueError, match="p_a"):
        p_adv_upper(bad, 0.0, identity, sigma=1.0)
    with pytest.raises(ValueError, match="p_b"):
        certified_radius_top(0.5, bad, identity, sigma=1.0)


@pytest.mark.parametrize(("ratio", "law"), CHANNELS)
@pytest.mark.parametrize("tau", [0.05, 0.5, 0.9])
def test_below_the_radius_the_exact_value_stays_below_tau_and_a_little_beyond_it_does_not(ratio, law, tau):
    for p in (0.0, 1e-6, 4.6e-4, 0.01, 0.3):
        radius = float(certified_radius_below(p, ratio, sigma=1.0, tau=tau))
        if np.isnan(radius):
            assert upper(p, 0.0, law) >= tau - mpf(2) ** -50
        elif np.isfinite(radius):
            assert upper(p, radius, law) < tau <= upper(p, radius + 1e-6, law)
        else:
            assert upper(p, 40.0, law) < tau


def test_without_edits_the_radius_is_that_of_cohen():
    identity = hrs.LikelihoodRatio.identity()
    found = certified_radius_below([0.001, 0.2], identity, sigma=0.5, tau=0.5)
    np.testing.assert_allclose(found, 0.5 * -ndtri([0.001, 0.2]), rtol=1e-9)
    assert np.isnan(certified_radius_below(0.0, identity, sigma=0.5, tau=0.0))  # a value of 0 is not below 0
    assert certified_radius_below(0.0, identity, sigma=0.5, tau=1e-9) == np.inf


def test_radii_below_use_the_bound_of_each_classifier():
    kernel, law = hrs.UniformKernel(0.25, 376), {"sigma": 0.5, "tau": 0.9, "d_max": 1}
    one, each = hrs.Counts((5,), 1000), hrs.Counts((5, 7), 1000)
    shared, own = radii_below(one, kernel, **law), radii_below(each, kernel, **law)
    assert shared[0][0] == shared[0][1] == own[0][0] < own[0][1]
    assert np.array_equal(own[1][1], certified_radius_below(own[0][1], kernel.likelihood_ratio(1), sigma=0.5, tau=0.9))
    with pytest.raises(ValueError, match=r"counts = .*give plain counts"):
        radii_below(hrs.MaskedCounts((5, 7), 1000), kernel, **law)
    for wrong in (-1, True, 1.5):
        with pytest.raises(ValueError, match="d_max = "):
            radii_below(one, kernel, **law | {"d_max": wrong})
