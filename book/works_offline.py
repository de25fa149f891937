"""A Sphinx extension that leaves out the scripts for running cells on a server: this book needs no network.

Jupyter Book adds them twice to every page, although ``_config.yml`` switches them off, and browsers report an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Drop these scripts from each page, after all extensions have added theirs."""
    app.connect("html-page-context", without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def without_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Remove the scripts of Thebe from the page's list."""
    context["script_files"] = [script for script in context["script_files"] if not _of_thebe(script)]


def _of_thebe(script: Any) -> bool:
    named, body = str(getattr(script, "filename", script)), getattr(script, "attributes", {}).get("body") or ""
    return "thebe" in named.lower() or "thebe" in body.lower()
