"""Text files: always UTF-8, strict JSON, and written completely or not at all."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from hybrid_rs._checks import path as path_of, require, shown

WIDE = "it is UTF-16 or UTF-32; save it as UTF-8"


def utf8(data: bytes) -> str:
    r"""Decode bytes, which must be UTF-8; a leading byte order mark is dropped.

    Raises:
        ValueError: with the reason.

    Example:
        >>> utf8(b"\xef\xbb\xbfyes")
        'yes'
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise ValueError(WIDE if wide else "it is not UTF-8; give a file of text") from None
    if "\0" in text[:2]:
        raise ValueError(WIDE)
    return text


def read_text(name: str, path: Path) -> str:
    """Return the text of a file, which must be UTF-8; every failure is a ``ValueError`` under a parameter's name."""
    path = path_of(name, path)
    require(not path.is_dir(), name, str(path), "this is a folder; give a file", repr)
    require(path.is_file(), name, str(path), "no such file", repr)
    try:
        return utf8(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{name} = {str(path)!r}: it cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{name} = {str(path)!r}: {error}") from None


def write_whole(name: str, path: Path, content: str | bytes) -> None:
    """Write a file atomically: even after an interruption, it has either the new content or the old one.

    The content is written to a temporary file in the same folder, which then replaces the old file. A special file,
    such as ``/dev/stdout``, is written directly.

    Args:
        name: the parameter that the path was given as.
        path: the file; a link is followed.
        content: text, written as UTF-8 with the line ends that it has, or bytes.

    Raises:
        ValueError: if the path is a folder, is not in an existing folder, or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_whole("out", Path(folder, "a.txt"), "whole")
        ...     Path(folder, "a.txt").read_text(), len(list(Path(folder).iterdir()))
        ('whole', 1)
    """
    check_writable(name, path)
    data = content.encode() if isinstance(content, str) else content
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                file.write(data)
            return
        beside = target.with_name(f".{target.name[:80]}.{secrets.token_hex(8)}.tmp")
        try:
            with beside.open("xb") as file:
                if target.exists():
                    os.chmod(beside, target.stat().st_mode & 0o777)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ValueError(f"{name} = {str(path)!r}: it cannot be written ({error.strerror})") from error


def check_writable(name: str, path: Path) -> None:
    """Require that a file can be written at this path; call it before the work whose result goes there."""
    path = path_of(name, path)
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{name} = {str(path)!r}: a loop of links; give another file") from error
    require(not target.is_dir(), name, str(path), "this is a folder; give a file in it", repr)
    require(target.parent.is_dir(), name, str(path), "no such folder; make it, or give another file", repr)
    able = os.access(target if target.exists() else target.parent, os.W_OK)
    require(able, name, str(path), "it cannot be written; give another file", repr)


def strict_json(value: Any, **options: Any) -> str:
    """Return a value as standard JSON; nan and infinity, which JSON cannot express, are refused."""
    try:
        return json.dumps(value, allow_nan=False, **options)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"value = {shown(value, repr)}: JSON has no such value ({error})") from None


def parsed_json(text: str, *, strict: bool = True) -> Any:
    """Parse a JSON text; an object with the same name twice is refused.

    Args:
        text: the text.
        strict: refuse NaN and Infinity, which are not JSON although Python writes them by default.

    Raises:
        ValueError: with the reason.

    Example:
        >>> parsed_json('{"k": 1, "k": 2}')
        Traceback (most recent call last):
        ValueError: 'k' occurs twice
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number if strict else None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:80]!r} occurs twice")
        found[name] = value
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not a JSON number")
