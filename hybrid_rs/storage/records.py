"""Append-only files of finished work, one JSON object per line: counts, streams, attacks and decisions.

The last field of a line, ``check``, is a checksum of all other fields: the first 16 hexadecimal digits of the SHA-256
of their JSON with sorted names. A line that was changed after it was written, by a disk or by hand, is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from hybrid_rs._checks import kind, path as path_of, require, shown
from hybrid_rs._files import parsed_json, strict_json
from hybrid_rs.checkout import TREE

SCHEMA = 3  # 1 had no checksums, 2 named an example by its id alone
CHECK = "check"
DATA = TREE / "data"
BEGINNING = b'{"schema"'  # every line begins so; only an incomplete line with this beginning is removed

REMEDY = "if a run wrote it, remove the line and it will be made again"

Value = TypeVar("Value")


class Records(Generic[Value]):
    r"""A cache in an append-only file of JSON lines: from a question to its result.

    A line holds the question and, in the fields ``made``, the result. A run that is killed loses the line that
    it was writing, and the incomplete line is removed when the next one is written. Several runs may write one file at
    the same time, on a file system with POSIX locks: each line is written in one piece, and the other runs see it.

    A file of the book, in ``data/counts`` or ``data/attacks``, is read and never written: new lines go to a second
    file, see :func:`local`, which is read as well.

    Args:
        path: the file; made when the first line is written.
        made: the fields of the result; all others are the question.
        value: makes the value of a line; if it raises a ``KeyError``, ``TypeError``, ``ValueError`` or ``IndexError``,
            the line is refused.
        merge: given the known value and another one for the same question, returns the value to keep; a ``ValueError``
            refuses the other one. By default two lines of a file must agree, and a new line that disagrees is not
            written.

    Raises:
        ValueError: naming file and line, if the path is a folder, if a line was changed, was written with another
            schema, disagrees with an earlier one or is not a record, or if the text after the last newline is not the
            beginning of a record.

    Example:
        >>> from tempfile import mkdtemp
        >>> squares = records(Path(mkdtemp()) / "squares.jsonl", made=["square"])
        >>> squares.get_or_make({"schema": 3, "of": 3}, lambda: {"square": 3 * 3})["square"]
        9
        >>> records(squares.path, made=["square"]).get({"schema": 3, "of": 3})["square"]
        9
        >>> squares.path.read_text()
        '{"schema": 3, "of": 3, "square": 9, "check": "0923512261325306"}\n'
    """

    def __init__(
        self,
        path: Path,
        made: Collection[str],
        value: Callable[[dict[str, Any]], Value],
        merge: Callable[[Value, Value], Value] | None = None,
    ) -> None:
        path = path_of("path", path)
        self.path, self.made, self._value, self._merge = path, made, value, merge
        self._found: dict[str, Value] = {}
        for self.file in dict.fromkeys((path, local(path))):  # the last one is written to
            require(
                not self.file.is_dir(),
                "path",
                self.file,
                "this is a folder; give a file, new or of an earlier run",
            )
            self._end = self._lines = 0  # bytes and complete lines read so far
            self.read()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, question: dict[str, Any]) -> Value | None:
        """Return the result for a question, or None if the file has none."""
        return self._found.get(key(question, self.made))

    def get_or_make(self, question: dict[str, Any], make: Callable[[], dict[str, Any]]) -> Value:
        """Return the result for a question; if the file has none, make it and write it.

        Args:
            question: the fields that say what is asked for.
            make: returns the fields ``made``.

        Raises:
            ValueError: if there is no result and the file cannot be written; nothing is made then.
        """
        if (known := self.get(question)) is not None:
            return known
        self.require_writable()
        row = question | make()
        self.append([row])
        found = self.get(row)
        assert found is not None  # it was just written
        return found

    def read(self) -> None:
        """Read the lines that other runs have added since the last call."""
        if self.file.exists() or self._end:
            with self.file.open("rb") as opened:
                self._read(opened)

    def require_writable(self) -> None:
        """Require that lines can be written; call it before the work whose result goes there.

        Raises:
            ValueError: if the file, or the folder in which it will be made, cannot be written.
        """
        there = next(each for each in (self.file, *self.file.absolute().parents) if each.exists())
        able = os.access(there, os.W_OK) and (there == self.file or there.is_dir())
        require(able, "store", str(self.file), "it cannot be written; give another file", repr)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write lines in one piece, so that no line of another run comes between them; known lines are left out.

        Raises:
            ValueError: if a line of another run disagrees.
            OSError: if the disk is full, or the file system has no locks.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab+", buffering=0) as file:
            if sys.platform != "win32":
                import fcntl

                try:
                    fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
                except OSError as error:  # of some network file systems
                    remedy = "it cannot be locked against other runs; give a file on another file system"
                    raise OSError(f"{self.file}: {remedy} ({error.strerror})") from error
            self._read(file)
            if self.file != self.path and not self._end:
                print(f"new results for {self.path} go to {self.file}", file=sys.stderr)
            new = [row for row in rows if self._new(row)]
            lines = "".join(sealed(row) + "\n" for row in new).encode()
            file.truncate(self._end)  # removes an incomplete line of a killed run; nobody else is writing now
            if file.write(lines) != len(lines):
                file.truncate(self._end)
                raise OSError(f"{self.file}: no room for {len(lines)} more bytes; free some space and run again")
            os.fsync(file.fileno())
            self._read(file)

    def _read(self, file: IO[bytes]) -> None:
        size = file.seek(0, os.SEEK_END)
        require(size >= self._end, "path", self.file, "the file became shorter while in use; open it again")
        file.seek(self._end)
        *lines, rest = file.read(size - self._end).split(b"\n")  # the rest is incomplete: being written, or cut off
        for line in lines:
            where = f"{self.file}, line {self._lines + 1}"
            name, value = self._merged(opened(line, where), where)
            self._found[name] = value
            self._end, self._lines = self._end + len(line) + 1, self._lines + 1
        if not self._cut_off(rest):
            raise ValueError(_foreign(f"{self.file}, after line {self._lines}", rest))

    def _cut_off(self, rest: bytes) -> bool:
        """Return whether the text after the last newline is the beginning of a record."""
        try:
            parsed_json(rest.decode("utf-8", errors="replace"))
        except ValueError as error:
            begun = rest[: len(BEGINNING)] == BEGINNING[: len(rest)]
            return begun and not str(error).startswith("Extra data")  # a complete line without its newline
        try:
            self._made(opened(rest, ""), "")
        except ValueError:
            return False  # complete, but not a record
        return True

    def _made(self, row: dict[str, Any], where: str) -> Value:
        try:
            return self._value(row)
        except KeyError as error:
            raise ValueError(
                f"{where}: there is no {error}, so a run of another kind wrote it: give another file"
            ) from error
        except (TypeError, IndexError, AttributeError, OverflowError, ValueError) as error:
            remedy = "give another file if a run of another kind wrote it; else remove the line and it is made again"
            raise ValueError(f"{where}: {shown(error, most=600)}: {remedy}") from error

    def _merged(self, row: dict[str, Any], where: str) -> tuple[str, Value]:
        """Return a line's key and its value, merged with the known value."""
        name, value = key(row, self.made), self._made(row, where)
        known = self._found.get(name)
        if known is None:
            return name, value
        try:
            return name, _same(known, value) if self._merge is None else self._merge(known, value)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    def _new(self, row: dict[str, Any]) -> bool:
        """Return whether a line to be written says anything new."""
        known = self._found.get(key(row, self.made))
        if known is not None and self._merge is None:
            return False
        return known is None or self._merged(row, str(self.file))[1] is not known


def records(
    path: Path, made: Collection[str], check: Callable[[dict[str, Any]], None] = lambda row: None
) -> Records[dict[str, Any]]:
    """Return the records of a file whose values are complete lines, each with all fields in ``made``.

    Args:
        path: the file.
        made: the fields of the result.
        check: raises a ``ValueError`` for a line that is not valid.
    """

    def value(row: dict[str, Any]) -> dict[str, Any]:
        whole = row | {name: row[name] for name in made}
        check(whole)
        return whole

    return Records(path, made, value)


def sealed(row: dict[str, Any]) -> str:
    """Return a row as a line of a file, with its checksum and without the newline.

    Raises:
        ValueError: if a number is nan or infinite, which JSON cannot express.

    Example:
        >>> opened(sealed({"schema": 3, "of": 3}).encode(), "line 1")
        {'schema': 3, 'of': 3}
    """
    kind("row", row, dict, "give a dict that JSON can hold")
    rest = {name: value for name, value in row.items() if name != CHECK}
    return strict_json(rest | {CHECK: _checksum(rest)})


def opened(line: bytes, where: str) -> dict[str, Any]:
    """Return the row of a line without its checksum, after verifying the checksum.

    Args:
        line: the line, without its newline.
        where: the name of the line in an error.

    Raises:
        ValueError: if it is not such a line, was changed, or was written with another schema.
    """
    kind("line", line, bytes, "give the bytes of a line")
    try:
        row = parsed_json(line.decode())
        schema = row["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(_foreign(where, line)) from error
    if schema != SCHEMA or isinstance(schema, bool):
        remedy = f"this version reads {SCHEMA}; give another file, and what this one holds is made again"
        raise ValueError(f"{where}: schema = {shown(schema)}: {remedy}")
    found = row.pop(CHECK, None)
    if found != _checksum(row):
        raise ValueError(f"{where}: check = {shown(found, repr)}: the line was changed after it was written; {REMEDY}")
    return row


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield for every line of a file its name in errors and its row.

    Raises:
        ValueError: if there is no such file, or as in :func:`opened`.
    """
    path = path_of("path", path)
    require(path.is_file(), "path", str(path), "no such file", repr)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}, line {number}"
            yield where, opened(line.removesuffix(b"\n"), where)


def local(path: Path) -> Path:
    """Return the file to which new lines are written: for a file of the book, a second file that git ignores.

    So no run changes the data from which the book was made. To publish new lines, append the second file to the first.

    Example:
        >>> local(DATA / "counts" / "quick.jsonl").name, local(Path("my.jsonl")).name
        ('quick.local.jsonl', 'my.jsonl')
    """
    ours = path.absolute().parent in (DATA / "counts", DATA / "attacks")
    return path.with_suffix(".local.jsonl") if ours else path


def key(row: dict[str, Any], made: Collection[str]) -> str:
    """Return the question of a line, as one string: all fields that are not in ``made``."""
    return json.dumps({name: value for name, value in row.items() if name not in made}, sort_keys=True)


def _checksum(row: dict[str, Any]) -> str:
    return hashlib.sha256(strict_json(row, sort_keys=True).encode()).hexdigest()[:16]


def _same(known: Value, other: Value) -> Value:
    if known != other:
        raise ValueError("it disagrees with an earlier line for the same question: remove the wrong one")
    return known


def _foreign(where: str, line: bytes) -> str:
    return f"{where} = {shown(line[:60], repr)}: this is not a record: give another file; {REMEDY}"
