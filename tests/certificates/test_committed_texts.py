"""Several texts and an adversary who commits: never above any classifier's value, at a known price, and checked."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom

import hybrid_rs as hrs
from hybrid_rs.certificates.commitment import pays, ratio_of
from hybrid_rs.certificates.committed_text_certificate import CommittedTextCertificate, certify_committed_texts
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.several_texts import certified_radius_texts, p_adv_texts
from hybrid_rs.certificates.text_certificate import certify_texts
from hybrid_rs.evidence.text_counts import level_bounds

SMALL = hrs.UniformKernel(0.25, 376)
LAW = {"sigma": 0.5, "tau": 0.05}
COUNTS = hrs.TextCounts(((5_000, 5_000), (4_999, 4_995), (4_995, 4_990), (4_990, 4_980)), n=5_000)


def random_counts(rng, rows=4):
    n, m = int(rng.choice([500, 5_000])), int(rng.integers(2, 6))
    shares = np.sort(1 - 10 ** rng.uniform(-5, -0.8, (rows, m)), axis=1)[:, ::-1]
    reached = np.where(rng.random((rows, 1)) < 0.2, n, np.floor(n * shares)).astype(int)
    return hrs.TextCounts(tuple(map(tuple, reached.tolist())), n)


def committed(levels, kernel, d, s):
    """The theorem, written out: the least over e of the larger of the two bounds."""
    each = [[p_adv_texts(levels[j], s, ratio_of(kernel, j, e), sigma=1.0) for j in levels] for e in range(d + 1)]
    return min(map(max, each))


@pytest.mark.seconds
@pytest.mark.parametrize(("size", "beta"), [(3, 0.3), (4, 0.6), (2, 0.25)])
def test_no_classifier_goes_below_it(size, beta):
    """f random in [0, 1], constant on intervals of the shifted direction, so that every number is exact to rounding."""
    rng, d, m, s = np.random.default_rng(size), 2, 4, 0.6
    edges = np.array([-np.inf, -1.0, 0.0, 0.4, 1.3, np.inf])
    clean, shifted = np.diff(ndtr(edges)), np.diff(ndtr(edges - s))
    kernel, closest, gained = hrs.UniformKernel(beta, size), [], 0

    def law(word, replaced=False):
        def position(c, z):
            return (z != c) / (size - 1) if replaced else 1 - beta if z == c else beta / (size - 1)

        return np.array(
            [math.prod(map(position, word, shown)) for shown in itertools.product(range(size), repeat=len(word))]
        )

    for _ in range(20):
        f = np.sort(1 - rng.random((5, size**d)) ** rng.choice([1, 4, 16]), axis=0)[::-1]
        f[:, rng.random(size**d) < rng.choice([0.0, 0.3])] = 0.0
        shares = {0: f @ law((0, 0)), d: f @ law((0, 0), replaced=True)}
        levels = {j: np.minimum(binom.sf(np.arange(m)[:, None], m, h) @ clean, 1.0) for j, h in shares.items()}
        truth = min(shifted @ f @ law(word) for word in itertools.product(range(size), repeat=d))
        bound = committed(levels, kernel, d, s)
        alone = max(p_adv_texts(levels[j], s, kernel.likelihood_ratio(d, masked=j > 0), sigma=1.0) for j in (0, d))
        assert alone * (1 - 1e-12) <= bound <= truth + 1e-14
        closest.append(truth / bound if bound else np.inf)
        gained += bound > alone * (1 + 1e-6)
    assert min(closest) < 2
    assert gained > 0


def test_one_text_for_each_image_gives_the_frontier_that_is_certified():
    kernel, law = hrs.UniformKernel(beta=0.769, vocab_size=3), {"sigma": 1.0, "tau": 0.05, "alpha": 0.9}
    counts = [hrs.TextCounts(((x + 10,), (x,)), n=10_000) for x in (9_990, 9_970)]
    for each, front in zip(counts, frontiers_of(counts, kernel, d_max=1, **law), strict=True):
        at, beyond = (hrs.certify(each, kernel, d=1, epsilon=front.radius(1) * x, **law) for x in (1 - 1e-12, 1 + 1e-8))
        assert isinstance(at, CommittedTextCertificate)
        assert (at.certified, beyond.certified) == (True, False)


@pytest.mark.seconds
def test_the_price_is_half_of_the_risk_and_the_gain_is_large():
    """Never below either certificate at half the risk; where it cannot help, exactly the one from p_S."""
    rng, kernels = np.random.default_rng(0), (SMALL, hrs.UniformKernel(0.25, 32_000), hrs.AbsorbingKernel(0.5))
    gained = 0
    for kernel in kernels:
        for counts in (random_counts(rng) for _ in range(5)):
            front = hrs.frontier_of(counts, kernel, d_max=3, **LAW)
            half, whole = counts.levels(0.005), counts.levels(0.01)
            for d in range(4):
                ratios = [kernel.likelihood_ratio(d, masked=masked) for masked in (True, False)]
                alone, plain = (certified_radius_texts(half[j], r, **LAW) for j, r in zip((d, 0), ratios, strict=True))
                radius = np.nan_to_num(front.radius(d), nan=-1.0)
                if d and pays(kernel, d, counts.n, 0.01, 0.05, counts.texts):
                    assert kernel is SMALL
                    assert radius >= np.nan_to_num(np.fmax(alone, plain), nan=-1.0) - 1e-12
                else:
                    full = certified_radius_texts(whole[d], ratios[0], **LAW)
                    assert radius == np.nan_to_num(full, nan=-1.0)
                    continue
                gained += radius > np.nan_to_num(certified_radius_texts(whole[d], ratios[0], **LAW), nan=-1.0)
    assert gained >= 5
    assert np.isnan(certified_radius_texts(COUNTS.levels()[3], SMALL.likelihood_ratio(3, masked=True), **LAW))
    assert hrs.frontier_of(COUNTS, SMALL, d_max=3, **LAW).radius(3) > 0


def test_points_that_hold_together_share_the_risk_of_all():
    (front,) = frontiers_of([COUNTS], SMALL, d_max=3, simultaneous=True, **LAW)
    rows = dict(enumerate(COUNTS.levels(0.01 / 4)))
    assert np.isnan(front.radius(3))  # a quarter of the risk is too little for three edits
    for d in (1, 2):
        at = front.radius(d) / LAW["sigma"]
        levels = {j: rows[j] for j in (0, d)}
        assert committed(levels, SMALL, d, at) >= 0.05 > committed(levels, SMALL, d, at * (1 + 1e-8))
    assert front.simultaneous


def test_the_statement_is_that_of_the_frontier_and_is_proved():
    front = hrs.frontier_of(COUNTS, SMALL, d_max=3, **LAW)
    for d in (1, 2, 3):
        at, beyond = (
            hrs.certify(COUNTS, SMALL, d=d, epsilon=front.radius(d) * x, **LAW) for x in (1 - 1e-12, 1 + 1e-8)
        )
        assert isinstance(at, CommittedTextCertificate)
        assert (at.certified, beyond.certified, at.sizes) == (True, False, (0, d))
        assert hrs.verify(at) >= at.p_adv >= at.tau
        assert hrs.read_certificate(at.to_json()) == at
    assert {w.size for w in at.witnesses} == {0, 3}  # both probabilities are needed
    assert "known positions" in str(at)
    large = hrs.certify(COUNTS, hrs.UniformKernel(0.25, 32_000), d=3, epsilon=0.1, **LAW)
    assert isinstance(large, hrs.TextCertificate)
    assert large == certify_texts(COUNTS, hrs.UniformKernel(0.25, 32_000), d=3, epsilon=0.1, **LAW)


@pytest.mark.seconds
def test_every_certificate_is_proved_by_its_witnesses():
    rng, loose = np.random.default_rng(2), []
    for _ in range(24):
        beta, size = float(rng.choice([0.1, 0.5, 1.0])), int(rng.choice([2, 10, 376, 32_000]))
        kernel = hrs.UniformKernel(beta, size) if rng.random() < 0.8 else hrs.AbsorbingKernel(beta)
        law = {"epsilon": float(rng.choice([0.0, rng.uniform(0, 3)])), "sigma": float(rng.choice([1.0, 0.0, np.inf]))}
        made = certify_committed_texts(random_counts(rng), kernel, d=int(rng.integers(1, 4)), tau=0.01, **law)
        proved = hrs.verify(made)
        assert proved >= made.p_adv
        assert hrs.read_certificate(made.to_json()) == made
        if made.p_adv > 0:
            loose.append(proved / made.p_adv - 1)
    assert len(loose) > 5
    assert max(loose) < 2e-9


def test_what_the_witnesses_and_counts_do_not_prove_is_refused():
    made = hrs.certify(COUNTS, SMALL, d=3, epsilon=0.3, **LAW)
    assert hrs.verify(made) >= made.p_adv
    rows, last = COUNTS.reached, made.witnesses[-1]
    wrong = [
        replace(made, p_adv=math.nextafter(hrs.verify(made), 1) * (1 + 1e-10)),
        replace(made, alpha=0.0099),
        replace(made, counts=replace(COUNTS, reached=(*rows[:3], (4_990, 4_979)))),
        replace(made, counts=replace(COUNTS, reached=((5_000, 4_999), *rows[1:]))),
        replace(made, levels=(tuple(x * (1 + 1e-6) for x in made.levels[0]), made.levels[1])),
        replace(made, levels=made.levels[::-1]),
        replace(made, witnesses=(*made.witnesses[:3], replace(last, log_t=last.log_t + 1.0))),
        replace(made, witnesses=(*made.witnesses[:3], replace(last, size=3 - last.size))),
    ]
    for certificate in wrong:
        with pytest.raises(hrs.VerificationError):
            hrs.verify(certificate)
    fields = json.loads(made.to_json())
    for change in (
        {"d": 2}, {"d": 4}, {"d": 0}, {"witnesses": [fields["witnesses"][0] | {"size": 1}] * 4},
        {"levels": [[0.5, 0.5]]}, {"counts": fields["counts"] | {"reached": [[5, 4]]}}, {"counts": {"length": 3}},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="not one that to_json wrote"):
            hrs.read_certificate(json.dumps(fields | change))


@pytest.mark.parametrize("d", [0, 4])
def test_budgets_without_a_row_are_refused(d):
    with pytest.raises(ValueError, match=rf"^d = {d}: give 1 to 3"):
        certify_committed_texts(COUNTS, SMALL, d=d, epsilon=0.1, **LAW)


@pytest.mark.seconds
def test_whole_certifications_are_false_no_more_often_than_their_risk():
    """A guard that flags where z <= c and no pad shows its clean token: an adversary who edits nothing is its worst.

    He leaves beta^d Phi(c - s), which is the bound of exactly 0 edits if all levels are known. So the certificates
    are false about as often as the level of k = m is: it has half of the row's half of the risk.
    """
    rng, beta, d, c, n, m, alpha, runs = np.random.default_rng(3), 0.4, 2, 1.5, 400, 3, 0.2, 10_000
    kernel, tau, shift = hrs.UniformKernel(beta, 4), 0.04, np.linspace(0, 8, 80_001)
    true = float(shift[beta**d * ndtr(c - shift) >= tau][-1]) + 1e-4
    assert pays(kernel, d, n, alpha, tau, m)
    seen = rng.random((runs, n)) <= ndtr(c)
    k = {
        0: rng.binomial(m, beta**d, (runs, n)) * seen,
        d: m * seen,
    }  # flagged texts: clean, and with both pads replaced
    reached = {j: (each[:, :, None] >= np.arange(1, m + 1)).sum(axis=1) for j, each in k.items()}
    levels = {j: level_bounds(rows, n, alpha / 2) for j, rows in reached.items()}
    value = np.min(
        [
            np.max([p_adv_texts(levels[j], true, ratio_of(kernel, j, e), sigma=1.0) for j in levels], axis=0)
            for e in range(d + 1)
        ],
        axis=0,
    )
    wrong = (value >= tau).mean()
    assert wrong <= alpha / 4 + 3 * math.sqrt(alpha * (1 - alpha) / runs)
    assert wrong > alpha / 16
    some = [*np.flatnonzero(value >= tau)[:2], *np.flatnonzero(value < tau)[:2]]  # as the package certifies them
    counts = [hrs.TextCounts(tuple(tuple(reached[j][i].tolist()) for j in (0, 0, d)), n) for i in some]
    for i, front in zip(some, frontiers_of(counts, kernel, sigma=1.0, tau=tau, d_max=d, alpha=alpha), strict=True):
        assert (front.radius(d) >= true) == (value[i] >= tau)
