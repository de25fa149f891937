"""Folders written by ``save_to_disk`` of the Hugging Face library ``datasets``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hybrid_rs._checks import require, shown, text as text_of
from hybrid_rs._extras import needs
from hybrid_rs.datasets.entries import LONGEST, Entries, OnProblem, Problem, Record, checked, folder, inside
from hybrid_rs.datasets.images import MAX_PIXELS
from hybrid_rs.datasets.jsonl import parsed

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
) -> Entries:
    """Load a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote.

    The folder contains Arrow tables and two JSON files. Reading them runs none of their code and loads no pickle. Files
    outside the folder are refused, even if the folder refers to them. For a folder of images with ``metadata.jsonl``
    use :func:`hybrid_rs.datasets.load_jsonl`. Convert Parquet once, with
    ``datasets.Dataset.from_parquet(...).save_to_disk(...)``.

    Args:
        path: the folder.
        split: which split of a ``DatasetDict``; None for the folder of a ``Dataset``.
        image: the column of images: encoded, as the library stores them.
        text: the column of texts.
        label: the column that is 1 or true for unsafe, 0 or false for safe, and null if it is not known; by default
            "label", if there is one. If the column has class names (a ``ClassLabel``), these must agree, such as
            ["safe", "unsafe"].
        on_problem: "refuse" raises an error that lists every problem; "skip" leaves those entries out and reports them.
        max_pixels: the largest image, height times width.

    Returns:
        entries whose ids are the names of folder and split and the row's number. They hold the bytes of their images,
        so they need as much memory as the files.

    Raises:
        ValueError: if the folder is not of this kind, a column is missing, class names do not say that 1 is unsafe, or
            there are problems and they are refused.
        ImportError: if ``datasets`` is not installed.
    """
    root = folder(path)
    home = folder(root if split is None else root / text_of("split", split))
    for name, value in (("image", image), ("text", text), ("label", "label" if label is None else label)):
        text_of(name, value)
    table, classes = _table(home)
    for name, column in (("image", image), ("text", text), ("label", label)):
        remedy = f"give the name of one of the columns {shown(table.column_names)}"
        require(column in table.column_names or (name == "label" and column is None), name, repr(column), remedy)
    prefix = home.resolve().name if split is None else f"{root.resolve().name}/{split}"
    label = label or "label"
    check_classes(label, classes.get(label))
    records = _rows(table, prefix, image, text, label)
    return checked(records, home, on_problem=on_problem, max_pixels=max_pixels)


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


def _rows(table: Any, prefix: str, image: str, text: str, label: str) -> Iterator[Record | Problem]:
    columns = [name for name in (image, text, label) if name in table.column_names]
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
                yield Record(name, f"{prefix}/{number}", row[text], picture, row.get(label))
            number += 1
