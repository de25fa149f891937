"""A Sphinx extension: the scripts of a page leave no error in the browser's console.

An extension that adds a script before the pages are read adds it twice, and a constant that is declared twice is an
error. Those of thebe are left out: it runs code on a server that this book lacks. And the theme complains if it was
told neither by the reader nor by the book whether a page is light or dark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

AS_THE_SYSTEM_IS = 'document.documentElement.dataset.mode ||= "auto"'  # light or dark, unless the reader chose


def kept(scripts: list[Any]) -> list[Any]:
    """Return the scripts of a page, each once, in their order, without those of thebe."""
    found: dict[tuple[str, str], Any] = {}
    for script in scripts:
        name = str(getattr(script, "filename", script) or "")
        body = str(getattr(script, "attributes", {}).get("body", ""))
        if "thebe" not in name and "thebe" not in body.lower():
            found.setdefault((name, body), script)
    return list(found.values())


def clean(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Keep only these scripts; an event of Sphinx."""
    context["script_files"][:] = kept(context["script_files"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at every page after all other extensions have added their scripts."""
    app.add_js_file(None, body=AS_THE_SYSTEM_IS)
    app.connect("html-page-context", clean, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
