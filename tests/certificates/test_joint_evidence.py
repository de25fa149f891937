"""p_A and p_S together: no classifier goes below the bound, some reach it, and a wrong proof is refused."""

import json
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import linprog
from scipy.special import ndtr

import hybrid_rs as hrs
from hybrid_rs.certificates.commitment import p_adv_committed, radii_committed
from hybrid_rs.certificates.committed_certificate import certify_committed
from hybrid_rs.certificates.joint_evidence import joint_bound, joint_radius, outside_ratio
from hybrid_rs.certificates.kernels import masked_ratio

SMALL = hrs.UniformKernel(0.25, 376)
COUNTS = hrs.MaskedCounts((9_995, 9_990, 9_980, 9_970), n=10_000)
LAW = {"d": 3, "epsilon": 0.2, "sigma": 0.5, "tau": 0.05}


def word_law(word, beta, size, given=False):
    """Masses of all noisy words; with ``given``, all positions are replaced for certain."""

    def position(i, token):
        if given:
            return (token != word[i]) / (size - 1)
        return 1 - beta if token == word[i] else beta / (size - 1)

    return np.array(
        [math.prod(position(i, t) for i, t in enumerate(z)) for z in product(range(size), repeat=len(word))]
    )


@pytest.mark.parametrize(
    ("size", "beta", "d", "edited"), [(4, 0.25, 1, 1), (3, 0.4, 3, 2), (5, 0.8, 2, 2), (2, 0.5, 2, 1)]
)
def test_inside_and_outside_make_up_the_plain_laws(size, beta, d, edited):
    """By enumeration of all words: the masses of each value of the ratio, outside the event that all were replaced."""
    kernel, clean = hrs.UniformKernel(beta, size), (0,) * d
    p, q = word_law(clean, beta, size), word_law((1,) * edited + (0,) * (d - edited), beta, size)
    outside = np.array([0 in z for z in product(range(size), repeat=d)])
    ratio = outside_ratio(kernel, d, edited=edited)
    total = 1 - beta**d
    assert ratio.q_at_infinity == pytest.approx(q[~outside].sum(), abs=1e-15)
    for u in ratio.log_gamma:
        at = outside & np.isclose(np.log(q / p * total), u, atol=1e-9)
        mine = np.isclose(ratio.log_gamma, u, atol=1e-9)
        assert ratio.p[mine].sum() == pytest.approx(p[at].sum() / total, rel=1e-12)
        assert ratio.q[mine].sum() == pytest.approx(q[at].sum(), rel=1e-12)


@pytest.mark.parametrize(("size", "beta", "d"), [(3, 0.25, 2), (6, 0.25, 1), (2, 0.4, 3), (12, 0.5, 2)])
def test_it_is_the_least_value_of_all_classifiers(size, beta, d):
    """Over f of noisy word and image, given p_A and p_S, as a linear program.

    The image has a line of cells, on which f is constant: the program is a little above the bound, and never below it.
    """
    rng, s, cells = np.random.default_rng(size), 0.8, 60
    edges = np.concatenate([[-np.inf], np.linspace(-3.5, 4.5, cells - 1), [np.inf]])
    image, moved = np.diff(ndtr(edges)), np.diff(ndtr(edges - s))
    kernel, gained = hrs.UniformKernel(beta, size), 0
    rows = [np.outer(image, word_law((0,) * d, beta, size, given)).ravel() for given in (False, True)]
    for _ in range(3):
        p_a = 1 - 10.0 ** rng.uniform(-3, -1)
        p_s = max(1 - (1 - p_a) / beta**d * rng.uniform(0.1, 0.9), 0.3)
        for e in range(1, d + 1):
            q = np.outer(moved, word_law((1,) * e + (0,) * (d - e), beta, size)).ravel()
            least = linprog(q, A_ub=-np.array(rows), b_ub=[-p_a, -p_s], bounds=(0, 1)).fun
            sides = [
                hrs.p_adv(p, s, ratio, sigma=1.0)
                for p, ratio in ((p_a, kernel.likelihood_ratio(e)), (p_s, masked_ratio(kernel, d, edited=e)))
            ]
            joint = joint_bound(np.array(p_a), np.array(p_s), kernel, d, e, np.array(s))[0]
            best = max(*sides, joint)
            assert best <= least + 1e-9
            assert least <= 1.03 * best + 2e-3
            gained += joint > max(sides) * (1 + 1e-6)
    assert gained


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0.1, 0.25, 0.9, 1.0]), st.integers(2, 400))
def test_it_is_never_below_p_s_alone_and_falls_with_the_image_budget(seed, d, beta, size):
    rng, kernel = np.random.default_rng(seed), hrs.UniformKernel(beta, size)
    p_a, p_s = 1 - 10.0 ** rng.uniform(-6, -0.2, (2, 8, 1))
    shift = np.linspace(0, 3, 7)
    both = p_adv_committed({0: p_a, d: p_s}, kernel, d, shift, sigma=1.0)
    assert np.all(np.diff(both, axis=1) <= 1e-12)
    for e in range(1, d + 1):
        value, *_ = joint_bound(p_a, p_s, kernel, d, e, shift)
        assert np.all(value >= hrs.p_adv(p_s, shift, masked_ratio(kernel, d, edited=e), sigma=1.0) * (1 - 1e-14))


@pytest.mark.parametrize("size", [2, 3, 7, 32_000])
@pytest.mark.parametrize("beta", ["tiny", "just below", "as if uniform", "just above", "nearly 1", "1"])
def test_every_beta_has_a_bound(size, beta):
    """Close to beta = 1 - 1/V the ratios of different outcomes are one float64: they must be one atom."""
    even = 1 - 1 / size
    at = {"tiny": 1e-300, "just below": math.nextafter(even, 0), "as if uniform": even}
    at |= {"just above": math.nextafter(even, 1), "nearly 1": 1 - 1e-9, "1": 1.0}
    kernel, p = hrs.UniformKernel(at[beta], size), np.array([0.0, 0.5, 0.999, 1.0])
    for d, edited in ((1, 1), (2, 1), (5, 5), (40, 1), (40, 40)):
        value, *_ = joint_bound(p, p, kernel, d, edited, np.array(0.3))
        masked = hrs.p_adv(p, 0.3, masked_ratio(kernel, d, edited=edited), sigma=1.0)
        assert np.all((value >= masked * (1 - 1e-11)) & (value <= 1))  # two sums, in another order
        if even <= at[beta] <= math.nextafter(even, 1):
            assert np.all(value <= hrs.p_adv(p, 0.3, hrs.LikelihoodRatio.identity(), sigma=1.0) + 1e-12)


def test_what_it_is_worth():
    """10,000 draws, all flagged, half of alpha = 0.01 for each bound; radii in units of sigma."""
    half = float(hrs.clopper_pearson_lower(10_000, 10_000, 0.005))
    for d, tau, better_of_bounds, joint in ((3, 0.05, 1.89, 2.20), (7, 4.6e-5, 3.76, 3.90)):
        radii, _ = radii_committed({0: half, d: half}, SMALL, d, sigma=1.0, tau=tau)
        assert hrs.floored(radii.min(), 2) == joint > better_of_bounds
    large = hrs.UniformKernel(0.25, 32_000)  # there is hardly anything outside
    radii, _ = radii_committed({0: half, 2: half}, large, 2, sigma=1.0, tau=0.05)
    alone = hrs.certified_radius(half, large.likelihood_ratio(2, masked=True), sigma=1.0, tau=0.05)
    assert radii.min() == pytest.approx(alone, rel=0.02)


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_a_radius_is_certified_proved_and_a_hair_more_is_not(seed, d):
    rng, n = np.random.default_rng(seed), 5_000
    counts = hrs.MaskedCounts(tuple(np.floor(n * (1 - 10.0 ** rng.uniform(-3.5, -1.5, d + 1))).astype(int).tolist()), n)
    law = {"sigma": 0.5, "tau": float(rng.choice([1e-3, 0.04]))}
    radius = hrs.frontier_of(counts, SMALL, d_max=d, **law).radius(d)
    if radius > 0:
        at, beyond = (certify_committed(counts, SMALL, d=d, epsilon=radius * x, **law) for x in (1, 1 + 1e-8))
        assert at.certified
        assert not beyond.certified
        assert hrs.verify(at) >= at.p_adv
        assert hrs.read_certificate(at.to_json()) == at


def test_a_radius_that_is_known_is_kept_where_nothing_is_gained():
    law = {"known": np.array([np.nan, 0.7, np.inf]), "sigma": 1.0, "tau": 0.5}
    found = joint_radius(np.array([0.6, 0.6, 0.9]), np.array([0.5, 0.5, 0.9]), SMALL, 2, 2, **law)
    np.testing.assert_array_equal(found, law["known"])


@pytest.mark.parametrize(("tau", "sigma"), [*product((0.0, 0.05, 1.0), (0.0, 0.5))])
def test_at_the_ends_of_all_ranges_it_is_quiet_and_not_below_the_bounds_by_themselves(tau, sigma):
    p_a, p_s = np.array(list(product((0.0, 0.5, 1.0), repeat=2))).T
    for beta, size in ((0.0, 4), (0.25, 2), (0.5, 2), (1.0, 4)):
        kernel = hrs.UniformKernel(beta, size)
        both = radii_committed({0: p_a, 2: p_s}, kernel, 2, sigma=sigma, tau=tau)[0].min(axis=0)
        plain = hrs.certified_radius(p_a, kernel.likelihood_ratio(2), sigma=sigma, tau=tau)
        masked = hrs.certified_radius(p_s, kernel.likelihood_ratio(2, masked=True), sigma=sigma, tau=tau)
        for alone in (plain, masked):
            assert np.all(np.nan_to_num(both, nan=-1.0) >= np.nan_to_num(alone, nan=-1.0))


@pytest.mark.parametrize(("beta", "d", "name"), [(0.0, 1, "beta"), (1.0, 1, "beta"), (0.5, 0, "d"), (0.5, 513, "d")])
def test_where_the_event_is_certain_or_impossible_there_is_no_outside(beta, d, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        outside_ratio(hrs.UniformKernel(beta, 4), d, edited=0)


def test_what_the_two_witnesses_do_not_prove_is_refused():
    made = certify_committed(COUNTS, SMALL, **LAW)
    assert made.log_t_outside[0] == -math.inf < made.log_t_outside[3]
    up = hrs.verify(made) * (1 + 1e-9)
    outer, inner = made.log_t_outside, made.log_t
    higher = (*outer[:3], inner[3] - 3 * math.log(0.25) + 0.1)  # outside above inside: p_S would count against
    for wrong in (
        replace(made, p_adv=up),
        replace(made, log_t_outside=(-math.inf,) * 4),
        replace(made, log_t_outside=(*outer[:3], outer[3] + 1)),
        replace(made, log_t_outside=higher),
        replace(made, log_t_outside=(*outer[:3], math.inf)),
        replace(made, log_t=(*inner[:3], math.inf)),
    ):
        with pytest.raises(hrs.VerificationError):
            hrs.verify(wrong)
    with pytest.raises(ValueError, match="log_t_outside"):
        replace(made, log_t_outside=(0.0, *outer[1:]))  # nothing is edited: p_A alone
    with pytest.raises(ValueError, match="log_t_outside"):
        replace(made, kernel=hrs.AbsorbingKernel(0.25))
    fields = json.loads(made.to_json())
    for change in ({"log_t_outside": [0.0]}, {"log_t_outside": ["nan"] * 4}, {"schema": 3}):
        with pytest.raises(ValueError, match="not one that to_json wrote"):
            hrs.read_certificate(json.dumps(fields | change))
