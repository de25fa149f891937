"""A Sphinx extension: pages of reference, written from the docstrings of the package and the help of its commands.

They are written into ``book/reference`` before the table of contents is read, and again only where they changed: one
for each folder of the package, one for the names of :mod:`hybrid_rs` itself, and one for the command line.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import status_page
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring
from typer.models import OptionInfo

import hybrid_rs
from hybrid_rs._files import write_whole

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PAGES = Path("book", "reference")
PACKAGE = Path(hybrid_rs.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {"__version__": "``__version__``", "citation": ":doc:`citation <cite>`"}  # names in no folder's page
HIDDEN = {"cli"}  # a reader of its commands needs their help, not its functions


def rooms() -> dict[str, list[str]]:
    """Return the modules of each folder of the package, by the folder's name: those without an underscore."""
    folders = sorted(path.parent for path in PACKAGE.glob("*/__init__.py") if path.parent.name not in HIDDEN)
    return {
        folder.name: sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
        for folder in folders
    }


def pages() -> dict[str, str]:
    """Return the text of every page of reference, by its file name."""
    made = {f"{room}.rst": room_page(room, modules) for room, modules in rooms().items()}
    made |= {"names.rst": names_page(), "commands.md": commands_page(), "cite.md": cite_page()}
    return made | {"status.md": status_page.page(ROOT)}


def room_page(room: str, modules: list[str]) -> str:
    """Return the page of a folder of the package: its docstring, then one section for each module."""
    whole = f"hybrid_rs.{room}"
    parts = [
        _title(room, "="),
        f"Package ``{whole}``.\n",
        _documented(whole, members=bool(_public(PACKAGE / room / "__init__.py"))),
    ]
    for module in modules:
        members = bool(_public(PACKAGE / room / f"{module}.py"))
        parts += [_title(module, "-"), f"Module ``{whole}.{module}``.\n", _documented(f"{whole}.{module}", members)]
    return "\n".join(parts)


def names_page() -> str:
    """Return the page of the names that ``import hybrid_rs`` gives: each with its first sentence and a link."""
    lines = [
        _title("Python: hybrid_rs", "="),
        "These names are all that most users need. Each links to its full description.\n",
    ]
    lines += [".. list-table::", "   :widths: 30 70", ""]
    for name in hybrid_rs.__all__:
        found = getattr(hybrid_rs, name)
        shown = ELSEWHERE.get(name) or f":py:obj:`{name} <{_home(found)}>`"
        doc = "The version of the package, a string." if name == "__version__" else inspect.getdoc(found) or ""
        first = " ".join(doc.partition("\n\n")[0].split())
        lines += [f"   * - {shown}", f"     - {first}"]
    return "\n".join(lines) + "\n"


def cite_page() -> str:
    """Return the page on how to cite, with what :func:`hybrid_rs.citation` returns."""
    return f"""# How to cite

Cite the paper {{cite:p}}`delattre2026hybrid` for the method, and this software for the code, with the version that you
ran. `hybrid_rs.citation()` returns both entries:

```bibtex
{hybrid_rs.citation()}
```

`CITATION.cff` in the repository says the same for GitHub and for reference managers. The authors of the paper have
released their own scripts under the same import name; this is an independent implementation. Each page cites the work
that its theorem comes from; all of it is in the [references](../references.md).
"""


def commands_page() -> str:
    """Return the page of the command line: the help of every command, and each of its arguments and options."""
    from hybrid_rs import cli

    app: Any = cli.app
    parts = ["# Commands: hybrid-rs\n", f"{app.info.help}\n", f"{_as_code(app.info.epilog)}\n"]
    parts += _options("hybrid-rs", app.registered_callback.callback)
    for command in app.registered_commands:
        program, run = f"hybrid-rs {command.name}", command.callback
        arguments = [spelled for spelled, info, *_ in _parameters(run) if not isinstance(info, OptionInfo)]
        usage = " ".join([program, "[OPTIONS]", *arguments])
        parts += [f"## {command.name}\n", f"{_as_code(inspect.getdoc(run) or '')}\n", f"```sh\n{usage}\n```\n"]
        parts += _options(program, run)
    return "\n".join(parts)


def _as_code(text: str) -> str:
    """Mark options and JSON in a sentence as code, where the terminal needs no mark."""
    return re.sub(r"(?<![`\w-])(--\w[\w-]*|\{.*\}|\w+=\w+)(?!`)", r"`\1`", text)


def _parameters(command: Any) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield for each parameter of a command how it is spelled, what typer knows of it, its type and its default."""
    for each in inspect.signature(command, eval_str=True).parameters.values():
        kind, info = get_args(each.annotation)
        kind = next((inner for inner in get_args(kind) if type(None) in get_args(kind)), kind)  # of "X | None": X
        yield _spelled(each.name, info, kind), info, kind, each.default


def _spelled(name: str, info: Any, kind: Any) -> str:
    if not isinstance(info, OptionInfo):
        return name.upper()
    plain, given = name.replace("_", "-"), _given(info)
    names = given or ([f"--{plain}", f"--no-{plain}"] if kind is bool else [f"--{plain}"])
    return ", ".join(each if kind is bool else f"{each} <{_value(kind)}>" for each in names)


def _given(info: Any) -> list[str]:
    """Return the spellings that a declaration gives; typer stores the first of them as ``default``."""
    given = (each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str))
    return [one for each in given for one in each.split("/")]  # --on/--off


def _value(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return {float: "number", int: "whole number", str: "text", list[str]: "text", Path: "path"}[kind]


def _options(program: str, command: Any) -> Iterator[str]:
    """Yield the arguments and options of a command, in the groups that its help shows."""
    groups: dict[str | None, list[str]] = {"": []}
    for spelled, info, kind, default in _parameters(command):
        group = info.rich_help_panel if isinstance(info, OptionInfo) else ""
        said = " ".join([_as_code(info.help), *_facts(info, kind, default)])
        groups.setdefault(group, []).append(f"````{{option}} {spelled}\n{said}\n````\n")
    others = groups.pop(None, [])  # last, after those that belong together
    yield f"```{{program}} {program}\n```\n"
    for group, options in groups.items():
        yield from [f"**{group}**\n"] if group else []
        yield from options
    yield from ["**Other**\n"] if others and len(groups) > 1 else []
    yield from others


def _facts(info: Any, kind: Any, default: Any) -> Iterator[str]:
    if info.min is not None:
        yield f"At least {info.min:,}." if info.max is None else f"From {info.min:,} to {info.max:,}."
    if default is inspect.Parameter.empty:
        yield "Required."
    elif kind is bool and len(_given(info)) == 1:
        return  # off unless it is given
    elif kind is bool:
        yield "On by default." if default else "Off by default."
    elif default not in (None, ""):
        yield f"Default: `{default}`."


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def _documented(module: str, members: bool) -> str:
    options = "   :members:\n   :member-order: bysource\n   :ignore-module-all:\n   :no-value:\n" if members else ""
    return f".. automodule:: {module}\n{options}"


def _public(path: Path) -> list[str]:
    """Return the public functions and classes that a module defines."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


def _home(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


class _AsWritten:
    """An annotation that prints as it stands in the source: ``NDArray[np.float64]``, not what that is short for."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature_as_written(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str | None, result: str | None
) -> tuple[str, str | None] | None:
    """Give Sphinx a signature with the annotations of the source; an event of autodoc."""
    if signature is None:
        return None
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    taken = [each for each in found.parameters.values() if each.name != "self"]
    shown = [
        each.replace(annotation=_AsWritten(each.annotation)) if isinstance(each.annotation, str) else each
        for each in taken
    ]
    returned = found.return_annotation
    return str(inspect.Signature(shown)), returned if isinstance(returned, str) and what not in {
        "class",
        "exception",
    } else None


def sections(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Turn the sections of a docstring (Args, Raises, ...) into reStructuredText; an event of autodoc.

    Napoleon itself would take the words before a colon in the docstring of a property for its type.
    """
    kind = "method" if what in {"attribute", "data", "property"} else what
    config: Any = Config(napoleon_use_rtype=False)  # a returned type is a word of a sentence here, not a name
    lines[:] = GoogleDocstring(lines, config, app, kind, name, value, options).lines()


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Any) -> Any:
    """Find what a name in a docstring or a signature means, as Python finds it in the module where it stands.

    A name of another package, or of an alias of types, is shown without a link. Where nothing is found, Sphinx warns.
    """
    if node.get("refdomain") != "py":
        return None
    domain: Any = env.get_domain("py")
    target = str(node["reftarget"])
    for value in _meanings(target, node.get("py:module"), node.get("py:class")):
        inside = getattr(value, "__module__", None) or ""
        if isinstance(value, ModuleType) or not inside.startswith("hybrid_rs") or not hasattr(value, "__qualname__"):
            return content
        home = _home(value)
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, content) or content
    ends = [name for name in domain.objects if name.endswith(f".{target}")]
    if len(ends) == 1:
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", ends[0], node, content)
    return None


def _meanings(name: str, module: str | None, owner: str | None) -> Iterator[Any]:
    """Yield what a dotted name is: in a class, in its module, or on its own."""
    start = sys.modules.get(module or "")
    within = [start] if start else []
    if start and owner and hasattr(start, owner):
        within = [getattr(start, owner), start]
    for scope in (*within, builtins):
        with suppress(AttributeError):
            yield _attribute(scope, name)
    if name.startswith("hybrid_rs."):
        with suppress(AttributeError):
            yield _attribute(hybrid_rs, name.removeprefix("hybrid_rs."))
    first, _, rest = name.partition(".")
    origin = _imported(start).get(first) if start else None  # for type checkers only
    if origin and origin.startswith("hybrid_rs."):
        yield _attribute(hybrid_rs, ".".join(filter(None, [origin.removeprefix("hybrid_rs."), rest])))
    elif origin:
        yield origin


@cache
def _imported(module: ModuleType) -> dict[str, str]:
    """Return the origin of each name that a module imports, and mark its aliases, also inside conditions."""
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            home = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            found |= {alias.asname or alias.name: f"{home}{alias.name}" for alias in node.names}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = "an alias"
    return found


def _attribute(scope: Any, name: str) -> Any:
    for part in name.split("."):
        scope = getattr(scope, part)
    return scope


def write(root: Path) -> None:
    """Write the pages that changed, and remove those of folders that are gone.

    Args:
        root: of the repository.
    """
    folder = root / PAGES
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for orphan in {path.name for path in folder.iterdir() if path.is_file()} - made.keys():
        (folder / orphan).unlink()
    for name, text in made.items():
        file = folder / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            write_whole("page", file, text)


def hooks(app: Sphinx) -> None:
    """Tell autodoc how the package writes its docstrings."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", sections)
    app.connect("autodoc-process-signature", signature_as_written)
    app.connect("missing-reference", resolve)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx reads the table of contents."""
    write(Path(app.srcdir))
    hooks(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
