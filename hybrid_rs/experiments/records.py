"""Append-only files of finished work, one JSON object a line: counts, streams, attacks and decisions are kept so."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from hybrid_rs._checks import require
from hybrid_rs._places import TREE

SCHEMA = 1
DATA = TREE / "data"
BEGINNING = b'{"schema"'  # of every line; what is cut off and begins otherwise is not ours to remove

Value = TypeVar("Value")


class Records(Generic[Value]):
    r"""An append-only file that tells, of whatever was asked for, what was found.

    A line holds what was asked for and, in the fields ``made``, what was found. A run that is killed loses the line it
    was writing, and what is left of that line is removed when the next is written. Several runs may write one file at
    the same time, on a file system with POSIX locks: each line is written in one piece, and seen by the other runs.

    A file of the book, in ``data/counts`` or ``data/attacks``, is read and never written: what it lacks goes to a file
    beside it, see :func:`local`, which is read, too.

    Args:
        path: the file; made when the first line is written.
        made: the fields that were found; all others say what was asked for.
        value: makes the value of a line; a ``KeyError``, ``TypeError``, ``ValueError`` or ``IndexError`` refuses it.
        merge: of two values of one question, the known one and another, the one to keep; by default the known one. A
            ``ValueError`` refuses the other.

    Raises:
        ValueError: if the path is a folder, a line was written with another schema or is none of ours, or what follows
            the last newline is not the beginning of one.

    Example:
        >>> from tempfile import mkdtemp
        >>> squares = records(Path(mkdtemp()) / "squares.jsonl", made=["square"])
        >>> squares.append([{"schema": 1, "of": 3, "square": 9}])
        >>> records(squares.path, made=["square"]).get({"schema": 1, "of": 3})["square"]
        9
    """

    def __init__(
        self,
        path: Path,
        made: Collection[str],
        value: Callable[[dict[str, Any]], Value],
        merge: Callable[[Value, Value], Value] = lambda known, other: known,
    ) -> None:
        self.path, self.made, self._value, self._merge = path, made, value, merge
        self._found: dict[str, Value] = {}
        for self.file in dict.fromkeys((path, local(path))):  # the last is the one that is written
            require(not self.file.is_dir(), "path", self.file, "this is a folder; give a file in it, new or of a run")
            self._end = self._lines = 0  # what was read of the file: whole lines, from its beginning
            self.read()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, asked: dict[str, Any]) -> Value | None:
        """Return what was found, or None if that was not asked for yet."""
        return self._found.get(key(asked, self.made))

    def read(self) -> None:
        """Read the lines that other runs have added since the last time."""
        if self.file.exists() or self._end:
            with self.file.open("rb") as opened:
                self._read(opened)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write lines in one piece that no other run's can come between; those that say nothing new are left out.

        Raises:
            ValueError: if another run's line says otherwise.
            OSError: if there is no room.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab+", buffering=0) as file:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
            self._read(file)
            if self.file != self.path and not self._end:
                print(f"what {self.path} lacks goes to {self.file}", file=sys.stderr)
            new = [row for row in rows if self._merged(row, str(self.file))[2]]
            lines = "".join(json.dumps(row) + "\n" for row in new).encode()
            file.truncate(self._end)  # what a killed run left of a line; nobody else is writing one now
            if file.write(lines) != len(lines):
                file.truncate(self._end)
                raise OSError(f"{self.file}: no room for {len(lines)} more bytes; make some and run again")
            os.fsync(file.fileno())
            self._read(file)

    def _read(self, file: IO[bytes]) -> None:
        size = file.seek(0, os.SEEK_END)
        require(size >= self._end, "path", self.file, "the file became shorter while in use; open it again")
        file.seek(self._end)
        *lines, rest = file.read(size - self._end).split(b"\n")  # the rest is being written, or was cut off
        for line in lines:
            where = f"{self.file}, line {self._lines + 1}"
            try:
                row = json.loads(line)
                schema = row["schema"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(_foreign(where, line)) from error
            if schema != SCHEMA:
                raise ValueError(f"{where}: schema = {schema}: this version reads {SCHEMA}; give another file")
            try:
                name, value, _ = self._merged(row, where)
            except (KeyError, TypeError, IndexError) as error:
                raise ValueError(_foreign(where, line)) from error
            self._found[name] = value
            self._end, self._lines = self._end + len(line) + 1, self._lines + 1
        if not self._cut_off(rest):
            raise ValueError(_foreign(f"{self.file}, after line {self._lines}", rest))

    def _cut_off(self, rest: bytes) -> bool:
        """Whether what follows the last newline is what a run left of a line, or is writing."""
        try:
            self._value(json.loads(rest))
        except (KeyError, TypeError, IndexError):
            return False  # it is whole, and something else
        except ValueError:
            return rest[: len(BEGINNING)] == BEGINNING[: len(rest)]
        return True

    def _merged(self, row: dict[str, Any], where: str) -> tuple[str, Value, bool]:
        """Return a line's key and value, merged with what is known, and whether it says anything new."""
        name, value = key(row, self.made), self._value(row)
        known = self._found.get(name)
        if known is not None:
            try:
                value = self._merge(known, value)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
        return name, value, value is not known


def records(path: Path, made: Collection[str]) -> Records[dict[str, Any]]:
    """Return the records of a file whose values are whole lines, each with all the fields ``made``."""
    return Records(path, made, lambda row: row | {name: row[name] for name in made})


def local(path: Path) -> Path:
    """Return where lines of a file are written: beside it, in a file that git ignores, if it is one of the book's.

    So no run changes what the book was made from. To publish what was drawn, append the one to the other.

    Example:
        >>> local(DATA / "counts" / "quick.jsonl").name, local(Path("my.jsonl")).name
        ('quick.local.jsonl', 'my.jsonl')
    """
    ours = path.absolute().parent in (DATA / "counts", DATA / "attacks")
    return path.with_suffix(".local.jsonl") if ours else path


def key(row: dict[str, Any], made: Collection[str]) -> str:
    """Return what was asked for, in one word: the fields of a line that are not among ``made``."""
    return json.dumps({name: value for name, value in row.items() if name not in made}, sort_keys=True)


def _foreign(where: str, line: bytes) -> str:
    remedy = "no line of such a file: give another file; if a run wrote it, remove the line to have it made again"
    return f"{where} = {line[:60]!r}: {remedy}"
