"""Sampling under deletion: the law of the theorem, whatever the batches, and certificates that attacks do not break."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

import hybrid_rs as hrs
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.threats import EditDistanceThreat
from hybrid_rs.smoothing.deletion import DeletionSmoothedGuard, smooth

EXAMPLE = hrs.Example("words", np.array([3, 5, 3, 7]), np.full((3, 4, 4), 128 / 255, np.float32))


class Recorder:
    """Flags texts in which a 7 is left, and bright images; it keeps what it was shown."""

    alphabet, pad_id, mask_id = np.arange(10), 0, None

    def __init__(self):
        self.texts = []

    def unsafe(self, token_ids, images):
        assert len(token_ids) == len(images)
        self.texts += [tuple(row) for row in token_ids.tolist()]
        return (token_ids == 7).any(axis=1) & (images.mean(axis=(1, 2, 3)) > 0.4)


@pytest.mark.parametrize("noise", ["float32", "lattice"])
def test_counts_do_not_depend_on_the_batch_and_have_the_exact_law(noise):
    smoothed = DeletionSmoothedGuard(Recorder(), DeletionKernel(0.25), sigma=0.0, noise=noise)
    n = 4000
    counts = smoothed.sample(EXAMPLE, n)
    assert counts == smoothed.sample(EXAMPLE, n, batch_draws=64)
    assert abs(counts.unsafe[0] - 0.75 * n) < 4 * binom(n, 0.75).std()
    assert counts.n == n
    seen = Counter(smoothed.guard.texts[:n])
    assert all(set(text) <= {3, 5, 7} for text in seen)
    for text, mass in (((3, 5, 3, 7), 0.75**4), ((3, 7), 2 * 0.75**2 * 0.25**2), ((), 0.25**4)):
        assert abs(seen[text] - mass * n) < 4 * binom(n, mass).std()
    assert counts.distance == (0.0 if noise == "float32" else smoothed.distance(EXAMPLE))


def test_the_image_noise_is_that_of_every_smoothed_guard():
    class Bright(Recorder):
        def unsafe(self, token_ids, images):
            return images.mean(axis=(1, 2, 3)) > 0.5

    threat = hrs.SuffixThreat(1)
    usual = hrs.SmoothedGuard(Bright(), hrs.UniformKernel(0.25, 10), 0.5, threat, noise="lattice")
    deleting = DeletionSmoothedGuard(Bright(), DeletionKernel(0.25), 0.5)
    assert usual.sample(EXAMPLE, 300).unsafe == deleting.sample(EXAMPLE, 300).unsafe


def test_an_attacked_text_has_at_least_the_certified_value():
    smoothed = DeletionSmoothedGuard(Recorder(), DeletionKernel(0.25), sigma=0.0)
    clean = smoothed.sample(EXAMPLE, 4000)
    least = {}
    for edits, tokens in (("insertions", [3, 5, 3, 7, 1]), ("deletions", [3, 5, 7]), ("all", [3, 5, 3, 1])):
        kernel = DeletionKernel(0.25, edits)
        least[edits] = min(
            float(hrs.p_adv(clean.p_a(0.001)[0], 0.0, ratio, sigma=1.0)) for ratio in kernel.likelihood_ratios(1)
        )
        attacked = replace(EXAMPLE, id=edits, token_ids=np.array(tokens))
        assert smoothed.sample(attacked, 4000).p_a_upper(0.001)[0] >= least[edits]
    assert least["all"] == 0  # its one flagged word may be replaced
    assert least["insertions"] > 0.15


def test_a_frontier_says_whose_it_is():
    smoothed = DeletionSmoothedGuard(Recorder(), DeletionKernel(0.25, "insertions"), 0.5, EditDistanceThreat(2))
    front = smoothed.certify(EXAMPLE, n=500, tau=0.05)
    assert (front.example, front.n, front.alpha) == ("words", 500, 0.01)
    assert np.array_equal(front.radii, smoothed.frontier(smoothed.sample(EXAMPLE, 500), tau=0.05).radii, True)
    assert np.all(np.diff(front.radii[~np.isnan(front.radii)]) < 0)


def test_a_decision_is_about_the_frontier_and_stops_early():
    smoothed = DeletionSmoothedGuard(Recorder(), DeletionKernel(0.25, "insertions"), 0.0, EditDistanceThreat(2))
    front = smoothed.certify(EXAMPLE, n=4000, tau=0.1)
    assert front.edits() >= 1
    assert smoothed.decide(EXAMPLE, 1, 0.0, tau=0.1).verdict == "certified"
    assert smoothed.decide(EXAMPLE, 2, 0.0, tau=0.7).verdict == "not certifiable"
    assert smoothed.decide(EXAMPLE, 1, 0.0, tau=0.1).draws < 1000


def test_noise_that_replaces_tokens_is_refused_against_edits_that_change_the_length():
    uniform, threat = hrs.UniformKernel(0.25, 10), EditDistanceThreat(1)
    for make in (hrs.SmoothedGuard, lambda *given: smooth(*given, "lattice")):
        with pytest.raises(ValueError, match="insertions and deletions need a DeletionSmoothedGuard"):
            make(Recorder(), uniform, 0.5, threat)
    with pytest.raises(ValueError, match=r"give EditDistanceThreat\(max_edits\)"):
        smooth(Recorder(), DeletionKernel(0.25), 0.5, hrs.L0Threat(1), "lattice")
    smoothed = smooth(Recorder(), DeletionKernel(0.25), 0.5, threat, "lattice")
    for law in ({"masked": True}, {"texts": 2}):
        with pytest.raises(ValueError, match="leave it out"):
            smoothed.sample(EXAMPLE, 64, **law)
