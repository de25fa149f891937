"""Accuracy under noise: the noise is the kernels' own, calls are paired, intervals hold what they promise."""

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.example import Example
from hybrid_rs.experiments.noisy_accuracy import NoisyAccuracy, mean_interval, noisy_accuracy

V = 10


class Untouched:
    """Unsafe where no word is but 3 (pads are 0); remembers what it was shown."""

    alphabet, pad_id, mask_id = np.arange(V), 0, V

    def __init__(self):
        self.texts, self.images = [], []

    def unsafe(self, token_ids, images):
        self.texts.append(token_ids)
        self.images.append(images)
        return np.isin(token_ids, [0, 3]).all(axis=1)


def examples(*lengths):
    white = np.full((3, 4, 4), 0.5, np.float32)
    return [Example(str(i), np.full(length, 3), white, unsafe=True) for i, length in enumerate(lengths)]


def run(guard, kernel, lengths, threat=None, sigma=0.0, draws=3, seed=0):
    threat = threat or hrs.L0Threat(1)
    return noisy_accuracy(guard, examples(*lengths), kernel, sigma=sigma, threat=threat, draws=draws, seed=seed)


def test_without_noise_it_is_clean_accuracy_and_with_all_words_replaced_nothing_is_left():
    for kernel in (lambda beta: hrs.UniformKernel(beta, V), hrs.AbsorbingKernel):
        assert run(Untouched(), kernel(0.0), (2, 5, 2)).right.all()
        assert not run(Untouched(), kernel(1.0), (2, 5, 2)).right.any()


def test_the_share_of_texts_left_alone_is_that_of_the_kernel():
    lengths = (1, 3, 1, 3)
    right = run(Untouched(), hrs.AbsorbingKernel(0.25), lengths, draws=4001).right
    expected = 0.75 ** np.array(lengths)
    assert np.all(np.abs(right.mean(axis=1) - expected) < 4 * np.sqrt(expected * (1 - expected) / 4001))


def test_a_suffix_threat_noises_the_pads_alone():
    guard = Untouched()
    run(guard, hrs.AbsorbingKernel(1.0), (2, 2), threat=hrs.SuffixThreat(3))
    (texts,) = guard.texts
    np.testing.assert_array_equal(texts, np.tile([3, 3, V, V, V], (6, 1)))


def test_a_larger_beta_replaces_a_superset_under_the_same_image_noise():
    seen = {}
    for beta, sigma in ((0.2, 1.0), (0.6, 1.0), (0.6, 0.5)):
        guard = Untouched()
        run(guard, hrs.UniformKernel(beta, V), (4,) * 20, sigma=sigma)
        seen[beta, sigma] = guard.texts[0] != 3, guard.images[0] - np.float32(0.5)
    (few, noise), (many, same), (also, half) = seen.values()
    assert np.all(few <= many)
    assert few.sum() < many.sum()
    np.testing.assert_array_equal(noise, same)
    np.testing.assert_array_equal(many, also)
    np.testing.assert_allclose(half, noise / 2, atol=1e-6)


def test_intervals_cover_and_the_majority_is_of_draws():
    rng = np.random.default_rng(0)
    missed = {"single": 0, "smoothed": 0}
    for _ in range(200):
        chance = rng.choice([0.2, 0.9], size=(40, 1))  # the examples are the trials
        found = NoisyAccuracy(rng.random((40, 3)) < chance)
        majority = np.mean([p**3 + 3 * p**2 * (1 - p) for p in (0.2, 0.9)])
        for name, interval, truth in (("single", found.single(0.1), 0.55), ("smoothed", found.smoothed(0.1), majority)):
            assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
            missed[name] += not interval.low <= truth <= interval.high
    assert max(missed.values()) <= 0.1 * 200
    assert NoisyAccuracy(np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)).smoothed().estimate == 0.5


def test_an_interval_of_differences_is_that_of_scores_moved():
    scores = np.random.default_rng(1).random(50)
    whole, moved = mean_interval(scores), mean_interval(2 * scores - 1, least=-1.0)
    assert moved.low == pytest.approx(2 * whole.low - 1)
    assert moved.high == pytest.approx(2 * whole.high - 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NoisyAccuracy(np.ones((3, 2), dtype=bool)).smoothed(), "draws = 2"),
        (lambda: run(Untouched(), hrs.AbsorbingKernel(0.5), (2,), hrs.SuffixThreat(2, one_shot=False)), "one_shot"),
        (
            lambda: noisy_accuracy(
                Untouched(),
                [Example("x", np.array([3]), np.zeros((3, 4, 4)))],
                hrs.AbsorbingKernel(0.5),
                sigma=0.0,
                threat=hrs.L0Threat(1),
                draws=1,
            ),
            "x: unsafe = None",
        ),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
