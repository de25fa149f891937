"""What commands make of their options on data: the entries of a data set on disk, and the guard's example of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_rs._checks import require, shown

if TYPE_CHECKING:
    from hybrid_rs.datasets import Entries, Entry, Problem
    from hybrid_rs.smoothing.example import Example
    from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

FIELDS = {"jsonl": ("image", "text", "label", "id"), "hugging-face": ("image", "text", "label")}


@dataclass(frozen=True)
class Source:
    """A data set on disk, as the options name it."""

    data: Path
    layout: str | None
    split: str | None
    kind: Any
    field: list[str] | None
    fit: Any
    on_problem: Any
    limit: int | None
    max_pixels: int

    def entries(self) -> Entries:
        """Load the entries, the first ``limit`` of them.

        Raises:
            ValueError: if none can be used.
        """
        from hybrid_rs import datasets

        layout, path = self.layout or guessed_layout(self.data), self.data
        names, split, common = self._fields(layout), self.split, self._common
        require(
            split is None or layout in ("hateful-memes", "hugging-face"),
            "split",
            split,
            f"{layout} has none; leave it out",
        )
        if layout == "jsonl":
            file = next(path.glob("*.jsonl"), path) if path.is_dir() else path
            usual = {"image": "file_name"} if file.name == "metadata.jsonl" else {}  # an imagefolder of Hugging Face
            found = datasets.load_jsonl(file, **usual | names, **common)
        elif layout == "hateful-memes":
            found = datasets.load_hateful_memes(path, split or "dev_seen", **common)  # type: ignore[arg-type]
        elif layout == "mm-safetybench":
            found = datasets.load_mm_safetybench(path, self.kind, **common)
        else:
            found = datasets.load_hugging_face(path, split, **names, **common)
        _some(len(found), path, found.problems)
        return replace(found, entries=found.entries[: self.limit])

    def examples(self, entries: Entries, smoothed: SmoothedGuard, problems: list[Problem]) -> Iterator[Example]:
        """Yield the guard's example of every entry; one that has none is refused, or put with the problems.

        All texts are looked at before the first example is made.

        Raises:
            ValueError: if one is refused, or none is left.
        """
        from hybrid_rs.smoothing.draws import require_readable

        guard: Any = smoothed.guard

        def readable(entry: Entry) -> bool:
            with self._blaming(entry, problems):
                length = len(guard.encode(entry.text))
                smoothed.threat.noised(length)  # a threat may need a text that is not empty
                require_readable(guard, length + smoothed.threat.slot, "text")
                return True
            return False

        usable = [entry for entry in entries if readable(entry)]
        _some(len(usable) or not len(entries), self.data, problems)
        for entry in usable:
            with self._blaming(entry, problems):
                yield next(replace(entries, entries=(entry,)).examples(guard.encode, guard.image_size, fit=self.fit))

    @property
    def _common(self) -> dict[str, Any]:
        return {"on_problem": self.on_problem, "max_pixels": self.max_pixels}

    @contextmanager
    def _blaming(self, entry: Entry, problems: list[Problem]) -> Iterator[None]:
        """Name the entry in an error, or put it with the problems."""
        from hybrid_rs.datasets import Problem

        try:
            yield
        except ValueError as error:
            reason = str(error).removeprefix(f"entry {shown(entry.id)}: ")
            if self.on_problem == "refuse":
                raise ValueError(
                    f"entry {shown(entry.id)}: {shown(reason, most=600)}; give --on-problem skip to go on without it"
                ) from error
            problems.append(Problem(entry.id, reason))

    def _fields(self, layout: str) -> dict[str, Any]:
        found, known = {}, FIELDS.get(layout, ())
        for assignment in self.field or []:
            name, equals, value = assignment.partition("=")
            remedy = f"give one of {', '.join(f'{n}=NAME' for n in known)}" if known else f"{layout} has a fixed layout"
            require(bool(equals and value) and name in known, "field", repr(assignment), remedy)
            found[name] = value
        return found


def _some(usable: int | bool, data: Path, problems: Iterable[Problem]) -> None:
    shown = "".join(f"\n  {problem}" for problem in problems)
    require(bool(usable), "data", repr(str(data)), f"no entry of it can be used{shown}")


def guessed_layout(path: Path) -> str:
    """Return the layout that a path shows by the files it has.

    Raises:
        ValueError: if there is no such path, or it shows none or several.
    """
    require(path.exists(), "data", repr(str(path)), "there is no such file or folder; nothing is downloaded")
    if path.is_file():
        require(path.suffix == ".jsonl", "data", repr(str(path)), "give a .jsonl file, or say --layout jsonl")
        return "jsonl"
    signs = {
        "jsonl": len(list(path.glob("*.jsonl"))) == 1 and not (path / "img").is_dir(),
        "hateful-memes": (path / "img").is_dir() and any(path.glob("*.jsonl")),
        "mm-safetybench": (path / "processed_questions").is_dir(),
        "hugging-face": (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file(),
    }
    found = [name for name, shown in signs.items() if shown]
    seen = f"it looks like {' and '.join(found)}" if found else "it looks like none of the known layouts"
    choice = f"say --layout {' or '.join(found)}" if found else "give a .jsonl file, or the folder that one has"
    require(len(found) == 1, "data", repr(str(path)), f"{seen}; {choice}")
    return found[0]
