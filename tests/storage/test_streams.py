"""Stored streams are the draws of the smoothed guard; nothing is drawn twice that is kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
from toys import EXAMPLE, KERNEL, NESTED, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.storage.records import sealed
from hybrid_rs.storage.streams import StreamStore


@pytest.fixture
def smoothed():
    return hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=SUFFIX)


def draw(path, smoothed, n, max_draws=2000):
    return StreamStore(path, "a").until(smoothed, EXAMPLE, lambda row: row.size >= n, max_draws=max_draws)


def test_a_stream_is_the_draws_and_is_kept(tmp_path, smoothed):
    path = tmp_path / "s.jsonl"
    row = draw(path, smoothed, 300)
    assert 300 <= row.size < 2000
    assert row.sum() == smoothed.sample(EXAMPLE, row.size).unsafe[0]
    assert 0 < row.sum() < row.size
    smoothed.guard.seen.clear()
    np.testing.assert_array_equal(draw(path, smoothed, 300), row)
    np.testing.assert_array_equal(StreamStore(path, "a").get(smoothed, EXAMPLE), row)
    assert smoothed.guard.seen == []
    assert StreamStore(path, "b").get(smoothed, EXAMPLE).size == 0
    assert StreamStore(path, "a").get(smoothed, EXAMPLE, seed=1).size == 0


def test_a_longer_stream_begins_with_the_shorter_and_replaces_it(tmp_path, smoothed):
    path = tmp_path / "s.jsonl"
    short, long = draw(path, smoothed, 100), draw(path, smoothed, 700)
    assert long.size > short.size
    np.testing.assert_array_equal(long[: short.size], short)
    store = StreamStore(path, "a")
    assert len(store) == 1
    np.testing.assert_array_equal(store.get(smoothed, EXAMPLE), long)
    assert draw(path, smoothed, 10**9, max_draws=1000).size == 1000


def test_a_cut_line_is_dropped_and_a_damaged_one_refused(tmp_path, smoothed):
    path = tmp_path / "s.jsonl"
    row = draw(path, smoothed, 100)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    np.testing.assert_array_equal(draw(path, smoothed, 100), row)
    assert path.read_bytes() == whole
    unit = json.loads(whole)
    changes = ({"unsafe": unit["unsafe"] + 1}, {"at": [10**6]}, {"at": [-1]}, {"n": 10**12}, {"rarer": "both"})
    for damaged in (*(unit | each for each in changes), {"schema": unit["schema"]}):
        path.write_text(sealed(damaged) + "\n")
        with pytest.raises(ValueError, match="line 1"):
            StreamStore(path, "a")
    path.write_text(sealed(unit | {"schema": 99}) + "\n")
    with pytest.raises(ValueError, match="schema = 99"):
        StreamStore(path, "a")


def test_draws_of_another_classifier_under_the_same_name_are_noticed(tmp_path, smoothed):
    path = tmp_path / "s.jsonl"
    draw(path, smoothed, 100)
    unit = json.loads(path.read_text())
    rarer = [*unit["at"][1:], next(i for i in range(unit["n"]) if i not in unit["at"])]
    path.write_text(sealed(unit | {"at": sorted(rarer)}) + "\n")
    with pytest.raises(ValueError, match="differ from those"):
        draw(path, smoothed, 700)


def test_two_streams_of_one_classifier_that_differ_are_refused(tmp_path, smoothed):
    path = tmp_path / "s.jsonl"
    draw(path, smoothed, 100)
    unit = json.loads(path.read_text())
    longer = unit | {"n": unit["n"] + 1, "at": sorted({0, *unit["at"]} ^ {unit["at"][-1]})}
    longer["unsafe"] = len(longer["at"]) if unit["rarer"] == "unsafe" else longer["n"] - len(longer["at"])
    path.write_text(f"{sealed(unit)}\n{sealed(longer)}\n")
    with pytest.raises(ValueError, match="line 2: the draws of two lines for one stream differ"):
        StreamStore(path, "a")


def test_a_stream_is_of_one_classifier(tmp_path):
    nested = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=NESTED)
    with pytest.raises(ValueError, match="use one_shot=True"):
        draw(tmp_path / "s.jsonl", nested, 10)


def test_counts_of_one_verdict_alone_are_a_stream(tmp_path, smoothed):
    store, hopeless = StreamStore(tmp_path / "s.jsonl", "a"), lambda row: False
    for unsafe in (0, 300):
        row = store.until(smoothed, EXAMPLE, hopeless, max_draws=300, counts=hrs.Counts((unsafe,), n=300))
        np.testing.assert_array_equal(row, np.full(300, unsafe > 0))
    assert len(store) == 0
    row = store.until(smoothed, EXAMPLE, hopeless, max_draws=300, counts=smoothed.sample(EXAMPLE, 300))
    assert 0 < row.sum() < 300
    assert len(store) == 1


def test_counts_of_other_draws_are_not_taken_for_a_stream(tmp_path, smoothed):
    store, other = StreamStore(tmp_path / "s.jsonl", "a"), replace(EXAMPLE, id="other")
    for counts in (hrs.Counts((300,), 300, "other", 0), hrs.Counts((300,), 300, EXAMPLE.id, 1)):
        with pytest.raises(ValueError, match=r"counts = those of .*: give those of 'toy/0' with seed 0"):
            store.until(smoothed, EXAMPLE, lambda row: False, max_draws=300, counts=counts)
    dark = replace(EXAMPLE, image=0 * EXAMPLE.image)
    with pytest.raises(ValueError, match="examples = 'toy/0': two of them have this id and differ"):
        store.until_each(smoothed, [EXAMPLE, other, dark], lambda row: True, max_draws=64)
    assert len(store) == 0


def test_opening_leaves_a_line_to_whoever_writes_it(tmp_path, smoothed):
    path = tmp_path / "s.jsonl"
    draw(path, smoothed, 100)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert len(StreamStore(path, "a")) == 0
    assert path.read_bytes() == whole[:-20]
