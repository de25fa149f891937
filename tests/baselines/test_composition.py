"""Two certificates in sequence: sound, never above the joint one, equal to it where one modality is left alone."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import norm

import hybrid_rs as hrs
from hybrid_rs.baselines.composition import composed_p_adv, composed_radius

ORDERS = ("text first", "image first")
kernels = st.one_of(
    st.builds(
        hrs.UniformKernel, beta=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), vocab_size=st.sampled_from([2, 376])
    ),
    st.builds(hrs.AbsorbingKernel, beta=st.sampled_from([0.1, 0.25, 0.5, 1.0])),
)


@pytest.mark.parametrize("order", ORDERS)
@given(
    edges=st.lists(st.floats(-6, 6), min_size=3, max_size=3),  # standard deviations
    sign=st.sampled_from([-1, 1]),
    beta=st.sampled_from([0.1, 0.25, 0.5]),
    epsilon=st.floats(0, 4),
    d=st.integers(0, 1),
)
def test_no_guard_with_an_edge_for_each_token_goes_below_it(order, edges, sign, beta, epsilon, d):
    edge, places = np.array(edges), np.eye(3)  # unsafe while sign * z2 <= edge of the token; clean input: token 0, at 0
    laws = places * (1 - beta) + (1 - places) * beta / 2  # row: the token that is noised
    p_a = laws[0] @ norm.cdf(edge)
    attacked = laws[d] @ norm.cdf(edge - sign * epsilon)
    ratio = hrs.UniformKernel(beta, vocab_size=3).likelihood_ratio(d)
    assert composed_p_adv(p_a, epsilon, ratio, sigma=1.0, order=order) <= attacked + 1e-12


@pytest.mark.parametrize("order", ORDERS)
@given(p_a=st.floats(0.99, 0.9999), epsilon=st.floats(0.3, 2), beta=st.sampled_from([0.25, 0.5]), d=st.integers(1, 2))
def test_it_is_strictly_weaker_where_both_modalities_are_attacked(order, p_a, epsilon, beta, d):
    ratio = hrs.UniformKernel(beta, vocab_size=376).likelihood_ratio(d)
    joint = hrs.p_adv(p_a, epsilon, ratio, sigma=1.0)
    assert composed_p_adv(p_a, epsilon, ratio, sigma=1.0, order=order) < (1 - 1e-6) * joint


@pytest.mark.parametrize("order", ORDERS)
@given(p_a=st.floats(0, 1), epsilon=st.floats(0, 8), kernel=kernels, d=st.integers(0, 5))
def test_it_is_never_above_the_joint_certificate(order, p_a, epsilon, kernel, d):
    ratio = kernel.likelihood_ratio(d)
    joint = hrs.p_adv(p_a, epsilon, ratio, sigma=1.0)
    assert composed_p_adv(p_a, epsilon, ratio, sigma=1.0, order=order) <= joint * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("order", ORDERS)
@given(p_a=st.floats(0, 1), epsilon=st.floats(0, 8), kernel=kernels, d=st.integers(0, 5))
def test_it_is_the_joint_certificate_where_one_modality_is_left_alone(order, p_a, epsilon, kernel, d):
    for image, edits in ((0.0, d), (epsilon, 0)):
        ratio = kernel.likelihood_ratio(edits)
        joint = hrs.p_adv(p_a, image, ratio, sigma=1.0)
        assert composed_p_adv(p_a, image, ratio, sigma=1.0, order=order) == pytest.approx(joint, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@given(p_a=st.floats(0, 1), tau=st.floats(1e-6, 0.9), kernel=kernels, d=st.integers(0, 4))
def test_the_radius_is_the_largest_that_the_value_certifies(order, p_a, tau, kernel, d):
    ratio = kernel.likelihood_ratio(d)
    radius = float(composed_radius(p_a, ratio, sigma=0.5, tau=tau, order=order))
    joint = float(hrs.certified_radius(p_a, ratio, sigma=0.5, tau=tau))
    if np.isnan(radius):
        assert composed_p_adv(p_a, 0.0, ratio, sigma=0.5, order=order) <= tau * (1 + 1e-9)
    elif np.isfinite(radius):
        assert radius <= joint * (1 + 1e-9) + 1e-9
        assert composed_p_adv(p_a, radius, ratio, sigma=0.5, order=order) >= tau * (1 - 1e-6) - 1e-12
        assert composed_p_adv(p_a, radius + 1e-4, ratio, sigma=0.5, order=order) < tau


def test_for_masks_both_orders_have_closed_forms():
    p_a, shift, v = 0.999, 0.8, 0.25**2
    ratio = hrs.AbsorbingKernel(beta=0.25).likelihood_ratio(2)
    text, image = (composed_p_adv(p_a, shift, ratio, sigma=1.0, order=order) for order in ORDERS)
    assert text == pytest.approx(norm.cdf(norm.ppf(p_a - 1 + v) - shift), rel=1e-9)
    assert image == pytest.approx(norm.cdf(norm.ppf(p_a) - shift) - 1 + v, rel=1e-9)
    assert hrs.p_adv(p_a, shift, ratio, sigma=1.0) == pytest.approx(
        v * norm.cdf(norm.ppf((p_a - 1 + v) / v) - shift), rel=1e-9
    )


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="order = 'both'"):
        composed_p_adv(0.9, 1.0, hrs.AbsorbingKernel(0.25).likelihood_ratio(1), sigma=1.0, order="both")
