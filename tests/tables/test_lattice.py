"""Noise on the numbers of a table: the law of the theorem, on a lattice that holds the values."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from flint import arb, ctx
from scipy.stats import chisquare, norm

from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.smoothing.lattice import rounded_gaussian
from hybrid_rs.tables import data as tabular
from hybrid_rs.tables.lattice import FINE, NumberLattice, distance, steps_of

SCALE = np.array([0.01, 1.0, 8.0, 15.9, 3e4])
LATTICE = NumberLattice(np.array([0.5, -1.0, 40.0, 0.0, 1e6]), SCALE, steps_of(SCALE))


def test_steps_are_powers_of_two_and_fine():
    assert np.all(np.frexp(LATTICE.steps)[0] == 0.5)
    assert np.all(LATTICE.steps <= np.minimum(SCALE / 2**FINE, 1))
    assert np.all(LATTICE.steps > np.minimum(SCALE / 2**FINE, 1) / 2)


def test_every_value_of_a_table_is_a_lattice_point_and_the_numbers_are_functions_of_it():
    for data in (tabular.fair(), tabular.election()):
        assert data.levels.dtype == np.int64
        assert np.array_equal(data.lattice.numbers(data.levels), data.numeric)


def test_the_noise_has_the_law_of_a_rounded_gaussian_and_moves_lattice_points():
    """Each noisy number is that of a lattice point; the points shift with the row, and their law is the rounded one."""
    levels = LATTICE.levels(LATTICE.centre)
    noisy = LATTICE.noisy(levels, 0.5, 20_000, [1, 2])
    moved = np.rint((noisy * SCALE + LATTICE.centre) / LATTICE.steps).astype(np.int64) - levels
    assert np.array_equal(LATTICE.numbers(levels + moved), noisy)
    assert np.array_equal(LATTICE.noisy(levels + 3, 0.5, 20_000, [1, 2]), LATTICE.numbers(levels + 3 + moved))
    for j, steps in enumerate(0.5 * SCALE / LATTICE.steps):
        cuts = np.quantile(moved[:, j], np.linspace(0.05, 0.95, 19)).round() + 0.5
        inside = np.diff(norm.cdf(np.concatenate([[-np.inf], cuts, [np.inf]]) / steps))
        counts = np.histogram(moved[:, j], np.concatenate([[-1e9], cuts, [1e9]]))[0]
        assert chisquare(counts, 20_000 * inside).pvalue > 1e-4


def test_the_first_draws_are_those_of_a_longer_run_and_rows_differ():
    levels = LATTICE.levels(LATTICE.centre)
    longer = LATTICE.noisy(levels, 0.5, 1001, [0, 1, 0])
    assert np.array_equal(LATTICE.noisy(levels, 0.5, 10, [0, 1, 0]), longer[:10])
    assert (LATTICE.noisy(levels, 0.5, 1001, [0, 2, 0]) == longer).mean() < 0.01  # by chance
    assert np.array_equal(LATTICE.noisy(levels, 0.0, 3, [0]), np.tile(LATTICE.numbers(levels), (3, 1)))


@pytest.mark.parametrize("deviation", [0.3, 2.7, 60.0])
def test_the_distance_bounds_the_total_variation_of_each_law(deviation):
    law, before = rounded_gaussian(deviation, levels=1), ctx.prec
    ctx.prec = 256
    try:
        edges = [0, *map(int, law.thresholds), 1 << 64]
        half, root, total = arb("0.5"), arb(2).sqrt() * arb(deviation), arb(0)
        for k, (low, high) in enumerate(pairwise(edges), start=-law.most):
            above, below = (k - half) / root, (k + half) / root
            exact = (above.erfc() - below.erfc()) / 2
            total += abs(arb(high - low) / arb(2) ** 64 - exact)
        total += ((law.most + half) / root).erfc()
        assert total / 2 <= law.distance
        assert law.distance < 2.0**-50
    finally:
        ctx.prec = before


def test_the_distance_of_a_row_adds_up_and_is_taken_off():
    kernel = FeatureKernel(0.1, (3, 4))
    parts = sum(Fraction(law.distance) for law in LATTICE.laws(0.5))
    beta = Fraction(math.ceil(Fraction(0.1) * 2**53), 2**53) - Fraction(0.1)
    assert 0 < parts + 2 * beta <= Fraction(distance(LATTICE, kernel, 0.5)) < (parts + 2 * beta) * Fraction(1.0001)
    assert distance(LATTICE, FeatureKernel(0.25, (3, 4)), 0.0) == 0.0
