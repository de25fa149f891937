"""A Sphinx extension: scripts leave no errors in the browser's console, and boxes that scroll are within reach.

An extension that adds a script before the pages are read adds it twice, and a constant that is declared twice is an
error. A script that a page does not need is left out. So are those of thebe, which runs code on a server that this book
lacks. And the theme logs an error if neither the reader nor the book has chosen light or dark.

On a phone, long formulas and wide outputs scroll in boxes of their own (hybrid_rs.css). Somebody with a keyboard
scrolls a box by moving to it first, which a browser allows if the box has a tab index.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

AS_THE_SYSTEM_IS = 'document.documentElement.dataset.mode ||= "auto"'  # light or dark, unless the reader chose

SERVES = {  # a script, and the HTML that needs it
    "togglebutton": re.compile(r'class="[^"]*\b(toggle|dropdown)'),
    "design-tabs": re.compile(r'class="[^"]*\bsd-tab'),
    "clipboard": re.compile(r'class="highlight'),
    "copybutton": re.compile(r'class="highlight'),
}
IN_REACH = """addEventListener('DOMContentLoaded', () => {
  const sized = new ResizeObserver((boxes) => boxes.forEach(({target: box}) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute('tabindex');
  }));
  const boxes = document.querySelectorAll('.bd-article :is(div.cell_output, div.math, p:has(.math))');
  boxes.forEach((box) => sized.observe(box));
})"""


def kept(scripts: list[Any], page: str) -> list[Any]:
    """Return the scripts that a page needs, each once, in their order, without those of thebe.

    Args:
        scripts: what Sphinx would load.
        page: the HTML of its text.
    """
    found: dict[tuple[str, str], Any] = {}
    for script in scripts:
        name = str(getattr(script, "filename", script) or "")
        body = str(getattr(script, "attributes", {}).get("body", ""))
        idle = any(part in name and not sign.search(page) for part, sign in SERVES.items())
        if not idle and "thebe" not in name and "thebe" not in body.lower():
            found.setdefault((name, body), script)
    return list(found.values())


def clean(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Keep only these scripts; an event of Sphinx."""
    context["script_files"][:] = kept(context["script_files"], context.get("body") or "")


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at every page after all other extensions have added their scripts."""
    app.add_js_file(None, body=AS_THE_SYSTEM_IS)
    app.add_js_file(None, body=IN_REACH)
    app.connect("html-page-context", clean, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
