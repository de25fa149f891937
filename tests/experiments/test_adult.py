"""Table 7 on Adult: a run is made from the published files, stored, and read without them."""

import numpy as np
import pytest

from hybrid_rs.experiments import adult as table
from hybrid_rs.tables import adult_files


def write_files(folder, rows=80):
    """Invented people in the published layout."""
    rng = np.random.default_rng(0)

    def line():
        fields = [str(rng.integers(9)) if name in adult_files.NUMERIC else rng.choice([*"abc?"]) for name in columns]
        return ", ".join([*fields, rng.choice(adult_files.ANSWERS)])

    columns = adult_files.COLUMNS
    for name in (adult_files.TRAIN, adult_files.TEST):
        (folder / name).write_text("\n".join(line() for _ in range(rows)))


def test_a_run_is_made_from_the_files_once_and_then_read_without_them(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "COUNTS", tmp_path / "counts")
    monkeypatch.setattr(table, "LEAST_DRAWS", 10)
    with pytest.raises(ValueError, match="adult_files = '': this run is not stored: give the folder"):
        table.adult_runs("quick")
    write_files(tmp_path)
    made = table.adult_runs("quick", str(tmp_path))
    monkeypatch.setattr(table, "read_adult", None)
    read = table.adult_runs("quick")
    assert list(made) == list(read) == list(table.WAYS)
    law = {"epsilons": [0.0, 0.25], "d_max": 2, "alpha": 0.01}
    for way, run in read.items():
        assert run.people == (80, 80)
        assert len(run.counts.labels) == 80
        assert list(run.sizes) == list(adult_files.CATEGORICAL)
        assert np.array_equal(run.counts.yes, made[way].counts.yes)
        assert np.array_equal(run.no_noise, made[way].no_noise)
        grid = run.accuracy(0.5, **law)
        assert grid.shape == (3, 2)
        assert np.all(np.diff(grid, axis=0) <= 0)
        assert np.all(grid <= run.counts.correct.mean())
