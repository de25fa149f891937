"""Counts by number of flagged texts: bounds that hold at all levels together, proven by enumeration."""

import json
from itertools import pairwise, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import hybrid_rs as hrs
from hybrid_rs.evidence.text_counts import TextCounts, level_bounds, level_shares


def outcomes(n, cells):
    """All ways to spread n images over K = 0..m, with how many orders give each."""
    if cells == 1:
        return [((n,), 1)]
    return [((k, *rest), comb(n, k) * ways) for k in range(n + 1) for rest, ways in outcomes(n - k, cells - 1)]


@pytest.mark.parametrize(("n", "texts"), [(1, 2), (7, 1), (9, 2), (6, 3), (4, 5)])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_no_law_of_k_is_missed_more_often_than_alpha(n, texts, alpha):
    """Every law on a grid, and the hardest: those just below a bound that some outcome gives. Exact, no sampling."""
    spread = outcomes(n, texts + 1)
    counts = np.array([k for k, _ in spread])
    ways = np.array([w for _, w in spread])
    reached = counts[:, :0:-1].cumsum(axis=1)[:, ::-1]
    bounds = level_bounds(reached, n, alpha)
    edges = np.unique(np.append(np.unique(bounds) - 1e-12, np.linspace(0, 1, 4)).clip(0, 1))
    laws = [sorted(levels, reverse=True) for levels in product(edges, repeat=texts) if is_sorted(levels)]
    rng = np.random.default_rng(0)
    laws = [laws[i] for i in rng.permutation(len(laws))[:3000]]
    worst = 0.0
    for levels in laws:
        masses = -np.diff(np.concatenate([[1.0], levels, [0.0]]))
        chance = ways * np.prod(masses**counts, axis=1)
        assert chance.sum() == pytest.approx(1)
        worst = max(worst, chance[(bounds > np.array(levels) + 1e-15).any(axis=1)].sum())
    assert worst <= alpha * (1 + 1e-9)
    assert worst > 0.3 * alpha  # nor are the bounds idle


def is_sorted(levels):
    return all(a <= b for a, b in pairwise(levels))


@settings(max_examples=50)
@given(st.integers(1, 10_000), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_bounds_fall_with_k_and_grow_with_the_counts(n, texts, seed):
    rng = np.random.default_rng(seed)
    low, high = np.sort(np.sort(rng.integers(0, n + 1, (2, texts)), axis=1)[:, ::-1], axis=0)
    bounds = level_bounds([low, high], n)
    assert np.all(np.diff(bounds, axis=1) <= 0)
    assert np.all(bounds[0] <= bounds[1] * (1 + 1e-12))
    assert np.all((bounds >= 0) & (bounds <= high / n))
    each = hrs.clopper_pearson_lower(low, n, 0.01 * level_shares(texts))
    assert np.all(bounds[0] >= each * (1 - 1e-12))


def test_shares_add_up_and_half_goes_to_the_level_of_agreement():
    for texts in (1, 2, 3, 16, 100):
        assert level_shares(texts).sum() == pytest.approx(1, abs=1e-15)
        assert level_shares(texts).sum() <= 1 + 1e-15
    assert level_bounds([1000] * 16, 1000) == pytest.approx(hrs.clopper_pearson_lower(1000, 1000, 0.005))


def test_one_text_has_the_bound_of_a_verdict():
    assert level_bounds([97], 100, 0.02) == pytest.approx(hrs.clopper_pearson_lower(97, 100, 0.02), rel=1e-12)


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_counts_are_counted_and_survive_json(texts, rows, n, seed):
    flagged = np.random.default_rng(seed).integers(0, texts + 1, (n, rows))
    counts = TextCounts.from_flagged(flagged, texts, example="x", seed=3)
    assert counts.reached == tuple(
        tuple(int((flagged[:, d] >= k).sum()) for k in range(1, texts + 1)) for d in range(rows)
    )
    again = TextCounts.from_dict(json.loads(json.dumps(counts.to_dict())))
    assert (again, again.example, again.seed) == (counts, "x", 3)
    assert hash(again) == hash(counts)
    assert counts.levels(0.05).shape == (rows, texts)
    with pytest.raises(AttributeError):
        counts.n = 7


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: TextCounts((), 10), "reached"),
        (lambda: TextCounts((5,), 10), "reached"),
        (lambda: TextCounts(((),), 10), "reached"),
        (lambda: TextCounts(((5, 6),), 10), "reached"),
        (lambda: TextCounts(((11, 6),), 10), "reached"),
        (lambda: TextCounts(((5, 4), (5,)), 10), "reached"),
        (lambda: TextCounts(((5.5, 4),), 10), "reached"),
        (lambda: TextCounts(((5, 4),), 0), "n"),
        (lambda: TextCounts.from_flagged([[3]], 2), "flagged"),
        (lambda: TextCounts.from_flagged([1, 2], 2), "flagged"),
        (lambda: TextCounts.from_flagged([[1.5]], 2), "flagged"),
        (lambda: TextCounts.from_flagged([[1]], 0), "texts"),
        (lambda: TextCounts.from_dict({"reached": [[1]], "n": 2}), "values"),
        (lambda: TextCounts.from_dict(TextCounts(((1,),), 2).to_dict() | {"seed": -1}), "seed"),
        (lambda: TextCounts(((5, 4),), 10).levels(1.0), "alpha"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        call()
