"""A watched frontier where positions are unknown: bounds from the worst set, whose risk the sizes share."""

import math

import numpy as np
import pytest
from toys import EXAMPLE, KERNEL, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.certificates.commitment import radii_committed
from hybrid_rs.decisions.decide_sets import decide_sets
from hybrid_rs.decisions.watch_sets import watch_sets
from hybrid_rs.evidence.confidence_sequences import mixture_lower

SMALL = hrs.UniformKernel(beta=0.5, vocab_size=376)
LAW = {"length": 4, "sigma": 1.0, "tau": 0.01}
HARM = np.array([0.02, 0.1, 0.02, 0.02])  # by position, what replacing it adds to the chance of a failure


def draws_of(rng, n):
    replaced = rng.random((n, 4)) < 0.5
    return rng.random(n) >= 0.02 + replaced @ HARM, replaced


def test_the_frontier_is_that_of_the_best_bounds_so_far():
    n, alpha = 300, 0.04
    (front,) = watch_sets([(np.ones(n, bool), np.zeros((n, 4), bool))], SMALL, d_max=2, alpha=alpha, **LAW)
    shares = (alpha / 2, alpha / 4, alpha / 4)  # half for p_A, the rest for the two sizes
    p = {j: 1 - (1 - mixture_lower(n, n, share)) / 0.5**j for j, share in enumerate(shares)}
    p[2] = 1 - (1 - mixture_lower(n, n, alpha / 2)) / 0.25  # a pair is missed no more often than any draw fails
    p[1] = 1 - (1 - mixture_lower(n, n, alpha / 2)) / 0.5
    radii, _ = radii_committed(p, SMALL, 2, sigma=1.0, tau=0.01, all_sets=True)
    assert front.radii == pytest.approx(np.minimum.accumulate(radii), rel=1e-9)
    assert (front.anytime, front.simultaneous, front.one_classifier, front.n) == (True, True, True, n)


def test_a_size_is_certified_where_a_decision_certifies_it_and_the_batches_change_nothing():
    """With d_max = 1 the sizes 0 and 1 have half of the risk each."""
    rng = np.random.default_rng(1)
    flagged, replaced = draws_of(rng, 400)
    some = [(flagged[:n], replaced[:n]) for n in (100, 200, 400)]
    for prefix in some:
        (whole,) = watch_sets([prefix], SMALL, d_max=1, alpha=0.1, **LAW)
        parts = zip(*(np.array_split(x, 7) for x in prefix), strict=True)
        *_, last = watch_sets(parts, SMALL, d_max=1, alpha=0.1, **LAW)
        assert last.n == whole.n
        np.testing.assert_array_equal(last.radii, whole.radii)
        assert whole.masked[1]
        law = {"length": 4, "size": 1, "beta": 0.5, "alpha": 0.05}
        assert decide_sets([prefix], whole.p[1] - 1e-6, **law).verdict == "certified"
        assert decide_sets([prefix], whole.p[1] + 1e-6, **law).verdict == "undecided"


@pytest.mark.seconds
def test_radii_are_above_the_true_one_at_any_time_at_most_as_often_as_stated():
    """A guard of the text alone, which fails too where a foreign token shows: it never does without an attack."""
    rng, kernel, alpha, runs, tau = np.random.default_rng(2), hrs.AbsorbingKernel(0.5), 0.2, 100, 0.2
    # an attack at the worst position leaves the share of draws in which it is masked: no image, so 0 or infinity
    least = 1 - 0.02 - HARM[1] - 0.5 * (HARM.sum() - HARM[1])
    assert 0.5 * least > tau
    law, wrong = {"length": 4, "sigma": 1.0, "d_max": 1, "alpha": alpha}, 0
    for _ in range(runs):
        (front,) = watch_sets([draws_of(rng, 300)], kernel, tau=0.5 * least + 1e-9, **law)
        wrong += not np.isnan(front.radius(1))
    for _ in range(5):
        (front,) = watch_sets([draws_of(rng, 600)], kernel, tau=tau, **law)
        assert not np.isnan(front.radius(1))
    assert wrong <= alpha * runs + 3 * math.sqrt(alpha * (1 - alpha) * runs)


def test_a_smoothed_guard_is_watched_until_it_reaches_a_target():
    smoothed = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=hrs.L0Threat(2))
    fronts = list(smoothed.watch(EXAMPLE, 512, tau=0.01, masked=True))
    fixed = smoothed.certify(EXAMPLE, 512, tau=0.01, masked=True)
    assert [front.n for front in fronts] == [256, 512]
    assert fronts[-1].threat == fixed.threat
    assert fronts[-1].radius(0) > 0
    assert "whenever one stops" in fronts[-1].claim


@pytest.mark.parametrize(
    ("batch", "message"),
    [((np.ones(3), np.zeros((3, 4), bool)), "verdicts"), ((np.ones(3, bool), np.zeros((3, 5), bool)), "replaced")],
)
def test_bad_input_is_named(batch, message):
    with pytest.raises(ValueError, match=f"^{message} = "):
        next(watch_sets([batch], SMALL, d_max=1, **LAW))
