"""Table 7 on Adult: a run is made from the published files, stored, and read without them."""

import numpy as np
import pytest

from hybrid_rs.experiments import adult as table
from hybrid_rs.storage.records import opened, sealed
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
    with pytest.raises(ValueError, match=r"adult_files = .*: there is no file adult.data in it"):
        table.adult_runs("quick", str(tmp_path))
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
        assert (run.counts.distance > 0) is (way != "categorical only")
        law_of = {"epsilons": [0.0, 0.1, 0.25, 0.5, 1.0], "d_max": 3, "alpha": 0.01}
        assert np.all(run.accuracy(0.5, **law_of) <= run.truth + 0.05)  # but for bounds that fail, at risk alpha
        grid = run.accuracy(0.5, **law)
        assert grid.shape == (3, 2)
        assert np.all(np.diff(grid, axis=0) <= 0)
        assert np.all(grid <= run.counts.correct.mean())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("labels", lambda bits: "2" + bits[1:]),  # not a label
        ("says", lambda bits: bits[1:]),  # a row is missing
        ("yes", lambda counts: [2001, *counts[1:]]),  # more than the draws
        ("yes", lambda counts: counts[1:]),
        ("no_noise", lambda grid: grid[1:]),
        ("truth", lambda grid: grid[1:]),
        ("distance", lambda share: share + 1),
        ("always_no", lambda share: share + 1),
        ("sizes", lambda sizes: sizes | {"sex": 1}),
        ("people", lambda people: [0, people[1]]),
    ],
)
def test_a_stored_line_that_no_run_can_have_made_is_refused(tmp_path, monkeypatch, name, change):
    line = opened((table.COUNTS / "T7_quick.jsonl").read_bytes().splitlines()[0], "")
    (tmp_path / "T7_quick.jsonl").write_text(sealed(line | {name: change(line[name])}) + "\n")
    monkeypatch.setattr(table, "COUNTS", tmp_path)
    with pytest.raises(ValueError, match=name):
        table.adult_runs("quick")
