"""Folders that ``save_to_disk`` of the Hugging Face library ``datasets`` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hybrid_rs._checks import require
from hybrid_rs.datasets.entries import Entries, OnProblem, Problem, Record, checked, folder, inside
from hybrid_rs.datasets.images import MAX_PIXELS
from hybrid_rs.datasets.jsonl import parsed


def load_hugging_face(
    path: Path | str,
    split: str | None = None,
    *,
    image: str = "image",
    text: str = "text",
    label: str = "label",
    on_problem: OnProblem = "refuse",
    max_pixels: int = MAX_PIXELS,
) -> Entries:
    """Load a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote.

    The folder holds Arrow tables and two JSON files; reading them runs no code of theirs and loads no pickle, and
    nothing is looked up elsewhere: files that the folder names outside of itself are refused. Other forms have their
    ways here: of a folder of images with ``metadata.jsonl`` that is :func:`hybrid_rs.datasets.load_jsonl`; Parquet is
    converted once, by ``datasets.Dataset.from_parquet(...).save_to_disk(...)``.

    Args:
        path: the folder.
        split: which split of a ``DatasetDict``; None for the folder of a ``Dataset``.
        image: the column of images: encoded, as the library stores them.
        text: the column of texts.
        label: the column that is 1 or true for unsafe, 0 or false for safe, and null where it is not known; it may be
            missing. Look at the order of named classes: number 1 must be the unsafe one.
        on_problem: "refuse" raises an error that lists every problem; "skip" leaves those entries out and reports them.
        max_pixels: the largest image, height times width.

    Returns:
        entries called by the names of folder and split and the row's number, with the bytes of their images: the
        memory that the files take.

    Raises:
        ValueError: if the folder is none of these, a column is missing, or there are problems and they are refused.
        ImportError: if ``datasets`` is not installed.
    """
    root = folder(path)
    home = folder(root if split is None else root / split)
    table = _table(home)
    for column in (image, text):
        remedy = f"give the name of one of the columns {table.column_names}"
        require(column in table.column_names, "column", repr(column), remedy)
    prefix = home.resolve().name if split is None else f"{root.resolve().name}/{split}"
    records = _rows(table, prefix, image, text, label)
    return checked(records, home, on_problem=on_problem, max_pixels=max_pixels)


def _table(home: Path) -> Any:
    """The Arrow table, after a look at which files it is made of."""
    try:
        from datasets import Dataset
    except ImportError as error:
        raise ImportError('such folders need datasets: pip install "hybrid_rs[data]"') from error

    try:
        state = parsed(inside(home, "state.json").read_bytes())
        inside(home, "dataset_info.json")
        if isinstance(state, str):
            raise ValueError(f"state.json: {state}")
        for part in state["_data_files"]:
            inside(home, part["filename"])
        table = Dataset.load_from_disk(str(home.resolve())).data.table
        table.validate(full=True)  # offsets and lengths of an Arrow file are not to be believed either
    except Exception as error:  # Arrow and datasets have many ways to say that a file is not theirs
        remedy = "give a folder that save_to_disk wrote, of a DatasetDict with its split"
        raise ValueError(f"path = {home}: {remedy} ({error})") from error
    return table


def _rows(table: Any, prefix: str, image: str, text: str, label: str) -> Iterator[Record | Problem]:
    columns = [name for name in (image, text, label) if name in table.column_names]
    number = 0
    for batch in table.select(columns).to_batches(max_chunksize=64):
        for row in batch.to_pylist():
            name, picture = f"row {number}", row[image]
            if isinstance(picture, dict):  # how the library stores an image: its bytes, or the path of a file
                picture = picture.get("bytes") or picture.get("path")
            if picture is None:
                yield Problem(name, "there is no image")
            else:
                yield Record(name, f"{prefix}/{number}", row[text], picture, row.get(label))
            number += 1
