"""Draws of a law at some distance from the theorem's: every bound gives way by as much, and no more."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from toys import EXAMPLE, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.certificates.certificate import certify
from hybrid_rs.certificates.committed_certificate import certify_committed
from hybrid_rs.certificates.text_certificate import certify_texts
from hybrid_rs.decisions.calibrate import flagged_share
from hybrid_rs.decisions.decide import decide
from hybrid_rs.decisions.watch import watch
from hybrid_rs.evidence.counts import MaskedCounts
from hybrid_rs.smoothing.draws import distance
from hybrid_rs.smoothing.lattice import rounded_gaussian
from hybrid_rs.storage.counts import CountsStore

LAW = {"epsilon": 0.2, "sigma": 0.5, "tau": 0.05}
ROUND = EXAMPLE.rounded()
KINDS = [
    hrs.Counts((90, 70), 100),
    hrs.MaskedCounts((90, 70), 100),
    hrs.TextCounts(((90, 70), (80, 60)), 100),
]


@pytest.mark.parametrize("counts", KINDS, ids=lambda counts: type(counts).__name__)
@pytest.mark.parametrize("off", [1e-14, 0.01, 0.75])
def test_bounds_give_way_by_the_distance(counts, off):
    far = replace(counts, distance=off)
    given = counts.bounds(0.05) - far.bounds(0.05)
    assert np.all(far.bounds(0.05) >= 0)
    assert np.all((given >= off) | (far.bounds(0.05) == 0))
    assert np.all(given <= off + 2.0**-52)
    assert far != counts


@given(st.floats(1e-14, 0.05), st.integers(1, 3))
def test_the_least_p_s_gives_way_by_the_distance_over_beta_to_the_size(off, d):
    counts = hrs.SubsetCounts((30, 12, 5, 2), 1000, length=9, beta=0.5)
    far = replace(counts, distance=off)
    assert counts.p_s(0.05)[d] - 2**d * off * (1 + 1e-9) - 1e-15 <= far.p_s(0.05)[d] <= counts.p_s(0.05)[d]
    assert far.p_s(0.05)[0] <= counts.p_s(0.05)[0] - off + 1e-15


def test_what_counts_hand_on_keeps_it():
    two = hrs.Counts((9, 8), 10, "a", 0, 0.1)
    assert [two.of_budget(1).distance, hrs.MaskedCounts((9, 8), 10, distance=0.1).clean.distance] == [0.1, 0.1]
    assert hrs.SubsetCounts((3, 1), 10, 4, 0.5, distance=0.1).clean.distance == 0.1
    assert hrs.TextCounts.from_dict(hrs.TextCounts(((9, 8),), 10, distance=0.1).to_dict()).distance == 0.1
    assert two.p_a_upper(0.1)[0] == 1.0
    assert np.all(two.p_a_upper(0.1) >= two.p_a(0.1) + 0.2)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), "0.1"])
def test_a_distance_is_a_probability(wrong):
    with pytest.raises(ValueError, match="distance"):
        hrs.Counts((1,), 2, distance=wrong)


def test_a_distance_is_kept_as_a_float():
    assert type(hrs.Counts((1,), 2, distance=np.float32(0.5)).distance) is float
    assert type(hrs.TextCounts(((1,),), 2, distance=0).distance) is float


@pytest.mark.parametrize("beta", [0.25, 0.3])
def test_sampling_states_the_distance_of_its_noise(beta, tmp_path):
    kernel = hrs.UniformKernel(beta, 20)
    smoothed = hrs.SmoothedGuard(ToyGuard(), kernel, 0.5, SUFFIX, "lattice")
    pixels = ROUND.image.size * rounded_gaussian(0.5).distance
    found = distance(smoothed, ROUND)
    assert pixels <= found <= pixels + 4 * 2.0**-53 + 1e-30
    assert (found > pixels * (1 + 1e-9)) == (beta == 0.3)  # 0.3 is no multiple of 2^-53
    several = smoothed.sample(ROUND, 64, texts=3)
    kinds = [smoothed.sample(ROUND, 64), smoothed.sample(ROUND, 64, masked=True)]
    assert [counts.distance for counts in kinds] == [found, found]
    assert several.distance == distance(smoothed, ROUND, 3) >= found
    anywhere = replace(smoothed, threat=hrs.L0Threat(2)).sample(ROUND, 64, texts=3, masked=True)
    assert anywhere.distance > 0
    near = replace(anywhere, distance=0.0)
    off = zip(near.levels(0.1), replace(near, distance=0.01).levels(0.1), strict=True)
    assert all(np.all(b <= np.maximum(a - 0.01, 0)) for a, b in off)
    assert replace(smoothed, noise="float32").sample(ROUND, 64).distance == 0.0
    path = tmp_path / "counts.jsonl"
    drawn = CountsStore(path, "toy").sample(smoothed, [ROUND], n=64, progress=False)
    assert CountsStore(path, "toy").get(smoothed, ROUND, n=64) == drawn[0] == kinds[0]
    assert drawn[0].distance == found


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.8]), st.sampled_from([0.0, 1e-9, 0.05]))
def test_a_decision_has_to_pass_its_target_by_the_distance(seed, p, off):
    draws = np.random.default_rng(seed).random(3_000) < p
    plain, far = decide([draws], 0.55), decide([draws], 0.55, distance=off)
    assert far.draws >= plain.draws
    assert far.verdict == plain.verdict
    shifted = decide([draws], 0.55 + off if far.verdict == "certified" else 0.55 - off)
    assert abs(far.draws - shifted.draws) <= 1
    assert far.lower <= far.upper


def test_what_is_watched_gives_way_as_well():
    draws = np.random.default_rng(0).random((5, 64, 1)) < 0.99
    law = {"sigma": 1.0, "tau": 4.6e-5, "d_max": 2}
    for near, far in zip(
        *(watch(draws, hrs.UniformKernel(0.25, 20), **law, distance=x) for x in (0, 0.01)), strict=True
    ):
        assert np.all(far.p <= np.maximum(near.p - 0.01, 0))


def test_flags_and_shares_take_the_upper_bound_further_up():
    near, far = (hrs.Counts((5,), 100, "a", 0, off) for off in (0.0, 0.2))
    level = float(near.p_a_upper(0.01)[0]) + 0.1
    assert flagged_share([near], level, alpha=0.01) == [0.0]
    assert flagged_share([far], level, alpha=0.01) == [1.0]
    assert flagged_share([far], level) == [0.0]
    assert isinstance(MaskedCounts((1,), 2).bounds(), np.ndarray)


SUBSETS = hrs.SubsetCounts((3, 1), 1_000, 4, 0.5, distance=1e-3)
STATEMENTS = {
    "p_A": certify(hrs.Counts((990,), 1_000, distance=1e-3), hrs.UniformKernel(0.5, 9), d=1, **LAW),
    "p_S": certify(hrs.MaskedCounts((990, 980), 1_000, distance=1e-3), hrs.UniformKernel(0.5, 9), d=1, **LAW),
    "sets": certify(SUBSETS, hrs.UniformKernel(0.5, 9), d=1, **LAW),
    "committed": certify_committed(SUBSETS, hrs.UniformKernel(0.5, 9), d=1, **LAW),
    "texts": certify_texts(hrs.TextCounts(((990, 900),), 1_000, distance=1e-3), hrs.UniformKernel(0.5, 9), d=1, **LAW),
}


@pytest.mark.parametrize("made", STATEMENTS.values(), ids=STATEMENTS)
def test_a_certificate_shows_the_distance_and_verify_allows_for_it(made):
    assert hrs.verify(made) >= made.p_adv
    assert "draws within 0.001 of the law" in str(made) or "images within 0.001 of the law" in str(made)
    assert hrs.read_certificate(made.to_json()) == made
    with pytest.raises(hrs.VerificationError, match=r"do not support it"):  # its bounds allow for no more
        hrs.verify(replace(made, distance=1.01e-3))


def test_where_nothing_was_drawn_there_is_no_distance():
    with pytest.raises(ValueError, match=r"distance = 0\.1: give 0\.0: nothing was drawn"):
        replace(certify(0.99, hrs.UniformKernel(0.5, 9), d=1, **LAW), distance=0.1)
    known = certify_texts([0.99, 0.9], hrs.UniformKernel(0.5, 9), d=1, **LAW)
    with pytest.raises(ValueError, match=r"distance = 0\.1: give 0\.0: nothing was drawn"):
        replace(known, distance=0.1)
