"""The worst guard: its smoothed value is p_A at the clean input and p_adv at the attacked one, by Monte Carlo."""

from dataclasses import replace

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.guards.worst_guard import WorstGuard

GREY = np.full((3, 4, 4), 128 / 255, np.float32)


def worst(**changes):
    given = {
        "kernel": hrs.UniformKernel(0.25, 9),
        "sigma": 0.5,
        "p_a": 0.9,
        "clean_ids": np.array([1, 2, 3]),
        "attacked_ids": np.array([1, 5, 6]),
        "clean_image": GREY,
        "attacked_image": GREY + np.float32(13 / 255),
    }
    return WorstGuard(**given | changes)


@pytest.mark.parametrize("p_a", [0.6, 0.9, 0.999])
@pytest.mark.parametrize("beta", [0.1, 0.25, 0.8])
def test_its_value_is_p_a_at_the_clean_input_and_p_adv_at_the_attacked_one(p_a, beta):
    guard, n = worst(p_a=p_a, kernel=hrs.UniformKernel(beta, 9)), 20_000
    smoothed = hrs.SmoothedGuard(guard, guard.kernel, guard.sigma, hrs.L0Threat(2), "float32")
    least = float(hrs.p_adv(p_a, guard.epsilon, guard.kernel.likelihood_ratio(2), sigma=guard.sigma))
    inputs = ((guard.clean_ids, GREY, p_a), (guard.attacked_ids, guard.attacked_image, least))
    for ids, image, value in inputs:
        k = smoothed.sample(hrs.Example("worst", ids, image), n).unsafe[0]
        assert hrs.clopper_pearson_lower(k, n, 1e-5) <= value <= 1 - hrs.clopper_pearson_lower(n - k, n, 1e-5)


def test_its_gradients_are_differences_of_its_scores():
    guard, rng = worst(), np.random.default_rng(0)
    texts, images = rng.integers(0, 9, (50, 3)), rng.random((50, 3, 4, 4))
    scores, by_token, by_pixel = guard.gradients(texts, images)
    np.testing.assert_array_equal(scores > 0, guard.unsafe(texts, images))
    other, there = rng.integers(0, 9, (50, 3)), rng.random((50, 3, 4, 4))
    shown, place = np.eye(9)[other] - np.eye(9)[texts], there - images
    change = (by_token * shown).sum(axis=(1, 2)) + (by_pixel * place).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(guard.scores(other, there) - scores, change, atol=1e-5)  # it is linear
    np.testing.assert_array_equal(guard.embeddings, np.eye(9))


def test_it_is_a_guard():
    assert isinstance(worst(), hrs.Guard)
    assert worst().d == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": hrs.UniformKernel(1.0, 9)}, "kernel.beta = 1"),
        ({"p_a": 1.0}, "p_a = 1"),
        ({"sigma": 0.0}, "sigma = 0"),
        ({"attacked_image": GREY}, "attacked_image = equal"),
    ],
)
def test_what_has_no_worst_guard_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        worst(**changes)
    with pytest.raises(ValueError, match=message):
        replace(worst(), **changes)
