"""Benchmark results are kept with their provenance, and a rate that falls is named."""

import json
from pathlib import Path

import history
import numpy as np
import pytest
import text_speed

import hybrid_rs as hrs
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard

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


def test_the_least_number_of_tokens_is_that_of_all_beginnings_read_once():
    texts, image = np.array([[1, 2, 3], [1, 2, 4], [5, 2, 4], [1, 2, 3]]), np.array([0, 0, 0, 1])
    assert text_speed.least_tokens(texts, image, before=10, after=2) == 2 * 10 + (4 + 3) + 3 + 4 * 2


@pytest.mark.parametrize("threat", [hrs.SuffixThreat(8), hrs.L0Threat(2)])
def test_several_texts_are_read_with_few_more_tokens_than_the_least(threat):
    guard = text_speed.Noted(load_bay_guard())
    example = bay_notes.examples("test", 1, unsafe=True)[0]
    smoothed = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, guard.alphabet.size), 0.5, threat)
    with guard.running() as work:
        smoothed.sample(example, 64, texts=8)
    assert sum(guard.least) <= work.tokens <= 1.02 * sum(guard.least)
