"""Noise on the lattice: its law to 60 digits, its bits, and what a guard that looks at the last bit makes of it."""

from bisect import bisect_right
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from mpmath import mp, mpf
from scipy.stats import chisquare, norm
from toys import EXAMPLE, KERNEL, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.smoothing.lattice import rounded_gaussian
from hybrid_rs.storage.counts import CountsStore
from hybrid_rs.storage.questions import described

SIGMAS = (1e-3, 0.01, 0.25, 0.5, 1.0)
GREY = replace(EXAMPLE, image=np.full((3, 4, 4), 0.45, np.float32))  # not of 8 bits
ROUND = GREY.rounded()


def tail(k: int, sigma: float):
    """P(round(Z) < -k), to 60 digits."""
    return mp.erfc((k + mpf(1) / 2) / (mp.sqrt(2) * 255 * mpf(sigma))) / 2


@pytest.mark.seconds
@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_distance_covers_what_the_thresholds_miss(sigma):
    law = rounded_gaussian(sigma)
    with mp.workdps(60):
        tails = [tail(k, sigma) for k in range(law.most)]
        ours = [mpf(int(t)) / 2**64 for t in law.thresholds[::-1][law.most :]]
        assert all(abs(a - b) <= mpf(2) ** -65 for a, b in zip(tails, ours, strict=True))
        missed = sum(abs(a - b) for a, b in zip(tails, ours, strict=True))
        missed += sum(tail(k, sigma) for k in range(law.most, 3 * law.most + 20))
        assert 2 * missed <= law.distance
        assert law.distance < (2 * law.most + 4) * 2.0**-64
    assert all(int(a) + int(b) == 2**64 for a, b in zip(law.thresholds, law.thresholds[::-1], strict=True))


@given(st.sampled_from(SIGMAS), st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8), st.randoms())
def test_a_value_is_the_number_of_thresholds_passed(sigma, words, random):
    law = rounded_gaussian(sigma)
    thresholds = [int(t) for t in law.thresholds]
    words += [max(0, min(2**64 - 1, random.choice(thresholds) + random.randint(-(2**17), 2**17))) for _ in range(8)]
    words += [random.choice(thresholds), random.choice(thresholds) - 1, 0, 2**64 - 1]
    asked = []

    def more(n):
        open_bits = [
            u for u in words if bisect_right(thresholds, u >> 48 << 48) != bisect_right(thresholds, u | 2**48 - 1)
        ]
        asked.append(n)
        assert n == len(open_bits)
        return np.array([(u & (2**48 - 1)) << 16 | random.randrange(2**16) for u in open_bits], dtype=np.uint64)

    found = law.values(np.array([u >> 48 for u in words], dtype=np.uint16), more)
    assert found.tolist() == [bisect_right(thresholds, u) - law.most for u in words]
    assert len(asked) == 1


def test_wide_noise_needs_wider_numbers_and_none_needs_none():
    wide, none = rounded_gaussian(20.0), rounded_gaussian(0.0)
    assert wide.most > 2**15
    assert wide.values(np.array([0, 2**16 - 1], np.uint16), lambda n: np.zeros(n, np.uint64)).dtype == np.int32
    assert none.values(np.array([0, 2**16 - 1], np.uint16), lambda n: np.zeros(n, np.uint64)).tolist() == [0, 0]
    assert none.distance < 2.0**-60


@pytest.mark.parametrize(
    ("sigma", "said"), [(-0.1, "sigma = -0.1"), (float("nan"), "sigma = nan"), (101.0, "at most 100")]
)
def test_a_sigma_out_of_range_is_named(sigma, said):
    with pytest.raises(ValueError, match=said):
        rounded_gaussian(sigma)


def smoothed(guard, sigma=0.5, threat=SUFFIX):
    return hrs.SmoothedGuard(guard, KERNEL, sigma, threat, "lattice")


def test_a_guard_is_shown_levels_and_their_noise_has_the_law():
    guard = ToyGuard()
    smoothed(guard, sigma=0.05).sample(ROUND, 640)
    _, images = guard.shown()
    noise = np.rint(images.astype(float) * 255) - ROUND.levels()
    np.testing.assert_array_equal(images, (noise + ROUND.levels()).astype(np.float32) / np.float32(255))
    edges = np.arange(-30, 31) + 0.5
    tally, _ = np.histogram(noise, bins=[-np.inf, *edges, np.inf])
    expected = np.diff(norm.cdf([-np.inf, *edges, np.inf], scale=0.05 * 255))
    assert chisquare(tally, noise.size * expected).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 4), (3, 17, 19)])
def test_a_draw_is_a_function_of_its_number_alone(shape):
    example = hrs.Example("odd", EXAMPLE.token_ids, np.full(shape, 0.2, np.float32))
    seen = []
    for n, batch in ((70, 64), (200, 64), (200, 256)):
        guard = ToyGuard(seen=[])
        smoothed(guard, threat=hrs.L0Threat(1)).sample(example, n, batch_draws=batch)
        seen.append({draw.tobytes() for draw in guard.shown()[1]})
    assert seen[0] < seen[1] == seen[2]


def test_an_image_off_the_lattice_is_refused_and_its_rounding_is_not():
    with pytest.raises(ValueError, match=r"48 of 48 pixels of example 'toy/0' .*example.rounded\(\)"):
        smoothed(ToyGuard()).sample(GREY, 10)
    assert np.abs(ROUND.image - GREY.image).max() <= 0.5 / 255 + 1e-7
    assert ROUND.rounded().image.tobytes() == ROUND.image.tobytes()
    every = np.arange(256)[None, None]
    for level in (every / 255, (every / 255).astype(np.float32), every.astype(np.float32) / np.float32(255)):
        assert hrs.Example("all", EXAMPLE.token_ids, level.astype(np.float32)).levels().tolist() == every.tolist()


class Dust:
    """Unsafe where nothing in the last bits speaks against noise that was added to the clean image."""

    alphabet, pad_id, mask_id = np.arange(20), 12, None

    def __init__(self, clean):
        self.clean = clean

    def unsafe(self, token_ids, images):
        return (self.clean + (images - self.clean) == images).all(axis=(1, 2, 3))


class Multiples:
    """Unsafe where a small pixel is no multiple of 2^-30: floats near 0 are finer than floats away from it."""

    alphabet, pad_id, mask_id = np.arange(20), 12, None

    def unsafe(self, token_ids, images):
        fine = (np.abs(images) < 2**-8) & (np.remainder(images.astype(float) * 2.0**30, 1.0) != 0)
        return fine.any(axis=(1, 2, 3))


@pytest.mark.parametrize("kind", ["dust", "multiples"])
def test_a_guard_that_looks_at_the_last_bit_is_falsely_certified_by_floats_alone(kind):
    clean = hrs.Example("clean", np.array([1]), np.full((3, 32, 32), 0.0 if kind == "multiples" else 0.2, np.float32))
    guard, sigma = (Multiples(), 1.0) if kind == "multiples" else (Dust(clean.image), 0.5)
    step = 4 if kind == "multiples" else 1  # 2^-6 is no multiple of 1 / 255; 4 / 255 lies near it
    moved = replace(clean, id="moved", image=(clean.levels() + step).astype(np.float32) / np.float32(255))
    distance, threat = np.linalg.norm((moved.image - clean.image).astype(float)), hrs.SuffixThreat(1)
    false = {}
    for noise in ("float32", "lattice"):
        guarded = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, 20), sigma, threat, noise)
        radius = guarded.certify(clean, 300, alpha=0.01, tau=0.05).radius(0)
        upper = hrs.clopper_pearson_upper(guarded.sample(moved, 300).unsafe[0], 300, 0.01)
        false[noise] = bool(radius >= distance and upper < 0.05)
    assert false == {"float32": True, "lattice": False}


def test_counts_of_another_noise_are_other_counts(tmp_path):
    floats, levels = replace(smoothed(ToyGuard()), noise="float32"), smoothed(ToyGuard())
    store = CountsStore(tmp_path / "counts.jsonl", "toy")
    assert store.sample(levels, [ROUND], n=70, progress=False) == [levels.sample(ROUND, 70)]
    assert store.get(floats, ROUND, n=70) is None
    assert {described("toy", each, ROUND)["noise"] for each in (floats, levels)} == {
        "philox-float32",
        "philox-lattice",
    }
    with pytest.raises(ValueError, match="noise = 'double'"):
        replace(levels, noise="double")
