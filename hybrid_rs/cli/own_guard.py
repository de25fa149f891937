"""``--guard package.module:make``: a guard in plain Python, from the folder of the command or an installed package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any

from hybrid_rs._checks import require, shown
from hybrid_rs.datasets.images import sides
from hybrid_rs.smoothing.answers import AnswerError, failed_at, raised
from hybrid_rs.smoothing.guard import Guard, require_guard

MEMBERS = ("alphabet", "pad_id", "mask_id", "unsafe", "encode", "image_size", "identity")


def own_guard(given: str, folder: str) -> Guard:
    """Import a module, call one of its functions or classes without arguments, and return the guard that it makes.

    Args:
        given: ``package.module:make``, the module and the name of the function or class.
        folder: where modules are looked for first.

    Returns:
        a guard that has, in addition to the members of :class:`hybrid_rs.Guard`:

        - ``encode(text)``: the token ids of a text;
        - ``image_size``: (height, width) to which images are resized; None: every image keeps its own size;
        - ``identity``: a text that changes whenever the guard's answers may change. Counts are stored under it, so
          that those of two guards are never added up.

    Raises:
        ValueError: if there is no such module or name, its code fails, or what it makes lacks one of these members.
    """
    module, colon, name = given.partition(":")
    plain = bool(colon) and all(part.isidentifier() for part in (*module.split("."), name))
    require(plain, "guard", given, "give the module and the name in it, such as my_guard:make", repr)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    with _running(given, f"while {module} was imported"):
        found = _imported(given, module)
        make: Any = getattr(found, name, None)
    require(callable(make), "guard", given, f"{module} has no function or class {name}", repr)
    with _running(given, f"while {name} was called without arguments"):
        guard: Any = make()
    kind = type(guard).__name__
    with _running(given, f"while the members of {kind} were read"):
        lacking = [member for member in MEMBERS if not hasattr(guard, member)]
        said, size, encode = (getattr(guard, member, None) for member in ("identity", "image_size", "encode"))
    require(not lacking, "guard", given, f"the {kind} that it makes lacks {', '.join(lacking)}", repr)
    remedy = f"{kind}.identity must be a text that changes whenever the guard's answers may change"
    require(isinstance(said, str) and bool(said), "guard", f"{given!r} with identity {said!r}", remedy)
    if size is not None:
        sides(f"guard = {shown(given, repr)}: {kind}.image_size", size)
    require(callable(encode), "guard", given, f"{kind}.encode must be a function", repr)
    require_guard(guard, f"guard = {shown(given, repr)}: {kind}")
    made: Guard = guard
    return made


def naming_guard(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that an error about an answer of the user's guard names ``--guard`` and its value."""

    @wraps(command)
    def run(**options: Any) -> None:
        try:
            command(**options)
        except ValueError as error:
            about_guard = isinstance(error, AnswerError) or isinstance(error.__cause__, AnswerError)
            if not about_guard or options.get("guard") is None:
                raise
            raise ValueError(f"guard = {shown(options['guard'], repr)}: {error}") from error

    return run


class _NoModule(ValueError):
    """There is no module of that name."""


def _imported(given: str, module: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, but imports one that is not
        remedy = f"there is no module {error.name} in this folder, and none is installed"
        raise _NoModule(f"guard = {shown(given, repr)}: {remedy}") from None


@contextmanager
def _running(given: str, when: str) -> Iterator[None]:
    """Turn whatever the user's code raises into an error that names ``--guard``; only a Ctrl-C passes."""
    try:
        yield
    except (KeyboardInterrupt, _NoModule):
        raise
    except BaseException as error:
        kind, _, reason = raised(error).partition(": ")
        said = f"{kind} {when}: {reason or 'it gives no reason'}{failed_at(error)}"
        if isinstance(error, SystemExit):  # a program that ends itself, with whatever status, has made no guard
            said += '; leave sys.exit out, or put what only a script runs under if __name__ == "__main__":'
        raise ValueError(f"guard = {shown(given, repr)}: {said}") from error
