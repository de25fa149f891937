"""The adversary commits: never above any classifier's value, attained, never below the better of two, and checked."""

import json
import math
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from mpmath import mp, mpf
from scipy.optimize import linprog
from scipy.special import ndtr

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.commitment import p_adv_committed, pays, radii_committed, ratio_of
from hybrid_rs.certificates.committed_certificate import CommittedCertificate, certify_committed
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.kernels import masked_ratio

mp.dps = oracle.DIGITS
SMALL = hrs.UniformKernel(0.25, 376)
LAW = {"d": 3, "epsilon": 0.2, "sigma": 0.5, "tau": 0.05}
COUNTS = hrs.MaskedCounts((9_995, 9_990, 9_980, 9_970), n=10_000)
KERNELS = st.sampled_from([SMALL, hrs.UniformKernel(0.5, 3), hrs.UniformKernel(0.9, 2), hrs.AbsorbingKernel(0.4)])


def near_one(rng, *shape):
    return 1 - 10.0 ** rng.uniform(-6, -0.2, shape)


# --- the law of exactly e edits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("beta", "vocab_size"), [(0.25, 376), (0.6, 2), (0.95, 3), (1.0, 4), (0.5, 2)])
def test_the_value_of_exactly_e_edits_is_that_of_the_definition(beta, vocab_size):
    kernel = hrs.UniformKernel(beta, vocab_size)
    for d, p, s in product((1, 3), (0.4, 0.99, 1.0), (0.0, 0.8)):
        for e in range(d + 1):
            truth = oracle.value(p, s, oracle.masked_law(beta, vocab_size, e, d - e))
            value = hrs.p_adv(p, s, masked_ratio(kernel, d, edited=e), sigma=1.0)
            assert value <= truth
            assert value >= truth * (1 - mpf(10) ** -10) - mpf(10) ** -290


@pytest.mark.parametrize(("beta", "vocab_size"), [(0.25, 376), (0.6, 2), (0.95, 3), (1.0, 4)])
def test_more_edits_than_replaced_positions_are_edits_of_clean_text(beta, vocab_size):
    """The law is a product, and no classifier of it goes lower: the definition with 50 digits, and a closed form."""
    kernel, absorbing = hrs.UniformKernel(beta, vocab_size), hrs.AbsorbingKernel(beta)
    touched, clean = oracle.masked_position(beta, vocab_size, True), oracle.uniform_position(beta, vocab_size)
    for (replaced, edited), p, s in product(((1, 2), (1, 4), (2, 3)), (0.9, 0.9999, 1.0), (0.0, 0.8)):
        truth = oracle.value(p, s, oracle.atoms([touched] * replaced + [clean] * (edited - replaced)))
        value = hrs.p_adv(p, s, ratio_of(kernel, replaced, edited), sigma=1.0)
        assert value <= truth
        assert value >= truth * (1 - mpf(10) ** -10) - mpf(10) ** -290
        if beta <= 1 - 1 / vocab_size:  # the adversary's own tokens show often enough: failures are all he can add
            assert hrs.p_adv(p, 0.0, ratio_of(kernel, replaced, edited), sigma=1.0) >= (
                beta**edited - beta**replaced * (1 - p) - 1e-12
            )
        hidden = hrs.p_adv(p, 0.0, ratio_of(absorbing, replaced, edited), sigma=1.0)
        assert hidden == pytest.approx(max(0.0, beta**edited - beta**replaced * (1 - p)), abs=1e-12)


@pytest.mark.parametrize("beta", [Fraction(1, 4), Fraction(3, 5), Fraction(9, 10)])
def test_evidence_of_any_two_positions_speaks_of_three_edits_of_all_words(beta):
    """Exact, over all classifiers of short words: the least value is attained by a knapsack of the words."""
    size, word = 3, (0, 0, 0)
    for replaced, edited in ((1, 2), (1, 3), (2, 3)):
        reference = word_law(word, beta, size, range(replaced))
        attacked = word_law((1,) * edited + (0,) * (3 - edited), beta, size)
        ratio = ratio_of(hrs.UniformKernel(float(beta), size), replaced, edited)
        for p in (Fraction(1, 2), Fraction(9, 10), Fraction(999, 1000), Fraction(1)):
            truth = knapsack(p, reference, attacked)
            assert float(truth) * (1 - 1e-9) - 1e-12 <= hrs.p_adv(float(p), 0.0, ratio, sigma=1.0) <= truth


def test_the_worst_of_them_is_the_masked_ratio():
    for kernel in (SMALL, hrs.UniformKernel(0.9, 2), hrs.AbsorbingKernel(0.4)):
        worst = hrs.p_adv([0.7, 0.999], 0.5, kernel.likelihood_ratio(3, masked=True), sigma=1.0)
        each = [hrs.p_adv([0.7, 0.999], 0.5, masked_ratio(kernel, 3, edited=e), sigma=1.0) for e in range(4)]
        assert np.min(each, axis=0) == pytest.approx(worst, rel=1e-12)


# --- every classifier ---------------------------------------------------------------------------------------------


def word_law(word, beta, vocab_size, given=()):
    """Masses of all noisy words; positions in ``given`` are replaced for certain."""

    def position(i, token):
        if i in given:
            return Fraction(int(token != word[i]), vocab_size - 1)
        return 1 - beta if token == word[i] else beta / (vocab_size - 1)

    alphabet = range(vocab_size)
    return [math.prod(position(i, t) for i, t in enumerate(z)) for z in product(alphabet, repeat=len(word))]


@pytest.mark.parametrize(("vocab_size", "length", "d"), [(2, 2, 1), (3, 2, 2), (2, 3, 2), (4, 2, 2), (2, 3, 3)])
@pytest.mark.parametrize("beta", [Fraction(1, 4), Fraction(3, 5)])
def test_no_classifier_goes_below_it_by_linear_programming(vocab_size, length, d, beta):
    """The least value over all f in [0, 1] of noisy word and image cell, given p_A and p_S: one program for each edit.

    The bound is evaluated in the same image channel. The dual solution is rounded to fractions and made feasible, which
    gives an exact lower bound of the program: it must not be below the committed bound either.
    """
    rng = np.random.default_rng(vocab_size * length + d)
    clean, shifted = [Fraction(3, 6), Fraction(2, 6), Fraction(1, 6)], [Fraction(1, 6), Fraction(2, 6), Fraction(3, 6)]
    word, inside = (0,) * length, tuple(range(d))
    plain, given_s = (word_law(word, beta, vocab_size, given) for given in ((), inside))
    rows = [[c * x for c in clean for x in law] for law in (plain, given_s)]
    best = 0
    for _ in range(4):
        p_a, p_s = (Fraction(float(x)).limit_denominator(10**4) for x in (near_one(rng), near_one(rng)))
        committed, alone, least = [], [], []
        for e in range(d + 1):
            edited = (1,) * e + (0,) * (length - e)  # all edits of e positions are alike
            q = [s * x for s in shifted for x in word_law(edited, beta, vocab_size)]
            sides = [knapsack(p, row, q) for p, row in zip((p_a, p_s), rows, strict=True)]
            committed.append(max(sides))
            alone.append(sides)
            least.append(program(q, rows, (p_a, p_s)))
        better_of = max(min(side) for side in zip(*alone, strict=True))
        found = [value for value in least if value is not None]
        if len(found) == d + 1:  # some classifier has these probabilities
            assert min(committed) <= min(found)
            assert min(committed) >= better_of
            best += min(committed) > better_of
    assert best > 0 or d == 1 or beta > Fraction(1, 2)  # with one edit, or weak edits, it may not gain


def knapsack(p, clean, attacked):
    """The least attacked mass of a test with clean mass at least p, exact."""
    left, value = p, Fraction(0)
    for a, b in sorted(((a, b) for a, b in zip(clean, attacked, strict=True) if a), key=lambda cell: cell[1] / cell[0]):
        part = min(left, a)
        left, value = left - part, value + part * b / a
    return value


def program(q, rows, p):
    """A lower bound of the least q f over f in [0, 1] with rows f >= p, exact; None if there is no such f.

    By duality t p + sum min(q - t rows, 0) is one for all t >= 0: any float t that a solver finds will do.
    """
    a = -np.array(rows, dtype=float)
    solved = linprog(np.array(q, dtype=float), A_ub=a, b_ub=-np.array(p, dtype=float), bounds=(0, 1))
    if solved.status != 0:
        return None
    t = [Fraction(max(0.0, float(-x))) for x in solved.ineqlin.marginals]
    cells = (
        min(weight - sum(u * row[i] for u, row in zip(t, rows, strict=True)), Fraction(0)) for i, weight in enumerate(q)
    )
    bound = sum(u * x for u, x in zip(t, p, strict=True)) + sum(cells)
    assert float(bound) == pytest.approx(solved.fun, abs=1e-7)
    return bound + Fraction(1, 10**9)  # what the rounding of t may have cost


def test_with_one_of_the_two_known_exactly_the_bound_is_attained():
    """Where p_S says nothing the value is the plain one, and where p_A says nothing the masked one."""
    for kernel in (SMALL, hrs.UniformKernel(0.6, 3)):
        plain = hrs.p_adv(0.999, 0.3, kernel.likelihood_ratio(2), sigma=1.0)
        assert p_adv_committed({0: 0.999, 2: 0.0}, kernel, 2, 0.3, sigma=1.0) == plain
        masked = hrs.p_adv(0.999, 0.3, kernel.likelihood_ratio(2, masked=True), sigma=1.0)
        assert p_adv_committed({0: 0.0, 2: 0.999}, kernel, 2, 0.3, sigma=1.0) == pytest.approx(masked, rel=1e-12)


def test_p_s_of_fewer_positions_says_nothing_of_edits_elsewhere():
    """A guard that misses only an edit of the second token: p_S of the first is 1, and must not be used against it."""
    beta, kernel = Fraction(1, 4), hrs.UniformKernel(0.25, 3)
    flags = [(first, second) != (0, 1) for first, second in product(range(3), repeat=2)]
    p = {
        j: float(sum(x for x, yes in zip(word_law((0, 0), beta, 3, range(j)), flags, strict=True) if yes))
        for j in range(3)
    }
    assert p[1] == p[2] == 1
    attacked = sum(x for x, yes in zip(word_law((0, 1), beta, 3), flags, strict=True) if yes)
    assert p_adv_committed({0: p[0], 2: p[2]}, kernel, 2, 0.0, sigma=1.0) <= attacked
    for search in (lambda q: p_adv_committed(q, kernel, 2, 0.0, sigma=1.0),
                   lambda q: radii_committed(q, kernel, 2, sigma=1.0, tau=0.5)):  # fmt: skip
        with pytest.raises(ValueError, match="p_S of at least 2 positions"):
            search(p)
    made = hrs.certify(COUNTS, SMALL, **LAW)
    fewer = (made.bounds[0], replace(made.bounds[1], replaced=made.d - 1))
    choices = (*made.choices[:-1], 0)
    with pytest.raises(ValueError, match="does not cover"):
        replace(made, bounds=fewer, choices=choices)


# --- order --------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), KERNELS, st.integers(1, 4))
def test_it_is_never_below_the_better_of_plain_and_masked(seed, kernel, d):
    rng = np.random.default_rng(seed)
    p_a, p_s, s = near_one(rng, 6), near_one(rng, 6), rng.uniform(0, 3)
    both = p_adv_committed({0: p_a, d: p_s}, kernel, d, s, sigma=1.0)
    for p, masked in ((p_a, False), (p_s, True)):
        alone = hrs.p_adv(p, s, kernel.likelihood_ratio(d, masked=masked), sigma=1.0)
        assert np.all(both >= alone * (1 - 1e-12))


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), KERNELS, st.integers(1, 3))
def test_a_radius_is_certified_and_a_hair_more_is_not(seed, kernel, d):
    rng = np.random.default_rng(seed)
    p, tau = {0: near_one(rng, 5), d: near_one(rng, 5)}, float(rng.choice([4.6e-5, 0.05]))
    radii, evidence = radii_committed(p, kernel, d, sigma=0.7, tau=tau)
    assert set(np.unique(evidence)) <= {0, d}
    least = np.min(np.nan_to_num(radii, nan=-1.0), axis=0)
    assert np.array_equal(least < 0, p_adv_committed(p, kernel, d, 0.0, sigma=0.7) < tau)
    some = least > 0
    part = {j: x[some] for j, x in p.items()}
    assert np.all(p_adv_committed(part, kernel, d, least[some], sigma=0.7) >= tau)
    assert np.all(p_adv_committed(part, kernel, d, least[some] * (1 + 1e-9) + 1e-10, sigma=0.7) < tau)


def test_whether_it_can_pay_is_known_beforehand():
    assert [pays(hrs.UniformKernel(0.25, size), 2, 10_000, 0.01, 0.05) for size in (3, 376, 32_000)] == [1, 1, 0]
    assert not pays(hrs.AbsorbingKernel(0.25), 2, 10_000, 0.01, 0.05)  # the mask hides which token was written
    assert not pays(SMALL, 0, 10_000, 0.01, 0.05)


# --- from counts --------------------------------------------------------------------------------------------------


@settings(max_examples=4)
@given(st.integers(0, 2**32 - 1))
def test_a_frontier_is_never_below_the_better_of_two_at_the_same_risk(seed):
    rng, n = np.random.default_rng(seed), 5_000
    counts = hrs.MaskedCounts(tuple(np.floor(n * near_one(rng, 4)).astype(int).tolist()), n)
    law = {"sigma": 0.5, "tau": 0.05, "d_max": 3}
    half = counts.p_s(0.005)
    better = hrs.frontier(half[0], SMALL, **law).best(hrs.frontier(half, SMALL, **law, masked=True))
    made = hrs.frontier_of(counts, SMALL, **law)
    for d in range(1, 4):
        assert np.nan_to_num(made.radii[d], nan=-1) >= np.nan_to_num(better.radii[d], nan=-1)
    assert made.radii[0] == hrs.frontier_of(counts.clean, SMALL, **law).radii[0] or np.isnan(made.radii[0])
    large = hrs.UniformKernel(0.25, 10**6)  # no gain, no price
    alone = hrs.frontier(counts.p_s(0.01), large, **law, masked=True)
    np.testing.assert_array_equal(hrs.frontier_of(counts, large, **law).radii, alone.radii)


def test_points_that_hold_together_share_their_bounds():
    law = {"sigma": 0.5, "tau": 0.05, "d_max": 3}
    p = COUNTS.p_s(0.01 / 4)
    made = hrs.frontier_of(COUNTS, SMALL, **law, simultaneous=True)
    for d in (1, 2, 3):
        radii, _ = radii_committed({0: p[0], d: p[d]}, SMALL, d, sigma=0.5, tau=0.05)
        assert made.radii[d] == radii.min()


@pytest.mark.parametrize(
    "counts", [COUNTS, hrs.SubsetCounts((3, 3, 1, 0), n=10_000, length=20, beta=0.25)], ids=["known", "anywhere"]
)
def test_the_statement_is_that_of_the_frontier(counts):
    front = hrs.frontier_of(counts, SMALL, sigma=0.5, tau=0.02, d_max=3)
    for d in (1, 2):
        made = [
            hrs.certify(counts, SMALL, **LAW | {"d": d, "tau": 0.02, "epsilon": front.radius(d) * x})
            for x in (1, 1 + 1e-8)
        ]
        assert [each.certified for each in made] == [True, False]
        assert all(isinstance(each, CommittedCertificate) for each in made)
        assert hrs.verify(made[0]) >= made[0].tau
    assert "p_A and p_S with confidence 0.99, 10000 draws" in str(made[0])
    assert isinstance(hrs.certify(counts, SMALL, **LAW | {"d": 0}), hrs.Certificate)


def test_certificates_of_sets_anywhere_include_the_plain_one():
    counts = hrs.SubsetCounts((4, 4, 4, 4), n=10_000, length=20, beta=0.25)
    made = hrs.certify(counts, SMALL, **LAW | {"d": 1})
    p_a = hrs.clopper_pearson_lower(9_996, 10_000, 0.005)
    assert made.p_adv >= hrs.p_adv(p_a, 0.2, SMALL.likelihood_ratio(1), sigma=0.5) * (1 - 1e-9)


@pytest.mark.seconds
def test_certificates_of_every_kind_are_proved_and_below_the_exact_value():
    rng = np.random.default_rng(3)
    loose, joined = [], 0
    for _ in range(60):
        d, n, beta = int(rng.integers(1, 5)), int(rng.integers(10, 20_000)), float(rng.uniform(0.01, 1))
        size = int(np.exp(rng.uniform(np.log(2), np.log(1e5))))
        kernel = hrs.UniformKernel(beta, size) if rng.random() < 0.8 else hrs.AbsorbingKernel(beta)
        hits = np.floor(n * near_one(rng, d + 1)).astype(int)
        law = {"d": d, "epsilon": float(rng.choice([0.0, rng.uniform(0, 5)])), "sigma": 1.0, "tau": 1e-5}
        counts = (
            hrs.MaskedCounts(tuple(hits.tolist()), n)
            if rng.random() < 0.5
            else hrs.SubsetCounts(tuple(np.sort(n - hits)[::-1].tolist()), n, 9, beta)
        )
        made = certify_committed(counts, kernel, **law)
        assert hrs.read_certificate(made.to_json()) == made
        proved = hrs.verify(made)
        assert proved >= made.p_adv
        loose.append(proved / made.p_adv - 1 if made.p_adv > 0 else 0.0)
        if d < 3 and isinstance(kernel, hrs.UniformKernel) and len(loose) < 20:
            exact = min(
                max(
                    *(
                        oracle.value(b.p, made.epsilon, exact_law(kernel, b.replaced, e))
                        for b in made.bounds
                        if b.replaced == 0 or b.replaced >= e
                    ),
                    exact_joint(made, e),
                )
                for e in range(d + 1)
            )
            assert mpf(proved) <= exact * (1 + mpf(10) ** -12)  # the share of a mixture is rounded
            joined += any(outside > -math.inf for outside in made.log_t_outside)
    assert max(loose) < 1e-8
    assert joined > 2


def exact_joint(made, e):
    """The two multipliers of a joint bound, as one of a mixture of the two laws: the plain problem from it."""
    inside, outside, bound = made.log_t[e], made.log_t_outside[e], made.bounds[made.choices[e]]
    if outside == -math.inf:
        return mpf(0)
    beta, size, d = Fraction(made.kernel.beta), made.kernel.vocab_size, bound.replaced
    b = mpf(beta.numerator) / beta.denominator
    t_a, t_s = mp.exp(outside) / (1 - b**d), mp.exp(inside) - b**d * mp.exp(outside) / (1 - b**d)
    share, hit = Fraction(float(t_s / (t_a + t_s))), beta / (size - 1)
    edited = [  # a position's clean mass, its mass given that it was replaced, and its attacked mass
        (1 - beta, Fraction(0), hit),
        (hit, Fraction(1, size - 1), 1 - beta),
        (hit * (size - 2), Fraction(size - 2, size - 1), hit * (size - 2)),
    ]
    untouched = [(1 - beta, Fraction(0), 1 - beta), (beta, Fraction(1), beta)]
    law = {}
    for ways in product(*[edited] * e, *[untouched] * (d - e)):
        clean, given_s, attacked = (math.prod(masses) for masses in zip(*ways, strict=True))
        mixed = (1 - share) * clean + share * given_s
        if mixed or attacked:
            key = oracle.to_mpf(attacked / mixed) if mixed else oracle.INFINITY
            p, q = law.get(key, (mpf(0), mpf(0)))
            law[key] = p + oracle.to_mpf(mixed), q + oracle.to_mpf(attacked)
    p = (1 - oracle.to_mpf(share)) * mpf(made.bounds[0].p) + oracle.to_mpf(share) * mpf(bound.p)
    return oracle.value(p, made.epsilon, law)


def exact_law(kernel, replaced, edited):
    if replaced == 0:
        return oracle.uniform_law(kernel.beta, kernel.vocab_size, edited)
    return oracle.masked_law(kernel.beta, kernel.vocab_size, edited, replaced - edited)


def test_what_the_witnesses_and_counts_do_not_prove_is_refused():
    made = hrs.certify(COUNTS, SMALL, **LAW)
    up = math.nextafter(hrs.verify(made), 1) * (1 + 1e-10)
    first, second = made.bounds
    wrong = [
        {"p_adv": up},
        {"epsilon": made.epsilon * (1 + 1e-6)},
        {"sigma": made.sigma * (1 - 1e-6)},
        {"kernel": hrs.UniformKernel(0.2499, 376)},
        {"kernel": hrs.UniformKernel(0.25, 377)},
        {"kernel": hrs.AbsorbingKernel(0.25)},
        {"alpha": 0.0099},
        {"n": 10_001},
        {"bounds": (replace(first, p=first.p + 1e-9), second)},
        {"bounds": (first, replace(second, k=second.k - 1))},
        {"bounds": (replace(first, replaced=3), second)},
        {"bounds": (first, replace(second, replaced=4))},
        {"bounds": (*made.bounds, second)},
        {"bounds": (first, replace(second, subsets=hrs.SubsetCounts((9, 1, 1, 1), 10, 5, 0.25).subsets(1)))},
        {"choices": (0, 0, 0, 0)},
        {"choices": (1, 1, 1, 1)},
        {"log_t": (*made.log_t[:3], made.log_t[3] + 0.3)},
        {"log_t": (math.inf, *made.log_t[1:])},
    ]
    for change in wrong:
        with pytest.raises((hrs.VerificationError, ValueError)):
            hrs.verify(replace(made, **change))
    dropped = replace(made, d=2, choices=made.choices[:3], log_t=made.log_t[:3], log_t_outside=made.log_t_outside[:3])
    assert hrs.verify(dropped) >= made.p_adv  # fewer edits: true, and proved


def test_only_what_was_written_is_read():
    made = hrs.certify(hrs.SubsetCounts((40, 30, 9, 4), 10_000, 20, 0.25), SMALL, **LAW)
    fields = json.loads(made.to_json())
    bound = fields["bounds"][0]
    for change in (
        {"schema": 99}, {"bounds": []}, {"bounds": [bound | {"p": "1"}] * 4}, {"bounds": [bound | {"k": 10_001}] * 4},
        {"bounds": [bound | {"more": 1}] * 4}, {"bounds": [3]}, {"d": 2}, {"d": 3.0}, {"choices": [0, 0, 0]},
        {"choices": [0, 0, 0, 4]}, {"choices": [0, 0, 0, -1]}, {"log_t": [1.0] * 3},
        {"log_t": ["nan"] * 4}, {"alpha": 1.0}, {"n": 0}, {"sigma": -1.0}, {"p_adv": 2.0}, {"epsilon": "0.5"},
        {"extra": 1}, {"kernel": {"name": "FeatureKernel", "beta": 0.25, "sizes": [3, 4]}},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="not one that to_json wrote"):
            hrs.read_certificate(json.dumps(fields | change))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: hrs.certify(COUNTS, SMALL, **LAW | {"d": 4}), "d"),
        (lambda: hrs.certify(COUNTS, SMALL, **LAW | {"tau": 1.5}), "tau"),
        (lambda: hrs.certify(COUNTS, SMALL, **LAW | {"epsilon": [0.1, 0.2]}), "epsilon"),
        (lambda: hrs.certify(COUNTS, SMALL, **LAW, alpha=0.0), "alpha"),
        (lambda: hrs.certify(hrs.SubsetCounts((4, 3), 9, 20, 0.5), SMALL, **LAW | {"d": 1}), "kernel"),
        (lambda: p_adv_committed({2: 0.9}, SMALL, 3, 0.0, sigma=1.0), "p"),
        (lambda: p_adv_committed({0: 1.1}, SMALL, 3, 0.0, sigma=1.0), r"p\[0\]"),
        (lambda: p_adv_committed({0: 0.9}, hrs.FeatureKernel(0.25, (3, 4)), 1, 0.0, sigma=1.0), "kernel"),
        (lambda: masked_ratio(SMALL, 2, edited=3), "edited"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        call()


def test_no_tampered_certificate_passes():
    from abuse.tampering_committed import run

    figures = run(40, seed=1)
    assert figures["passed"] == figures["honest refused"] == 0
    assert figures["refused by verify"] == figures["false"] == 40


@pytest.mark.seconds
def test_certified_radii_are_above_the_true_one_at_most_as_often_as_stated():
    """Guards of two tokens and a Gaussian image whose value under every attack is known: whole certifications.

    The guard flags where z <= c, with c by the noisy word. Both counts are binomial with known probabilities.
    """
    rng, size, beta, alpha, runs, tau = np.random.default_rng(11), 3, Fraction(1, 2), 0.1, 500, 0.05
    kernel, shift = hrs.UniformKernel(float(beta), size), np.linspace(0, 6, 3001)
    laws = {word: np.array(word_law(word, beta, size), dtype=float) for word in product(range(size), repeat=2)}
    given = [np.array(word_law((0, 0), beta, size, range(d)), dtype=float) for d in range(3)]
    for _ in range(2):
        c = rng.choice([-3.0, 1.0, 2.5], size**2, p=[0.2, 0.3, 0.5])
        c[0] = 2.5
        p = [law @ ndtr(c) for law in given]
        value = np.min([laws[word] @ ndtr(c[:, None] - shift) for word in laws], axis=0)
        true = shift[np.flatnonzero(value >= tau)[-1]] if value[0] >= tau else -1.0
        hits = rng.binomial(300, p, (runs, 3)).tolist()
        fronts = frontiers_of(
            [hrs.MaskedCounts(tuple(row), 300) for row in hits], kernel, sigma=1.0, tau=tau, d_max=2, alpha=alpha
        )
        wrong = sum(front.radii[2] > true + 2e-3 for front in fronts)
        assert wrong <= alpha * runs + 3 * math.sqrt(alpha * (1 - alpha) * runs)
        assert np.median([np.nan_to_num(front.radii[2]) for front in fronts]) > 0.2 * true
