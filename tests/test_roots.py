"""The root finders: quick where the function is smooth, and never lost where it is not."""

import numpy as np
import pytest

from hybrid_rs._roots import bracketed_root, newton_root

GOALS = np.array([-0.9, 0.0, 0.3, 0.999])


def steps(x):
    """A smooth stair with flat treads, and its derivative."""
    return np.tanh(40 * (x - 1)) / 2 + np.tanh(40 * (x + 1)) / 2, 20 / np.cosh(40 * (x - 1)) ** 2 + 20 / np.cosh(
        40 * (x + 1)
    ) ** 2


def test_newtons_method_needs_few_rounds_on_a_smooth_function():
    rounds = []

    def function(x, goal):
        rounds.append(x.size)
        return np.tanh(x) - goal, 1 / np.cosh(x) ** 2

    ends = np.full(4, 10.0)
    found = newton_root(function, np.zeros(4), -ends, ends, (GOALS,), xatol=1e-12)
    np.testing.assert_allclose(found, np.arctanh(GOALS), rtol=1e-12, atol=1e-12)
    assert len(rounds) < 14


@pytest.mark.parametrize("start", [-3.0, -0.99, 0.0, 0.5, 3.0])
def test_flat_parts_are_crossed_by_halving(start):
    def function(x, goal):
        value, slope = steps(x)
        return value - goal, slope

    for goal in (-0.5, -1e-3, 1e-3, 0.7):
        ends = np.array([3.0])
        found = newton_root(function, np.array([start]), -ends, ends, (np.array([goal]),), xatol=1e-12)
        assert steps(found)[0][0] == pytest.approx(goal, abs=1e-9)


def test_a_wrong_derivative_costs_rounds_and_not_the_root():
    for slope in (1e-9, -1.0, np.nan):
        found = newton_root(
            lambda x, s, slope=slope: (x**3 - s, np.full(x.shape, slope)),
            np.zeros(4), np.full(4, -2.0), np.full(4, 2.0), (GOALS,), xatol=1e-10,
        )  # fmt: skip
        np.testing.assert_allclose(found, np.cbrt(GOALS), atol=1e-9)


def test_a_jump_over_zero_is_found_by_both():
    def jump(x, at):
        return np.where(x < at, -1.0, 2.0)

    ends, at = np.full(4, 1.0), GOALS / 2
    for found in (
        newton_root(lambda x, at: (jump(x, at), np.ones(x.shape)), ends * 0, -ends, ends, (at,), xatol=1e-12),
        bracketed_root(jump, -ends, ends, (at,), xatol=1e-12, xrtol=0.0),
    ):
        np.testing.assert_allclose(found, at, atol=1e-11)
