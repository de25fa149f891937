"""A tiny data set on disk, and the command line run in this process."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from hybrid_rs import cli
from hybrid_rs.small_guard import notes as bay_notes


@pytest.fixture(scope="session")
def notes(tmp_path_factory):
    """A folder of four BayNotes examples as a user would have them: two unsafe, one safe, one without a label."""
    folder = tmp_path_factory.mktemp("data") / "notes"
    folder.mkdir()
    unsafe, safe = bay_notes.examples("test", 3, unsafe=True), bay_notes.examples("test", 1, unsafe=False)
    lines = []
    for number, example in enumerate([*unsafe[:2], *safe, unsafe[2]]):
        pixels = np.rint(example.image.transpose(1, 2, 0) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        label = int(example.unsafe) if number < 3 else None
        lines.append(json.dumps({"image": f"{number}.png", "text": example.text, "label": label}))
    (folder / "notes.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command in an empty folder: returns the exit status and what was printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["hybrid-rs", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        return exit_info.value.code, capsys.readouterr()

    return call
