"""Parts that all data sets on disk share: checked entries, and a report of those that failed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from hybrid_rs._checks import choice, function, integer, path as path_of, require, shown
from hybrid_rs.datasets.images import (
    MAX_PIXELS,
    MAX_SIDE,
    Fit,
    Look,
    decoded,
    file_bytes,
    fitted,
    limit,
    own_sides,
    sides,
)  # fmt: skip
from hybrid_rs.smoothing.answers import failed_at, raised
from hybrid_rs.smoothing.example import Example

OnProblem = Literal["refuse", "skip"]
TOKENIZER = "give the guard's tokenizer, a function from text to token ids, shape (length,)"
SHOWN = 20  # problems listed in a message
LONGEST = 600  # characters of a reason that are listed


@dataclass(frozen=True)
class Record:
    """One entry as a layout found it, before any check.

    Args:
        name: its place in the file, for the report.
        id: the id that the entry will have.
        text: should be the text.
        image: should be the path of an image below the data set's root, or the bytes of an image.
        label: should be 0, 1, true, false, or None if it is not known.
    """

    name: str
    id: str
    text: Any
    image: Any
    label: Any = None


@dataclass(frozen=True)
class Problem:
    """An entry, or a file, that cannot be used; both texts are shortened.

    Args:
        name: its place.
        reason: what is wrong with it.
    """

    name: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", shown(self.name))
        object.__setattr__(self, "reason", shown(self.reason, most=LONGEST))

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Entry:
    """One pair of text and image, checked.

    Args:
        id: unique in its data set.
        text: the untrusted text.
        image: the image file, links resolved; or its bytes.
        unsafe: the ground truth, or None if it is not known.
    """

    id: str
    text: str
    image: Path | bytes
    unsafe: bool | None = None

    def example(
        self,
        token_ids: ArrayLike,
        image_size: tuple[int, int] | None,
        *,
        fit: Fit = "stretch",
        max_side: int | None = None,
        look: Look = "web",
        max_pixels: int = MAX_PIXELS,
    ) -> Example:
        """Return the example for a guard: the image at the guard's resolution, and the text as token ids.

        The example's id is the entry's id with a digest of 128 bits of the image file, the text and how the image was
        resized. Noise and stored counts depend on the id, so two contents do not share them, whoever made them.

        Args:
            token_ids: shape ``(length,)``, the text as the guard's tokenizer encodes it.
            image_size: (height, width) that the guard takes; None: the image keeps its own. The image budget epsilon is
                measured in these pixels.
            fit: what to do where the aspect ratio differs; see :func:`hybrid_rs.datasets.images.read_image`.
            max_side: for an image that keeps its own shape, the longest side that it may have; a larger one is reduced.
            look: how orientation and transparency are read; see :func:`hybrid_rs.datasets.images.read_image`.
            max_pixels: the largest image that is read, height times width.

        Raises:
            ValueError: if the image cannot be read, or the token ids are invalid.
        """
        how, most, seen = choice("fit", fit, get_args(Fit)), limit(max_pixels), choice("look", look, get_args(Look))
        longest = None if max_side is None else integer("max_side", max_side, 1, MAX_SIDE)
        data = file_bytes(self.image, most)
        image = decoded(data, most, seen)
        if image_size is None:
            require(how == "stretch", "fit", how, "an image that keeps its shape needs no fit; leave it out", repr)
            size = own_sides(image.height, image.width, longest)
        else:
            require(longest is None, "max_side", max_side, "all images have one size; leave it out")
            size = sides("image_size", image_size)
            how = how if image.width * size[0] != image.height * size[1] else "stretch"  # of one shape: all the same
        pixels = fitted(image, size, how)
        looked = () if seen == "web" else (seen,)
        name = f"{self.id}@{_digest(data, self.text, *size, how, *looked)[:32]}"
        return Example(name, np.asarray(token_ids, np.int64), pixels, self.unsafe, self.text)


@dataclass(frozen=True)
class Entries:
    """The usable entries of a data set, and the problems of the others.

    Args:
        entries: in the order of the data set.
        problems: skipped entries and the reasons.
        max_pixels: the limit that was applied to images.
        repeats: entries that have image and text of an earlier one and were kept; a share over all entries counts them.
    """

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    max_pixels: int = MAX_PIXELS
    repeats: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @property
    def report(self) -> str:
        """A summary of what was loaded and what was not; show it with every share that is computed from the entries."""
        kinds = [entry.unsafe for entry in self.entries]
        counts = f"{kinds.count(True)} unsafe, {kinds.count(False)} safe, {kinds.count(None)} unlabelled"
        head = f"entries: {len(self.entries)} ({counts}); problems: {len(self.problems)}"
        again = [f"repeats, kept: {len(self.repeats)}", *_listed(self.repeats)] if self.repeats else []
        return "\n".join([head, *_listed(self.problems), *again])

    def examples(
        self,
        encode: Callable[[str], ArrayLike],
        image_size: tuple[int, int] | None,
        *,
        fit: Fit = "stretch",
        max_side: int | None = None,
        look: Look = "web",
    ) -> Iterator[Example]:
        """Yield the examples for a guard, one at a time; see :meth:`Entry.example`.

        Args:
            encode: the guard's own tokenizer, from text to ids without special tokens; ``guard.encode`` of a
                :class:`hybrid_rs.guards.vlm.VisionLanguageGuard`.
            image_size: (height, width) that the guard takes; None: images keep their own.
            fit: what to do where the aspect ratio differs.
            max_side: the longest side of images that keep their shape.
            look: how orientation and transparency are read.

        Raises:
            ValueError: if an image has changed since it was checked, or a text cannot be encoded; the entry is named.
        """
        function("encode", encode, TOKENIZER)
        how: dict[str, Any] = {"fit": fit, "max_side": max_side, "look": look, "max_pixels": self.max_pixels}
        for entry in self.entries:
            try:
                example = entry.example(encode(entry.text), image_size, **how)
            except TypeError as error:
                raise ValueError(f"encode = {shown(encode, repr)}: {TOKENIZER} ({error})") from error
            except (ValueError, OSError) as error:
                raise ValueError(f"entry {shown(entry.id)}: {error}") from error
            except Exception as error:  # such as a KeyError: a word that a vocabulary does not have
                said = f"encode failed with {raised(error)}{failed_at(error)}"
                raise ValueError(f"entry {shown(entry.id)}: {said}: correct its code") from error
            yield example


def checked(
    records: Iterable[Record | Problem],
    root: Path,
    *,
    on_problem: OnProblem,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
    first: int | None = None,
    keep_repeats: bool = False,
) -> Entries:
    """Check the records of a layout: every text, label and path, and every image by decoding it.

    An entry with the id of an earlier one, or with the same image and text, is a problem too: it would count twice.
    Images are decoded here only to check them, before hours of drawing; pixels are not kept in memory.

    Args:
        records: the records that the layout found, and the problems of those that it could not read.
        root: the folder that must contain all images; ``..``, absolute paths and links out of it are refused.
        on_problem: "refuse" raises an error that lists the problems; "skip" leaves those entries out and reports them.
        max_pixels: limit of an image, height times width.
        name: the name of the data set in the error if it is empty; by default that of its folder.
        first: stop after this many usable entries; later records are not read, and their problems not seen.
        keep_repeats: keep an entry with the image, text and label of an earlier one, and report it. A published data
            set may contain such entries; with another label it stays a problem.

    Raises:
        ValueError: if there are problems and they are refused, or an argument is out of range.
    """
    choice("on_problem", on_problem, get_args(OnProblem))
    max_pixels = limit(max_pixels)
    wanted = None if first is None else integer("first", first, at_least=1)
    entries: list[Entry] = []
    problems: list[Problem] = []
    repeats: list[Problem] = []
    seen: dict[str, str] = {}  # id or content: name of the first record that had it
    labels: dict[str, bool | None] = {}  # content: label
    for record in records:
        if wanted is not None and len(entries) == wanted:
            break
        if isinstance(record, Problem):
            problems.append(record)
            continue
        try:
            entry, content = _entry(record, root, max_pixels)
            harmless = keep_repeats and content in seen and labels[content] == entry.unsafe
            for key, what in ((f"id {entry.id}", "the id"), (content, "image and text")):
                if key in seen and not (harmless and key == content):
                    raise ValueError(f"{what} of {seen[key]} again")
            if harmless:
                repeats.append(Problem(record.name, f"image and text of {seen[content]} again"))
            entries.append(entry)
            seen |= {f"id {entry.id}": record.name, content: seen.get(content, record.name)}
            labels[content] = entry.unsafe
        except (ValueError, OSError) as error:
            problems.append(Problem(record.name, str(error)))
    if not entries and not problems:
        problems.append(Problem(name or root.resolve().name, "it has no entries"))
    if on_problem == "refuse" and problems:
        shown = "\n".join(_listed(problems))
        raise ValueError(
            f'on_problem = "refuse": {len(problems)} of the entries cannot be used; fix them, or give "skip"\n{shown}'
        )
    return Entries(tuple(entries), tuple(problems), max_pixels, tuple(repeats))


def inside(root: Path, name: Any) -> Path:
    """Return the file of that name below a folder, links resolved.

    Raises:
        ValueError: if the name is not a relative path, leads out of the folder, or there is no such file.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"{shown(name, repr)} is not a path")
    parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    if ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        raise ValueError(f"the path {shown(name, repr)} leads out of the folder")
    try:
        home, file = root.resolve(strict=True), (root / name).resolve()
        found = file.is_file()
    except OSError:  # the name is too long for a file
        raise ValueError(f"there is no file {shown(name, repr)}") from None
    except RuntimeError:  # Python before 3.13 raises this
        raise ValueError(f"the path {shown(name, repr)} is a loop of links") from None
    if not file.is_relative_to(home):
        raise ValueError(f"the path {shown(name, repr)} leads out of the folder by a link")
    if not found:
        raise ValueError(f"there is no file {shown(name, repr)}")
    return file


def folder(path: Path | str, name: str = "path") -> Path:
    """Return the path of a folder that exists; ``name`` is the parameter's name in errors."""
    found = path_of(name, path)
    require(found.is_dir(), name, str(path), "give a folder on this machine; nothing is downloaded")
    return found


def _entry(record: Record, root: Path, max_pixels: int) -> tuple[Entry, str]:
    """Return the entry of a record, and a digest of its image and text."""
    for name, value in (("id", record.id), ("text", record.text)):
        if not isinstance(value, str):
            raise ValueError(f"the {name} is {type(value).__name__}, not a string")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError(f"the {name} is not valid Unicode")
    unsafe = _label(record.label)
    if isinstance(record.image, list | tuple):
        raise ValueError(f"the image is a list, {shown(record.image)}; an entry has one image: give its path, a string")
    image = record.image if isinstance(record.image, bytes) else inside(root, record.image)
    data = file_bytes(image, max_pixels)
    decoded(data, max_pixels)
    return Entry(record.id, record.text, image, unsafe), _digest(data, record.text)


def _digest(data: bytes, *of: object) -> str:
    return hashlib.sha256(repr(of).encode() + b"\0" + data).hexdigest()


def _label(value: Any) -> bool | None:
    if value is None:
        return None
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise ValueError(f"the label is {shown(value, repr)}, not 0 or 1")


def _listed(problems: Iterable[Problem]) -> list[str]:
    lines = [f"  {problem}" for problem in problems]
    more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more
