"""Data sets of one JSON object a line, with images in files beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from hybrid_rs._checks import require
from hybrid_rs.datasets.entries import Entries, OnProblem, Problem, Record, checked, folder
from hybrid_rs.datasets.images import MAX_PIXELS

MAX_LINE = 2**20  # bytes of one line


def load_jsonl(
    path: Path | str,
    *,
    root: Path | str | None = None,
    image: str = "image",
    text: str = "text",
    label: str = "label",
    id: str = "id",
    on_problem: OnProblem = "refuse",
    max_pixels: int = MAX_PIXELS,
) -> Entries:
    r"""Load a file of lines such as ``{"image": "img/1.png", "text": "...", "label": 1}``.

    The label, and the id, may be missing. The ``metadata.jsonl`` of a Hugging Face *imagefolder* is such a file:
    ``image="file_name"``. Lines are UTF-8; empty ones are passed over.

    Args:
        path: the file.
        root: the folder that the images' paths start from, and must not leave; by default that of the file.
        image: the name of the field with the image's path.
        text: the name of the field with the text.
        label: the name of the field that is 1 or true for unsafe, 0 or false for safe; null where it is not known.
        id: the name of the field, a string or a whole number, that identifies an entry; by default the line's number.
            Entries are called by the file's name without its ending, a slash, and this.
        on_problem: "refuse" raises an error that lists every problem; "skip" leaves those entries out and reports them.
        max_pixels: the largest image, height times width.

    Raises:
        ValueError: if there is no such file or folder, or there are problems and they are refused.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8)).save(Path(folder, "a.png"))
        ...     lines = '{"image": "a.png", "text": "hello", "label": 0}\n{"image": "b.png", "text": "x"}\n'
        ...     _ = Path(folder, "mine.jsonl").write_text(lines)
        ...     print(load_jsonl(Path(folder, "mine.jsonl"), on_problem="skip").report)
        entries: 1 (0 unsafe, 1 safe, 0 unlabelled); problems: 1
          mine.jsonl, line 2: there is no file 'b.png'
    """
    file = Path(path)
    require(file.is_file(), "path", str(path), "give a file on this machine; nothing is downloaded")
    fields = {"image": image, "text": text, "label": label, "id": id}
    home = folder(file.parent if root is None else root)
    records = jsonl_records(file, file.stem, fields)
    return checked(records, home, on_problem=on_problem, max_pixels=max_pixels, name=file.name)


def jsonl_records(file: Path, prefix: str, fields: dict[str, str]) -> Iterator[Record | Problem]:
    """Yield what each line of a file says, or why it cannot be read.

    Args:
        file: the file.
        prefix: what ids begin with.
        fields: the names of the fields for image, text, label and id.
    """
    with file.open("rb") as opened:
        for number, line in enumerate(_lines(opened), start=1):
            where = f"{file.name}, line {number}"
            if len(line) > MAX_LINE:
                yield Problem(where, f"the line is longer than {MAX_LINE} bytes")
            elif line.strip():
                yield _record(line, where, number, prefix, fields)


def _lines(opened: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of a line that is too long only a beginning that shows it."""
    while line := opened.readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = opened.readline(MAX_LINE + 1)


def _record(line: bytes, where: str, number: int, prefix: str, fields: dict[str, str]) -> Record | Problem:
    values = parsed(line)
    if isinstance(values, str):
        return Problem(where, values)
    key: Any = values.get(fields["id"], number)
    if isinstance(key, bool) or not isinstance(key, int | str):
        return Problem(where, f"the id is {key!r}, not a string or a whole number")
    for field in (fields["image"], fields["text"]):
        if field not in values:
            return Problem(where, f"there is no field {field!r}")
    image, text, label = values[fields["image"]], values[fields["text"]], values.get(fields["label"])
    name = f"{where} (id {key})" if fields["id"] in values else where
    return Record(name, f"{prefix}/{key}", text, image, label)


def parsed(data: bytes) -> dict[str, Any] | str:
    """Return the JSON object in some bytes, or the reason why there is none, as a string."""
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except (ValueError, RecursionError) as error:
        return f"it is no JSON: {error}"
    return value if isinstance(value, dict) else "it is no JSON object"
