"""The certificate as properties: safe, tight, monotone, with the known special cases."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mpmath import mp, mpf
from scipy.special import ndtr, ndtri

import hybrid_rs as hrs
from hybrid_rs.certificates import neyman_pearson, oracle
from hybrid_rs.certificates.worst_case import LEAST_SHIFT, log_p_adv

probabilities = st.floats(1e-6, 1 - 1e-9) | st.floats(1e-9, 1e-2).map(lambda x: 1 - x)
shifts = st.floats(0, 12) | st.floats(-7, 1).map(lambda x: 10.0**x) | st.just(0.0)
betas = st.floats(1e-3, 0.999) | st.sampled_from([0.25, 1.0])
vocab_sizes = st.integers(2, 50) | st.integers(2, 10**6)
kernels = st.builds(hrs.UniformKernel, betas, vocab_sizes) | st.builds(hrs.AbsorbingKernel, betas)
TOLERANCE = 1e-10  # relative, against 50 digits


def law_of(kernel, d):
    if isinstance(kernel, hrs.UniformKernel):
        return oracle.uniform_law(kernel.beta, kernel.vocab_size, d)
    return oracle.absorbing_law(kernel.beta, d)


def resolved(shift):
    """The shift that is computed with: a smaller one is rounded up, which is safe."""
    return max(shift, LEAST_SHIFT) if shift > 0 else 0.0


def log_error(computed_log, exact):
    """exact / computed - 1, to first order; positive on the safe side."""
    with mp.workdps(oracle.DIGITS):
        return float(mp.log(exact) - mpf(computed_log))


def conditioning(kernel, d, p_a):
    """How much p_A stands out of the mass at ratio zero: float64 cannot resolve the difference any better."""
    at_zero = kernel.likelihood_ratio(d).p_at_zero
    if at_zero == 0:
        return 1.0
    return max(1.0, (1 - at_zero) / abs(p_a - at_zero)) if p_a != at_zero else np.inf


@pytest.mark.seconds
@settings(max_examples=120)
@given(kernels, st.integers(0, 8), probabilities, shifts)
def test_agrees_with_fifty_digits_and_is_never_above(kernel, d, p_a, shift):
    exact = oracle.value(p_a, resolved(shift), law_of(kernel, d))  # below the value at the shift itself
    value = float(hrs.p_adv(p_a, shift, kernel.likelihood_ratio(d), sigma=1.0))
    assert mpf(value) <= exact
    if exact == 0:
        return
    log_value = float(log_p_adv(p_a, shift, kernel.likelihood_ratio(d), sigma=1.0))
    assert 0 <= log_error(log_value, exact) <= TOLERANCE * conditioning(kernel, d, p_a)
    if exact > 1e-290:
        assert value == pytest.approx(float(exact), rel=TOLERANCE * conditioning(kernel, d, p_a))


@pytest.mark.seconds
@pytest.mark.parametrize("d", [16, 33, 64])
@pytest.mark.parametrize("vocab_size", [2, 1000, 10**6])
def test_many_edits_agree_with_fifty_digits(d, vocab_size):
    rng = np.random.default_rng(d * vocab_size)
    n = 4 if d < 33 else 1  # the oracle takes seconds there
    for p_a, shift, beta in zip(rng.random(n), rng.uniform(0, 12, n), rng.uniform(0.05, 0.95, n), strict=True):
        kernel = hrs.UniformKernel(beta, vocab_size)
        exact = oracle.value(p_a, shift, law_of(kernel, d))
        computed = float(log_p_adv(p_a, shift, kernel.likelihood_ratio(d), sigma=1.0))
        assert 0 <= log_error(computed, exact) <= TOLERANCE


@pytest.mark.slow
@settings(max_examples=20)
@given(st.builds(hrs.UniformKernel, betas, vocab_sizes), st.integers(0, 511), probabilities, shifts, shifts)
def test_falls_with_the_image_budget_and_with_every_edit(kernel, d, p_a, shift, more):
    here, further = kernel.likelihood_ratio(d), kernel.likelihood_ratio(d + 1)
    value = hrs.p_adv(p_a, shift, here, sigma=1.0)
    slack = 1 + 1e-9
    assert 0 <= value <= p_a
    assert hrs.p_adv(p_a, shift + more, here, sigma=1.0) <= value * slack
    assert hrs.p_adv(p_a, shift, further, sigma=1.0) <= value * slack


@given(kernels, st.integers(0, 16), probabilities, probabilities, shifts)
def test_rises_with_the_clean_probability_and_is_convex_in_it(kernel, d, p, q, shift):
    low, high = sorted((p, q))
    ratio = kernel.likelihood_ratio(d)
    at_low, at_high, between = (hrs.p_adv(x, shift, ratio, sigma=1.0) for x in (low, high, (low + high) / 2))
    assert at_low <= at_high * (1 + 1e-9) + 1e-15
    assert between <= (at_low + at_high) / 2 * (1 + 1e-9) + 1e-15


@given(kernels, st.integers(0, 8), probabilities, st.floats(1e-3, 8), st.floats(-60, 60))
def test_any_threshold_gives_a_bound_no_better_than_the_solvers(kernel, d, p_a, shift, log_t):
    ratio = kernel.likelihood_ratio(d)
    p, u, s = (np.array([x]) for x in (p_a, log_t, shift))
    assert neyman_pearson.lower_bound(p, u, ratio, s) <= hrs.p_adv(p, s, ratio, sigma=1.0) * (1 + 1e-9) + 1e-15


@given(probabilities, shifts, st.floats(0.1, 3))
def test_no_edits_is_cohen(p_a, shift, sigma):
    ratio = hrs.UniformKernel(0.25, 100).likelihood_ratio(0)
    with mp.workdps(oracle.DIGITS):
        quantile = mp.sqrt(2) * mp.erfinv(2 * mpf(p_a) - 1)
        exact = mp.ncdf(quantile - mpf(resolved(shift)))
        rounding = mpf(10) ** (5 - oracle.DIGITS)  # of the exact value
        assert mpf(float(hrs.p_adv(p_a, shift, ratio, sigma=1.0))) <= exact * (1 + rounding)
    assert hrs.p_adv(p_a, shift, ratio, sigma=1.0) == pytest.approx(float(exact), rel=1e-11)
    tau = 4.6e-5
    cohen = sigma * (ndtri(p_a) - ndtri(tau))
    radius = hrs.certified_radius(p_a, ratio, sigma=sigma, tau=tau)
    if p_a < tau:
        assert np.isnan(radius)
    elif cohen > 1e-3:
        assert radius == pytest.approx(cohen, rel=1e-10)
        assert radius <= cohen * (1 + 1e-15)


@given(st.floats(0.05, 0.999), st.integers(1, 8), probabilities, st.floats(0, 10))
def test_absorbing_closed_form(beta, d, p_a, shift):
    v = beta**d
    value = float(hrs.p_adv(p_a, shift, hrs.AbsorbingKernel(beta).likelihood_ratio(d), sigma=1.0))
    excess = (v - (1 - p_a)) / v
    quantile = ndtri(excess) if excess < 0.5 else -ndtri((1 - p_a) / v)  # from the tail that is small
    expected = v * ndtr(quantile - shift) if excess > 0 else 0.0
    assert value == pytest.approx(expected, rel=1e-9 / max(1e-6, abs(excess)), abs=1e-300)


@given(st.integers(1, 8), st.integers(2, 10**6), probabilities, shifts)
def test_at_beta_one_infinite_ratios_contribute_nothing(d, vocab_size, p_a, shift):
    overlap = ((vocab_size - 2) / (vocab_size - 1)) ** d
    value = hrs.p_adv(p_a, shift, hrs.UniformKernel(1.0, vocab_size).likelihood_ratio(d), sigma=1.0)
    excess = (overlap - (1 - p_a)) / overlap if overlap else 0.0
    quantile = ndtri(excess) if excess < 0.5 else -ndtri((1 - p_a) / overlap)  # from the tail that is small
    expected = overlap * ndtr(quantile - shift) if excess > 0 else 0.0
    assert value == pytest.approx(expected, rel=1e-8 / max(1e-6, abs(excess)), abs=1e-300)


def test_the_extremes_have_exact_answers():
    ratio = hrs.UniformKernel(0.25, 32_000).likelihood_ratio(3)
    assert hrs.p_adv([0.0, 5e-324, 1e-290], 1.0, ratio, sigma=1.0).tolist() == [0, 0, 0]
    assert hrs.p_adv(1.0, 1.0, ratio, sigma=1.0) == 1
    assert hrs.p_adv(1.0, 1.0, hrs.AbsorbingKernel(0.25).likelihood_ratio(3), sigma=1.0) == pytest.approx(0.25**3)
    assert hrs.p_adv(0.3, 0.0, hrs.UniformKernel(0.25, 10).likelihood_ratio(0), sigma=1.0) == 0.3
    assert hrs.p_adv(0.9, 0.0, ratio, sigma=1.0) == hrs.p_adv(0.9, 5.0, ratio, sigma=np.inf)
    assert hrs.p_adv(0.9, 0.0, ratio, sigma=0.0) == hrs.p_adv(0.9, 0.0, ratio, sigma=1.0)
    assert hrs.p_adv([0.999, 1.0], 0.1, ratio, sigma=0.0).tolist() == [0, 0]
    assert hrs.certified_radius([0.99999, 1.0], ratio, sigma=0.0, tau=0.01).tolist() == [0, 0]
    assert hrs.certified_radius(1.0, ratio, sigma=1.0, tau=0.01) == np.inf
    assert hrs.certified_radius(0.0, ratio, sigma=1.0, tau=0.0) == np.inf
    assert hrs.p_adv(0.9, 1e-300, ratio, sigma=1.0) == pytest.approx(hrs.p_adv(0.9, 0.0, ratio, sigma=1.0), rel=1e-9)
    for kernel in (hrs.UniformKernel(0.0, 100), hrs.AbsorbingKernel(0.0), hrs.UniformKernel(1.0, 2)):
        assert hrs.p_adv(1 - 1e-9, 0.0, kernel.likelihood_ratio(1), sigma=1.0) == 0


@given(kernels, st.integers(0, 8), probabilities, st.sampled_from([4.6e-5, 0.01, 0.5]), st.floats(0.25, 2))
def test_the_radius_is_certified_and_no_larger_one_is(kernel, d, p_a, tau, sigma):
    ratio = kernel.likelihood_ratio(d)
    radius = hrs.certified_radius(p_a, ratio, sigma=sigma, tau=tau)
    if np.isnan(radius):
        assert hrs.p_adv(p_a, 0.0, ratio, sigma=sigma) < tau
        return
    assert hrs.p_adv(p_a, radius, ratio, sigma=sigma) >= tau
    exact = oracle.value(p_a, float(radius) * (1 + 1e-9) / sigma + 1e-8, law_of(kernel, d))
    assert exact < tau


@pytest.mark.parametrize(
    ("ratio", "p_a", "tau", "least"),
    [
        (hrs.AbsorbingKernel(0.8705768934614314).likelihood_ratio(5), 1 - 2.2e-16, 0.500075618117987, 0.481),
        (hrs.AbsorbingKernel(0.5466861906496804).likelihood_ratio(20), 1 - 1.1e-15, 5.685413730882729e-06, 2.4e-5),
        (hrs.UniformKernel(0.9666666666666667, 30).likelihood_ratio(2), 1 - 4.63e-14, 1 - 2.088e-13, 0.19),
        (hrs.UniformKernel(0.25, 32_000).likelihood_ratio(2), 0.5, 5e-324, 36.5),
    ],
)
def test_no_radius_is_lost_where_the_bound_is_far_below_the_exact_value(ratio, p_a, tau, least):
    radius = hrs.certified_radius(p_a, ratio, sigma=1.0, tau=tau)
    assert radius > least
    assert hrs.p_adv(p_a, radius, ratio, sigma=1.0) >= tau


def test_a_threshold_next_to_the_value_without_a_shift_takes_no_time(monkeypatch):
    ratio, calls, solve = hrs.UniformKernel(2 / 3, 3).likelihood_ratio(2), [], neyman_pearson.log_threshold
    monkeypatch.setattr(neyman_pearson, "log_threshold", lambda *given: calls.append(1) or solve(*given))
    value = hrs.p_adv(0.3, 0.0, ratio, sigma=1.0)
    assert hrs.certified_radius(0.3, ratio, sigma=1.0, tau=value * (1 - 1e-14)) < 1e-9
    assert len(calls) < 150


def test_radii_are_the_same_where_newtons_method_does_not_arrive(monkeypatch):
    rng = np.random.default_rng(0)
    p = 1 - 10.0 ** -rng.uniform(0.1, 6, 20)
    laws = [
        hrs.UniformKernel(beta, v).likelihood_ratio(d) for beta in (0.1, 0.6) for v in (2, 50, 32_000) for d in (1, 4)
    ]
    asked = [(law, tau) for law in laws for tau in (4.6e-5, 0.05, 0.5)]
    found = [hrs.certified_radius(p, law, sigma=1.0, tau=tau) for law, tau in asked]
    monkeypatch.setattr(neyman_pearson, "crossing", lambda p, tau, ratio, most: np.full(p.shape, np.nan))
    for radii, (law, tau) in zip(found, asked, strict=True):
        np.testing.assert_allclose(radii, hrs.certified_radius(p, law, sigma=1.0, tau=tau), rtol=1e-9, atol=1e-9)


@given(kernels, st.integers(0, 8), st.floats(0, 6), st.sampled_from([4.6e-5, 0.01, 0.5, 0.9]))
def test_the_required_probability_certifies_and_a_lower_one_does_not(kernel, d, shift, tau):
    ratio = kernel.likelihood_ratio(d)
    needed = hrs.required_p_a(shift, ratio, sigma=1.0, tau=tau)
    if np.isnan(needed):
        assert hrs.p_adv(1.0, shift, ratio, sigma=1.0) < tau
        return
    assert hrs.p_adv(needed, shift, ratio, sigma=1.0) >= tau
    lower = needed - 1e-9 * max(needed, 1e-3) if needed < 0.5 else needed - 1e-8 * (1 - needed) - 1e-14
    if lower > 0:
        assert hrs.p_adv(lower, shift, ratio, sigma=1.0) < tau * (1 + 1e-12)


@given(kernels, probabilities, st.floats(0, 4))
def test_certified_edits_are_the_last_budget_above_the_threshold(kernel, p_a, shift):
    values = [float(hrs.p_adv(p_a, shift, kernel.likelihood_ratio(d), sigma=1.0)) for d in range(6)]
    edits = hrs.certified_edits(p_a, kernel, epsilon=shift, sigma=1.0, tau=4.6e-5, d_max=5)
    assert edits == sum(value >= 4.6e-5 for value in values) - 1


def test_arrays_broadcast_and_blocks_do_not_matter():
    rng = np.random.default_rng(0)
    ratio = hrs.UniformKernel(0.25, 500).likelihood_ratio(4)
    p, epsilon = rng.random((40, 1)), rng.uniform(0, 4, (1, 300))
    grid = hrs.p_adv(p, epsilon, ratio, sigma=1.0)
    assert grid.shape == (40, 300)
    singles = [hrs.p_adv(p[i, 0], epsilon[0, j], ratio, sigma=1.0) for i, j in [(0, 0), (17, 203), (39, 299)]]
    np.testing.assert_allclose([grid[0, 0], grid[17, 203], grid[39, 299]], singles, rtol=1e-12)
    assert hrs.certified_radius(p, ratio, sigma=[0.5, 1.0, 2.0], tau=0.01).shape == (40, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p_a": 1.1}, r"p_a = 1\.1"),
        ({"p_a": [0.5, np.nan]}, "p_a = nan"),
        ({"p_a": "high"}, "p_a = 'high'"),
        ({"epsilon": -0.1}, r"epsilon = -0\.1"),
        ({"epsilon": np.inf}, "epsilon = inf"),
        ({"sigma": -1.0}, r"sigma = -1\.0"),
        ({"sigma": np.nan}, "sigma = nan"),
    ],
)
def test_bad_input_is_named_with_its_value(arguments, message):
    ratio = hrs.UniformKernel(0.25, 10).likelihood_ratio(1)
    given_arguments = {"p_a": 0.9, "epsilon": 0.5, "sigma": 1.0} | arguments
    with pytest.raises(ValueError, match=message):
        hrs.p_adv(ratio=ratio, **given_arguments)
    with pytest.raises(ValueError, match="tau = 2"):
        hrs.certified_radius(0.9, ratio, sigma=1.0, tau=2)


def test_printed_radii_are_floored():
    values = np.array([1.2999999, 0.07, 0.29, 4.35, 0.0])
    for digits in range(4):
        assert np.all(hrs.floored(values, digits) <= values)
    assert hrs.floored(1.2999, 2) == 1.29
    assert np.isnan(hrs.floored(np.nan, 2))


def test_printed_upper_limits_are_ceiled():
    values = np.concatenate([np.random.default_rng(1).uniform(-3, 9, 2000), np.arange(-30, 90) / 10])
    for digits in (0, 1, 2, 4):
        up, down = hrs.ceiled(values, digits), hrs.floored(values, digits)
        assert np.all(up >= values)
        assert np.all(up - down <= 1.001 * 10.0**-digits)
    assert hrs.ceiled(7.2244, 2) == 7.23
    assert f"{hrs.ceiled(0.0, 2):.2f}" == "0.00"
    assert np.isnan(hrs.ceiled(np.nan, 2))
    assert hrs.ceiled(np.inf, 2) == np.inf


def test_a_certificate_says_what_it_certifies():
    kernel = hrs.UniformKernel(0.25, 32_000)
    yes = hrs.certify(hrs.Counts((10_000,), n=10_000), kernel, d=3, epsilon=1.0, sigma=1.0, tau=4.6e-5)
    no = hrs.certify(0.9, kernel, d=3, epsilon=1.0, sigma=1.0, tau=4.6e-5)
    assert yes.certified
    assert not no.certified
    assert "confidence 0.99, 10000 draws" in str(yes)
    assert "not certified" in str(no)
    bound = neyman_pearson.lower_bound(*(np.array(x) for x in (yes.p, yes.log_t)), kernel.likelihood_ratio(3),
                                       np.array(1.0))  # fmt: skip
    assert bound == pytest.approx(yes.p_adv, rel=1e-12)


def test_a_frontier_says_whether_it_speaks_of_one_classifier():
    kernel = hrs.UniformKernel(0.25, 32_000)
    one = hrs.frontier(0.99954, kernel, sigma=1.0, tau=4.6e-5, d_max=8)
    own = hrs.frontier(np.full(9, 0.99954), kernel, sigma=1.0, tau=4.6e-5, d_max=8)
    np.testing.assert_array_equal(one.radii, own.radii)
    assert "one smoothed classifier" in one.claim
    assert "no single deployed classifier" in own.claim
    assert one.edits(0.0) == 5
    assert one.edits(100.0) == -1
    assert one.edits(one.radius(2)) == 2
    assert one.radius(1) == hrs.certified_radius(0.99954, kernel.likelihood_ratio(1), sigma=1.0, tau=4.6e-5)
    assert list(one.to_frame().columns) == ["d", "p", "evidence", "radius", "one_classifier", "simultaneous", "alpha"]
    with pytest.raises(ValueError, match="d = 9"):
        one.radius(9)
    with pytest.raises(ValueError, match="p_a"):
        hrs.frontier(np.full(3, 0.9), kernel, sigma=1.0, tau=4.6e-5, d_max=8)
