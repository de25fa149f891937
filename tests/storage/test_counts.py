"""The counts store: nothing is drawn twice, nothing finished is lost, nothing foreign is mixed in."""

import fcntl
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import workers
from toys import EXAMPLE, KERNEL, NESTED, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.storage.counts import CountsStore, recorded
from hybrid_rs.storage.questions import described
from hybrid_rs.storage.records import sealed

EXAMPLES = [replace(EXAMPLE, id=f"toy/{i}") for i in range(3)]


@pytest.fixture
def smoothed():
    return hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=NESTED)


def draw(path, smoothed, examples=EXAMPLES, classifier="a", n=100):
    return CountsStore(path, classifier).sample(smoothed, examples, n=n, progress=False)


def test_two_contents_of_one_id_are_refused_and_one_content_may_come_twice(tmp_path, smoothed):
    """The second content would get the counts of the first."""
    again, other = (replace(EXAMPLE, image=image) for image in (EXAMPLE.image.copy(), 0 * EXAMPLE.image))
    for contents in ([EXAMPLE, other], [EXAMPLE, replace(EXAMPLE, token_ids=EXAMPLE.token_ids[:2])]):
        with pytest.raises(ValueError, match="examples = 'toy/0': two of them have this id and differ"):
            draw(tmp_path / "c.jsonl", smoothed, contents)
    first, second = draw(tmp_path / "c.jsonl", smoothed, [EXAMPLE, again])
    assert first == second


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


def test_several_texts_are_units_of_their_own_and_resume_to_the_same_bytes(tmp_path):
    guard, path = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.5, threat=hrs.SuffixThreat(2)), tmp_path / "c.jsonl"

    def stored(where, **law):
        return CountsStore(where, "a").sample(guard, EXAMPLES, n=70, masked=True, progress=False, **law)

    several, one = stored(path, texts=3), stored(path)
    whole = path.read_bytes()
    assert several == [guard.sample(example, 70, texts=3, masked=True) for example in EXAMPLES]
    assert one == [guard.sample(example, 70, masked=True) for example in EXAMPLES]
    guard.guard.seen.clear()
    assert (stored(path, texts=3), stored(path)) == (several, one)
    assert guard.guard.seen == []
    assert [row["texts"] for row in map(json.loads, path.read_text().splitlines()) if "texts" in row] == [3, 3, 3]
    for cut in (len(whole) // 4, len(whole) - 1):
        (tmp_path / "cut.jsonl").write_bytes(whole[:cut])
        assert (stored(tmp_path / "cut.jsonl", texts=3), stored(tmp_path / "cut.jsonl")) == (several, one)
        assert (tmp_path / "cut.jsonl").read_bytes() == whole
    assert CountsStore(path, "a").get(guard, EXAMPLES[0], n=70, masked=True, texts=3) == several[0]
    assert CountsStore(path, "a").get(guard, EXAMPLES[0], n=70, masked=True, texts=4) is None
    assert len(recorded(path)) == 6
    changed = json.loads(path.read_text().splitlines()[0]) | {"texts": 2}
    (tmp_path / "wrong.jsonl").write_text(sealed(changed) + "\n")
    with pytest.raises(ValueError, match="texts = 2: the counts have 3"):
        CountsStore(tmp_path / "wrong.jsonl", "a")
    with pytest.raises(ValueError, match=r"^texts = 0"):
        stored(path, texts=0)


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
    path.write_text(sealed(json.loads(lines[0]) | {"schema": 99}) + "\n")
    with pytest.raises(ValueError, match="schema = 99"):
        CountsStore(path, "a")


def test_decisions_are_not_counts_and_are_not_to_be_removed(tmp_path, smoothed):
    line = described("toy", smoothed, EXAMPLE) | {"seed": 0, "d": 1, "unsafe": 9, "draws": 9, "verdict": "certified"}
    (tmp_path / "decisions.jsonl").write_text(sealed(line) + "\n")
    with pytest.raises(ValueError, match=r"line 1: .*: give another file if a run of another kind wrote it"):
        CountsStore(tmp_path / "decisions.jsonl", "toy")


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


def test_what_is_recorded_is_one_flat_row_per_unit(tmp_path, smoothed):
    path = tmp_path / "c.jsonl"
    counts = draw(path, smoothed)
    draw(path, replace(smoothed, threat=hrs.L0Threat(2)))
    table = recorded(path)
    assert len(table) == 2 * len(EXAMPLES)
    nested = table[table["max_edits"] == NESTED.max_edits]
    assert nested["unsafe"].tolist() == [list(c.unsafe) for c in counts]
    assert set(nested["beta"]) == {KERNEL.beta}
    assert set(nested["vocab_size"]) == {KERNEL.vocab_size}
    assert table.groupby("run")["example"].nunique().tolist() == [len(EXAMPLES)] * 2
    assert set(table["run"]) == set(table.groupby(["max_edits"])["run"].first())


def test_the_lines_of_a_file_mean_the_same_in_any_order(tmp_path, smoothed):
    path = tmp_path / "c.jsonl"
    counts = draw(path, smoothed)
    lines = path.read_text().splitlines(keepends=True) * 2  # each twice, and identical
    random.Random(0).shuffle(lines)
    path.write_text("".join(lines))
    smoothed.guard.seen.clear()
    assert draw(path, smoothed) == counts
    assert smoothed.guard.seen == []
    assert path.read_text() == "".join(lines)


def test_two_counts_for_one_unit_are_refused(tmp_path, smoothed):
    path = tmp_path / "c.jsonl"
    draw(path, smoothed)
    first = json.loads(path.read_text().splitlines()[0])
    first["unsafe"][0] += 1
    with path.open("a") as file:
        file.write(sealed(first) + "\n")
    with pytest.raises(ValueError, match=r"line 4: .* for 'toy/0' under one smoothing: .* remove the wrong line"):
        CountsStore(path, "a")


@pytest.mark.parametrize(
    "changes",
    [
        {"unsafe": [101] * 5},
        {"unsafe": [-1] * 5},
        {"unsafe": [True] * 5},
        {"unsafe": [1.5] * 5},
        {"unsafe": "1234"},
        {"unsafe": {}},
        {"n": 0},
        {"n": None},
        {"kernel": [], "safe": [3], "length": 2},
    ],
)
def test_counts_that_make_no_sense_are_refused_by_line_whatever_reads_them(tmp_path, smoothed, changes):
    path = tmp_path / "c.jsonl"
    draw(path, smoothed)
    with path.open("a") as file:
        file.write(sealed(json.loads(path.read_text().splitlines()[0]) | {"example": "other"} | changes) + "\n")
    for read in (recorded, lambda path: CountsStore(path, "a")):
        with pytest.raises(ValueError, match=r"c\.jsonl, line 4: "):
            read(path)


class Meanwhile(ToyGuard):
    """Something happens while the guard is at work."""

    def unsafe(self, token_ids, images):
        self.happens()
        self.happens = lambda: None
        return super().unsafe(token_ids, images)


def test_a_unit_that_another_run_finished_meanwhile_is_kept_if_equal_and_refused_if_not(tmp_path, smoothed):
    path, guard = tmp_path / "c.jsonl", Meanwhile()
    guard.happens = lambda: draw(path, smoothed)
    ours = CountsStore(path, "a")
    assert ours.sample(replace(smoothed, guard=guard), EXAMPLES, n=100, progress=False) == draw(path, smoothed)
    assert len(path.read_text().splitlines()) == len(EXAMPLES)  # no unit twice
    assert sum(len(texts) for texts, _ in guard.seen) < 100 * len(NESTED.noised(3))  # the others were not drawn again

    class Other(ToyGuard):
        def unsafe(self, token_ids, images):
            return ~super().unsafe(token_ids, images)

    guard.happens = lambda: draw(tmp_path / "d.jsonl", replace(smoothed, guard=Other()))
    before = CountsStore(tmp_path / "d.jsonl", "a")
    with pytest.raises(ValueError, match="under one smoothing"):
        before.sample(replace(smoothed, guard=guard), EXAMPLES, n=100, progress=False)


def test_opening_leaves_a_cut_off_line_to_whoever_writes_it(tmp_path, smoothed):
    path = tmp_path / "c.jsonl"
    draw(path, smoothed)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    reader = CountsStore(path, "a")
    assert len(reader) == len(EXAMPLES) - 1
    assert path.read_bytes() == whole[:-20]
    path.write_bytes(whole)  # the other run has finished its line
    smoothed.guard.seen.clear()
    assert reader.sample(smoothed, EXAMPLES, n=100, progress=False) == draw(path, smoothed)
    assert smoothed.guard.seen == []


def test_a_line_waits_for_the_lock(tmp_path, smoothed):
    path = tmp_path / "c.jsonl"
    draw(path, smoothed, EXAMPLES[:1])
    before = path.read_bytes()
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(target=draw, args=(path, smoothed, EXAMPLES[1:2]))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert path.read_bytes() == before
    waiting.join()
    assert path.read_bytes().startswith(before)
    assert len(CountsStore(path, "a")) == 2


def test_a_full_disk_leaves_whole_lines(tmp_path, smoothed):
    path = tmp_path / "c.jsonl"
    draw(path, smoothed, EXAMPLES[:1])
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="no room for"):
            draw(path, smoothed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert len(draw(path, smoothed)) == len(EXAMPLES)


def test_a_file_that_shrinks_while_in_use_is_noticed(tmp_path, smoothed):
    path = tmp_path / "c.jsonl"
    draw(path, smoothed)
    store = CountsStore(path, "a")
    path.write_text("")
    with pytest.raises(ValueError, match="became shorter while in use"):
        store.sample(smoothed, EXAMPLES, n=100)


def start(path, seconds, step=1):
    """Another process that draws the units of ``workers.write``."""
    here = Path(workers.__file__)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parent), *sys.path])}
    return subprocess.Popen([sys.executable, here, str(path), str(seconds), str(step)], env=environment)


def test_a_run_killed_at_any_moment_resumes_to_the_same_bytes(tmp_path):
    workers.write(tmp_path / "whole.jsonl", 0)
    path = tmp_path / "c.jsonl"
    run = start(path, 0.02)
    while not (path.exists() and path.read_bytes().count(b"\n") >= 3):
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    killed = path.read_bytes()
    workers.write(path, 0)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert path.read_bytes().startswith(killed[: killed.rfind(b"\n") + 1])
    assert len(killed) < len(path.read_bytes())


def test_two_runs_at_once_write_every_unit_once(tmp_path):
    workers.write(tmp_path / "whole.jsonl", 0)
    path = tmp_path / "c.jsonl"
    runs = [start(path, 0.005, step) for step in (1, -1)]
    assert [run.wait() for run in runs] == [0, 0]
    assert sorted(path.read_text().splitlines()) == sorted((tmp_path / "whole.jsonl").read_text().splitlines())
