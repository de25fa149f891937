"""Scores: the layers of their distribution bound their mean under attack."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import hybrid_rs as hrs
from hybrid_rs.certificates.layers import layer_bounds, p_adv_layers

RATIO = hrs.UniformKernel(0.25, 100).likelihood_ratio(2)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_layers_are_never_below_the_mean(seed):
    rng = np.random.default_rng(seed)
    levels = np.unique(rng.uniform(0.01, 1, 5))
    p = np.sort(rng.random(levels.size))[::-1]
    mean, shift = np.diff(levels, prepend=0) @ p, rng.uniform(0, 2, 3)
    assert np.all(p_adv_layers(p, levels, shift, RATIO, sigma=1.0) >= hrs.p_adv(mean, shift, RATIO, sigma=1.0) - 1e-12)


def test_they_hold_for_every_score_of_a_small_channel_and_are_attained():
    """All scores on five outcomes, without image shift: the mean under Q is at least the sum over layers."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        clean, attacked = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
        ratio = hrs.LikelihoodRatio.from_masses(clean, attacked)
        score = rng.random(5)
        levels = np.sort(score)
        p = np.minimum((score >= levels[:, None]) @ clean, 1.0)
        bound = p_adv_layers(p, levels, 0.0, ratio, sigma=1.0)
        assert bound <= score @ attacked + 1e-12
        order = np.argsort(
            attacked / clean, kind="stable"
        )  # the score that falls with the ratio, with the same probabilities
        worst = np.empty(5)
        worst[order] = np.sort(score)[::-1]
        p = np.minimum((worst >= levels[:, None]) @ clean, 1.0)
        assert p_adv_layers(p, levels, 0.0, ratio, sigma=1.0) == pytest.approx(worst @ attacked, abs=1e-9)


@pytest.mark.seconds
def test_bounds_hold_at_all_levels_together():
    rng, levels, alpha, runs = np.random.default_rng(1), np.linspace(0.1, 0.9, 9), 0.2, 600
    true = 1 - levels**3
    wrong = [np.any(layer_bounds(rng.beta(3, 1, 60), levels, alpha) > true) for _ in range(runs)]
    assert 0 < np.mean(wrong) <= alpha


def test_one_level_of_one_is_a_verdict():
    verdicts = np.arange(100) < 97
    assert layer_bounds(verdicts.astype(float), [1.0]) == hrs.clopper_pearson_lower(97, 100)
    assert p_adv_layers([0.97], [1.0], 0.5, RATIO, sigma=1.0) == pytest.approx(
        hrs.p_adv(0.97, 0.5, RATIO, sigma=1.0), rel=1e-14
    )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: layer_bounds([0.5], [0.0]), "levels"),
        (lambda: layer_bounds([0.5], [0.5, 0.4]), "levels"),
        (lambda: layer_bounds([], [0.5]), "scores"),
        (lambda: p_adv_layers([0.5], [0.2, 0.5], 0.0, RATIO, sigma=1.0), "p"),
        (lambda: p_adv_layers([1.5], [0.5], 0.0, RATIO, sigma=1.0), "p"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        call()
