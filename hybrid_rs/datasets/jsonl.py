"""Data sets with one JSON object per line, and images in separate files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from hybrid_rs._checks import path as path_of, require, shown, text as text_of
from hybrid_rs._files import parsed_json, utf8
from hybrid_rs.datasets.entries import Entries, OnProblem, Problem, Record, checked, folder
from hybrid_rs.datasets.images import MAX_PIXELS

MAX_LINE = 2**20  # bytes of one line
MAX_FIELDS = 10_000  # names of fields that are remembered


def load_jsonl(
    path: Path | str,
    *,
    root: Path | str | None = None,
    image: str = "image",
    text: str = "text",
    label: str | None = None,
    id: str | None = None,
    on_problem: OnProblem = "refuse",
    max_pixels: int = MAX_PIXELS,
    first: int | None = None,
) -> Entries:
    r"""Load a file of lines such as ``{"image": "img/1.png", "text": "...", "label": 1}``.

    Label and id may be missing, unless their names are given: a name that no line has is refused. The
    ``metadata.jsonl`` of a Hugging Face *imagefolder* is such a file: ``image="file_name"``. Lines are UTF-8, with or
    without a byte order mark; empty lines are skipped.

    Args:
        path: the file.
        root: the folder that contains the images; their paths are relative to it. By default the file's folder.
        image: the name of the field with the image's path.
        text: the name of the field with the text.
        label: the name of the field that is 1 or true for unsafe, 0 or false for safe, null if it is not known.
            By default "label", if there is one.
        id: the name of the field, a string or a whole number, that identifies an entry; by default "id", if there is
            one, else the line's number. An entry's id is the file's name without its ending, a slash, and this.
        on_problem: "refuse" raises an error that lists every problem; "skip" leaves those entries out and reports them.
        max_pixels: the largest image, height times width.
        first: load only this many usable entries, the first ones; the rest is not opened.

    Raises:
        ValueError: if there is no such file or folder, no line has a field that was named, or there are problems and
            they are refused.

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
    file = path_of("path", path)
    require(file.is_file(), "path", str(path), "give a file on this machine; nothing is downloaded")
    names = {
        "image": image,
        "text": text,
        "label": "label" if label is None else label,
        "id": "id" if id is None else id,
    }
    fields = {name: text_of(name, value) for name, value in names.items()}
    home = folder(file.parent) if root is None else folder(root, "root")
    named = [name for name, given in (("label", label), ("id", id)) if given is not None]
    records = jsonl_records(file, file.stem, fields, named)
    return checked(records, home, on_problem=on_problem, max_pixels=max_pixels, name=file.name, first=first)


def jsonl_records(
    file: Path, prefix: str, fields: dict[str, str], named: Sequence[str] = ()
) -> Iterator[Record | Problem]:
    """Yield for each line of a file its record, or the problem with it.

    Args:
        file: the file.
        prefix: the beginning of all ids.
        fields: the names of the fields for image, text, label and id.
        named: which of "label" and "id" must occur in some line.

    Raises:
        ValueError: after the last line, if no line has such a field.
    """
    seen: set[str] = set()
    with file.open("rb") as opened:
        for number, line in enumerate(_lines(opened), start=1):
            where = f"{file.name}, line {number}"
            if len(line) > MAX_LINE:
                yield Problem(where, f"the line is longer than {MAX_LINE} bytes")
            elif line.strip():
                values = parsed(line)
                seen.update(values if isinstance(values, dict) and len(seen) < MAX_FIELDS else ())
                yield _record(values, where, number, prefix, fields)
    for name in named:
        remedy = f"no line of {file.name} has this field; choose from {shown(sorted(seen))}"
        require(fields[name] in seen or not seen, name, repr(fields[name]), remedy)


def _lines(opened: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file; of a line that is too long, only its beginning."""
    while line := opened.readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = opened.readline(MAX_LINE + 1)


def _record(
    values: dict[str, Any] | str, where: str, number: int, prefix: str, fields: dict[str, str]
) -> Record | Problem:
    if isinstance(values, str):
        return Problem(where, values)
    key: Any = values.get(fields["id"], number)
    if isinstance(key, bool) or not isinstance(key, int | str):
        return Problem(where, f"the id is {shown(key, repr)}, not a string or a whole number")
    for field in (fields["image"], fields["text"]):
        if field not in values:
            return Problem(where, f"there is no field {field!r}")
    image, text, label = values[fields["image"]], values[fields["text"]], values.get(fields["label"])
    name = f"{where} (id {key})" if fields["id"] in values else where
    return Record(name, f"{prefix}/{key}", text, image, label)


def parsed(data: bytes) -> dict[str, Any] | str:
    """Return the JSON object in some bytes; if there is none, return the reason as a string."""
    try:
        text = utf8(data)
    except ValueError as error:
        return str(error)
    try:
        value = parsed_json(text, strict=False)
    except ValueError as error:
        return f"it is not JSON: {error}"
    return value if isinstance(value, dict) else "it is not a JSON object"
