"""Hateful Memes, in the layout of its authors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from hybrid_rs._checks import choice
from hybrid_rs.datasets.entries import Entries, OnProblem, checked, folder, inside
from hybrid_rs.datasets.images import MAX_PIXELS
from hybrid_rs.datasets.jsonl import jsonl_records

Split = Literal["train", "dev", "dev_seen", "dev_unseen", "test", "test_seen", "test_unseen"]
FIELDS = {"image": "img", "text": "text", "label": "label", "id": "id"}


def load_hateful_memes(
    path: Path | str,
    split: Split = "dev_seen",
    *,
    on_problem: OnProblem = "refuse",
    max_pixels: int = MAX_PIXELS,
    first: int | None = None,
) -> Entries:
    """Load a split of Hateful Memes from disk. Nothing is downloaded: the licence forbids redistribution.

    The layout is that of the data set's own README: a folder ``img`` with PNG files, and a file ``{split}.jsonl`` with
    lines ``{"id": 42953, "img": "img/42953.png", "label": 0, "text": "..."}``. Label 1 means *hateful*; some releases
    of the test splits have no labels. (The first release called two files ``dev`` and ``test``.) Here *hateful* is
    unsafe. The text is the one written on the image, so it can be read there, too.

    Args:
        path: the folder.
        split: which file.
        on_problem: "refuse" raises an error that lists every problem; "skip" leaves those entries out and reports them.
            Some copies of the data set lack images.
        max_pixels: the largest image, height times width.
        first: load only this many usable entries, the first ones; the rest is not opened.

    Returns:
        entries called ``hateful_memes/{split}/{id}``.

    Raises:
        ValueError: if the folder does not have this layout, or there are problems and they are refused.

    References:
        Kiela et al. (2020), The Hateful Memes Challenge, arXiv 2005.04790.
    """
    choice("split", split, get_args(Split))
    root = folder(path)
    try:
        file = inside(root, f"{split}.jsonl")
    except ValueError as error:
        raise ValueError(f"path = {path}: give the folder of {split}.jsonl and img ({error})") from None
    records = jsonl_records(file, f"hateful_memes/{split}", FIELDS)
    return checked(records, root, on_problem=on_problem, max_pixels=max_pixels, first=first)
