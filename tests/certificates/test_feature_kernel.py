"""The kernel of features that differ in arity: its worst choice of features, and its noise."""

from collections import Counter
from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import chisquare

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle

BETAS = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.95, 1.0)
SIZES = (2, 6, 3, 2)
GUARD = SimpleNamespace(alphabet=np.arange(4), pad_id=1, mask_id=None, unsafe=lambda token_ids, images: None)


def brute(p_a, shift, beta, sizes, d):
    """The least value over every subset of features, in 50 digits."""
    subsets = {tuple(sorted(s)) for s in combinations(sizes, d)}
    laws = [oracle.atoms([oracle.uniform_position(beta, v) for v in subset]) for subset in subsets]
    return min(oracle.value(p_a, shift, law) for law in laws)


@pytest.mark.parametrize("beta", [0.25, 0.6, 0.75, 1.0])
@pytest.mark.parametrize("d", [1, 2])
def test_the_worst_choice_is_among_the_candidates_whatever_the_evidence(beta, d):
    ratios = hrs.FeatureKernel(beta, SIZES).likelihood_ratios(d)
    for p_a, shift in ((0.6, 0.0), (0.6, 0.7), (0.97, 0.7)):
        value = min(float(hrs.p_adv(p_a, shift, ratio, sigma=1.0)) for ratio in ratios)
        assert 0 <= brute(p_a, shift, beta, SIZES, d) - value <= 1e-10


@given(st.lists(st.integers(2, 9), min_size=1, max_size=5), st.sampled_from(BETAS), st.integers(0, 6))
def test_candidates_are_choices_of_d_features_and_there_is_one_up_to_the_proven_beta(sizes, beta, d):
    kernel = hrs.FeatureKernel(beta, tuple(sizes))
    possible = {tuple(sorted(c, reverse=True)) for c in combinations(sizes, min(d, len(sizes)))}
    assert set(kernel.arities(d)) <= possible
    assert len(kernel.arities(d)) <= (1 if kernel.largest_is_worst else min(d, len(sizes)) + 1)
    assert kernel.largest_is_worst or beta > 1 - 1 / min(sizes)


def test_one_arity_is_the_uniform_kernel_and_edits_stop_at_the_number_of_features():
    one, other = hrs.FeatureKernel(0.9, (7,) * 4), hrs.UniformKernel(0.9, 7)
    for d in range(5):
        assert np.array_equal(one.likelihood_ratio(d).log_q, other.likelihood_ratio(d).log_q)
    assert np.array_equal(one.likelihood_ratio(9).log_q, other.likelihood_ratio(4).log_q)


@pytest.mark.parametrize("beta", [0.25, 0.75])
def test_frontier_and_edits_take_the_least_over_the_candidates(beta):
    kernel, p_a, law = (
        hrs.FeatureKernel(beta, (2, 2, 100, 100)),
        np.linspace(0.5, 0.999, 7),
        {"sigma": 0.5, "tau": 0.05},
    )
    fronts = np.array([hrs.frontier(p, kernel, d_max=2, **law).radii for p in p_a])
    for d in range(3):
        each = [hrs.certified_radius(p_a, ratio, **law) for ratio in kernel.likelihood_ratios(d)]
        np.testing.assert_allclose(fronts[:, d], np.min(each, axis=0), rtol=1e-12)
    for epsilon in (0.0, 0.3):
        edits = hrs.certified_edits(p_a, kernel, epsilon=epsilon, d_max=2, **law)
        assert np.array_equal(edits, (fronts >= epsilon).cumprod(axis=1).sum(axis=1) - 1)
    assert len(kernel.likelihood_ratios(2)) == (1 if beta == 0.25 else 3)


@pytest.mark.parametrize("d", [0, 1, 3, 9])
def test_a_certificate_is_verified_against_every_choice_of_features_and_survives_json(d):
    pytest.importorskip("flint")
    made = hrs.certify(0.999, hrs.FeatureKernel(0.25, SIZES), d=d, epsilon=0.2, sigma=0.5, tau=0.01)
    assert hrs.Certificate.from_json(made.to_json()) == made
    assert made.p_adv <= hrs.verify(made) <= made.p_adv * (1 + 1e-9)


def test_a_claim_for_the_wrong_choice_of_features_fails_verification():
    pytest.importorskip("flint")
    from dataclasses import replace

    small = hrs.certify(0.9, hrs.FeatureKernel(0.25, (2, 2)), d=1, epsilon=0.1, sigma=0.5, tau=0.5)
    with pytest.raises(hrs.VerificationError, match="proves only"):
        hrs.verify(replace(small, kernel=hrs.FeatureKernel(0.25, (2, 2, 6))))


@pytest.mark.parametrize("p_a", [0.6, 0.9, 0.999])
@pytest.mark.parametrize("epsilon", [0.0, 0.4])
def test_one_witness_serves_every_choice_of_features(p_a, epsilon):
    pytest.importorskip("flint")
    kernel, law = hrs.FeatureKernel(0.75, (2, 6, 5)), {"epsilon": epsilon, "sigma": 1.0}
    made = hrs.certify(p_a, kernel, d=2, tau=0.1, **law)
    least = min(float(hrs.p_adv(p_a, epsilon, ratio, sigma=1.0)) for ratio in kernel.likelihood_ratios(2))
    assert made.p_adv <= least * (1 + 1e-12)
    assert made.p_adv == pytest.approx(least, rel=1e-9)
    assert hrs.verify(made) >= made.p_adv


def test_noise_keeps_to_each_alphabet_and_follows_its_law():
    kernel, clean, n = hrs.FeatureKernel(0.4, (2, 3, 6)), np.array([1, 0, 4]), 20_000
    noisy = kernel.sample(clean, n, np.random.default_rng(0))
    for shown, size, category in zip(noisy.T, kernel.sizes, clean, strict=True):
        expected = np.where(np.arange(size) == category, 0.6, 0.4 / (size - 1)) * n
        assert chisquare(np.bincount(shown, minlength=size), expected).pvalue > 1e-4
    pairs = Counter(map(tuple, (noisy != clean).tolist()))
    joint = [np.prod(np.where(which, 0.4, 0.6)) * n for which in product((False, True), repeat=3)]
    assert chisquare([pairs[which] for which in product((False, True), repeat=3)], joint).pvalue > 1e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hrs.FeatureKernel(1.5, (2, 3)), r"beta = 1\.5"),
        (lambda: hrs.FeatureKernel(0.5, (2, 1)), "sizes = 1"),
        (lambda: hrs.FeatureKernel(0.5, ()), r"sizes = \(\)"),
        (lambda: hrs.FeatureKernel(0.25, (2, 3)).arities(-1), "d = -1"),
        (lambda: hrs.FeatureKernel(0.6, (2, 3)).likelihood_ratio(1), "use likelihood_ratios"),
        (lambda: hrs.frontier(0.9, hrs.FeatureKernel(0.25, (2, 3)), sigma=1, tau=0.5, d_max=1, masked=True), "p_A"),
        (
            lambda: hrs.SmoothedGuard(GUARD, hrs.FeatureKernel(0.25, (2, 3)), sigma=0.1, threat=hrs.L0Threat(1)),
            "for tables",
        ),
        (lambda: hrs.FeatureKernel(0.5, (2, 3)).sample(np.array([2, 0]), 1, np.random.default_rng(0)), "clean"),
    ],
)
def test_errors_name_the_parameter_and_the_remedy(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_many_arities_are_certified_and_verified_from_few_choices():
    pytest.importorskip("flint")
    kernel, law = hrs.FeatureKernel(0.9, tuple(range(2, 62))), {"epsilon": 0.2, "sigma": 0.5, "tau": 0.01}
    assert len(kernel.arities(5)) == 6
    made = hrs.certify(0.999, kernel, d=3, **law)
    assert hrs.verify(made) >= made.p_adv
    with pytest.raises(ValueError, match=r"d = 40: .* atoms, more than"):
        kernel.arities(40)
    with pytest.raises(ValueError, match=r"d = 40: .* atoms, more than"):
        hrs.frontier(0.99, kernel, sigma=1, tau=0.1, d_max=40)
