"""Data sets: loaders of files that nobody vouches for, and the filter that asks a guard about them."""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from abuse import values
from abuse.room import Room
from PIL import Image

from hybrid_rs.datasets import (
    Entries,
    Entry,
    load_hateful_memes,
    load_hugging_face,
    load_jsonl,
    load_mm_safetybench,
)
from hybrid_rs.datasets.images import read_image
from hybrid_rs.datasets.interaction import interaction_only

JSON = (  # what may stand in a field of a file
    *("null", "true", "0", "1", "-1", "2", "0.5", "1e400", "NaN", "Infinity", "9" * 5_000, "[" * 2_000, "[]", "{}"),
    *('""', '"a.png"', '"../a.png"', '"/etc/passwd"', '"C:\\\\a.png"', '"a.png\\u0000"', '"\\ud800"', '"a.txt"'),
    *('"."', '"a text"', '"two\\nlines\\u001b[2J"', '["a.png"]', '{"bytes": "a"}', "\xff", "", '"' + "x" * 5_000 + '"'),
)


@cache
def home() -> Path:
    """A folder that is removed at the end, with an image and a file of text."""
    found = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, found, ignore_errors=True)
    (found / "a.png").write_bytes(picture())
    (found / "a.txt").write_text("no image")
    return found


@cache
def picture() -> bytes:
    """A whole PNG file."""
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (10, 200, 30)).save(file, "PNG")
    return file.getvalue()


def flipped(random: Random, data: bytes) -> bytes:
    """The bytes, half of the time as they are, else with one changed or an end cut off."""
    if random.random() < 0.5:
        return data
    at = random.randrange(len(data))
    changed = bytearray(data)
    changed[at] ^= 1 << random.randrange(8)
    return bytes(random.choice((changed, data[:at])))


def _line(random: Random, image: str = "image") -> str:
    fields = {image: '"a.png"', "text": '"a text"', "label": random.choice(("0", "1", "null")), "id": '"one"'}
    if random.random() < 0.6:
        fields[random.choice(list(fields))] = random.choice(JSON)
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"


def _jsonl(random: Random) -> Path:
    file = home() / "lines.jsonl"
    file.write_bytes(flipped(random, "\n".join(_line(random) for _ in range(2)).encode("utf-8", "surrogatepass")))
    return file


def _memes(random: Random) -> Path:
    (home() / "dev_seen.jsonl").write_text(_line(random, "img"), encoding="utf-8")
    return home()


def _questions(random: Random) -> Path:
    folder = home() / "bench"
    (folder / "imgs" / "01" / "SD").mkdir(parents=True, exist_ok=True)
    (folder / "processed_questions").mkdir(exist_ok=True)
    (folder / "imgs" / "01" / "SD" / "0.jpg").write_bytes(picture())
    value = random.choice(('"a question"', random.choice(JSON)))
    question = f'{{"0": {{"Rephrased Question(SD)": {value}, "Rephrased Question": "a"}}}}'
    (folder / "processed_questions" / "01.json").write_text(random.choice((question, random.choice(JSON))), "utf-8")
    return folder


@cache
def _saved() -> Path:
    import datasets

    table = {"image": [{"bytes": picture(), "path": None}] * 2, "text": ["a", "b"], "label": [0, 1]}
    datasets.Dataset.from_dict(table).save_to_disk(home() / "saved")
    return home() / "saved"


def _rows(random: Random) -> Path:
    folder = _saved()
    (folder / "state.json").write_text(_state(random), encoding="utf-8")
    return folder


@cache
def _good_state() -> dict[str, Any]:
    return dict(json.loads((_saved() / "state.json").read_text()))


def _state(random: Random) -> str:
    if random.random() < 0.7:
        return json.dumps(_good_state())
    fields = {name: json.dumps(value) for name, value in _good_state().items()}
    fields[random.choice(list(fields))] = random.choice(JSON)
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"


def _entries(random: Random) -> Entries:
    return Entries((Entry("a", "a text", home() / "a.png", True), Entry("b", "b", picture(), None)))


def _loaded(given: dict[str, Any], result: Any) -> None:
    assert len(result) + len(result.problems) > 0
    assert result.report.isprintable() or "\n" in result.report
    for entry in result:
        assert isinstance(entry.id, str)
        assert isinstance(entry.text, str)
        assert entry.unsafe in (True, False, None)


def _pixels(given: dict[str, Any], result: Any) -> None:
    assert (result.dtype, result.ndim, result.shape[0]) == (np.float32, 3, 3)
    assert np.all((result >= 0) & (result <= 1))


ROOM = Room(
    things=(
        *(load_hateful_memes, load_hugging_face, load_jsonl, load_mm_safetybench),
        *(Entries, interaction_only, read_image),
    ),
    good={
        "blank_image": lambda r: np.zeros((3, 2, 2), np.float32),
        "encode": lambda r: lambda text: [len(text)],
        "examples": lambda r: [values.example(r), values.example(r)],
        "first": lambda r: r.choice((None, 1, 3)),
        "fit": lambda r: r.choice(("stretch", "crop", "pad")),
        "id": lambda r: r.choice((None, "id")),
        "image": lambda r: "image",
        "image_size": lambda r: (4, 4),
        "kind": lambda r: "SD",
        "label": lambda r: r.choice((None, "label")),
        "look": lambda r: r.choice(("web", "stock")),
        "max_pixels": lambda r: r.choice((1, 12, 2**20)),
        "max_side": lambda r: None,  # for images that keep their own shape
        "neutral_text": lambda r: [0],
        "on_problem": lambda r: r.choice(("skip", "skip", "refuse")),
        "root": lambda r: None,
        "scenarios": lambda r: r.choice((None, ["01"], ["01", "02"])),
        "size": lambda r: r.choice((None, (4, 4))),
        "source": lambda r: r.choice((home() / "a.png", flipped(r, picture()))),
        "split": lambda r: None,
        "text": lambda r: "text",
        "tiny": lambda r: False,
    },
    own={
        "load_hateful_memes": {"path": _memes, "split": lambda r: "dev_seen"},
        "load_hugging_face": {"path": _rows},
        "load_jsonl": {"path": _jsonl},
        "load_mm_safetybench": {"path": _questions},
    },
    selves={"Entries": _entries},
    rules={
        "load_hateful_memes": _loaded,
        "load_hugging_face": _loaded,
        "load_jsonl": _loaded,
        "load_mm_safetybench": _loaded,
        "read_image": _pixels,
    },
    made_elsewhere=frozenset({"Entries"}),
)
