"""Evidence: what bounds p_A, what bounds p_S, and the search over sets of replaced positions."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import hybrid_rs as hrs
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.evidence.subset_counts import most_replaced

KERNEL = hrs.UniformKernel(0.25, 1000)


def by_brute_force(replaced, size):
    sets = combinations(range(replaced.shape[1]), size)
    return max(int(replaced[:, list(chosen)].all(axis=1).sum()) for chosen in sets)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(1, 8))
def test_search_finds_the_worst_set_of_every_size(seed, rows, columns):
    rng = np.random.default_rng(seed)
    replaced = rng.random((rows, columns)) < rng.uniform(0.1, 0.9, columns)
    exact = tuple(by_brute_force(replaced, size) for size in range(columns + 1))
    assert most_replaced(replaced, columns) == exact
    cut_off = most_replaced(replaced, columns, max_sets=int(rng.integers(0, 60)))
    assert all(bound >= truth for bound, truth in zip(cut_off, exact, strict=True))
    assert all(a >= b for a, b in pairwise(cut_off))


@pytest.mark.seconds
def test_bounds_of_p_s_all_hold_with_the_stated_confidence():
    """A guard that fails on one pair of positions above all; coverage over runs of 400 draws.

    With 600 runs, a bound that is wrong in 15 % of them is above its 10 % by 3.4 standard deviations.
    """
    rng, n, length, beta, alpha, runs = np.random.default_rng(0), 400, 6, 0.5, 0.1, 600
    patterns = (np.arange(2**length)[:, None] >> np.arange(length)) & 1 == 1
    weight = beta ** patterns.sum(1) * (1 - beta) ** (length - patterns.sum(1))
    fails = np.where(patterns[:, 0] & patterns[:, 1], 0.3, 0.02)  # P(safe | what was replaced)
    true = []
    for size in range(4):
        sets = [list(chosen) for chosen in combinations(range(length), size)]
        true.append(min(1 - (weight * fails)[patterns[:, s].all(1)].sum() / beta**size for s in sets))
    wrong = 0
    for _ in range(runs):
        drawn = patterns[rng.choice(2**length, size=n, p=weight)]
        safe = rng.random(n) < np.where(drawn[:, 0] & drawn[:, 1], 0.3, 0.02)
        counts = hrs.SubsetCounts.from_failures(drawn[safe], n, 3, beta)
        wrong += bool(np.any(counts.p_s(alpha) > true))
    assert wrong / runs <= alpha


def test_subset_bounds_are_never_below_what_p_a_alone_gives():
    counts = hrs.SubsetCounts((30, 30, 30), n=10_000, length=20, beta=0.25)
    p_a = hrs.clopper_pearson_lower(9_970, 10_000, 0.005)
    assert counts.p_s(0.01) == pytest.approx([p_a, 1 - (1 - p_a) / 0.25, 1 - (1 - p_a) / 0.25**2])
    assert counts.clean == hrs.Counts((9_970,), n=10_000)


def test_the_best_of_both_loses_at_most_the_split_and_gains_where_p_a_is_low():
    strong = hrs.SubsetCounts((4, 4, 4, 3), n=10_000, length=20, beta=0.25)
    weak = hrs.SubsetCounts((1_500, 220, 41, 9), n=10_000, length=20, beta=0.25)
    law = {"sigma": 1.0, "tau": 4.6e-5, "d_max": 3}
    for counts in (strong, weak):
        best = hrs.frontier_of(counts, KERNEL, **law)
        half = hrs.frontier_of(counts.clean, KERNEL, **law, alpha=0.005)
        assert np.all(np.nan_to_num(best.radii, nan=-1) >= np.nan_to_num(half.radii, nan=-1) - 1e-6)
        assert best.simultaneous
        assert best.alpha == 0.01
    assert hrs.frontier_of(weak.clean, KERNEL, **law).edits() < best.edits() == 3


def test_past_the_length_there_is_nothing_left_to_edit():
    counts = hrs.SubsetCounts((0, 0, 0), n=10_000, length=2, beta=0.25)
    front = hrs.frontier_of(counts, KERNEL, sigma=1.0, tau=1e-4, d_max=6)
    assert np.all(front.radii[2:] == front.radii[2])
    longer = hrs.SubsetCounts((0, 0, 0), 10_000, length=20, beta=0.25)  # sets of three were not counted
    front = hrs.frontier_of(longer, KERNEL, sigma=1.0, tau=1e-4, d_max=4)
    assert front.radii[4] < front.radii[3] < front.radii[2]


def test_masked_counts_are_the_same_classifier_at_every_d():
    counts = hrs.MaskedCounts((9_900, 9_500, 9_000), n=10_000)
    front = hrs.frontier_of(counts, KERNEL, sigma=1.0, tau=4.6e-5, d_max=2)
    assert front.one_classifier
    assert not front.simultaneous
    assert front.masked.all()
    assert front.to_frame().evidence.tolist() == ["p_S"] * 3
    split = hrs.frontier_of(counts, KERNEL, sigma=1.0, tau=4.6e-5, d_max=2, alpha=0.005)
    both = split.best(hrs.frontier_of(counts.clean, KERNEL, sigma=1.0, tau=4.6e-5, d_max=2, alpha=0.005))
    assert both.alpha == 0.01
    assert np.all(both.radii >= np.nan_to_num(split.radii))
    per_d = hrs.frontier([0.99, 0.98, 0.97], KERNEL, sigma=1.0, tau=4.6e-5, d_max=2)
    with pytest.raises(ValueError, match=r"other = .* one classifier"):
        both.best(per_d)


def test_the_better_of_two_keeps_risk_and_draws_and_is_of_one_input():
    law = {"sigma": 1.0, "tau": 4.6e-5, "d_max": 2}
    drawn = hrs.frontier_of(hrs.Counts((9_900,), n=10_000, example="a"), KERNEL, **law, alpha=0.01)
    stated = replace(hrs.frontier(0.99, KERNEL, **law), example="a")
    for both in (drawn.best(stated), stated.best(drawn)):
        assert (both.alpha, both.n) == (0.01, 10_000)
    for other in (
        replace(drawn, example="b"),
        replace(drawn, threat=hrs.L0Threat(2)),
        replace(drawn, tau=0.1),
        replace(drawn, n=1000),
        replace(drawn, alpha=0.99),
    ):
        with pytest.raises(ValueError, match=r"other\.|alpha = 1\.0"):
            drawn.best(other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hrs.MaskedCounts((3,), n=2), "unsafe = 3"),
        (lambda: hrs.SubsetCounts((3, 4), n=9, length=2, beta=0.5), "safe = .3, 4."),
        (lambda: hrs.SubsetCounts((3, 2, 1), n=9, length=1, beta=0.5), "safe = .3, 2, 1."),
        (lambda: hrs.SubsetCounts((3,), n=9, length=1, beta=0.0), "beta = 0.0"),
        (lambda: most_replaced(np.ones((2, 2), dtype=bool), 3), "d_max = 3"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@settings(max_examples=4)
@given(st.integers(0, 2**32 - 1))
def test_many_at_once_are_the_same_frontiers(seed):
    rng, law = np.random.default_rng(seed), {"sigma": 0.5, "tau": 1e-3, "d_max": 2}
    groups = [
        [hrs.Counts((int(k),), 100) for k in rng.integers(80, 101, 3)],
        [hrs.Counts(tuple(k.tolist()), 100) for k in rng.integers(80, 101, (3, 3))],
        [hrs.MaskedCounts(tuple(k.tolist()), 100) for k in rng.integers(50, 101, (3, 4))],
        [hrs.SubsetCounts((9, 4, 2)[: int(s) + 1], 100, int(s), 0.25) for s in rng.integers(1, 3, 3)],
    ]
    for group in groups:
        for front, counts in zip(frontiers_of(group, KERNEL, **law), group, strict=True):
            alone = hrs.frontier_of(counts, KERNEL, **law)
            np.testing.assert_allclose(front.radii, alone.radii, rtol=1e-10)
            assert (front.claim, front.n, front.alpha) == (alone.claim, alone.n, alone.alpha)
    with pytest.raises(ValueError, match="one kind"):
        frontiers_of([groups[0][0], groups[2][0]], KERNEL, **law)
    assert frontiers_of([], KERNEL, **law) == []


def test_a_simultaneous_frontier_pays_a_union_bound_where_points_have_their_own_evidence():
    law = {"sigma": 1.0, "tau": 1e-3, "d_max": 2}
    for counts in (hrs.Counts((98, 97, 96), 100), hrs.MaskedCounts((98, 97, 96), 100)):
        each, all_of_them = (hrs.frontier_of(counts, KERNEL, **law, simultaneous=flag) for flag in (False, True))
        assert "not simultaneously" in each.claim
        assert "simultaneously, with confidence 0.99" in all_of_them.claim
        np.testing.assert_array_equal(all_of_them.p, hrs.clopper_pearson_lower([98, 97, 96], 100, 0.01 / 3))
    for counts in (hrs.Counts((98,), 100), hrs.SubsetCounts((5, 2, 1), 100, 9, 0.25)):
        free, same = (hrs.frontier_of(counts, KERNEL, **law, simultaneous=flag) for flag in (False, True))
        assert free.simultaneous
        np.testing.assert_array_equal(free.radii, same.radii)
