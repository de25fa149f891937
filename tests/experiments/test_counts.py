"""The counts store: nothing is drawn twice, nothing finished is lost, nothing foreign is mixed in."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from test_smoothing import EXAMPLE, KERNEL, NESTED, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.experiments.counts import CountsStore

EXAMPLES = [replace(EXAMPLE, id=f"toy/{i}") for i in range(3)]


@pytest.fixture
def smoothed():
    return hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=NESTED)


def draw(path, smoothed, examples=EXAMPLES, classifier="a", n=100):
    return CountsStore(path, classifier).sample(smoothed, examples, n=n, progress=False)


def test_a_second_run_draws_nothing_and_agrees(tmp_path, smoothed):
    first = draw(tmp_path / "c.jsonl", smoothed)
    smoothed.guard.seen.clear()
    assert draw(tmp_path / "c.jsonl", smoothed) == first
    assert smoothed.guard.seen == []
    assert first == [smoothed.sample(example, 100) for example in EXAMPLES]


def test_an_interrupted_run_resumes_to_the_same_bytes(tmp_path, smoothed):
    draw(tmp_path / "whole.jsonl", smoothed)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    for cut in (len(whole) // 2, len(whole) - 1, 10, 0):
        (tmp_path / "cut.jsonl").write_bytes(whole[:cut])
        draw(tmp_path / "cut.jsonl", smoothed)
        assert (tmp_path / "cut.jsonl").read_bytes() == whole


def test_another_classifier_noise_or_size_is_another_unit(tmp_path, smoothed):
    path = tmp_path / "c.jsonl"
    draw(path, smoothed)
    draw(path, smoothed, classifier="b")
    draw(path, smoothed, n=50)
    draw(path, hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.3, threat=NESTED))
    assert len(CountsStore(path, "a")) == 4 * len(EXAMPLES)
    assert len(pd.read_json(path, lines=True)) == 4 * len(EXAMPLES)


def test_a_damaged_line_or_another_schema_is_refused_by_name(tmp_path, smoothed):
    path = tmp_path / "c.jsonl"
    draw(path, smoothed)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:20], lines[2], ""]))
    with pytest.raises(ValueError, match="line 2"):
        CountsStore(path, "a")
    path.write_text(json.dumps(json.loads(lines[0]) | {"schema": 99}) + "\n")
    with pytest.raises(ValueError, match="schema = 99"):
        CountsStore(path, "a")
