"""Likelihood ratios as laws: masses, composition, kernels against exact enumeration."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mpmath import mp

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.worst_case import log_p_adv

betas = st.floats(1e-4, 1.0) | st.sampled_from([0.0, 0.25, 0.5, 1.0])
vocab_sizes = st.integers(2, 10**6)


@given(betas, vocab_sizes, st.integers(0, 64))
def test_masses_add_up_and_the_ratio_is_q_over_p(beta, vocab_size, d):
    ratio = hrs.UniformKernel(beta, vocab_size).likelihood_ratio(d)
    assert ratio.p_finite + ratio.p_at_zero == pytest.approx(1, rel=1e-11)
    assert ratio.q_finite + ratio.q_at_infinity == pytest.approx(1, rel=1e-11)
    slack = 4 * ratio.rounding + 1e-15 * np.abs(ratio.log_gamma)
    assert np.all(np.abs(ratio.log_q - ratio.log_p - ratio.log_gamma) <= slack)
    assert ratio.log_gamma.size <= 2 * d + 1


@pytest.mark.seconds
@settings(max_examples=25)
@given(betas, st.integers(2, 10**6), st.sampled_from([1, 2, 3, 8, 33, 64]))
def test_stored_logarithms_are_within_their_stated_rounding_error(beta, vocab_size, d):
    ratio = hrs.UniformKernel(beta, vocab_size).likelihood_ratio(d)
    law = oracle.uniform_law(beta, vocab_size, d)
    with mp.workdps(oracle.DIGITS):
        exact = sorted((g, p, q) for g, (p, q) in law.items() if g is not oracle.INFINITY and g != 0)
        if len(exact) != ratio.log_p.size:
            assert abs(np.log1p(-beta) - np.log(beta) + np.log(vocab_size - 1)) < 1e-12  # beta within an ulp of 1 - 1/V
            return
        errors = [
            max(abs(mp.log(p) - log_p), abs(mp.log(q) - log_q))
            for (_, p, q), log_p, log_q in zip(exact, ratio.log_p, ratio.log_q, strict=True)
        ]
        assert not errors or float(max(errors)) <= ratio.rounding


@pytest.mark.parametrize(("vocab_size", "d"), [(2, 1), (2, 4), (3, 3), (5, 2)])
@pytest.mark.parametrize("beta", [0.0, 0.25, 0.75, 1.0])
def test_the_law_of_the_ratio_is_that_of_enumerated_sequences(vocab_size, d, beta):
    def mass(shown, written):
        return Fraction(1 - Fraction(beta)) if shown == written else Fraction(beta) / (vocab_size - 1)

    clean, adversarial = (0,) * d, (1,) * d
    law = {}
    for text in itertools.product(range(vocab_size), repeat=d):
        p = np.prod([mass(shown, written) for shown, written in zip(text, clean, strict=True)])
        q = np.prod([mass(shown, written) for shown, written in zip(text, adversarial, strict=True)])
        key = None if p == 0 else q / p
        if p or q:
            before = law.get(key, (0, 0))
            law[key] = (before[0] + p, before[1] + q)
    ratio = hrs.UniformKernel(beta, vocab_size).likelihood_ratio(d)
    finite = sorted((key, *masses) for key, masses in law.items() if key)
    assert ratio.p_at_zero == pytest.approx(float(law.get(Fraction(0), (0, 0))[0]), rel=1e-14)
    assert ratio.q_at_infinity == pytest.approx(float(law.get(None, (0, 0))[1]), rel=1e-14)
    np.testing.assert_allclose(np.exp(ratio.log_gamma), [float(g) for g, _, _ in finite], rtol=1e-13)
    np.testing.assert_allclose(ratio.p, [float(p) for _, p, _ in finite], rtol=1e-13)
    np.testing.assert_allclose(ratio.q, [float(q) for _, _, q in finite], rtol=1e-13)


@given(betas, st.integers(2, 1000), st.integers(0, 12))
def test_d_edits_are_one_edit_composed_d_times(beta, vocab_size, d):
    kernel = hrs.UniformKernel(beta, vocab_size)
    direct, composed = kernel.likelihood_ratio(d), kernel.likelihood_ratio(1).power(d)
    p = np.array([1e-4, 0.3, 0.9, 0.999])
    np.testing.assert_allclose(
        log_p_adv(p, 0.7, direct, sigma=1.0), log_p_adv(p, 0.7, composed, sigma=1.0), rtol=1e-9, atol=1e-9
    )


@pytest.mark.seconds
@given(st.floats(0.01, 0.99), st.integers(2, 50), st.integers(2, 50))
def test_positions_of_different_arity_compose_to_the_product_law(beta, first, second):
    one, other = (hrs.UniformKernel(beta, v).likelihood_ratio(1) for v in (first, second))
    product = one.compose(other)
    law = oracle.atoms([oracle.uniform_position(beta, v) for v in (first, second)])
    with mp.workdps(oracle.DIGITS):
        exact = oracle.value(0.9, 0.5, law)
        assert float(mp.log(exact) - log_p_adv(0.9, 0.5, product, sigma=1.0)) == pytest.approx(0, abs=1e-10)
    back = other.compose(one)
    np.testing.assert_allclose(back.log_p, product.log_p, rtol=1e-12)


def test_reversing_twice_gives_the_law_back():
    ratio = hrs.LikelihoodRatio.from_masses(p=[0.5, 0.3, 0.2, 0.0], q=[0.1, 0.3, 0.0, 0.6])
    again = ratio.reversed().reversed()
    assert (again.p_at_zero, again.q_at_infinity) == (0.2, 0.6)
    np.testing.assert_array_equal(again.log_p, ratio.log_p)
    np.testing.assert_allclose(ratio.reversed().p, [0.3, 0.1], rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hrs.UniformKernel(beta=1.5, vocab_size=10), r"beta = 1\.5"),
        (lambda: hrs.UniformKernel(beta=float("nan"), vocab_size=10), "beta = nan"),
        (lambda: hrs.UniformKernel(beta=0.5, vocab_size=1), "vocab_size = 1"),
        (lambda: hrs.UniformKernel(beta=0.5, vocab_size=2.5), r"vocab_size = 2\.5"),
        (lambda: hrs.UniformKernel(beta=0.5, vocab_size=10).likelihood_ratio(-1), "d = -1"),
        (lambda: hrs.AbsorbingKernel(beta=-0.1), r"beta = -0\.1"),
        (lambda: hrs.LikelihoodRatio.from_masses([0.5, 0.5], [1.0]), "p, q"),
        (lambda: hrs.LikelihoodRatio.from_masses([0.5, 0.6], [0.5, 0.5]), "total mass of p"),
        (lambda: hrs.LikelihoodRatio.from_masses([1.5, -0.5], [0.5, 0.5]), "p ="),
        (lambda: hrs.LikelihoodRatio(*[np.zeros(2)] * 5), "log_gamma"),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
