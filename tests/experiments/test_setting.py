"""A setting of the book, or of a user's own guard and data."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hybrid_rs as hrs
from hybrid_rs.experiments import setting as module
from hybrid_rs.experiments.setting import COUNTS, bay_setting, get_setting
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import CHECKPOINT
from hybrid_rs.storage import records
from hybrid_rs.storage.streams import StreamStore


@pytest.fixture
def own(tmp_path):
    """A data set on disk: three unsafe notes, four safe ones."""
    notes = bay_notes.examples("test", 3, unsafe=True) + bay_notes.examples("test", 4, unsafe=False)
    lines = []
    for number, note in enumerate(notes):
        pixels = np.round(np.clip(note.image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append({"image": f"{number}.png", "text": note.text, "label": int(note.unsafe)})
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_setting_of_a_users_own_guard_and_data(own):
    setting = get_setting("quick", model=str(CHECKPOINT), data=str(own))
    assert {name: len(found) for name, found in setting.sets.items()} == {"unsafe": 3, "safe": 2, "calibration": 2}
    assert (setting.size.n_unsafe, setting.size.n_safe, setting.size.n_calibration) == (3, 2, 2)
    ids = [example.id for found in setting.sets.values() for example in found]
    assert len(set(ids)) == len(ids)
    for mine, theirs in zip(setting.sets["unsafe"], bay_notes.examples("test", 3, unsafe=True), strict=True):
        assert mine.token_ids.tolist() == theirs.token_ids.tolist()
        assert np.abs(mine.image - theirs.image).max() <= 0.5 / 255 + 1e-6
    assert setting.store.path.parent == own.parent
    assert Path(setting.counted) == setting.store.path


def test_without_model_and_data_it_is_the_setting_of_the_book():
    setting, book = get_setting("quick"), bay_setting("quick")
    assert {name: [e.id for e in found] for name, found in setting.sets.items()} == {
        name: [e.id for e in found] for name, found in book.sets.items()
    }
    assert setting.counted == "data/counts/quick.jsonl"


def test_what_is_missing_is_named(own):
    with pytest.raises(ValueError, match="give both, or neither"):
        get_setting("quick", model=str(CHECKPOINT))
    lines = [json.loads(line) for line in own.read_text().splitlines()]
    own.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "label"}) + "\n" for line in lines))
    with pytest.raises(ValueError, match="entries without a label"):
        get_setting("quick", model=str(CHECKPOINT), data=str(own))
    own.write_text("".join(json.dumps(line) + "\n" for line in lines[:4]))  # one safe entry alone
    with pytest.raises(ValueError, match="at least one unsafe entry"):
        get_setting("quick", model=str(CHECKPOINT), data=str(own))


def test_data_with_unsafe_entries_alone_take_their_safe_ones_from_elsewhere(own):
    """The layout of MM-SafetyBench has no safe entries; other data may have them."""
    lines, home = own.read_text().splitlines(keepends=True), own.parent / "bench" / "data"
    home.joinpath("processed_questions").mkdir(parents=True)
    home.joinpath("imgs/01-Bay/SD_TYPO").mkdir(parents=True)
    texts = {str(number): {"Rephrased Question": json.loads(line)["text"]} for number, line in enumerate(lines[:3])}
    home.joinpath("processed_questions/01-Bay.json").write_text(json.dumps(texts))
    for number in texts:
        Image.open(own.parent / f"{number}.png").save(home / f"imgs/01-Bay/SD_TYPO/{number}.jpg")
    where = {"model": str(CHECKPOINT), "data": str(home.parent)}
    with pytest.raises(ValueError, match="benign may give other data for the safe ones"):
        get_setting("quick", **where)
    found = get_setting("quick", **where, benign=str(own)).sets
    assert {name: len(group) for name, group in found.items()} == {"unsafe": 3, "safe": 2, "calibration": 2}
    assert all(example.id.startswith("mm_safetybench/01-Bay") for example in found["unsafe"])
    assert not any(example.unsafe for example in [*found["safe"], *found["calibration"]])
    with pytest.raises(ValueError, match=r"benign = .*: it goes with data; leave it out"):
        get_setting("quick", benign=str(own))


SMALL = {"profile": "quick", "model": str(CHECKPOINT)}


def test_how_the_guard_is_loaded_is_up_to_the_user_and_another_classifier_has_counts_of_its_own(own):
    plain = get_setting(**SMALL, data=str(own))
    options = {"policy": "no acids in bay 3", "dtype": "bfloat16", "margin": 1.0, "batch_size": 8}
    chosen = get_setting(**SMALL, data=str(own), guard=options)
    assert (chosen.guard.margin, chosen.guard.batch_size) == (1.0, 8)
    assert chosen.store.classifier == chosen.guard.identity != plain.store.classifier
    with pytest.raises(ValueError, match=r"classifier = .*: the guard has another name; give guard.identity"):
        plain.store.get(chosen.smoothed(0.5, hrs.SuffixThreat(2)), chosen.sets["unsafe"][0], n=64)
    assert chosen.store.engine is not None
    assert plain.own
    assert chosen.own
    with pytest.raises(ValueError, match=r"guard = \{'devise': 'cuda'\}: no such argument; known are device, dtype"):
        get_setting("quick", guard={"devise": "cuda"})
    with pytest.raises(ValueError, match="model = 'no/such': there is no such folder"):
        get_setting("quick", model="no/such", data=str(own))


def test_the_small_guard_on_another_device_is_that_of_the_book_and_with_a_margin_it_is_not():
    same, other = (
        bay_setting("quick", guard={"device": "cpu", "batch_size": 8}),
        bay_setting("quick", guard={"margin": 1}),
    )
    assert same.guard.batch_size == 8
    assert (same.own, other.own) == (False, True)
    smoothed = [each.smoothed(0.5, hrs.SuffixThreat(8, one_shot=False)) for each in (same, other)]
    example = same.sets["unsafe"][0]
    assert same.store.get(smoothed[0], example, n=500) is not None
    assert other.store.get(smoothed[1], example, n=500) is None


def test_the_counts_of_the_book_are_what_is_drawn_now():
    setting = bay_setting("quick")
    nested, whole = hrs.SuffixThreat(8, one_shot=False), hrs.SuffixThreat(8)
    for threat, masked, name in ((nested, False, "unsafe"), (whole, True, "unsafe"), (hrs.L0Threat(5), True, "unsafe")):
        smoothed, example = setting.smoothed(0.5, threat), setting.sets[name][1]
        kept = setting.store.get(smoothed, example, n=500, masked=masked)
        assert kept == smoothed.sample(example, 500, masked=masked)
    smoothed, example = setting.smoothed(0.5, whole), setting.sets["unsafe"][1]
    row = StreamStore(setting.beside("streams"), setting.guard.identity).get(smoothed, example)
    verdicts = np.concatenate([*smoothed.verdicts(example, 500)])[:, 0]
    assert 0 < verdicts.sum() < len(verdicts)
    np.testing.assert_array_equal(row, verdicts)


def test_stores_of_a_setting_lie_beside_its_counts_and_are_named_after_them(own):
    assert bay_setting("quick").beside("streams") == COUNTS / "streams_quick.jsonl"
    name = get_setting(**SMALL, data=str(own)).beside("streams").name
    assert name == "streams_own.quick.counts.jsonl"


def test_what_is_drawn_again_lies_where_the_next_run_finds_it(own, capsys):
    setting = bay_setting("quick", resample=True)
    assert setting.counted == "data/resampled/quick.jsonl"
    assert bay_setting("quick", resample=True).store.path == setting.store.path
    assert "new draws go to data/resampled, where a stopped run resumes; remove" in capsys.readouterr().err
    assert get_setting(**SMALL, data=str(own), resample=True).store.path.parent == own.parent / "resampled"


def test_a_run_with_other_parameters_leaves_the_counts_of_the_book_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "DATA", tmp_path)
    monkeypatch.setattr(module, "COUNTS", tmp_path / "counts")
    shutil.copytree(COUNTS, tmp_path / "counts", ignore=lambda _, names: [n for n in names if n != "quick.jsonl"])
    setting = bay_setting("quick")
    before = setting.store.path.read_bytes()
    few = replace(setting, size=replace(setting.size, n=64))
    few.counts("unsafe", few.smoothed(0.5, hrs.SuffixThreat(2)))
    assert setting.store.path.read_bytes() == before
    drawn = tmp_path / "counts" / "quick.local.jsonl"
    assert len(drawn.read_text().splitlines()) == 4
    assert len(bay_setting("quick").store) == len(before.splitlines()) + 4
