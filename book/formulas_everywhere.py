"""A Sphinx extension that lets every page show formulas, since titles with formulas are in every page's sidebar.

MathJax comes from the book itself, and in parts: what typesets TeX and what screen readers need, without its menu.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PARTS = ["core", "input/tex-base", "[tex]/ams", "output/chtml", "a11y/assistive-mml"]  # 60 % of the whole, tex-chtml.js


def configure(app: Sphinx, config: Any) -> None:
    """Load these parts from the folder to which sphinx-mathjax-offline copies MathJax; an event of Sphinx."""
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = (config.mathjax3_config or {}) | {
        "loader": {"load": PARTS},
        "tex": {"packages": {"[+]": ["ams"]}},
    }


def setup(app: Sphinx) -> dict[str, bool]:
    """Load MathJax on every page, not only on those with formulas in their text."""
    app.set_html_assets_policy("always")
    app.connect("config-inited", configure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
