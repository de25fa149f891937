"""Methods of others: sound against every classifier (by linear programming), and what their authors describe."""

import math
import zlib
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mpmath import mp
from scipy.optimize import linprog
from scipy.stats import norm

import hybrid_rs as hrs
from hybrid_rs.baselines.certta import published_radius, raised_radius, selection_masses
from hybrid_rs.baselines.commit import anisotropic_p_adv
from hybrid_rs.baselines.erase_and_check import EraseAndCheck, erased, questions
from hybrid_rs.baselines.safer import SynonymKernel


def least(clean, attacked, p_a):
    """The least attacked value of all classifiers with clean value p_a."""
    return linprog(attacked, A_ub=[[-mass for mass in clean]], b_ub=[-p_a], bounds=(0, 1)).fun


# --- SAFER ----------------------------------------------------------------------------------------------------------

CIRCLE = {token: tuple((token + step) % 5 for step in (-1, 0, 1)) for token in range(5)}  # sets of one size
UNEVEN = {0: (0, 1), 1: (0, 1, 2), 2: (1, 2, 3, 4), 3: (2, 3), 4: (2, 4)}


def word_law(text, kernel, tokens=range(5)):
    sets = [kernel.replacements(token) for token in text]
    return [
        math.prod((z[i] in members) / len(members) for i, members in enumerate(sets))
        for z in product(tokens, repeat=len(text))
    ]


@pytest.mark.parametrize("sets", [CIRCLE, UNEVEN], ids=["one size", "uneven"])
@pytest.mark.parametrize("d", [1, 2])
def test_no_classifier_is_below_the_certificate_of_synonyms(sets, d):
    kernel = SynonymKernel(sets)
    for text in [(0, 1), (2, 3), (2, 2)]:
        attacked = [
            other
            for other in product(*(sets[token] for token in text))
            if sum(a != b for a, b in zip(text, other, strict=True)) <= d
        ]
        for p_a in (0.7, 0.95):
            bound = hrs.p_adv(p_a, 0.0, kernel.likelihood_ratio(text, d), sigma=1.0)
            values = [least(word_law(text, kernel), word_law(other, kernel), p_a) for other in attacked]
            assert bound <= min(values) + 1e-9
            if sets is CIRCLE and d == 2:
                assert bound == pytest.approx(min(values), abs=1e-9)


@given(p_a=st.floats(0, 1), d=st.integers(0, 4))
def test_with_sets_of_one_size_it_is_the_published_bound(p_a, d):
    kernel, text = SynonymKernel(CIRCLE), (0, 1, 2)
    published = max(0.0, p_a - (1 - (1 / 3) ** min(d, 3)))  # the substitute two steps away shares one word of three
    far = SynonymKernel(CIRCLE, {token: ((token + 2) % 5,) for token in range(5)})
    assert hrs.p_adv(p_a, 0.0, far.likelihood_ratio(text, d), sigma=1.0) == pytest.approx(published, abs=1e-12)
    assert kernel.overlaps(0) == (Fraction(2, 3), Fraction(2, 3))


def test_closed_clusters_leave_no_trace_and_samples_have_the_law():
    kernel = SynonymKernel({0: (0, 1), 1: (0, 1), 7: (7, 8, 9)})
    assert kernel.likelihood_ratio([0, 1, 5], d=3).is_identity
    drawn = kernel.sample(np.array([0, 7, 5]), 6000, np.random.default_rng(0))
    assert drawn.shape == (6000, 3)
    assert set(drawn[:, 2]) == {5}
    assert np.bincount(drawn[:, 1], minlength=10)[7:] / 6000 == pytest.approx([1 / 3] * 3, abs=0.03)
    nothing = SynonymKernel({0: (0, 1), 1: (1, 2), 2: (2, 0)}, substitutes={})  # no word may be written: none is edited
    assert nothing.likelihood_ratio([0, 1, 2], d=3).is_identity
    with pytest.raises(ValueError, match=r"sets\[3\]"):
        SynonymKernel({3: (1, 2)})


# --- erase-and-check ------------------------------------------------------------------------------------------------


class Lookup:
    """Flags half of all texts, the same ones in every process."""

    alphabet, pad_id, mask_id = np.arange(2), 0, None

    def unsafe(self, token_ids, images):
        return np.array([zlib.crc32(bytes(row)) % 2 == 0 for row in token_ids.tolist()], dtype=bool)


def added(text, d, mode):
    """All texts that an adversary of this mode makes of a text with at most d tokens."""
    for count in range(d + 1):
        for tokens in product((0, 1), repeat=count):
            if mode == "suffix":
                yield (*text, *tokens)
            elif mode == "insertion":
                for at in range(len(text) + 1):
                    yield (*text[:at], *tokens, *text[at:])
            else:
                for places in combinations(range(len(text) + count), count):
                    own, new = iter(text), iter(tokens)
                    yield tuple(next(new) if i in places else next(own) for i in range(len(text) + count))


@pytest.mark.parametrize("mode", ["suffix", "insertion", "infusion"])
def test_what_the_guard_flags_stays_flagged_whatever_is_added(mode):
    image, base = np.zeros((1, 3, 2, 2), np.float32), Lookup()
    guard = EraseAndCheck(base, 2, mode)
    flagged = 0
    for text in product((0, 1), repeat=3):
        if base.unsafe(np.array([text]), image)[0]:
            flagged += 1
            assert all(guard.unsafe(np.array([other]), image)[0] for other in set(added(text, 2, mode)))
    assert 0 < flagged < 8  # certified are those that the guard flags: the share does not depend on d


@pytest.mark.parametrize("mode", ["suffix", "insertion", "infusion"])
def test_its_cost_is_the_number_of_texts_and_false_alarms_grow_with_d(mode):
    image = np.zeros((1, 3, 2, 2), np.float32)
    for length, d in product((0, 1, 4), (0, 1, 3, 9)):
        assert len(list(erased(np.arange(length), d, mode))) == questions(length, d, mode)
    texts = [np.array([text]) for text in product((0, 1), repeat=5)]
    shares = [np.mean([EraseAndCheck(Lookup(), d, mode).unsafe(text, image) for text in texts]) for d in range(4)]
    assert shares == sorted(shares)
    assert shares[3] > shares[0]
    with pytest.raises(ValueError, match="d = 9: this makes"):
        EraseAndCheck(Lookup(), 9, "infusion").unsafe(np.zeros((1, 60), int), image)


# --- COMMIT ---------------------------------------------------------------------------------------------------------


def test_several_sensors_are_one_gaussian_and_it_is_attained():
    assert anisotropic_p_adv(0.99, [0.7], [0.5]) == pytest.approx(norm.cdf(norm.ppf(0.99) - 1.4), rel=1e-9)
    steps = [np.concatenate([[-np.inf], np.linspace(-3, 4, 60), [np.inf]])] * 2
    moves, noise = (0.4, 0.6), (0.5, 2.0)
    clean = np.outer(*(np.diff(norm.cdf(edges)) for edges in steps)).ravel()
    shifted = np.outer(*(np.diff(norm.cdf(e - m / s)) for e, m, s in zip(steps, moves, noise, strict=True))).ravel()
    exact, bound = least(clean, shifted, 0.95), anisotropic_p_adv(0.95, moves, noise)
    assert bound <= exact <= bound + 0.01
    with pytest.raises(ValueError, match="epsilons, sigmas"):
        anisotropic_p_adv(0.9, [0.1], [1.0, 2.0])


# --- CertTA ---------------------------------------------------------------------------------------------------------


def selected(text, k):
    law = {}
    for places in combinations(range(len(text)), k):
        rest = tuple(text[i] for i in places)
        law[rest] = law.get(rest, 0.0) + 1 / math.comb(len(text), k)
    return law


@pytest.mark.parametrize(
    ("text", "near", "lost", "gained"),
    [((0, 1, 2, 3), (0, 1, 2), 1, 0), ((0, 1, 2), (0, 1, 9, 2), 0, 1), ((0, 1, 2, 3), (0, 9, 2, 3), 1, 1)],
)
def test_no_classifier_is_below_the_bound_of_selection_and_exponential_noise(text, near, lost, gained):
    k, tau = 2, 0.5
    here, there = selected(text, k), selected(near, k)
    texts = sorted({*here, *there})
    v, w = selection_masses(len(text), k, lost, gained)
    for p_a in (0.8, 0.95):
        radius = raised_radius(p_a, n=len(text), k=k, lost=lost, gained=gained, scale=1.0)
        if math.isnan(radius):
            continue
        edges = np.concatenate([[0, radius], radius + np.linspace(0.1, 4, 12), [np.inf]])
        mass = np.exp(-edges[:-1]) - np.exp(-edges[1:])
        raised = np.exp(-np.maximum(edges[:-1] - radius, 0)) - np.exp(-np.maximum(edges[1:] - radius, 0))
        clean = np.outer([here.get(t, 0) for t in texts], mass).ravel()
        attacked = np.outer([there.get(t, 0) for t in texts], raised).ravel()
        value = least(clean, attacked, p_a)
        assert value >= tau - 1e-9
        assert value == pytest.approx(float(w) * (1 - math.exp(radius) * (1 - p_a) / float(v)), abs=1e-9)  # attained


@given(p_a=st.floats(0.5, 1.0, exclude_max=True), lost=st.integers(0, 2), scale=st.floats(1e-3, 1e3))
def test_a_raise_is_rounded_down(p_a, lost, scale):
    radius = raised_radius(p_a, n=9, k=2, lost=lost, gained=1, scale=scale)
    v, w = selection_masses(9, 2, lost, gained=1)
    if not math.isnan(radius):
        with mp.workdps(50):
            grown = mp.exp(mp.mpf(radius) / mp.mpf(scale)) * (1 - mp.mpf(p_a))
            room = v - v / w / 2
            assert grown <= mp.mpf(room.numerator) / room.denominator


@settings(max_examples=60)
@given(
    p_a=st.floats(0.5, 1.0), n=st.integers(4, 60), k=st.integers(1, 4), lost=st.integers(0, 3), gained=st.integers(0, 3)
)
def test_the_published_region_is_inside_and_equal_where_nothing_is_raised_or_lost(p_a, n, k, lost, gained):
    law = {"n": n, "k": k, "lost": lost, "gained": gained, "scale": 3.0}
    if n - lost + gained < k or lost > n:
        return
    ours, theirs = raised_radius(p_a, **law), published_radius(p_a, **law)
    assert math.isnan(ours) == math.isnan(theirs)  # the same edits, where nothing is raised
    if not math.isnan(ours):
        assert theirs <= ours * (1 + 1e-12) + 1e-12
        if lost == 0:
            assert theirs == pytest.approx(ours)
    most = (k, n, Fraction(p_a))  # the published condition for insertions alone
    if lost == 0 and most[0] < n:
        inserted = math.comb(n + gained, k) <= 2 * Fraction(p_a) * math.comb(n, k)
        assert inserted == (not math.isnan(theirs))
