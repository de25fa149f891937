"""Certificates against insertions, deletions and substitutions, from the command line."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hybrid_rs as hrs
from hybrid_rs.attacks import Effort
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.upper import radii_below
from hybrid_rs.cli.showing import plain

GUARD = """
import numpy as np

class Guard:
    alphabet, pad_id, mask_id, image_size, identity = np.arange(128), 44, None, (8, 8), "counts the x"
    def encode(self, text): return [ord(letter) for letter in text]
    def unsafe(self, token_ids, images):
        return ((token_ids == ord("x")).sum(axis=1) > 2) & (images.mean(axis=(1, 2, 3)) > 0.2)
"""
EDITS = ("--threat", "edit-distance", "--max-edits", 2, "--tau", 0.05, "--no-progress")
SMALL = ("--n", 500, *EDITS)


@pytest.fixture
def asked(run, tmp_path, monkeypatch):
    """A folder with a guard in Python, an unsafe example and a safe one; returns how to run a command on it."""
    (tmp_path / "counting.py").write_text(GUARD)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "counting", raising=False)
    Image.new("RGB", (8, 8), (128, 128, 128)).save(tmp_path / "a.png")
    rows = [{"image": "a.png", "text": text, "label": label} for text, label in (("axxxxxxxxb", 1), ("abcdef", 0))]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lambda command, *options: run(command, "data.jsonl", "--guard", "counting:Guard", *options)


def lines(printed):
    return [json.loads(line) for line in printed.out.splitlines()]


def test_the_counts_serve_every_kind_of_edits_and_give_its_frontier(asked):
    radii = {}
    for edits in ("all", "insertions", "deletions", "insertions-and-deletions"):
        code, printed = asked("certify", *SMALL, "--edits", edits, "--json")
        assert code == 0, printed.err
        unsafe, safe = lines(printed)
        assert safe["label"] == "safe"
        assert (unsafe["threat"], unsafe["edits_of"], unsafe["kernel"]) == (
            "EditDistanceThreat", edits.replace("-", " "), "DeletionKernel",
        )  # fmt: skip
        stored = [json.loads(line) for line in Path("counts.jsonl").read_text().splitlines()]
        assert len(stored) == 2  # not drawn again
        counts = hrs.Counts(tuple(stored[0]["unsafe"]), n=500, distance=stored[0]["distance"])
        kernel = DeletionKernel(0.25, unsafe["edits_of"])
        front = hrs.frontier_of(counts, kernel, sigma=0.5, tau=0.05, d_max=2)
        assert unsafe["radii"] == plain(front.radii.tolist())
        radii[edits] = np.nan_to_num(front.radii, nan=-1.0)
    assert radii["insertions"][1] > radii["all"][1] > 0
    assert np.all(radii["deletions"] >= radii["insertions-and-deletions"])


def test_the_table_says_what_was_certified_and_false_alarms_are_bounded(asked):
    code, printed = asked("certify", *SMALL)
    assert code == 0
    assert "tokens deleted, threat: up to 2 insertions, deletions and substitutions anywhere" in printed.out
    assert "An edit may write any token" in printed.out
    code, printed = asked("certify", *SMALL, "--tau", 0.9, "--towards", "unsafe", "--json")
    assert code == 0
    [row] = lines(printed)
    [stored] = [json.loads(each) for each in Path("counts.jsonl").read_text().splitlines()][1:]
    counts = hrs.Counts(tuple(stored["unsafe"]), 500, distance=stored["distance"])
    law = {"sigma": 0.5, "tau": 0.9, "d_max": 2}
    assert row["radii_below_tau"] == plain(radii_below(counts, DeletionKernel(0.25), **law)[1].tolist())
    assert row["radii_below_tau"][1] > 0


@pytest.mark.parametrize("towards", ["safe", "unsafe"])
def test_an_attack_with_such_edits_stays_within_its_bound(asked, monkeypatch, towards):
    few = Effort(draws=16, probes=64, candidates=12, sweeps=0, steps=1, rounds=1, restarts=1, select=64)
    monkeypatch.setattr("hybrid_rs.attacks.ADAPTIVE", few)
    how = (*SMALL, "--tau", 0.9, "--towards", towards, "--d", 2, "--epsilon", 0.1, "--fresh", 200, "--json")
    code, printed = asked("attack", *how)
    assert code == 0, printed.err
    [row] = lines(printed)
    assert row["edits"] <= 2
    text = "axxxxxxxxb" if towards == "safe" else "abcdef"
    assert abs(len(row["token_ids"]) - len(text)) <= 2
    if towards == "safe":
        assert row["certified"] < row["upper"]
        assert row["certified_masked"] is None  # deletion has no masked evidence
    assert asked("attack", *how)[1].out == printed.out  # from the stores
    assert len(Path("attacks.jsonl").read_text().splitlines()) == 1


def test_decide_calibrate_and_report_take_it(asked, run):
    code, printed = asked("decide", *EDITS, "--d", 1, "--epsilon", 0.1, "--json")
    assert [row["verdict"] for row in lines(printed)] == ["certified", "not certifiable"], printed.err
    code, printed = asked(
        "calibrate", *SMALL[:-3], "--false-alarms", 0.9, "--confidence", 0.5, "--save", "tau.jsonl", "--no-progress"
    )
    assert code == 0, printed.err
    code, printed = asked("certify", *SMALL[:-3], "--seed", 1, "--tau-from", "tau.jsonl", "--no-progress", "--json")
    assert code == 0, printed.err
    Path("certified.jsonl").write_text(printed.out)
    assert run("report", "certified.jsonl")[0] == 0
    page = Path("report.html").read_text()
    assert "A token is deleted with probability 0.25." in page
    assert "Someone who edits the text anywhere" in page


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("certify", ("--masked",), "threat = edit-distance: leave out --masked and --texts"),
        ("certify", ("--texts", 4), "threat = edit-distance: leave out --masked and --texts"),
        ("certify", ("--per-d",), "per_d = True: edit-distance has one classifier"),
        ("certify", ("--kernel", "absorbing"), "kernel = absorbing: edit-distance needs deletion"),
        ("certify", ("--threat", "l0", "--kernel", "deletion"), "kernel = deletion: deletion is for --threat"),
        ("certify", ("--threat", "l0", "--edits", "insertions"), "edits = insertions: it is for --threat"),
        ("calibrate", ("--margins", "0,1"), "margins = 0,1: edit-distance takes one margin"),
        ("show", (), "threat = edit-distance: only noise that replaces tokens is shown"),
    ],
)
def test_what_cannot_be_combined_is_refused_before_anything_is_drawn(asked, command, options, said):
    usual = {"show": EDITS[:4]}.get(command, EDITS if command == "certify" else ("--threat", "edit-distance"))
    code, printed = asked(command, *usual, *options)
    assert code == 1
    assert said in printed.err
    assert not Path("counts.jsonl").exists()
