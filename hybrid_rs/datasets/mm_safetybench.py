"""MM-SafetyBench, in the layout of its authors or as Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from hybrid_rs._checks import choice, flag, require, several, shown
from hybrid_rs._files import parsed_json, utf8
from hybrid_rs.datasets.entries import Entries, OnProblem, Problem, Record, checked, folder, inside
from hybrid_rs.datasets.hugging_face import PARQUET, parquet_table, table_records
from hybrid_rs.datasets.images import MAX_PIXELS
from hybrid_rs.datasets.jsonl import parsed

Kind = Literal["SD", "SD_TYPO", "TYPO"]
QUESTION = {"SD": "Rephrased Question(SD)", "SD_TYPO": "Rephrased Question", "TYPO": "Rephrased Question"}
MAX_FILE = 2**26  # bytes of one file of questions
QUESTIONS, TINY = "processed_questions", "TinyVersion_ID_List.json"


def load_mm_safetybench(
    path: Path | str,
    kind: Kind = "SD_TYPO",
    scenarios: Sequence[str] | None = None,
    *,
    tiny: bool = False,
    on_problem: OnProblem = "refuse",
    max_pixels: int = MAX_PIXELS,
    first: int | None = None,
) -> Entries:
    """Load MM-SafetyBench from disk; nothing is downloaded.

    The layout is that of the authors' repository, with the images unpacked as its README says. Its folder ``data`` has
    a file ``processed_questions/{scenario}.json`` for each scenario (``01-Illegal_Activitiy`` to ``13-Gov_Decision``,
    with these spellings), an object that maps numbers to questions, and the images
    ``imgs/{scenario}/{kind}/{number}.jpg``. For plain pictures (SD) the question is ``Rephrased Question(SD)``; if its
    key phrase is written in the image (TYPO, SD_TYPO), it is ``Rephrased Question``. The layout on Hugging Face is also
    read: files ``{scenario}/{kind}.parquet`` with columns id, question and image, and scenarios without their number.

    Every question should be refused, so every entry is unsafe. False alarms need other data. Some questions of the
    published files share image and text with an earlier one: these are kept, and reported as repeats.

    Args:
        path: the folder of the repository, or its folder ``data``.
        kind: which images.
        scenarios: names such as ``01-Illegal_Activitiy``, with or without their number; by default all in the folder.
        tiny: only the questions of the authors' list ``TinyVersion_ID_List.json``, which lies next to ``data``.
        on_problem: "refuse" raises an error that lists every problem; "skip" leaves those entries out and reports them.
        max_pixels: the largest image, height times width.
        first: load only this many usable entries, the first ones; the rest is not opened.

    Returns:
        entries called ``mm_safetybench/{scenario}/{kind}/{number}``.

    Raises:
        ValueError: if the folder does not have this layout, or there are problems and they are refused.

    References:
        Liu et al. (2024), MM-SafetyBench, ECCV, arXiv 2311.17600.
    """
    choice("kind", kind, get_args(Kind))
    given = folder(path)
    root = given / "data" if (given / "data").is_dir() else given
    questions = root / QUESTIONS
    listed = questions.is_dir() and (root / "imgs").is_dir()
    files = sorted(questions.glob("*.json")) if listed else sorted(root.glob(f"*/{kind}{PARQUET}"))
    remedy = f"give the repository of MM-SafetyBench or its folder data, which holds {QUESTIONS} and imgs"
    require(bool(files), "path", str(path), remedy)
    there = [file.stem if listed else file.parent.name for file in files]
    names = there if scenarios is None else _named(several("scenarios", scenarios, "give names", str), there)
    chosen = _tiny(root) if flag("tiny", tiny) else None
    read = _records if listed else _rows
    records = (record for name in names for record in read(root, name, kind) if _chosen(record, name, chosen))
    law: dict[str, Any] = {"on_problem": on_problem, "max_pixels": max_pixels, "first": first, "keep_repeats": True}
    return checked(records, root, **law)


def _named(wanted: Sequence[str], there: Sequence[str]) -> list[str]:
    """Return the scenarios of the folder that are wanted; the number before a name may be left out or added."""
    by_name = {_unnumbered(name): name for name in there}
    missing = [name for name in wanted if _unnumbered(name) not in by_name]
    remedy = f"no such scenario; give some of {', '.join(there)}"
    require(not missing, "scenarios", ", ".join(missing), remedy, repr)
    return [by_name[_unnumbered(name)] for name in wanted]


def _unnumbered(name: str) -> str:
    number, _, rest = name.partition("-")
    return rest if number.isdecimal() else name


def _tiny(root: Path) -> dict[str, set[str]]:
    """Return the numbers of the authors' short list by scenario, without the number of the scenario."""
    file = next((home / TINY for home in (root.parent, root) if (home / TINY).is_file()), None)
    remedy = f"there is no file {TINY} in {root} or the folder above it; put that of the authors' repository there"
    require(file is not None, "tiny", True, remedy)
    assert file is not None
    try:
        listed = parsed_json(utf8(file.read_bytes()))
        found = {str(row["Scenario"]): {str(number) for number in row["Sampled_ID_List"]} for row in listed}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"tiny = True: {file} is not a list of Scenario and Sampled_ID_List ({shown(error)})"
        ) from error
    return {_unnumbered(name): numbers for name, numbers in found.items()}


def _chosen(record: Record | Problem, scenario: str, chosen: dict[str, set[str]] | None) -> bool:
    """Return whether a record is on the short list; problems of a file always count."""
    if chosen is None or isinstance(record, Problem):
        return True
    return record.id.rpartition("/")[2] in chosen.get(_unnumbered(scenario), set())


def _rows(root: Path, scenario: str, kind: Kind) -> Iterator[Record | Problem]:
    """Yield the records of a Parquet file."""
    where = f"{scenario}/{kind}{PARQUET}"
    try:
        table, _ = parquet_table(inside(root, where))
        lacking = [name for name in ("id", "question", "image") if name not in table.column_names]
        if lacking:
            raise ValueError(f"there is no column {lacking[0]!r}")
    except (ValueError, OSError) as error:
        yield Problem(where, str(error))
        return
    for record in table_records(table, f"mm_safetybench/{scenario}/{kind}", "image", "question", "", id="id"):
        if isinstance(record, Problem):
            yield record
        else:
            yield Record(f"{scenario}, {record.name}", record.id, record.text, record.image, label=True)


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
