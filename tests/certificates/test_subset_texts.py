"""Several texts, positions unknown: exact counts, honest bounds, certificates that are proved and never too high."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import ndtr
from scipy.stats import binom
from toys import EXAMPLE, KERNEL, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.certificates.committed_text_certificate import CommittedTextCertificate, certify_committed_texts
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.kernels import masked_ratio
from hybrid_rs.certificates.several_texts import p_adv_texts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts, images_of_size, texts_of_size
from hybrid_rs.storage.counts import CountsStore

SMALL = hrs.UniformKernel(0.5, 376)
LAW = {"d": 1, "epsilon": 0.3, "sigma": 0.5, "tau": 0.05}


def counts_of(rng, n=1_000, texts=8, beta=0.5, sizes=3):
    rows = []
    for size in range(sizes):
        m, images = texts_of_size(texts, beta, size), images_of_size(n, texts, beta, size)
        shares = np.sort(1 - 10 ** rng.uniform(-3, -0.3, m))[::-1]
        rows.append(tuple(np.floor(images * shares).astype(int).tolist()))
    return SubsetTextCounts(tuple(rows), n, texts, 20, beta)


# --- counting -----------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 6), st.integers(1, 5))
def test_the_least_counts_are_those_of_a_plain_enumeration(seed, n, texts, length):
    rng, beta = np.random.default_rng(seed), 0.6
    flagged, replaced = rng.random((n, texts)) < 0.7, rng.random((n, texts, length)) < beta
    made = SubsetTextCounts.from_draws(flagged, replaced, 3, beta)
    assert len(made.reached) == min(3, length) + 1
    for size, row in enumerate(made.reached):
        m, images = texts_of_size(texts, beta, size), images_of_size(n, texts, beta, size)
        least = [images] * m
        for chosen in combinations(range(length), size):
            found = []
            for i in range(n):
                hits = [t for t in range(texts) if all(replaced[i, t, c] for c in chosen)]
                if len(hits) >= m and len(found) < images:
                    found.append(sum(flagged[i, t] for t in hits[:m]))
            least = [min(least[k], sum(x > k for x in found)) for k in range(m)]
        assert list(row) == least


def test_sizes_with_too_many_sets_are_left_out_and_the_largest_counted_speaks_of_more_edits():
    rng = np.random.default_rng(0)
    flagged, replaced = rng.random((20, 4)) < 0.9, rng.random((20, 4, 9)) < 0.5
    short = SubsetTextCounts.from_draws(flagged, replaced, 4, 0.5, max_sets=20)
    whole = SubsetTextCounts.from_draws(flagged, replaced, 4, 0.5)
    assert len(short.reached) == 2  # 36 pairs are too many
    assert whole.reached[:2] == short.reached
    sure = replace(short, reached=((20, 20, 20, 20), *((row[0],) * len(row) for row in short.reached[1:])), n=20)
    front = hrs.frontier_of(sure, SMALL, sigma=0.5, tau=1e-9, d_max=12)
    assert np.all(np.diff(np.nan_to_num(front.radii, nan=-1.0)) <= 0)
    np.testing.assert_array_equal(front.radii[9:], front.radii[9])  # there are 9 positions to edit


def test_more_edits_than_any_set_counted_has_are_certified_and_proved():
    """A long text, of which only pairs could be counted; of one text for each image, too."""
    n, kernel = 20_000, hrs.UniformKernel(0.7, 32_000)
    images = [images_of_size(n, 3, 0.7, j) for j in range(3)]
    rows = tuple((images[j],) * texts_of_size(3, 0.7, j) for j in range(3))
    law, one_text = {"sigma": 0.5, "tau": 1e-3}, hrs.SubsetCounts((10, 10, 9), n, 400, 0.7)
    for counts in (SubsetTextCounts(rows, n, 3, 400, 0.7), one_text):
        front = hrs.frontier_of(counts, kernel, d_max=6, **law)
        assert front.edits() > 2
        for d in (3, front.edits()):
            at = hrs.certify(counts, kernel, d=d, epsilon=front.radius(d), **law)
            beyond = hrs.certify(counts, kernel, d=d, epsilon=front.radius(d) * (1 + 1e-8), **law)
            assert (at.certified, beyond.certified) == (True, False)
            assert hrs.verify(at) >= at.p_adv
            assert hrs.read_certificate(at.to_json()) == at
            with pytest.raises(hrs.VerificationError):
                hrs.verify(replace(at, p_adv=hrs.verify(at) * (1 + 1e-9)))
    fixed = tuple(
        replace(bound, subsets=None) for bound in at.bounds
    )  # of one known set: it may hold none of the edits
    with pytest.raises(ValueError, match="does not cover"):
        replace(at, bounds=fixed)


def test_how_many_texts_and_images_is_fixed_beforehand():
    for texts, beta, size in product((1, 8, 16), (0.1, 0.5, 1.0), (0, 1, 3)):
        m, images = texts_of_size(texts, beta, size), images_of_size(1_000, texts, beta, size)
        assert 1 <= m <= texts
        assert 1 <= images <= 1_000
        assert size > 0 or (m, images) == (texts, 1_000)
        chance = binom.sf(m - 1, texts, beta**size)
        assert images <= 1_000 * chance or images == 1
    assert [texts_of_size(16, 1.0, size) for size in (0, 1, 4)] == [16] * 3


# --- bounds -------------------------------------------------------------------------------------------------------

TRUTH = np.array([0.02, 0.3, 0.02, 0.02])  # by position, what replacing it adds to the chance of a failure


def toy_draws(rng, n, texts, beta):
    """A classifier without an image that fails more where the second position was replaced."""
    replaced = rng.random((n, texts, TRUTH.size)) < beta
    return rng.random((n, texts)) >= 0.02 + replaced @ TRUTH, replaced


def least_share(size, beta):
    """The least share of flagged texts over all sets of a size."""
    worst = np.sort(TRUTH)[::-1]
    return 1 - 0.02 - worst[:size].sum() - beta * worst[size:].sum()


@pytest.mark.seconds
def test_all_levels_of_all_sizes_hold_with_the_stated_confidence():
    rng, beta, alpha, runs, wrong = np.random.default_rng(1), 0.5, 0.1, 200, 0
    for _ in range(runs):
        made = SubsetTextCounts.from_draws(*toy_draws(rng, 200, 6, beta), 2, beta)
        truth = [binom.sf(np.arange(len(row)), len(row), least_share(j, beta)) for j, row in enumerate(made.reached)]
        wrong += any(np.any(low > high) for low, high in zip(made.levels(alpha), truth, strict=True))
    assert wrong <= alpha * runs + 3 * math.sqrt(alpha * (1 - alpha) * runs)


@pytest.mark.seconds
def test_certified_radii_are_above_the_true_one_at_most_as_often_as_stated():
    """A guard that flags where z <= c - r (positions replaced in the text) and no foreign token shows.

    Under the absorbing kernel its value under attack is beta^d E Phi(c - r count - s): known exactly.
    """
    rng, beta, alpha, runs, length, c, r = np.random.default_rng(2), 0.5, 0.1, 150, 4, 2.5, 0.5
    kernel, tau, wrong, close = hrs.AbsorbingKernel(beta), 0.05, 0, []
    shift = np.linspace(0, 6, 6001)
    true = []
    for d in range(3):
        others = binom.pmf(np.arange(length - d + 1), length - d, beta)
        value = beta**d * sum(w * ndtr(c - r * (d + k) - shift) for k, w in enumerate(others))
        true.append(shift[np.flatnonzero(value >= tau)[-1]])
    counts = []
    for _ in range(runs):
        replaced = rng.random((300, 8, length)) < beta
        flagged = rng.standard_normal((300, 1)) <= c - r * replaced.sum(axis=2)
        counts.append(SubsetTextCounts.from_draws(flagged, replaced, 2, beta))
    for front in frontiers_of(counts, kernel, sigma=1.0, tau=tau, d_max=2, alpha=alpha):
        wrong += bool(np.any(front.radii > np.array(true) + 1e-3))
        close.append(np.nan_to_num(front.radii) / true)
    assert wrong <= alpha * runs + 3 * math.sqrt(alpha * (1 - alpha) * runs)
    assert np.all(np.median(close, axis=0) > 0.4)


def test_no_classifier_goes_below_the_bound_of_exactly_e_edits():
    """f random in [0, 1], constant on intervals of the shifted direction, so that every number is exact to rounding."""
    rng, s, beta, size, d = np.random.default_rng(3), 0.7, 0.3, 3, 2
    edges = np.array([-np.inf, -1.0, 0.0, 0.4, 1.3, np.inf])
    clean, shifted = np.diff(ndtr(edges)), np.diff(ndtr(edges - s))
    kernel, closest = hrs.UniformKernel(beta, size), []

    def law(word, given=()):
        def position(i, token):
            if i in given:
                return Fraction(int(token != word[i]), size - 1)
            return Fraction(7, 10) if token == word[i] else Fraction(3, 10) / (size - 1)

        return [float(math.prod(position(i, t) for i, t in enumerate(z))) for z in product(range(size), repeat=d)]

    for _ in range(60):
        f = np.sort(rng.random((5, 9)) ** rng.choice([0.1, 1, 4]), axis=0)[::-1]
        f[:, rng.random(9) < 0.4] = 0.0
        h = f @ np.array(law((0, 0), (0, 1)))
        levels = np.minimum(binom.sf(np.arange(6)[:, None], 6, h) @ clean, 1.0)
        for e in range(d + 1):
            edited = [word for word in product(range(size), repeat=d) if sum(t != 0 for t in word) == e]
            truth = min(shifted @ f @ np.array(law(word)) for word in edited)
            bound = p_adv_texts(levels, s, masked_ratio(kernel, d, edited=e), sigma=1.0)
            assert bound <= truth + 1e-14
            closest.append(truth / bound if bound else np.inf)
    assert min(closest) < 2


# --- certificates -------------------------------------------------------------------------------------------------


@pytest.mark.seconds
def test_the_statement_is_that_of_the_frontier_and_never_below_that_of_one_size():
    rng = np.random.default_rng(4)
    for _ in range(2):
        counts = counts_of(rng)
        front = hrs.frontier_of(counts, SMALL, sigma=0.5, tau=0.02, d_max=2)
        assert (front.texts, front.n, front.one_classifier, front.simultaneous) == (8, 1_000, True, True)
        levels = counts.levels(0.01)
        for d in (0, 1, 2):
            if np.isnan(front.radius(d)):
                continue
            at, beyond = (
                hrs.certify(counts, SMALL, **LAW | {"d": d, "tau": 0.02, "epsilon": front.radius(d) * x})
                for x in (1, 1 + 1e-8)
            )
            assert (at.certified, beyond.certified) == (True, False)
            assert hrs.verify(at) >= at.tau
            alone = p_adv_texts(levels[d], at.epsilon, SMALL.likelihood_ratio(d, masked=True), sigma=0.5)
            assert at.p_adv >= alone * (1 - 1e-9)
    assert "8 texts for each image, any positions" in str(at)


@pytest.mark.seconds
def test_every_certificate_is_proved_by_its_witnesses_and_survives_json():
    rng, loose = np.random.default_rng(5), []
    for _ in range(25):
        beta = float(rng.uniform(0.05, 1))
        uniform = rng.random() < 0.8
        kernel = hrs.UniformKernel(beta, int(np.exp(rng.uniform(0.7, 11)))) if uniform else hrs.AbsorbingKernel(beta)
        counts = counts_of(rng, n=int(rng.integers(50, 5_000)), texts=int(rng.integers(2, 8)), beta=beta)
        law = {"d": int(rng.integers(0, 3)), "epsilon": float(rng.uniform(0, 4)), "sigma": 1.0, "tau": 1e-4}
        made = certify_committed_texts(counts, kernel, **law)
        assert hrs.read_certificate(made.to_json()) == made
        proved = hrs.verify(made)
        assert proved >= made.p_adv
        loose.append(proved / made.p_adv - 1 if made.p_adv > 0 else 0.0)
    assert max(loose) < 1e-8


def test_what_the_witnesses_and_counts_do_not_prove_is_refused():
    counts = counts_of(np.random.default_rng(6))
    made = hrs.certify(counts, SMALL, **LAW)
    up = math.nextafter(hrs.verify(made), 1) * (1 + 1e-10)
    row = made.levels[1]
    worst = made.witnesses[1]
    fewer = (tuple(k - 1 for k in counts.reached[0]), *counts.reached[1:])
    wrong = [
        replace(made, p_adv=up),
        replace(made, epsilon=made.epsilon * (1 + 1e-6)),
        replace(made, sigma=made.sigma * (1 - 1e-6)),
        replace(made, alpha=0.0099),
        replace(made, counts=replace(counts, reached=fewer)),
        replace(made, levels=(made.levels[0], tuple(x * (1 + 1e-6) for x in row), made.levels[2])),
        replace(made, levels=(tuple(min(1.0, x * (1 + 1e-6)) for x in made.levels[0]), *made.levels[1:])),
        replace(made, witnesses=(made.witnesses[0], replace(worst, log_t=worst.log_t + 1.0))),
        replace(made, witnesses=(made.witnesses[0], replace(worst, log_t=math.inf))),
    ]
    for certificate in wrong:
        with pytest.raises(hrs.VerificationError):
            hrs.verify(certificate)
    with pytest.raises(ValueError, match=r"beta = 0\.5"):
        replace(made, kernel=hrs.UniformKernel(0.4999, 376))


def test_only_what_was_written_is_read():
    fields = json.loads(hrs.certify(counts_of(np.random.default_rng(7)), SMALL, **LAW).to_json())
    first = fields["witnesses"][0]
    for change in (
        {"schema": 99}, {"levels": []}, {"levels": [[0.5]] * 3}, {"levels": "0.5"}, {"d": 1.0}, {"d": 2}, {"extra": 1},
        {"counts": {}}, {"counts": fields["counts"] | {"texts": 9}}, {"counts": fields["counts"] | {"beta": 0.0}},
        {"counts": fields["counts"] | {"reached": [[3, 4]]}}, {"witnesses": []},
        {"witnesses": [first | {"size": 9}] * 2},
        {"witnesses": [first | {"log_t": "x"}] * 2}, {"witnesses": [first | {"image_log_t": [0.0, 0.0, 0.0]}] * 2},
        {"alpha": 1.0}, {"p_adv": 2.0}, {"epsilon": "0.5"}, {"sigma": -1.0},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="not one that to_json wrote"):
            hrs.read_certificate(json.dumps(fields | change))


# --- from a guard -------------------------------------------------------------------------------------------------


def test_one_set_of_ordinary_draws_serves_all_sets(tmp_path):
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.5, threat=hrs.L0Threat(2))
    counts = smoothed.sample(EXAMPLE, 128, texts=4, masked=True)
    assert isinstance(counts, SubsetTextCounts)
    assert counts.clean == smoothed.sample(EXAMPLE, 128, texts=4)  # the same draws
    assert counts == smoothed.sample(EXAMPLE, 128, texts=4, masked=True, batch_draws=64)
    assert SubsetTextCounts.from_dict(json.loads(json.dumps(counts.to_dict()))) == counts
    front = smoothed.certify(EXAMPLE, 128, texts=4, masked=True, tau=1e-3)
    np.testing.assert_array_equal(front.radii, smoothed.frontier(counts, tau=1e-3).radii)
    store = CountsStore(tmp_path / "counts.jsonl", classifier="toy")
    for _ in range(2):  # drawn, then read
        assert store.sample(smoothed, [EXAMPLE], n=128, masked=True, texts=4) == [counts]
    assert CountsStore(tmp_path / "counts.jsonl", classifier="toy").get(
        smoothed, EXAMPLE, n=128, masked=True, texts=4
    ) == counts  # fmt: skip


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: SubsetTextCounts(((9, 8),), n=10, texts=3, length=5, beta=0.5), "reached"),
        (lambda: SubsetTextCounts(((8, 9),), n=10, texts=2, length=5, beta=0.5), "reached"),
        (lambda: SubsetTextCounts(((11, 9),), n=10, texts=2, length=5, beta=0.5), "reached"),
        (lambda: SubsetTextCounts(((9,), (1,), (1,)), n=10, texts=1, length=1, beta=0.5), "reached"),
        (lambda: SubsetTextCounts(((9,),), n=10, texts=1, length=1, beta=0.0), "beta"),
        (lambda: hrs.certify(counts_of(np.random.default_rng(8)), SMALL, **LAW | {"d": 21}), "d"),
        (lambda: hrs.certify(counts_of(np.random.default_rng(8)), SMALL, **LAW, masked=False), "masked"),
        (lambda: hrs.certify(counts_of(np.random.default_rng(8)), hrs.UniformKernel(0.4, 9), **LAW), "kernel"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        call()


def test_the_certificate_is_a_value():
    made = hrs.certify(counts_of(np.random.default_rng(9)), SMALL, **LAW)
    assert isinstance(made, CommittedTextCertificate)
    assert made == replace(made)
    assert made.n == made.counts.n


def test_no_tampered_certificate_passes():
    from abuse.tampering_texts import run

    figures = run(25, seed=1)
    assert figures["passed"] == figures["honest refused"] == 0
    assert figures["refused by verify"] == figures["false"] == 25
