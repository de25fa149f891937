"""The columns of the tables of suffixes: the baseline without a slot, and thresholds that know what chose them."""

from dataclasses import replace

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.experiments.table1 import Column, columns, thresholds

KERNEL = hrs.UniformKernel(0.25, 100)


def counts(prefix, *unsafe):
    return [hrs.Counts(row, 1000, f"{prefix} {i}", 0) for i, row in enumerate(unsafe)]


@pytest.fixture
def column():
    sets = {
        "unsafe": counts("unsafe", (1000, 990, 960), (980, 985, 900), (0, 1000, 0)),
        "safe": counts("safe", (0, 1, 40), (2, 30, 30)),
        "calibration": counts("benign", (0, 2, 9), (5, 1, 3)),
    }
    return Column("hybrid", "suffix", KERNEL, 0.5, 2, sets)


def test_without_the_slot_every_d_has_the_radius_of_the_first_classifier(column):
    first = np.array([front.radius(0) for front in column.frontiers(0.01, 0.01)])
    removed = column.without_slot()
    radii = np.array([front.radii for front in removed.frontiers(0.01, 0.01)])
    assert radii.shape == (3, 3)
    assert all(np.array_equal(radii[:, d], first, equal_nan=True) for d in range(3))
    assert removed.by_budget(0.01, 0.01)["estimated alarms"].tolist() == [0, 0, 0]  # those of its own classifier
    assert removed.mean_edits(0.01, 0.01) == pytest.approx(2 * np.mean(first >= 0))


def test_a_calibrated_threshold_refuses_the_draws_that_chose_it(column):
    thresholds = column.thresholds(4.6e-5, 0.0, 0.01)
    assert thresholds["paper"] == 4.6e-5
    assert column.by_budget(thresholds["calibrated"], 0.01)["tau"].unique() == [thresholds["calibrated"].tau]
    same = replace(column, counts=column.counts | {"unsafe": column.counts["calibration"]})
    with pytest.raises(ValueError, match="helped to choose tau"):
        same.frontiers(thresholds["calibrated"], 0.01)


def test_where_no_threshold_keeps_false_alarms_rare_nothing_is_certified(column):
    benign = counts("benign", (1000,), (0,), (0,), (0,))
    assert thresholds(benign, 0.1, 0.2, 0.01) == {"paper": 0.1, "calibrated": 1.0}
    assert thresholds(benign, 0.1, 0.25, 0.01)["calibrated"].above == 1
    assert not any(front.certified for front in column.frontiers(1.0, 0.01))


def test_every_sigma_of_suffixes_has_its_baseline_without_the_slot(column):
    found = columns(KERNEL, {0.0: column.counts}, {}, {}, {})
    assert [(way.name, way.sigma, way.edits_are_free) for way in found] == [
        ("text only", 0.0, False),
        ("slot removed", 0.0, True),
    ]
