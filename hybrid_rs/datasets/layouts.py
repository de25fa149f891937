"""Detect the layout of a data set on disk, and load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from hybrid_rs._checks import path as path_of, require
from hybrid_rs.datasets.entries import Entries
from hybrid_rs.datasets.hateful_memes import Split, load_hateful_memes
from hybrid_rs.datasets.hugging_face import PARQUET, load_hugging_face
from hybrid_rs.datasets.jsonl import MAX_LINE, load_jsonl
from hybrid_rs.datasets.mm_safetybench import QUESTIONS, Kind, load_mm_safetybench


def load_any(path: Path | str, *, first: int | None = None) -> Entries:
    """Load a data set in the layout that is detected from its files, with the usual names of fields.

    Args:
        path: a JSONL or Parquet file, or the folder of a data set.
        first: load only this many usable entries, the first ones.

    Raises:
        ValueError: as in :func:`guessed_layout`, or if an entry cannot be used.

    Example:
        >>> load_any("nowhere")
        Traceback (most recent call last):
        ValueError: data = 'nowhere': no such file or folder; nothing is downloaded
    """
    place = path_of("data", path)
    layout = guessed_layout(place)
    if layout == "jsonl":
        file, usual = jsonl_of(place)
        return load_jsonl(file, **usual, first=first)
    load: Any = {
        "hateful-memes": load_hateful_memes,
        "mm-safetybench": load_mm_safetybench,
        "hugging-face": load_hugging_face,
    }[layout]
    found: Entries = load(place, first=first)
    return found


def jsonl_of(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the JSONL file of a path, and the names of fields if it is an imagefolder of Hugging Face.

    Raises:
        ValueError: if it is a folder without such a file, or with several.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    require(len(files) == 1, "data", str(path), f"it holds {len(files)} .jsonl files; give the path of one", repr)
    file = files[0]
    return file, {"image": "file_name"} if file.name == "metadata.jsonl" else {}


def guessed_layout(path: Path) -> str:
    """Detect the layout of a data set from its files.

    Raises:
        ValueError: if there is no such path, or it fits no layout or several.
    """
    path = path_of("data", path)
    require(path.exists(), "data", str(path), "no such file or folder; nothing is downloaded", repr)
    if path.is_file():
        if path.suffix == PARQUET:
            return "hugging-face"
        require(path.suffix == ".jsonl", "data", str(path), "give a .jsonl file, or say --layout jsonl", repr)
        return "jsonl"
    signs = {
        "jsonl": len(list(path.glob("*.jsonl"))) == 1 and not _memes(path),
        "hateful-memes": _memes(path),
        "mm-safetybench": any(_questions(home) for home in (path, path / "data")),
        "hugging-face": (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file(),
    }
    found = [name for name, shown in signs.items() if shown]
    seen = f"it looks like {' and '.join(found)}" if found else "it looks like none of the known layouts"
    choice = f"say --layout {' or '.join(found)}" if found else "give the path of a .jsonl file, or a folder with one"
    require(len(found) == 1, "data", str(path), f"{seen}; {choice}", repr)
    return found[0]


def _memes(path: Path) -> bool:
    """Return whether a folder holds Hateful Memes: a folder ``img``, and a split whose first line has a field "img"."""
    if not (path / "img").is_dir():
        return False
    files = [file for split in get_args(Split) if (file := path / f"{split}.jsonl").is_file()]
    return any(b'"img"' in _first_line(file) for file in files)


def _first_line(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.readline(MAX_LINE)


def _questions(home: Path) -> bool:
    """Return whether a folder holds MM-SafetyBench, as its authors lay it out or as Parquet files."""
    return (home / QUESTIONS).is_dir() or any(next(home.glob(f"*/{kind}{PARQUET}"), None) for kind in get_args(Kind))
