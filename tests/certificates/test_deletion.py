"""Random deletion: below every classifier's value (by linear programming), attained, and the published radii."""

import math
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.optimize import linprog
from scipy.stats import norm

import hybrid_rs as hrs
from hybrid_rs.certificates.deletion import DeletionKernel, shared_mass_ratio
from hybrid_rs.certificates.feature_kernel import worst_ratios

KINDS = {"insertions": "i", "deletions": "d", "insertions and deletions": "id", "all": "ids"}


def law(text, beta):
    """The exact law of a text after deletion, from its definition."""
    found = defaultdict(float)
    for kept in product((False, True), repeat=len(text)):
        rest = tuple(token for token, stays in zip(text, kept, strict=True) if stays)
        found[rest] += math.prod(1 - beta if stays else beta for stays in kept)
    return found


def neighbours(text, d, kinds, alphabet):
    """All texts within d edits."""
    found = {text}
    for _ in range(d):
        for word in list(found):
            for at in range(len(word) + 1):
                if "i" in kinds:
                    found |= {(*word[:at], token, *word[at:]) for token in alphabet}
                if at < len(word) and "d" in kinds:
                    found.add(word[:at] + word[at + 1 :])
                if at < len(word) and "s" in kinds:
                    found |= {(*word[:at], token, *word[at + 1 :]) for token in alphabet}
    return found


def least(clean, attacked, p_a, shift=0.0, bins=1):
    """The least attacked value of all classifiers with clean value p_a, by linear programming.

    A classifier of texts and of an image that is only seen to lie in one of some bins.
    """
    edges = np.concatenate([[-np.inf], np.linspace(-2, 2 + shift, bins - 1), [np.inf]])
    here, there = np.diff(norm.cdf(edges)), np.diff(norm.cdf(edges - shift))
    texts = sorted({*clean, *attacked})
    p = np.outer([clean.get(text, 0.0) for text in texts], here).ravel()
    q = np.outer([attacked.get(text, 0.0) for text in texts], there).ravel()
    return linprog(q, A_ub=-p[None], b_ub=[-p_a], bounds=(0, 1)).fun


@pytest.mark.seconds
@pytest.mark.parametrize("edits", KINDS)
@pytest.mark.parametrize("beta", [0.3, 0.8])
def test_no_classifier_of_short_texts_is_below_the_certificate(edits, beta):
    rng, kernel = np.random.default_rng(0), DeletionKernel(beta, edits)
    for text, d in [((0, 1), 1), ((0, 1, 0), 1), ((0, 0, 1), 2), ((1,), 2)]:
        around = sorted(neighbours(text, d, KINDS[edits], (0, 1)))
        for near in [around[i] for i in rng.permutation(len(around))[:6]]:
            for p_a, shift in ((0.9, 0.0), (0.97, 0.6)):
                bound = min(hrs.p_adv(p_a, shift, ratio, sigma=1.0) for ratio in kernel.likelihood_ratios(d))
                assert bound <= least(law(text, beta), law(near, beta), p_a, shift, bins=5) + 1e-9


@pytest.mark.parametrize(
    ("text", "near", "lost", "gained"),
    [((0, 1), (0, 1, 2), 0, 1), ((0, 1, 2), (0, 1), 1, 0), ((0, 1), (0, 2), 1, 1), ((0, 1), (2, 3, 0), 1, 2)],
)
def test_it_is_attained_where_the_changed_tokens_occur_nowhere_else(text, near, lost, gained):
    for beta, p_a in product((0.3, 0.8), (0.5, 0.9, 0.99)):
        bound = hrs.p_adv(p_a, 0.0, shared_mass_ratio(beta, lost, gained), sigma=1.0)
        assert least(law(text, beta), law(near, beta), p_a) == pytest.approx(bound, abs=1e-9)
        fine = least(law(text, beta), law(near, beta), p_a, shift=0.5, bins=400)
        assert fine == pytest.approx(hrs.p_adv(p_a, 0.5, shared_mass_ratio(beta, lost, gained), sigma=1.0), abs=1e-3)


@given(
    beta=st.floats(0.01, 0.99),
    p_a=st.floats(0.01, 1.0),
    lost=st.integers(0, 6),
    gained=st.integers(0, 6),
    shift=st.sampled_from([0.0, 0.5, 2.0]),
)
def test_the_closed_form_holds_and_more_changes_never_help(beta, p_a, lost, gained, shift):
    value = float(hrs.p_adv(p_a, shift, shared_mass_ratio(beta, lost, gained), sigma=1.0))
    common = Fraction(beta) ** lost
    inside = float(max(Fraction(0), min(Fraction(1), (Fraction(p_a) - 1 + common) / common)))
    closed = beta**gained * float(norm.cdf(norm.ppf(inside) - shift))
    assert value == pytest.approx(closed, rel=1e-7, abs=1e-12)
    for a, b in ((lost + 1, gained), (lost, gained + 1)):
        assert hrs.p_adv(p_a, shift, shared_mass_ratio(beta, a, b), sigma=1.0) <= value + 1e-12


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.97])
@pytest.mark.parametrize(("p_a", "tau"), [(0.8, 0.5), (0.99, 0.5), (0.9995, 0.3)])
def test_text_alone_gives_the_published_radii(beta, p_a, tau):
    """The closed forms of RS-Del (Huang et al. 2023) for a value that must stay above tau."""
    logs = {
        "all": math.log(1 + tau - p_a),
        "insertions": math.log(tau / p_a),
        "deletions": math.log((1 - p_a) / (1 - tau)),
    }
    for edits, log in logs.items():
        published = math.floor(log / math.log(beta))
        kernel = DeletionKernel(beta, edits)
        front = hrs.frontier(p_a, kernel, sigma=0.0, tau=tau, d_max=min(published + 2, 400))
        assert front.edits() == min(published, 400)


def test_the_limits_are_exact():
    assert shared_mass_ratio(0.3, 0, 0).is_identity
    assert hrs.p_adv(1.0, 0.0, shared_mass_ratio(0.0, 1, 0), sigma=1.0) == 0  # nothing is ever deleted
    assert hrs.p_adv(0.7, 0.0, shared_mass_ratio(1.0, 5, 5), sigma=1.0) == pytest.approx(0.7)  # everything is


def test_masked_evidence_and_unknown_edits_are_refused():
    with pytest.raises(ValueError, match="masked = True"):
        worst_ratios(DeletionKernel(0.5), 1, masked=True)
    with pytest.raises(ValueError, match="edits = 'swaps'"):
        DeletionKernel(0.5, "swaps")


@pytest.mark.parametrize("edits", KINDS)
def test_certificates_are_written_read_and_verified(edits):
    kernel = DeletionKernel(0.7, edits)
    for d, epsilon in ((1, 0.2), (2, 0.3)):
        made = hrs.certify(hrs.Counts((999,), n=1000), kernel, d=d, epsilon=epsilon, sigma=0.5, tau=0.05)
        assert hrs.read_certificate(made.to_json()) == made
        assert 0 < made.p_adv <= hrs.verify(made) <= made.p_adv + 1e-9
        with pytest.raises(hrs.VerificationError, match="proves only"):
            hrs.verify(replace(made, p_adv=made.p_adv * 1.01))
