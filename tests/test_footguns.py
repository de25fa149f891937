"""What the page of footguns (book/footguns.md) says of this package, where code can say it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

import hybrid_rs as hrs
from hybrid_rs.checkout import checkout
from hybrid_rs.decisions.select import mean_radius
from hybrid_rs.experiments.alarms import share_interval
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard
from hybrid_rs.storage.counts import CountsStore

PAGE = " ".join((Path(__file__).resolve().parents[1] / "book" / "footguns.md").read_text().split())
VOCABULARY = 50
KERNEL = hrs.UniformKernel(0.25, VOCABULARY)


class Recorder:
    """A guard that keeps what it is shown, and calls the pair unsafe where the image is bright."""

    alphabet, pad_id, mask_id = np.arange(VOCABULARY), 0, None

    def __init__(self):
        self.texts, self.images = [], []

    def unsafe(self, token_ids, images):
        self.texts.append(token_ids.copy())
        self.images.append(images.copy())
        return images.mean(axis=(1, 2, 3)) > 0.5


def example(name="a", tokens=(7, 8), light=1.0):
    return hrs.Example(name, np.array(tokens), np.full((3, 4, 4), light, np.float32)).rounded()


def smoothed(guard=None, threat=None, sigma=0.5):
    return hrs.SmoothedGuard(guard or Recorder(), KERNEL, sigma, threat or hrs.SuffixThreat(4))


def shown(guard_example, threat=None, seed=0):
    guard = Recorder()
    smoothed(guard, threat).sample(guard_example, 64, seed=seed)
    return np.concatenate(guard.texts), np.concatenate(guard.images)


def test_the_slot_of_every_clean_example_holds_pads_and_the_text_before_it_is_not_noised():
    texts, _ = shown(example())
    assert (texts[:, :2] == [7, 8]).all()
    assert 0.6 < (texts[:, 2:] == Recorder.pad_id).mean() < 0.9  # all pads, one in four replaced


def test_noise_is_added_in_pixels_and_not_clipped():
    images = shown(example(light=1.0))[1]
    assert images.max() > 1.5
    assert images.mean() == pytest.approx(1, abs=0.05)
    assert images.std() == pytest.approx(0.5, abs=0.05)


def test_noise_is_a_function_of_seed_and_id_and_not_of_the_content():
    noise = [shown(e, seed=s)[1] - light for e, s, light in NOISES]
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-6)  # another image, the same id and seed
    assert not np.allclose(noise[0], noise[2], atol=0.1)
    assert not np.allclose(noise[0], noise[3], atol=0.1)


NOISES = [
    (example("a", light=1.0), 0, 1.0),
    (example("a", light=0.2), 0, 0.2),
    (example("b", light=1.0), 0, 1.0),
    (example("a", light=1.0), 1, 1.0),
]


def test_a_store_keeps_the_counts_of_two_contents_of_one_id_apart(tmp_path):
    guard = load_bay_guard()
    ours = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, guard.alphabet.size), 0.5, hrs.SuffixThreat(2))
    unsafe, safe = (replace(bay_notes.examples("test", 1, unsafe=kind)[0], id="a") for kind in (True, False))
    dark, bright = (example("a", light=light) for light in (0.0, 1.0))
    for smooth, pair, name in ((ours, (unsafe, safe), guard.identity), (smoothed(), (dark, bright), "recorder")):
        store = CountsStore(tmp_path / f"{name}.jsonl", classifier=name)
        first, second = (store.sample(smooth, [each], n=64, progress=False)[0] for each in pair)
        assert second == smooth.sample(pair[1], 64) != first


def test_a_token_outside_the_alphabet_is_read_as_the_pad_where_it_is_noised():
    outside, pad = (shown(example(tokens=(7, token)), hrs.L0Threat(1))[0] for token in (VOCABULARY + 9, 0))
    np.testing.assert_array_equal(outside, pad)


def test_a_calibration_refuses_the_draws_that_chose_it_and_a_number_does_not():
    smooth = smoothed()
    counts = [smooth.sample(example(f"{i}", light=0.4), 100) for i in range(4)]
    made = hrs.calibrate(counts, 0.25)
    with pytest.raises(ValueError, match="helped to choose tau"):
        smooth.frontier(counts[0], tau=made)
    assert smooth.frontier(counts[0], tau=made.tau).tau == made.tau


def test_a_threshold_that_is_met_in_the_draws_is_not_met_for_sure():
    """At g = tau the estimate misses about every second time, the upper bound at most alpha of them."""
    n, tau, alpha = 1000, 0.02, 0.01
    k = np.random.default_rng(0).binomial(n, tau, 20_000)
    assert 0.4 < (k / n < tau).mean() < 0.6
    assert (hrs.clopper_pearson_upper(k, n, alpha) < tau).mean() <= alpha


def test_the_papers_threshold_takes_a_hundred_thousand_draws_to_be_shown_to_lie_above_anything():
    assert hrs.clopper_pearson_upper(0, 99_000, 0.01) > 4.6e-5 > hrs.clopper_pearson_upper(0, 101_000, 0.01)


def test_a_frontier_with_a_classifier_per_d_says_so():
    each = smoothed(threat=hrs.SuffixThreat(4, one_shot=False)).certify(example(), 200, tau=0.01)
    assert not each.one_classifier
    assert not each.simultaneous
    assert "no single deployed classifier" in each.claim
    one = smoothed().certify(example(), 200, tau=0.01)
    assert one.one_classifier
    assert one.simultaneous
    assert not smoothed().certify(example(), 200, tau=0.01, masked=True).simultaneous


def test_a_mean_radius_counts_those_who_are_not_certified():
    law = {"sigma": 1.0, "tau": 0.01, "d_max": 1}
    good, bad = (hrs.frontier(p, KERNEL, **law) for p in (0.999, 0.005))
    assert np.isnan(bad.radius(0))
    assert mean_radius([good, bad], 1) == pytest.approx(good.radius(1) / 2)


def test_a_guard_that_throws_dice_gets_one_throw_for_equal_inputs_without_image_noise():
    class Dice(Recorder):
        rng = np.random.default_rng(0)

        def unsafe(self, token_ids, images):
            return self.rng.random(len(token_ids)) < 0.5

    kernel, threat = hrs.UniformKernel(0.0, VOCABULARY), hrs.SuffixThreat(1)
    still = [hrs.SmoothedGuard(Dice(), kernel, 0.0, threat).sample(example(), 64).unsafe[0] for _ in range(8)]
    moved = [hrs.SmoothedGuard(Dice(), kernel, 0.1, threat).sample(example(), 64).unsafe[0] for _ in range(8)]
    assert set(still) <= {0, 64}
    assert not {0, 64} & set(moved)


def said(pattern):
    """The numbers that the page gives in a sentence; none is typed twice without being compared."""
    (found,) = re.findall(pattern, PAGE)
    return [float(number) for number in (found if isinstance(found, tuple) else (found,))]


def test_a_certified_input_that_may_be_tried_again_passes_in_the_end():
    alpha, tries = said(r"At \$\\alpha = ([\d.]+)\$ that is one half after (\d+) tries")
    assert 1 - (1 - alpha) ** tries >= 0.5 > 1 - (1 - alpha) ** (tries - 1)
    n, k = 2000, 20
    tau = float(np.nextafter(hrs.clopper_pearson_upper(k, n, alpha), 1))  # u(k) is below it, u(k + 1) is not
    made = hrs.calibrate([hrs.Counts((k,), n, "benign", 0)], alpha=alpha)
    assert made.tau == tau
    passes = sum(binom.pmf(j, n, tau) for j in range(n + 1) if not made.flags(hrs.Counts((j,), n))[0])
    assert 0.999 * alpha < passes <= alpha  # at g = tau nearly the whole risk is taken
    assert 1 - (1 - passes) ** tries > 0.499
    assert 1 - (1 - alpha / tries) ** tries <= alpha  # the remedy


def bicubic(a, b):
    """The matrix of Pillow's bicubic resizing in one dimension, shape (a, b), in floats."""
    unit = np.eye(a, dtype=np.float32)
    return np.array(
        [np.asarray(Image.fromarray(row[None]).resize((b, 1), Image.Resampling.BICUBIC))[0] for row in unit]
    )


def excess(a, b):
    """By which share resizing a x a to b x b lengthens more than the factor b / a; the worst perturbation."""
    return np.linalg.norm(bicubic(a, b).astype(float), 2) ** 2 * a / b - 1


def test_resizing_lengthens_a_perturbation_by_the_factor_and_a_little_more():
    enlarging, shrinking, side = said(
        r"up to ([\d.]+) % more where it enlarges, and ([\d.]+) % more where it shrinks to (\d+)"
    )
    up = max(excess(a, b) for a in (2, 3, 5, 7, 8, 10, 16, 24, 56) for b in range(a, 4 * a, max(1, a // 8)))
    down = max(excess(a, b) for b in (int(side), 9, 12, 16, 31) for a in range(b, 17 * b, max(1, b // 3)))
    assert enlarging / 100 - 0.001 < up <= enlarging / 100
    assert shrinking / 100 - 0.001 < down <= shrinking / 100
    assert excess(39, 2) > shrinking / 100  # which is why the page names a least side


def test_the_two_roundings_of_a_resize_add_no_more_than_the_page_says():
    rng = np.random.default_rng(0)
    for h0, w0, h, w in rng.integers(2, 30, (60, 4)).tolist():
        one = rng.integers(0, 256, (h0, w0)).astype(np.uint8)
        other = np.clip(one + rng.integers(-2, 3, one.shape), 0, 255).astype(np.uint8)
        resized = [np.asarray(Image.fromarray(x).resize((w, h), Image.Resampling.BICUBIC)) / 255 for x in (one, other)]
        columns, rows = (np.linalg.norm(bicubic(*sides).astype(float), 2) for sides in ((h0, h), (w0, w)))
        longest = columns * rows * np.linalg.norm(one / 255 - other / 255)
        rounding = np.sqrt(h * w) / 255 + columns * np.sqrt(h0 * w) / 255  # of one channel
        assert np.linalg.norm(resized[0] - resized[1]) <= longest + rounding


def test_the_interval_of_four_false_alarms_among_forty_is_wide():
    k, m, share, low, high = said(
        r"(\d+) false alarms among (\d+) safe examples are a share of (\d+) %, and the 95 % interval of Clopper and "
        r"Pearson goes from ([\d.]+) to ([\d.]+) %"
    )
    assert k / m == share / 100
    assert share_interval(k / m, int(m)) == pytest.approx((low / 100, high / 100), abs=0.001)
    assert low / 100 <= share_interval(k / m, int(m))[0]
    assert high / 100 >= share_interval(k / m, int(m))[1]


def test_rounding_to_the_nearest_rounds_up_and_floored_does_not():
    radii = np.random.default_rng(0).uniform(0, 5, 1000)
    assert 0.4 < np.mean([float(f"{r:.2f}") > r for r in radii]) < 0.6
    assert np.all(hrs.floored(radii, 2) <= radii)


def test_the_default_noise_is_exact_and_all_stored_counts_are_of_it():
    assert smoothed().noise == "lattice"
    assert 'The default, `noise="lattice"`' in PAGE
    files = [*checkout("data/counts").glob("*.jsonl"), *checkout("data/attacks").glob("*.jsonl")]
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    drawn = [line for line in lines if line["sigma"] > 0 and "kernel" in line]
    assert {line["noise"] for line in drawn} == {"philox-lattice"}
    with pytest.raises(ValueError, match=r"image = .* 8 bits per channel"):
        smoothed().sample(hrs.Example("grey", np.array([7, 8]), np.full((3, 4, 4), 0.5, np.float32)), 64)
