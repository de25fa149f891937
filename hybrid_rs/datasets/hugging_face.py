"""Data of the Hugging Face library ``datasets`` on disk: folders written by ``save_to_disk``, and Parquet files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hybrid_rs._checks import path as path_of, require, shown, text as text_of
from hybrid_rs._extras import needs
from hybrid_rs.datasets.entries import LONGEST, Entries, OnProblem, Problem, Record, checked, folder, inside
from hybrid_rs.datasets.images import MAX_PIXELS
from hybrid_rs.datasets.jsonl import parsed

PARQUET = ".parquet"
# class names in lower case, without spaces and punctuation
UNSAFE = {"unsafe", "hateful", "hate", "harmful", "toxic", "flagged", "true", "yes", "1"}
SAFE = {"safe", "nothateful", "nothate", "nohate", "nonhateful", "harmless", "benign", "nottoxic", "nontoxic"}
SAFE |= {"notunsafe", "notharmful", "unflagged", "notflagged", "false", "no", "0"}


def load_hugging_face(
    path: Path | str,
    split: str | None = None,
    *,
    image: str = "image",
    text: str = "text",
    label: str | None = None,
    on_problem: OnProblem = "refuse",
    max_pixels: int = MAX_PIXELS,
    first: int | None = None,
) -> Entries:
    """Load a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote, or a Parquet file.

    The folder contains Arrow tables and two JSON files. Reading them runs none of their code and loads no pickle. Files
    outside the folder are refused, even if the folder refers to them. For a folder of images with ``metadata.jsonl``
    use :func:`hybrid_rs.datasets.load_jsonl`.

    A Parquet file has the same columns as a table of the library: images are structs of bytes and path, or bytes.

    Args:
        path: the folder, or a file that ends in ``.parquet``.
        split: which split of a ``DatasetDict``; None for the folder of a ``Dataset``, and for a file.
        image: the column of images: encoded, as the library stores them.
        text: the column of texts.
        label: the column that is 1 or true for unsafe, 0 or false for safe, and null if it is not known; by default
            "label", if there is one. If the column has class names (a ``ClassLabel``), these must agree, such as
            ["safe", "unsafe"].
        on_problem: "refuse" raises an error that lists every problem; "skip" leaves those entries out and reports them.
        max_pixels: the largest image, height times width.
        first: load only this many usable entries, the first ones; the images of the rest are not opened.

    Returns:
        entries whose ids are the names of folder and split and the row's number. They hold the bytes of their images,
        so they need as much memory as the files.

    Raises:
        ValueError: if the folder is not of this kind, a column is missing, class names do not say that 1 is unsafe, or
            there are problems and they are refused.
        ImportError: if ``datasets`` is not installed.
    """
    file = path_of("path", path)
    parquet = file.suffix == PARQUET and file.is_file()
    require(not parquet or split is None, "split", split, "a Parquet file has none; leave it out", repr)
    root = file.parent if parquet else folder(path)
    home = folder(root if split is None else root / text_of("split", split))
    for name, value in (("image", image), ("text", text), ("label", "label" if label is None else label)):
        text_of(name, value)
    table, classes = parquet_table(file) if parquet else _table(home)
    for name, column in (("image", image), ("text", text), ("label", label)):
        remedy = f"give the name of one of the columns {shown(table.column_names)}"
        require(column in table.column_names or (name == "label" and column is None), name, repr(column), remedy)
    prefix = file.stem if parquet else home.resolve().name if split is None else f"{root.resolve().name}/{split}"
    label = label or "label"
    check_classes(label, classes.get(label))
    records = table_records(table, prefix, image, text, label)
    return checked(records, home, on_problem=on_problem, max_pixels=max_pixels, first=first)


def check_classes(column: str, names: Sequence[str] | None) -> None:
    """Require class names to say that class 0 is safe and class 1 is unsafe; None means that there are no names.

    Example:
        >>> check_classes("label", ["not hateful", "hateful"])
        >>> check_classes("label", ["unsafe", "safe"])
        Traceback (most recent call last):
        ValueError: label = ['unsafe', 'safe']: name class 0 safe and class 1 unsafe, or cast the column to int64
    """
    if names is None:
        return
    plain = [re.sub(r"[^a-z0-9]", "", str(name).lower()) for name in names]
    said = len(plain) == 2 and plain[0] in SAFE and plain[1] in UNSAFE
    remedy = "name class 0 safe and class 1 unsafe, or cast the column to int64"
    require(said, column, list(names), remedy)


def _table(home: Path) -> tuple[Any, dict[str, list[str]]]:
    """Return the Arrow table, after checking which files it consists of, and the class names by column."""
    with needs("data"):
        from datasets import ClassLabel, Dataset

    try:
        state = parsed(inside(home, "state.json").read_bytes())
        inside(home, "dataset_info.json")
        if isinstance(state, str):
            raise ValueError(f"state.json: {state}")
        for part in state["_data_files"]:
            inside(home, part["filename"])
        found = Dataset.load_from_disk(str(home.resolve()))
        classes = {name: list(kind.names) for name, kind in found.features.items() if isinstance(kind, ClassLabel)}
        table = found.data.table
        table.validate(full=True)  # offsets and lengths in an Arrow file may be wrong, too
    except Exception as error:  # Arrow and datasets raise many kinds of errors for invalid files
        remedy = "give a folder that save_to_disk wrote; for a DatasetDict also give its split"
        raise ValueError(f"path = {home}: {remedy} ({shown(error, most=LONGEST)})") from error
    return table, classes


def parquet_table(file: Path) -> tuple[Any, dict[str, list[str]]]:
    """Return the table of a Parquet file, and the class names by column, if ``datasets`` wrote them into it.

    Raises:
        ValueError: if the file is not a valid Parquet file.
    """
    with needs("data"):
        import pyarrow.parquet
        from datasets import ClassLabel, Features

    try:
        table = pyarrow.parquet.read_table(file)
        table.validate(full=True)
        features = Features.from_arrow_schema(table.schema)
        return table, {name: list(kind.names) for name, kind in features.items() if isinstance(kind, ClassLabel)}
    except Exception as error:  # Arrow and datasets raise many kinds of errors for invalid files
        raise ValueError(f"path = {file}: give a Parquet file ({shown(error, most=LONGEST)})") from error


def table_records(
    table: Any, prefix: str, image: str, text: str, label: str, id: str | None = None
) -> Iterator[Record | Problem]:
    """Yield for each row of an Arrow table its record, or the problem with it.

    Args:
        table: the table.
        prefix: the beginning of all ids.
        image: the column of images.
        text: the column of texts.
        label: the column of labels; it may be missing.
        id: the column whose value ends an id; None: the row's number.
    """
    columns = [name for name in (image, text, label, id) if name in table.column_names]
    number = 0
    for batch in table.select(columns).to_batches(max_chunksize=64):
        for row in batch.to_pylist():
            name, picture = f"row {number}", row[image]
            if isinstance(picture, dict):  # the library stores an image as its bytes or the path of a file
                picture = picture.get("bytes") or picture.get("path")
            if picture is None:
                yield Problem(name, "there is no image")
            elif isinstance(picture, list):
                yield Problem(name, f"there is a list of {len(picture)} images; one is needed")
            else:
                key = number if id is None else row[id]
                yield Record(name, f"{prefix}/{key}", row[text], picture, row.get(label))
            number += 1
