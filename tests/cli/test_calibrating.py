"""calibrate says what the package says; certify takes its threshold, and refuses the draws that chose it."""

import json
import sys
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from PIL import Image

import hybrid_rs as hrs
from hybrid_rs.cli import calibrating
from hybrid_rs.cli.own_guard import own_guard
from hybrid_rs.cli.showing import plain
from hybrid_rs.datasets import load_jsonl
from hybrid_rs.smoothing.margins import at_margin

MODULE = '''
from dataclasses import dataclass
import numpy as np

@dataclass
class Bright:
    """Unsafe where the image is bright."""
    margin: float = 0.0
    alphabet, pad_id, mask_id, image_size, identity = np.arange(128), 44, None, (4, 4), "bright"
    def encode(self, text): return [ord(letter) % 128 for letter in text]
    def scores(self, token_ids, images, image_index=None):
        pads = (token_ids == 44).mean(axis=1, dtype=np.float32)
        bright = images.mean(axis=(1, 2, 3), dtype=np.float32)
        return (bright if image_index is None else bright[image_index]) - np.float32(0.5) - pads / 8
    def unsafe(self, token_ids, images, image_index=None):
        return self.scores(token_ids, images, image_index) > self.margin
'''
NOISE = ("--sigma", 0.5, "--max-edits", 2, "--n", 128, "--no-progress")
LAW = ("--false-alarms", 0.3, "--confidence", 0.9)


@pytest.fixture
def data(run, tmp_path, monkeypatch):
    """Fifteen dark, safe pairs and three bright, unsafe ones; and a guard in this folder."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "bright_guard", raising=False)
    (tmp_path / "bright_guard.py").write_text(MODULE)
    lines = []
    for number in range(18):
        level = 90 + 3 * number if number < 15 else 250 - number
        Image.new("RGB", (4, 4), (level, level, level)).save(tmp_path / f"{number}.png")
        lines.append({"image": f"{number}.png", "text": f"number {number}", "label": int(number >= 15)})
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return ("pairs.jsonl", "--guard", "bright_guard:Bright", *NOISE)


def smoothed_of(tmp_path, beta=0.25):
    guard = own_guard("bright_guard:Bright", str(tmp_path))
    noise = hrs.SmoothedGuard.__dataclass_fields__["noise"].default
    return hrs.SmoothedGuard(guard, hrs.UniformKernel(beta, 128), 0.5, hrs.SuffixThreat(2), noise)


def benign_of(tmp_path, smoothed):
    pairs = load_jsonl(tmp_path / "pairs.jsonl").examples(smoothed.guard.encode, smoothed.guard.image_size)
    return [example for example in pairs if example.unsafe is False]


def test_the_threshold_is_that_of_the_package_with_its_price(run, data, tmp_path):
    code, printed = run("calibrate", *data, *LAW, "--json")
    assert code == 0, printed.err
    [row] = map(json.loads, printed.out.splitlines())
    smoothed = smoothed_of(tmp_path)
    counts = [smoothed.sample(example, 128) for example in benign_of(tmp_path, smoothed)]
    made = hrs.calibrate(counts, 0.3, confidence=0.9)
    assert (row["tau"], row["above"], row["benign"], row["n"]) == (made.tau, made.above, 15, 128)
    assert row["false_alarm_bound"] == made.false_alarm_bound(0.9) <= 0.3
    most = hrs.ceiling(128, smoothed.kernel, sigma=0.5, tau=made.tau, alpha=0.01, d_max=2)
    assert row["ceiling"] == plain(most.radii.tolist())
    code, printed = run("calibrate", *data, *LAW)
    assert code == 0
    assert "15 benign examples, 128 draws each; 3 entries are not labelled safe." in printed.out
    assert "The price of a query of the deployed guard: 128 calls of the guard." in printed.out


def test_several_margins_and_betas_share_the_risk(run, data, tmp_path):
    code, printed = run("calibrate", *data, *LAW, "--margins", "0,0.1", "--betas", "0.1,0.25", "--json")
    assert code == 0, printed.err
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [(row["setting"]["kernel"]["beta"], row["setting"]["margin"]) for row in rows] == [
        (0.1, 0.0), (0.1, 0.1), (0.25, 0.0), (0.25, 0.1),
    ]  # fmt: skip
    for row in rows:
        smoothed = at_margin(smoothed_of(tmp_path, row["setting"]["kernel"]["beta"]), row["setting"]["margin"])
        counts = [smoothed.sample(example, 128) for example in benign_of(tmp_path, smoothed)]
        assert row["tau"] == hrs.calibrate(counts, 0.3, confidence=0.9, candidates=4).tau
    assert rows[1]["tau"] < rows[0]["tau"]  # a larger margin flags less
    code, printed = run("calibrate", *data, *LAW, "--margins", "0,0.1")
    assert (code, "with confidence 0.9 for all rows at once" in printed.out) == (0, True)


def test_certify_and_decide_take_the_threshold_and_refuse_its_draws(run, data, tmp_path):
    assert run("calibrate", *data, *LAW, "--save", "tau.jsonl")[0] == 0
    tau = json.loads((tmp_path / "tau.jsonl").read_text())["tau"]
    code, printed = run("certify", *data, "--tau-from", "tau.jsonl", "--json")
    assert code == 1
    assert "these draws helped to choose tau; take other examples, or draw again with another seed" in printed.err
    code, printed = run("certify", *data, "--tau-from", "tau.jsonl", "--seed", 1, "--json")
    assert code == 0, printed.err
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert {row["tau"] for row in rows} == {tau}
    code, printed = run(
        "decide", *data[:7], "--no-progress", "--tau-from", "tau.jsonl", "--seed", 1, "--d", 1, "--epsilon", 0.1
    )
    assert (code, f"tau = {tau:g}" in printed.out) == (0, True)


def test_a_decision_that_is_stored_does_not_hide_that_its_draws_chose_the_threshold(run, data, tmp_path):
    assert run("calibrate", *data, *LAW, "--save", "tau.jsonl")[0] == 0
    tau = json.loads((tmp_path / "tau.jsonl").read_text())["tau"]
    target = ("decide", *data[:7], "--no-progress", "--d", 1, "--epsilon", 0.1)
    assert run(*target, "--tau", repr(tau))[0] == 0  # the same draws, and a number that cannot refuse them
    code, printed = run(*target, "--tau-from", "tau.jsonl")
    assert (code, "these draws helped to choose tau" in printed.err) == (1, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--beta", 0.3), "it has another kernel; calibrate this guard with this noise and threat"),
        (("--sigma", 0.4), "it has another sigma;"),
        (("--max-edits", 3), "it has another threat;"),
        (("--tau", 0.2), "tau = 0.2: it comes from --tau-from; leave it out"),
        (
            ("--tau-from", "pairs.jsonl"),
            "line 1 is not a calibration; give a file that hybrid-rs calibrate",
        ),
    ],
)
def test_a_threshold_of_another_smoothed_guard_is_refused(run, data, options, message):
    assert run("calibrate", *data, *LAW, "--save", "tau.jsonl")[0] == 0
    code, printed = run("certify", *data, "--tau-from", "tau.jsonl", "--seed", 1, *options)
    assert code == 1
    assert message in printed.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--betas", "0,0.1", "--beta", 0.3), "beta = 0.3: --betas takes its place; leave it out"),
        (("--kind", "SD"), "kind = SD: these options are for MM-SafetyBench; leave them out"),
        (("--neutral-text", "Hello."), "neutral_text = 'Hello.': it is for --interaction-only; leave it out"),
        (("--margins", "0,a"), "margins = '0,a': give up to 20 different numbers with commas between them"),
        (("--betas", "0.1,0.1"), "betas = '0.1,0.1': give up to 20 different numbers"),
        (("--confidence", 0.9999), "15 examples show a share of"),
        (("--false-alarms", 1), "false_alarms = 1.0: give a share below 1"),
    ],
)
def test_what_cannot_be_calibrated_is_one_message(run, data, options, message):
    code, printed = run("calibrate", *data, *LAW, *options)
    assert code == 1
    assert message in printed.err


@pytest.mark.parametrize(
    "change",
    [
        {"tau": "0.1"}, {"tau": 2.0}, {"tau": [0.1]}, {"alpha": None}, {"n": 1.5}, {"benign": True}, {"above": -1},
        {"used": [["a", 1.5]]}, {"used": [[1, 1]]}, {"used": None}, {"setting": []},
    ],
)  # fmt: skip
def test_a_calibration_with_another_kind_of_value_is_refused(tmp_path, change):
    """The line of a file is checked before it is compared with the guard that is certified."""
    good = {"tau": 0.1, "above": 0, "benign": 9, "n": 8, "alpha": 0.01, "candidates": 1, "used": [["a", 0]]}
    smoothed = SimpleNamespace(kernel=hrs.AbsorbingKernel(0.25), sigma=1.0)
    (tmp_path / "tau.jsonl").write_text(json.dumps(good | {"setting": {}} | change))
    with (
        mock.patch.object(calibrating, "setting_of", return_value={}),
        pytest.raises(ValueError, match="line 1 is not a calibration"),
    ):
        calibrating.read_calibration(tmp_path / "tau.jsonl", smoothed, "a")
    (tmp_path / "tau.jsonl").write_text(json.dumps(good | {"setting": {}}))
    with mock.patch.object(calibrating, "setting_of", return_value={}):
        assert calibrating.read_calibration(tmp_path / "tau.jsonl", smoothed, "a").used == {("a", 0)}


def test_one_margin_beside_several_is_refused_before_a_guard_is_loaded(run, data):
    code, printed = run("calibrate", data[0], "--model", "bay_guard", "--margins", "0,1", "--margin", 2)
    assert (code, "margin = 2.0: --margins takes its place; leave it out" in printed.err) == (1, True)
    assert "loading" not in printed.err


def test_a_threshold_from_a_file_is_not_for_false_alarms(run, data):
    code, printed = run("certify", *data, "--towards", "unsafe", "--tau-from", "pairs.jsonl")
    assert (code, "--towards unsafe takes no --tau-from" in printed.err) == (1, True)
    assert "loading" not in printed.err


def test_a_page_of_one_classifier_for_each_d_says_so(run, data, tmp_path):
    (tmp_path / "certified.jsonl").write_text(run("certify", *data, "--per-d", "--json")[1].out)
    assert run("report", "certified.jsonl")[0] == 0
    text = (tmp_path / "report.html").read_text()
    assert "For each d there is another classifier, with a slot of d pads" in text
    assert "a slot of d pads after the text" in text


def test_without_a_benign_example_there_is_no_threshold(run, data, tmp_path):
    unsafe = [line for line in (tmp_path / "pairs.jsonl").read_text().splitlines() if '"label": 1' in line]
    (tmp_path / "pairs.jsonl").write_text("\n".join(unsafe))
    code, printed = run("calibrate", *data)
    assert (code, "calibration needs examples that are labelled safe" in printed.err) == (1, True)


def test_a_page_tells_what_was_certified(run, data, tmp_path):
    code, printed = run("certify", *data, "--tau", 0.2, "--json")
    assert code == 0
    rows = [json.loads(line) for line in printed.out.splitlines()]
    (tmp_path / "certified.jsonl").write_text(printed.out)
    radii = [row["radii"] for row in rows if "radii" in row]
    reached = [sum(r[1] is not None and r[1] >= epsilon for r in radii) for epsilon in (0.0, 1e9)]
    for epsilon, number in zip((0.0, 1e9), reached, strict=True):
        code, printed = run("report", "certified.jsonl", "--d", 1, "--epsilon", epsilon, "--title", "<Mine>")
        assert code == 0, printed.err
        text = (tmp_path / "report.html").read_text()
        assert f"Of 3 examples that are not labelled safe, {number} (" in text
    assert "<h1>&lt;Mine&gt;</h1>" in text
    assert text.count("<tr>") == 1 + 3
    for radius in (r for row in radii for r in row if r is not None):
        assert f"<td>{hrs.floored(radius, 3):.3f}</td>" in text
    assert "src=" not in text
    assert "href=" not in text
    assert "<script" not in text
    counts = [
        hrs.Counts(tuple(row["unsafe"]), n=128, distance=row.get("distance", 0.0)) for row in rows if "unsafe" in row
    ]
    flagged = sum(bool(each.p_a_upper(0.01)[0] >= 0.2) for each in counts)
    assert f"Of 15 examples that are labelled safe, {flagged} are flagged" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, rows[0]], "an example is there twice"),
        (lambda rows: [rows[0] | {"sigma": 0.1}, *rows[1:]], "give the lines of one run; these differ in sigma"),
        (lambda rows: [{"id": "a"}], "line 1 lacks label, classifier"),
        (lambda rows: [rows[0] | {"noise": "float32"}, *rows[1:]], "these differ in noise"),
        (lambda rows: [rows[0] | {"edits_of": "insertions"}, *rows[1:]], "these differ in edits_of"),
        (lambda rows: [*rows[:-1], rows[-1] | {"claim": "Less."}], "these differ in claim"),
        (lambda rows: [*rows[:-1], rows[-1] | {"radii": [1.0]}], "give one for each d"),
        (lambda rows: [*rows[:-1], rows[-1] | {"radii": ["1.5", None, None]}], "line 18 is not from such a run (radii"),
        (lambda rows: [*rows[:-1], rows[-1] | {"radii": [-1.0, None, None]}], "line 18 is not from such a run (radii"),
        (lambda rows: [*rows[:-1], rows[-1] | {"p": []}], "line 18 is not from such a run (p"),
        (lambda rows: [rows[0] | {"unsafe": [129]}, *rows[1:]], "line 1 is not from such a run ("),
        (lambda rows: [rows[0] | {"alpha": "0.01"}, *rows[1:]], "line 1 is not from such a run (alpha = '0.01'"),
        (lambda rows: [rows[0] | {"image": "4 x 4"}, *rows[1:]], "line 1 is not from such a run (image"),
        (lambda rows: [["id"]], "line 1 is not an object"),
        (lambda rows: [], "it is empty"),
    ],
)
def test_a_file_that_is_no_run_gives_no_page(run, data, tmp_path, change, message):
    rows = [json.loads(line) for line in run("certify", *data, "--json")[1].out.splitlines()]
    (tmp_path / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in change(rows)))
    code, printed = run("report", "other.jsonl")
    assert (code, message in printed.err) == (1, True)
    assert not (tmp_path / "report.html").exists()


def test_the_picture_has_the_first_draws_of_certify(run, data, tmp_path, monkeypatch):
    code, printed = run("show", *data[:3], "--max-edits", 2, "--copies", 3, "--limit", 2, "--json")
    assert code == 0, printed.err
    rows = [json.loads(line) for line in printed.out.splitlines()]
    smoothed = smoothed_of(tmp_path)
    examples = list(load_jsonl(tmp_path / "pairs.jsonl").examples(smoothed.guard.encode, smoothed.guard.image_size))
    for row, example in zip(rows, examples, strict=False):
        assert row["id"] == example.id
        assert row["unsafe"] == next(iter(smoothed.verdicts(example, 64)))[:3, 0].tolist()
        assert [ids[:-2] for ids in row["token_ids"]] == [example.token_ids.tolist()] * 3
    with Image.open(tmp_path / "noisy.png") as picture:
        levels = np.asarray(picture)
    assert levels.shape == (2 * 132 + 4, 4 * 132 + 4, 3)  # two rows: the image and three copies, enlarged 32 times
    assert levels[10, 10].tolist() == [90, 90, 90]
    assert len({tuple(each) for each in levels[4:132:32, 136:264:32].reshape(-1, 3).tolist()}) > 8
    code, printed = run("show", *data[:3], "--out", "noisy.gif")
    assert (code, "give a file that ends with .png" in printed.err) == (1, True)
    code, printed = run("show", *data[:3], "--copies", 1)
    assert (code, printed.out.count("  draw 0: "), "The picture is in noisy.png." in printed.out) == (0, 3, True)


def test_too_few_benign_examples_are_refused_before_anything_is_loaded_or_drawn(run, data):
    code, printed = run("calibrate", *data, "--confidence", 0.99)
    assert (code, "15 examples show a share of 0.268 at best" in printed.err) == (1, True)
    assert "give 91 examples" in printed.err
    assert "loading" not in printed.err


def test_too_few_examples_that_are_left_are_refused_before_the_first_draw(run, data, tmp_path, monkeypatch):
    """The guard cannot read the first of fifteen."""
    (tmp_path / "bright_guard.py").write_text(MODULE + "    max_length = 12\n")
    monkeypatch.setattr(calibrating, "_counts", lambda *arguments: pytest.fail("drawn"))
    lines = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    lines[0]["text"] = "more than ten letters"
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, printed = run("calibrate", *data, "--false-alarms", 0.14, "--confidence", 0.89, "--on-problem", "skip")
    assert (code, "14 examples show a share of" in printed.err) == (1, True), printed.err
