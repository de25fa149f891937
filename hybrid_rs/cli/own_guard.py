"""``--guard package.module:make``: a guard in plain Python, from the folder of the command or an installed package."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hybrid_rs._checks import require, shown
from hybrid_rs.datasets.images import sides

if TYPE_CHECKING:
    from hybrid_rs.smoothing.guard import Guard

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
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _failed(given, f"while {module} was imported", error) from error
        remedy = f"there is no module {error.name} in this folder, and none is installed"
        raise ValueError(f"guard = {shown(given, repr)}: {remedy}") from None
    except Exception as error:  # code of the user may raise anything
        raise _failed(given, f"while {module} was imported", error) from error
    make = getattr(found, name, None)
    require(callable(make), "guard", given, f"{module} has no function or class {name}", repr)
    try:
        guard: Any = make()  # type: ignore[misc]  # callable, as was just required
    except Exception as error:
        raise _failed(given, f"while {name} was called without arguments", error) from error
    kind = type(guard).__name__
    lacking = [member for member in MEMBERS if not hasattr(guard, member)]
    require(not lacking, "guard", given, f"the {kind} that it makes lacks {', '.join(lacking)}", repr)
    said = guard.identity
    remedy = f"{kind}.identity must be a text that changes whenever the guard's answers may change"
    require(isinstance(said, str) and bool(said), "guard", f"{given!r} with identity {said!r}", remedy)
    if guard.image_size is not None:
        sides(f"guard = {shown(given, repr)}: {kind}.image_size", guard.image_size)
    for member in ("unsafe", "encode"):
        require(callable(getattr(guard, member)), "guard", given, f"{kind}.{member} must be a function", repr)
    return guard


def _failed(given: str, when: str, error: Exception) -> ValueError:
    said = " ".join(str(error).split())[:300]
    return ValueError(f"guard = {shown(given, repr)}: {type(error).__name__} {when}: {said or 'it gives no reason'}")
