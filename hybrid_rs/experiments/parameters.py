"""The parameters that a notebook declares, and a check that the given parameters match them.

If a notebook does not have a parameter, papermill only warns and runs with the default: a mistyped ``sigma`` would
certify with the wrong noise. Papermill's parser ignores hints such as ``str | None``, so this module has its own.
``hybrid-rs run`` checks before a notebook runs; :func:`check_parameters` checks inside a notebook, for every tool.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_rs._checks import require
from hybrid_rs._files import parsed_json, read_text
from hybrid_rs.checkout import TREE

NOTEBOOKS = TREE / "notebooks" / "experiments"
INJECTED = "# Parameters\n"  # first line of the cell that papermill adds after the cell tagged ``parameters``


@dataclass(frozen=True)
class Parameter:
    """One assignment of a notebook's parameters cell: its name, accepted types, and default."""

    name: str
    types: tuple[type, ...]
    default: Any

    def accepts(self, value: Any) -> bool:
        """Return whether the value has a type of this parameter; an int is accepted as a float, but not a bool."""
        if isinstance(value, bool):
            return bool in self.types
        return isinstance(value, self.types) or (isinstance(value, int) and float in self.types)


def declared(source: str) -> dict[str, Parameter]:
    r"""Return the parameters in the source of a parameters cell: its assignments of literals.

    The types are those of the type hint, otherwise that of the default.

    Raises:
        ValueError: if the cell contains anything but assignments of literals to names.

    Example:
        >>> sorted(declared("sigma = 0.5  # pixel units\nguard: str | None = None"))
        ['guard', 'sigma']
        >>> declared("sigma = 0.5")["sigma"].accepts("0.5")
        False
    """
    found = {}
    for node in ast.parse(source).body:
        hint: ast.expr | None = None
        try:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    default = ast.literal_eval(value)
                case ast.AnnAssign(target=ast.Name(id=name), annotation=hint, value=ast.expr() as value):
                    default = ast.literal_eval(value)
                case _:
                    raise ValueError
        except ValueError:
            remedy = "keep only assignments of literals in the parameters cell"
            raise ValueError(f"parameters cell, {ast.unparse(node)!r}: {remedy}") from None
        found[name] = Parameter(name, _types(hint) or (type(default),), default)
    return found


def _types(hint: ast.expr | None) -> tuple[type, ...]:
    """Return the builtin types in a hint: ``str | None`` gives str and NoneType, ``list[float]`` gives list."""
    if hint is None:
        return ()
    if isinstance(hint, ast.BinOp):
        return _types(hint.left) + _types(hint.right)
    if isinstance(hint, ast.Constant) and hint.value is None:
        return (type(None),)
    name = ast.unparse(hint.value if isinstance(hint, ast.Subscript) else hint)
    found = getattr(builtins, name, None)
    if not isinstance(found, type):
        raise ValueError(f"type hint = {name}: use builtin types in the parameters cell")
    return (found,)


def declared_in(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters in a notebook's cell tagged ``parameters``; none if it has no such cell."""
    try:  # nbformat would do it, too, but takes seconds to import
        cells = parsed_json(read_text("notebook", notebook))["cells"]
        tagged = ["".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])]
    except (KeyError, TypeError) as error:
        raise ValueError(f"notebook = {str(notebook)!r}: it is no notebook; give one of format 4") from error
    require(len(tagged) <= 1, "parameters cells", len(tagged), f"tag one cell of {notebook.name} only")
    return declared(tagged[0]) if tagged else {}


def find_notebook(name: str, notebooks: Path = NOTEBOOKS) -> tuple[Path, dict[str, Parameter]]:
    """Return the path of an experiment's notebook, and the parameters that it declares.

    Raises:
        ValueError: if there is no notebook of this name.
    """
    source = notebooks / f"{name}.ipynb"
    known = ", ".join(sorted(p.stem for p in notebooks.glob("*.ipynb"))) or "none"
    require(source.is_file(), "name", name, f"no notebook {source}; known are {known}", repr)
    return source, declared_in(source)


def check(given: Mapping[str, Any], known: Mapping[str, Parameter]) -> None:
    """Check that all given parameters are known and have the right type.

    Raises:
        ValueError: naming the parameter, its value and what is accepted.

    Example:
        >>> check({"sigmaa": 0.5}, declared("sigma = 0.5"))
        Traceback (most recent call last):
        ValueError: sigmaa = 0.5: no such parameter; known are sigma (float)
    """
    listed = ", ".join(f"{p.name} ({_spell(p.types)})" for p in known.values()) or "none"
    for name, value in given.items():
        require(name in known, name, value, f"no such parameter; known are {listed}", repr)
        kind = f"this is {_spell((type(value),))}; give {_spell(known[name].types)}"
        require(known[name].accepts(value), name, repr(value), kind)


def check_parameters() -> None:
    """Check that this notebook declares all parameters that papermill gave to it; call it in the next cell.

    Papermill writes the given parameters into a new cell, after the cell that declares them. This function compares the
    last two cells that ran. Without papermill, as in JupyterLab, it does nothing.

    Raises:
        ValueError: naming the parameter, its value and what is accepted.
    """
    values = notebook_values()
    match values.get("In", [])[
        1:-1
    ]:  # the sources of the cells that ran before this one; the first entry is not a cell
        case [*_, declaring, injected] if injected.startswith(INJECTED):
            targets = [target for node in ast.parse(injected).body for target in getattr(node, "targets", [])]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            check({name: values[name] for name in names}, declared(declaring))


def notebook_values() -> Mapping[str, Any]:
    """Return the variables of the notebook that runs in this process; empty if there is no notebook.

    Example:
        >>> notebook_values()
        {}
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell.user_ns if shell else {}


def _spell(types: tuple[type, ...]) -> str:
    return " or ".join("None" if t is type(None) else t.__name__ for t in types)
