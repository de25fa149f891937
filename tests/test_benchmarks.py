"""Benchmark results are kept with their provenance, and a rate that falls is named."""

import json
from pathlib import Path

import history
import pytest

KEPT = sorted((Path(__file__).resolve().parents[1] / "benchmarks" / "results").glob("*.jsonl"))


def test_a_line_says_what_ran_where(tmp_path):
    file = tmp_path / "new" / "kept.jsonl"
    for rate in (100.0, 80.0):
        history.keep(file, "draws", {"n": 3}, {"small": {"draws per second": rate, "time x": 2.0}})
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["figures"]["small"]["draws per second"] for line in lines] == [100.0, 80.0]
    origin = lines[0]["provenance"]
    assert origin["parameters"] == {"n": 3}
    assert {"commit", "versions", "device", "load"} <= origin.keys()
    (said,) = history.slower(lines)
    assert "small / draws per second fell from 100 to 80" in said


@pytest.mark.parametrize("change", [{"device": "another"}, {"parameters": {"n": 4}}])
def test_only_like_is_compared_with_like(change):
    origin = {"parameters": {"n": 3}, "device": "one", "commit": "abc"}
    lines = [
        {"benchmark": "draws", "provenance": where, "figures": {"draws per second": rate}}
        for where, rate in ((origin, 100.0), (origin | change, 10.0))
    ]
    assert history.slower(lines) == []


def test_a_small_change_and_a_faster_run_are_no_news():
    origin = {"parameters": {}, "device": "one", "commit": "abc"}
    lines = [
        {"benchmark": "draws", "provenance": origin, "figures": [{"draws per second": rate}]} for rate in (100, 90, 300)
    ]
    assert history.slower(lines[:2]) == history.slower(lines) == []


def test_what_the_repository_keeps_can_be_read():
    assert KEPT
    for file in KEPT:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert all(line["provenance"]["commit"] != "unknown" for line in lines)
        assert all(list(history.rates(line["figures"])) for line in lines)
