"""A setting of the book, or of a user's own guard and data."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybrid_rs.datasets import bay_notes
from hybrid_rs.experiments.setting import bay_setting, get_setting
from hybrid_rs.guards.bay_guard import CHECKPOINT


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
    with pytest.raises(ValueError, match="two safe ones at least"):
        get_setting("quick", model=str(CHECKPOINT), data=str(own))
