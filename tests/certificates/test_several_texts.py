"""Several texts for one image: exact against the formula, never above any classifier's value, and the limits."""

from fractions import Fraction
from itertools import permutations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mpmath import mp, mpf
from scipy.special import ndtr, ndtri
from scipy.stats import binom

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.several_texts import attacked_share, certified_radius_texts, p_adv_texts

mp.dps = oracle.DIGITS
MASKED = hrs.UniformKernel(0.25, 376).likelihood_ratio(2, masked=True)
PLAIN = hrs.UniformKernel(0.6, 5).likelihood_ratio(2)
CHOICES = st.sampled_from([MASKED, PLAIN, hrs.AbsorbingKernel(0.5).likelihood_ratio(1, masked=True)])


def falling(rng, *shape):
    """P(K >= k) for k = 1..m: numbers that do not grow, many of them near 1."""
    return np.sort(1 - 10.0 ** rng.uniform(-6, 0, shape), axis=-1)[..., ::-1]


def layers(h, masses, texts):
    """P(K >= k), k = 1..texts, where K is binomial given the image, which has share ``h`` with mass ``masses``."""
    return np.minimum(binom.sf(np.arange(texts)[:, None], texts, h) @ masses, 1.0)


def exact_layers(h, masses, texts):
    """The same in fractions."""
    tails = [
        [sum(comb(texts, j) * share**j * (1 - share) ** (texts - j) for j in range(k, texts + 1)) for share in h]
        for k in range(1, texts + 1)
    ]
    return [sum(mass * tail for mass, tail in zip(masses, row, strict=True)) for row in tails]


# --- the formula ------------------------------------------------------------------------------------------------


@mp.workdps(oracle.DIGITS)
def exact(p, s, law):
    share = mp.fsum(oracle.value(x, s, oracle.atoms([])) for x in p) / len(p)
    return max(oracle.value(share, 0, law), oracle.value(sum(map(mpf, p)) / len(p), s, law))


@pytest.mark.parametrize(
    ("ratio", "law"),
    [
        (MASKED, oracle.masked_law(0.25, 376, 0, 2)),
        (PLAIN, oracle.atoms([oracle.uniform_position(0.6, 5)] * 2)),
        (hrs.LikelihoodRatio.identity(), oracle.atoms([])),
    ],
)
def test_values_agree_with_fifty_digits_and_are_never_above_them(ratio, law):
    rng = np.random.default_rng(0)
    for texts, s in product((1, 4), (0.0, 0.7, 5.0)):
        p = falling(rng, texts)
        value, truth = p_adv_texts(p, s, ratio, sigma=1.0), exact(p, s, law)
        assert value <= truth
        assert value >= truth * (1 - mpf(10) ** -10)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), CHOICES)
def test_a_radius_is_certified_and_a_hair_more_is_not(seed, ratio):
    rng = np.random.default_rng(seed)
    p, tau, sigma = falling(rng, 8, int(rng.integers(1, 9))), rng.choice([4.6e-5, 0.01, 0.05]), rng.uniform(0.1, 2)
    radius = certified_radius_texts(p, ratio, sigma=sigma, tau=tau)
    some = radius > 0
    assert np.array_equal(np.isnan(radius), p_adv_texts(p, 0.0, ratio, sigma=sigma) < tau)
    assert np.all(p_adv_texts(p[some], radius[some], ratio, sigma=sigma) >= tau)
    more = radius[some] * (1 + 1e-9) + 1e-10
    assert np.all(p_adv_texts(p[some], more, ratio, sigma=sigma) < tau)


# --- identities and order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [0, 1, 4])
@pytest.mark.parametrize("kernel", [hrs.UniformKernel(0.25, 376), hrs.UniformKernel(0.9, 3), hrs.AbsorbingKernel(0.5)])
@pytest.mark.parametrize("masked", [True, False])
def test_one_text_is_the_certificate_of_one_text(kernel, d, masked):
    ratio = kernel.likelihood_ratio(d, masked=masked)
    p, s, tau = falling(np.random.default_rng(1), 50), np.array([0.0, 0.4, 2.0]), np.array([1e-4, 0.05])
    assert p_adv_texts(p[:, None, None], s, ratio, sigma=0.5) == pytest.approx(
        hrs.p_adv(p[:, None], s, ratio, sigma=0.5), rel=1e-10
    )
    assert certified_radius_texts(p[:, None, None], ratio, sigma=0.5, tau=tau) == pytest.approx(
        hrs.certified_radius(p[:, None], ratio, sigma=0.5, tau=tau), rel=1e-9, nan_ok=True
    )


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), CHOICES)
def test_another_text_never_hurts_and_pooling_never_helps(seed, ratio):
    """From the law of h, a mixture of points: m + 1 texts are worth at least m, and any m at least the mean alone."""
    rng = np.random.default_rng(seed)
    h, masses, s = rng.random(4), rng.dirichlet(np.ones(4)), rng.uniform(0, 2)
    values = [p_adv_texts(layers(h, masses, m), s, ratio, sigma=1.0) for m in range(1, 10)]
    assert np.all(np.diff(values) >= -1e-13)
    limit = flagged_limit(h, masses, s)
    assert np.all(attacked_share(layers(h, masses, 9), s, sigma=1.0) <= limit + 1e-13)


def flagged_limit(h, masses, s):
    """The integral of G_s(P(h > t)) dt: what infinitely many texts are worth."""
    order = np.argsort(h, kind="stable")
    above = np.append(np.cumsum(masses[order][::-1])[::-1][1:], 0.0)  # P(h > each)
    steps, tails = np.diff(h[order], prepend=0.0), np.append(1.0, above[:-1])
    return steps @ np.where(tails >= 1 - 1e-15, 1.0, ndtr(ndtri(np.minimum(tails, 1.0)) - s))


def test_the_limit_of_many_texts_is_the_integral():
    h, masses, s = np.array([0.2, 0.7, 0.95]), np.array([0.1, 0.3, 0.6]), 0.8
    gap = [flagged_limit(h, masses, s) - attacked_share(layers(h, masses, m), s, sigma=1.0) for m in (1, 8, 64, 512)]
    assert np.all(np.diff(gap) < 0)
    assert 0 < gap[-1] < gap[0] / 10


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_the_share_is_superadditive(seed):
    """Mixing what is known of two groups of texts level by level is never worth more than each by itself."""
    rng = np.random.default_rng(seed)
    p, q, w, s = falling(rng, 5), falling(rng, 5), rng.random(), rng.uniform(0, 3)
    apart = w * attacked_share(p, s, sigma=1.0) + (1 - w) * attacked_share(q, s, sigma=1.0)
    assert attacked_share(w * p + (1 - w) * q, s, sigma=1.0) <= apart + 1e-13


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), CHOICES)
def test_more_evidence_less_budget_and_lower_thresholds_never_hurt(seed, ratio):
    rng = np.random.default_rng(seed)
    low, high = np.sort(falling(rng, 2, 10, 4), axis=0)
    a, b = np.sort(rng.uniform(0, 3, 2))
    assert np.all(p_adv_texts(high, a, ratio, sigma=1.0) >= p_adv_texts(low, b, ratio, sigma=1.0))
    worse, better = (certified_radius_texts(p, ratio, sigma=0.5, tau=t) for p, t in ((low, 0.05), (high, 0.02)))
    assert np.all(np.nan_to_num(better, nan=-1) >= np.nan_to_num(worse, nan=-1))


def test_limits_are_exact():
    p, none = np.array([0.99, 0.9, 0.4]), hrs.UniformKernel(0.25, 376).likelihood_ratio(0, masked=True)
    alike = certified_radius_texts([0.99] * 5, MASKED, sigma=0.5, tau=0.01)
    assert alike == pytest.approx(hrs.certified_radius(0.99, MASKED, sigma=0.5, tau=0.01), rel=1e-12)
    assert certified_radius_texts(p, MASKED, sigma=0.5, tau=0.0) == np.inf
    assert certified_radius_texts(p, none, sigma=0.0, tau=0.5) == 0.0
    assert p_adv_texts(p, 3.0, MASKED, sigma=np.inf) == p_adv_texts(p, 0.0, MASKED, sigma=1.0)
    assert p_adv_texts(p, 0.1, MASKED, sigma=0.0) == 0.0
    assert p_adv_texts([0.0, 0.0], 0.5, none, sigma=1.0) == 0.0
    assert p_adv_texts([1.0, 1.0], 9.0, none, sigma=1.0) == pytest.approx(1.0, rel=1e-14)
    everything_replaced = hrs.UniformKernel(1.0, 10**6).likelihood_ratio(3, masked=True)
    assert p_adv_texts([1.0, 1.0], 9.0, everything_replaced, sigma=1.0) == pytest.approx(1.0, abs=1e-5)
    assert np.isnan(certified_radius_texts([0.0, 0.0], none, sigma=1.0, tau=1e-9))
    # of two levels one is certain: beyond tau = 1/2 the other one limits the radius, at or below nothing does
    radii = certified_radius_texts([1.0, 0.9], none, sigma=1.0, tau=[0.49, 0.75])
    assert radii == pytest.approx([np.inf, ndtri(0.9) - ndtri(0.5)])


# --- every classifier -------------------------------------------------------------------------------------------


def word_law(word, beta, vocab_size, given=()):
    """Masses of all noisy words, exact; positions in ``given`` are replaced for certain."""
    others = vocab_size - 1

    def position(i, token):
        if i in given:
            return Fraction(int(token != word[i]), others)
        return 1 - beta if token == word[i] else beta / others

    laws = [[position(i, token) for token in range(vocab_size)] for i in range(len(word))]
    return [np.prod([laws[i][t] for i, t in enumerate(z)]) for z in product(range(vocab_size), repeat=len(word))]


def trade_off(p, clean, shifted):
    """G of a discrete image channel, exactly: the knapsack."""
    left, value = p, Fraction(0)
    for a, b in sorted(zip(clean, shifted, strict=True), key=lambda cell: cell[1] / cell[0]):
        part = min(left, a)
        left, value = left - part, value + part * b / a
    return value


@pytest.mark.seconds
@pytest.mark.parametrize(
    ("vocab_size", "length", "d", "cells"),
    [(3, 1, 1, [(3, 1), (2, 2), (1, 3)]), (2, 2, 1, [(3, 1), (1, 3)]), (2, 2, 2, [(1, 2), (2, 1)])],
)
@pytest.mark.parametrize("beta", [Fraction(1, 4), Fraction(1, 2)])
def test_no_classifier_and_no_adversary_goes_below_it(vocab_size, length, d, cells, beta):
    """All 0/1 functions of word and image cell, all edits within S, in exact fractions: theorem 5.2 itself."""
    clean, shifted = ([Fraction(cell[i], sum(c[i] for c in cells)) for cell in cells] for i in (0, 1))
    word, chosen, words = (0,) * length, tuple(range(d)), vocab_size**length
    given_s = np.array(word_law(word, beta, vocab_size, chosen))
    edits = product(range(vocab_size), repeat=d)
    attacked = [np.array(word_law(edit + word[d:], beta, vocab_size)) for edit in edits]
    least_gap = Fraction(1)
    for verdicts in product((0, 1), repeat=words * len(cells)):
        f = np.array(verdicts, dtype=object).reshape(len(cells), words)
        h = f @ given_s
        truth = min(sum(b * (row @ law) for b, row in zip(shifted, f, strict=True)) for law in attacked)
        for texts in (1, 3):
            bound = beta**d * sum(trade_off(p, clean, shifted) for p in exact_layers(h, clean, texts)) / texts
            least_gap = min(least_gap, truth - bound)
    assert least_gap == 0  # never below, and for some f attained


def test_the_limit_is_attained_by_a_classifier_of_the_noisy_word():
    """f = h(image) where S shows no clean token, else 0: editing nothing and shifting the image leaves beta^d I(h)."""
    beta, size, s, h = Fraction(1, 3), 4, 0.7, np.array([0.9, 0.6, 0.2])  # h falls along the shift
    edges = np.array([-np.inf, -0.5, 0.8, np.inf])
    clean, shifted = np.diff(ndtr(edges)), np.diff(ndtr(edges - s))
    hidden = np.array([0 not in word for word in product(range(size), repeat=2)])
    f = h[:, None] * hidden
    given_s = np.array(word_law((0, 0), beta, size, (0, 1)), dtype=float)
    assert f @ given_s == pytest.approx(h)
    laws = [np.array(word_law(word, beta, size), dtype=float) for word in product(range(size), repeat=2)]
    least = min(shifted @ f @ law for law in laws)
    assert least == pytest.approx(float(beta) ** 2 * flagged_limit(h, clean, s), rel=1e-12)
    bounds = [
        p_adv_texts(layers(h, clean, m), s, hrs.UniformKernel(1 / 3, size).likelihood_ratio(2, masked=True), sigma=1.0)
        for m in (1, 10, 1000)
    ]
    assert bounds == sorted(bounds)
    assert least * 0.98 < bounds[-1] <= least


def test_shares_of_any_order_are_never_below_the_integral_and_one_order_attains_it():
    """m to infinity: of all images with one law of h, the worst has exactly the value of the limit."""
    clean, shifted = [Fraction(1, 4)] * 4, [Fraction(n, 20) for n in (1, 3, 6, 10)]
    shares = [Fraction(n, 10) for n in (0, 2, 7, 10)]
    ascending = sorted(shares)
    steps = [b - a for a, b in zip([Fraction(0), *ascending], ascending, strict=False)]
    integral = sum(w * trade_off(Fraction(4 - i, 4), clean, shifted) for i, w in enumerate(steps))
    values = [sum(b * h for b, h in zip(shifted, order, strict=True)) for order in permutations(shares)]
    assert min(values) == integral
    sampled = [sum(trade_off(p, clean, shifted) for p in exact_layers(shares, clean, m)) / m for m in (1, 2, 4, 8, 16)]
    assert sampled == sorted(sampled)
    assert sampled[-1] < integral


def test_the_package_is_never_above_any_classifier_on_cells_of_a_gaussian_image():
    """f random in [0, 1], constant on intervals of the shifted direction, so that every number is exact to rounding."""
    rng, s, beta, vocab_size, d = np.random.default_rng(2), 0.7, 0.3, 3, 2
    edges = np.array([-np.inf, -1.0, 0.0, 0.4, 1.3, np.inf])
    clean, shifted = np.diff(ndtr(edges)), np.diff(ndtr(edges - s))
    given_s = np.array(word_law((0, 0), Fraction(3, 10), vocab_size, (0, 1)), dtype=float)
    attacked = [
        np.array(word_law(w, Fraction(3, 10), vocab_size), dtype=float) for w in product(range(3), repeat=2)
    ]  # all edits of both positions, none included
    ratio = hrs.UniformKernel(beta, vocab_size).likelihood_ratio(d, masked=True)
    closest = np.inf
    for _ in range(200):
        f = np.sort(rng.random((5, 9)) ** rng.choice([0.1, 1, 4]), axis=0)[::-1]  # fewer flags along the shift: hard
        f[:, rng.random(9) < 0.5] = 0.0
        truth = min(shifted @ f @ law for law in attacked)
        bound = p_adv_texts(layers(f @ given_s, clean, 6), s, ratio, sigma=1.0)
        assert bound <= truth + 1e-14
        closest = min(closest, truth / bound if bound else np.inf)
    assert closest < 2


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: p_adv_texts(0.5, 0.0, MASKED, sigma=1.0), "p"),
        (lambda: p_adv_texts([], 0.0, MASKED, sigma=1.0), "p"),
        (lambda: p_adv_texts([0.5, 1.5], 0.0, MASKED, sigma=1.0), "p"),
        (lambda: p_adv_texts([0.5], -1.0, MASKED, sigma=1.0), "epsilon"),
        (lambda: certified_radius_texts([0.5, np.nan], MASKED, sigma=1.0, tau=0.1), "p"),
        (lambda: certified_radius_texts([0.5], MASKED, sigma=np.inf, tau=0.1), "sigma"),
        (lambda: certified_radius_texts([0.5], MASKED, sigma=1.0, tau=1.1), "tau"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        call()
