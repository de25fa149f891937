"""Accuracy under noise: what is counted is the truth's side of the smoothed guard's draws; intervals cover."""

from itertools import pairwise

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.experiments.noisy_accuracy import NoisyAccuracy, mean_interval, noisy_accuracy
from hybrid_rs.smoothing.example import Example

V = 10


class Untouched:
    """Unsafe where no word is but 3 (pads are 0)."""

    alphabet, pad_id, mask_id = np.arange(V), 0, V

    def unsafe(self, token_ids, images):
        return np.isin(token_ids, [0, 3]).all(axis=1)


GUARD = Untouched()


def examples(*lengths, unsafe=True):
    white = np.full((3, 4, 4), 0.5, np.float32)
    return [Example(str(i), np.full(length, 3), white, unsafe=unsafe) for i, length in enumerate(lengths)]


def run(kernels, given, threat=None, draws=3):
    threat = threat or hrs.L0Threat(1)
    return noisy_accuracy([hrs.SmoothedGuard(GUARD, kernel, 0.0, threat) for kernel in kernels], given, draws=draws)


def test_without_noise_it_is_clean_accuracy_and_with_all_words_replaced_nothing_is_left():
    for kernel in (lambda beta: hrs.UniformKernel(beta, V), hrs.AbsorbingKernel):
        clean, none = run([kernel(0.0), kernel(1.0)], examples(2, 5, 2))
        assert np.all(clean.shares == 1)
        assert np.all(none.shares == 0)


def test_the_share_of_texts_left_alone_is_that_of_the_kernel():
    lengths = (1, 3, 1, 3)
    (found,) = run([hrs.AbsorbingKernel(0.25)], examples(*lengths), draws=4001)
    expected = 0.75 ** np.array(lengths)
    assert np.all(np.abs(found.shares - expected) < 4 * np.sqrt(expected * (1 - expected) / 4001))


def test_what_is_right_for_an_unsafe_example_is_wrong_for_a_safe_one_and_more_noise_is_never_better_here():
    kernels = [hrs.UniformKernel(beta, V) for beta in (0.1, 0.3, 0.6)]
    unsafe, safe = (run(kernels, examples(3, 3, 2, unsafe=truth), draws=501) for truth in (True, False))
    for one, other in zip(unsafe, safe, strict=True):
        np.testing.assert_array_equal(one.right + other.right, 501)
    for few, many in pairwise(unsafe):  # the noise is shared
        assert np.all(few.right > many.right)


def test_intervals_cover_and_the_majority_is_of_draws():
    rng = np.random.default_rng(0)
    missed = {"single": 0, "majority": 0}
    for _ in range(200):
        chance = rng.choice([0.2, 0.9], size=40)  # the examples are the trials
        found = NoisyAccuracy(rng.binomial(3, chance), 3)
        majority = np.mean([p**3 + 3 * p**2 * (1 - p) for p in (0.2, 0.9)])
        for name, interval, truth in (("single", found.single(0.1), 0.55), ("majority", found.majority(0.1), majority)):
            assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
            missed[name] += not interval.low <= truth <= interval.high
    assert max(missed.values()) <= 0.1 * 200
    assert NoisyAccuracy(np.array([2, 1]), 3).majority().estimate == 0.5


def test_an_interval_of_differences_is_that_of_scores_moved():
    scores = np.random.default_rng(1).random(50)
    whole, moved = mean_interval(scores), mean_interval(2 * scores - 1, least=-1.0)
    assert moved.low == pytest.approx(2 * whole.low - 1)
    assert moved.high == pytest.approx(2 * whole.high - 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NoisyAccuracy(np.ones(3, dtype=int), 2).majority(), "draws = 2"),
        (lambda: run([hrs.AbsorbingKernel(0.5)], examples(2), hrs.SuffixThreat(2, one_shot=False)), "one_shot"),
        (lambda: run([hrs.AbsorbingKernel(0.5)], examples(1, unsafe=None)), "0: unsafe = None"),
    ],
)
def test_bad_input_is_named_with_its_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
