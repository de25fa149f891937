"""Calibration: the least threshold, the promise it makes of the population, and draws that are refused twice."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

import hybrid_rs as hrs
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.decisions.calibrate import flagged_share
from hybrid_rs.evidence.counts import smoothing_text

KERNEL = hrs.UniformKernel(beta=0.25, vocab_size=1000)


def benign(*ks, n=1000, seed=0):
    return [hrs.Counts(k if isinstance(k, tuple) else (k,), n, f"benign {i}", seed) for i, k in enumerate(ks)]


def test_the_threshold_is_the_least_that_so_many_examples_are_shown_to_stay_below():
    rng = np.random.default_rng(0)
    for size in (1, 7, 40):
        counts = benign(*(tuple(rng.integers(0, 30, 3).tolist()) for _ in range(size)))
        for share in (0.0, 0.05, 0.5):
            tau = hrs.calibrate(counts, share).tau
            assert np.all(flagged_share(counts, tau, alpha=0.01) <= share)
            assert np.any(flagged_share(counts, tau * (1 - 1e-9), alpha=0.01) > share)
            assert np.all(flagged_share(counts, tau) <= share)


def test_a_larger_budget_never_raises_the_threshold_nor_more_confidence_lowers_it():
    counts = benign(*np.random.default_rng(1).integers(0, 300, 400).tolist())
    taus = [hrs.calibrate(counts, share).tau for share in np.linspace(0, 0.9, 19)]
    assert taus == sorted(taus, reverse=True)
    assert taus[0] > taus[-1]
    taus = [hrs.calibrate(counts, 0.1, confidence=c).tau for c in (0.5, 0.9, 0.99)]
    assert hrs.calibrate(counts, 0.1).tau <= taus[0] < taus[1] < taus[2]
    shared = [hrs.calibrate(counts, 0.1, confidence=0.9, candidates=k).tau for k in (1, 5, 50)]
    assert shared == sorted(shared)
    assert shared[0] < shared[2]


def test_no_threshold_is_finer_than_the_draws():
    assert hrs.calibrate(benign(0, 0, 0)).tau >= hrs.clopper_pearson_upper(0, 1000, 0.01)


@pytest.mark.parametrize("above", [0, 1, 4])
def test_the_bound_is_where_so_few_exceedances_become_unlikely(above):
    counts = benign(*range(60))
    made = hrs.calibrate(counts, above / 60)
    assert made.above == above
    for confidence in (0.5, 0.99):
        share = made.false_alarm_bound(confidence) * (1 - made.alpha)
        assert binom.cdf(above, 60, share) == pytest.approx(1 - confidence, rel=1e-6)


@pytest.mark.seconds
@pytest.mark.parametrize("law", ["many levels", "two levels"])
def test_the_promise_about_the_population_is_kept(law):
    """Simulated: smoothed values are drawn, then counts; the true shares are computed from the law of the values."""
    rng, n, m, runs, budget, confidence, alpha = np.random.default_rng(2), 50, 60, 400, 0.1, 0.8, 0.05
    levels = np.linspace(0, 0.5, 101) if law == "many levels" else np.array([0.01, 0.3])
    weights = np.exp(-levels * 12) if law == "many levels" else np.array([0.95, 0.05])
    weights /= weights.sum()
    upper = hrs.clopper_pearson_upper(np.arange(n + 1), n, alpha)
    outcomes = weights @ binom.pmf(np.arange(n + 1), n, levels[:, None])  # law of K, of the next benign input
    broken, shares = {"deployed": 0, "smoothed": 0, "estimated": 0}, []
    for _ in range(runs):
        counts = benign(*rng.binomial(n, rng.choice(levels, m, p=weights)).tolist(), n=n)
        tau = hrs.calibrate(counts, budget, alpha=alpha, confidence=confidence).tau
        true = {
            "deployed": outcomes[upper >= tau].sum(),
            "smoothed": weights[levels >= tau].sum(),
            "estimated": outcomes[np.arange(n + 1) / n >= tau].sum(),
        }
        shares.append(true["deployed"])
        for name, share in true.items():
            broken[name] += share > budget
    allowed = binom.ppf(1 - 1e-6, runs, 1 - confidence)
    assert all(times <= allowed for times in broken.values())
    if law == "many levels":  # and it is not kept by being far too careful
        assert broken["deployed"] > 0
        assert np.mean(shares) > budget / 4


def test_too_few_examples_are_told_how_many_it_takes():
    with pytest.raises(
        ValueError, match=r"40 examples show a share of 0.110 .* of 0.05 only with confidence 0.868; give 91 examples"
    ):
        hrs.calibrate(benign(*range(40)), 0.05, confidence=0.99)
    assert hrs.calibrate(benign(*range(91)), 0.05, confidence=0.99).above == 0
    with pytest.raises(ValueError, match=r"false_alarms = 0\.05"):
        hrs.calibrate(benign(*range(90)), 0.05, confidence=0.99)
    with pytest.raises(ValueError, match="give a larger share"):
        hrs.calibrate(benign(*range(40)), 0.0, confidence=0.99)
    assert hrs.calibrate(benign(*range(40)), 0.05, confidence=0.868).above == 0


@pytest.mark.seconds
def test_what_reaches_the_threshold_is_flagged_by_the_deployed_guard():
    made, n = hrs.calibrate(benign(0, 3, 5, 9), 0.25, alpha=0.02), 1000
    passed = sum(binom.pmf(k, n, made.tau) for k in range(n + 1) if not made.flags(hrs.Counts((k,), n, "x", 1)).any())
    assert 0.005 < passed <= 0.02
    with pytest.raises(ValueError, match=r"counts.n = 500: tau was calibrated for n = 1000"):
        made.flags(hrs.Counts((3,), 500))


@pytest.mark.parametrize(
    ("counts", "options", "said"),
    [
        ([], {}, "benign = 0"),
        (benign(1, 2), {"false_alarms": 1.0}, "false_alarms = 1"),
        (benign(1, 2), {"confidence": 1.0}, "confidence = 1"),
        ([*benign(1), hrs.Counts((1,), 500, "other", 0)], {}, r"n = \[500, 1000\]"),
        (benign(1) + benign(1, seed=5), {}, "one per example"),
        ([hrs.Counts((1,), 1000)], {}, "without example or seed"),
        (benign(1000, 3), {"false_alarms": 0.0}, "unsafe in all draws"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(counts, options, said):
    with pytest.raises(ValueError, match=said):
        hrs.calibrate(counts, **options)


def test_draws_that_chose_tau_neither_certify_nor_measure_false_alarms():
    made = hrs.calibrate(benign(1, 2, 3))
    law = {"sigma": 1.0, "tau": made}
    seen, fresh = hrs.Counts((999,), 1000, "benign 1", 0), hrs.Counts((999,), 1000, "benign 1", 7)
    masked, unknown = hrs.MaskedCounts((999, 990), 1000, "benign 1", 0), hrs.Counts((999,), 1000)
    for counts in (seen, masked, unknown):
        for use in (
            lambda c: hrs.frontier_of(c, KERNEL, d_max=1, **law),
            lambda c: frontiers_of([c], KERNEL, d_max=1, **law),
            lambda c: hrs.certify(c, KERNEL, d=1, epsilon=0.1, **law),
            lambda c: flagged_share([getattr(c, "clean", c)], made),
        ):
            with pytest.raises(ValueError, match=r"\(example, seed\) = "):
                use(counts)
    front = hrs.frontier_of(fresh, KERNEL, d_max=1, **law)
    assert front.tau == made.tau
    np.testing.assert_array_equal(front.radii, hrs.frontier_of(fresh, KERNEL, d_max=1, sigma=1.0, tau=made.tau).radii)
    assert hrs.certify(0.9, KERNEL, d=1, epsilon=0.1, **law).tau == made.tau


def test_the_smoothed_guard_refuses_them_before_it_decides():
    class Bright:
        alphabet, pad_id, mask_id = np.arange(1000), 0, None

        def unsafe(self, token_ids, images):
            return images.mean(axis=(1, 2, 3)) > 0.5

    smoothed = hrs.SmoothedGuard(Bright(), KERNEL, sigma=0.5, threat=hrs.SuffixThreat(2))
    dark, white = (
        hrs.Example(name, np.array([7]), np.full((3, 8, 8), v, np.float32)) for name, v in (("d", 0), ("w", 1))
    )
    made = hrs.calibrate([smoothed.sample(dark, 500)])
    assert smoothed.certify(white, 500, tau=made).certified
    assert smoothed.decide(white, d=1, epsilon=0.1, tau=made).verdict == "certified"
    for ask in (
        lambda: smoothed.certify(dark, 500, tau=made),
        lambda: smoothed.decide(dark, d=1, epsilon=0.1, tau=made),
    ):
        with pytest.raises(ValueError, match="helped to choose tau"):
            ask()
    assert not smoothed.certify(dark, 500, tau=made, seed=1).certified


def test_a_threshold_belongs_to_the_noise_of_its_draws():
    law, other = (smoothing_text(KERNEL, sigma) for sigma in (0.5, 1.0))
    drawn = [replace(counts, smoothing=law) for counts in benign(0, 1, 2)]
    with pytest.raises(ValueError, match="give counts of one kernel and sigma"):
        hrs.calibrate([*drawn[:2], replace(drawn[2], smoothing=other)], 0.05)
    made = hrs.calibrate(drawn, 0.05)
    assert hrs.calibrate([replace(drawn[0], smoothing=""), *drawn[1:]], 0.05) == made  # typed in, and believed
    with pytest.raises(ValueError, match=r"sigma = 1.0: tau was calibrated with .* sigma = 0.5"):
        made.flags(replace(drawn[0], smoothing=other))
    assert made.flags(drawn[0]) == made.flags(replace(drawn[0], smoothing=""))
