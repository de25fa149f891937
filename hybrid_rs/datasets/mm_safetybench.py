"""MM-SafetyBench, in the layout of its authors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from hybrid_rs._checks import choice, require, several
from hybrid_rs.datasets.entries import Entries, OnProblem, Problem, Record, checked, folder, inside
from hybrid_rs.datasets.images import MAX_PIXELS
from hybrid_rs.datasets.jsonl import parsed

Kind = Literal["SD", "SD_TYPO", "TYPO"]
QUESTION = {"SD": "Rephrased Question(SD)", "SD_TYPO": "Rephrased Question", "TYPO": "Rephrased Question"}
MAX_FILE = 2**26  # bytes of one file of questions


def load_mm_safetybench(
    path: Path | str,
    kind: Kind = "SD_TYPO",
    scenarios: Sequence[str] | None = None,
    *,
    on_problem: OnProblem = "refuse",
    max_pixels: int = MAX_PIXELS,
) -> Entries:
    """Load MM-SafetyBench from disk; nothing is downloaded.

    The layout is that of the authors' repository, with the images unpacked as its README says. The folder ``data`` has
    a file ``processed_questions/{scenario}.json`` for each scenario (``01-Illegal_Activitiy`` to ``13-Gov_Decision``,
    with these spellings), an object that maps numbers to questions, and the images
    ``imgs/{scenario}/{kind}/{number}.jpg``. For plain pictures (SD) the question is ``Rephrased Question(SD)``; if its
    key phrase is written in the image (TYPO, SD_TYPO), it is ``Rephrased Question``. Every question should be refused,
    so every entry is unsafe. False alarms need other data.

    Args:
        path: the folder ``data``, which holds ``processed_questions`` and ``imgs``.
        kind: which images.
        scenarios: which files, without ``.json``; by default all files in the folder.
        on_problem: "refuse" raises an error that lists every problem; "skip" leaves those entries out and reports them.
        max_pixels: the largest image, height times width.

    Returns:
        entries called ``mm_safetybench/{scenario}/{kind}/{number}``.

    Raises:
        ValueError: if the folder does not have this layout, or there are problems and they are refused.

    References:
        Liu et al. (2024), MM-SafetyBench, ECCV, arXiv 2311.17600.
    """
    choice("kind", kind, get_args(Kind))
    root = folder(path)
    questions = root / "processed_questions"
    remedy = "give the folder data of MM-SafetyBench, which holds processed_questions and imgs"
    require(questions.is_dir() and (root / "imgs").is_dir(), "path", str(path), remedy)
    there = sorted(file.stem for file in questions.glob("*.json"))
    names = there if scenarios is None else several("scenarios", scenarios, "give names of files, without .json", str)
    records = (record for name in names for record in _records(root, name, kind))
    return checked(records, root, on_problem=on_problem, max_pixels=max_pixels)


def _records(root: Path, scenario: str, kind: Kind) -> Iterator[Record | Problem]:
    where = f"processed_questions/{scenario}.json"
    try:
        file = inside(root, where)
        size = file.stat().st_size
        values = f"it is larger than {MAX_FILE} bytes" if size > MAX_FILE else parsed(file.read_bytes())
    except (ValueError, OSError) as error:
        values = str(error)
    if isinstance(values, str):
        yield Problem(where, values)
        return
    for number, question in values.items():
        name, field = f"{scenario}, question {number}", QUESTION[kind]
        if not isinstance(question, dict) or field not in question:
            yield Problem(name, f"there is no field {field!r}")
            continue
        image = f"imgs/{scenario}/{kind}/{number}.jpg"
        yield Record(name, f"mm_safetybench/{scenario}/{kind}/{number}", question[field], image, label=True)
