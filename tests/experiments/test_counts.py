"""The counts store: nothing is drawn twice, nothing finished is lost, nothing foreign is mixed in."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_smoothing import EXAMPLE, KERNEL, NESTED, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.calibration import calibrated_tau, flagged_share
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


def test_the_threshold_calibrated_on_benign_counts_keeps_its_promise():
    rng = np.random.default_rng(0)
    for size in (1, 7, 40):
        counts = [hrs.Counts(tuple(rng.integers(0, 30, 3).tolist()), n=1000) for _ in range(size)]
        upper = np.array([hrs.clopper_pearson_upper(c.unsafe, c.n, 0.01) for c in counts])
        for share in (0.0, 0.05, 0.5):
            tau = calibrated_tau(counts, share, alpha=0.01)
            assert np.all((upper >= tau).mean(axis=0) <= share)
            assert np.any((upper >= tau * (1 - 1e-9)).mean(axis=0) > share)
            assert np.all(flagged_share(counts, tau) <= share)


def test_no_calibrated_threshold_is_finer_than_the_draws():
    silent = [hrs.Counts((0,), n=1000)] * 5
    assert calibrated_tau(silent, 0.0, alpha=0.01) >= hrs.clopper_pearson_upper(0, 1000, 0.01)
    with pytest.raises(ValueError, match="false_alarms = 1"):
        calibrated_tau(silent, 1.0)
    with pytest.raises(ValueError, match="benign = 0"):
        calibrated_tau([], 0.05)


def test_kernels_drawn_together_are_the_units_drawn_alone(tmp_path, smoothed):
    several = [replace(smoothed, kernel=hrs.UniformKernel(beta, 20)) for beta in (0.3, 0.1, 0.2)]
    alone = [draw(tmp_path / "alone.jsonl", each) for each in several]
    store = CountsStore(tmp_path / "c.jsonl", "a")
    store.sample(several[1], EXAMPLES[:2], n=100, progress=False)  # some of them are there already
    assert store.sample_together(several, EXAMPLES, n=100, progress=False) == alone
    lines = [sorted((tmp_path / name).read_text().splitlines()) for name in ("alone.jsonl", "c.jsonl")]
    assert lines[0] == lines[1]
    smoothed.guard.seen.clear()
    assert CountsStore(tmp_path / "c.jsonl", "a").sample_together(several, EXAMPLES, n=100) == alone
    assert smoothed.guard.seen == []
