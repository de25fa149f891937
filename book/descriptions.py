"""A Sphinx extension: titles and descriptions in plain text, for search engines, chats and browser tabs.

A page's description is the first paragraph of its text. Formulas in it and in the title are spelled in Unicode. Its own
address and that of its picture are given only if `html: baseurl` in _config.yml says where the book is published.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from card import CARD, SIZE
from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

CARD_SHOWS = "An unsafe pair, the same pair under attack, and the certified frontier, in which the attack lies."
LEAST, MOST = 30, 200  # characters of a description; more is not shown anywhere
LONGEST = 40  # characters of a formula that is spelled out
OPENINGS = ("Claim.", "In one page:")  # what the first paragraph of a notebook begins with
LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "sigma": "σ", "tau": "τ",
    "Phi": "Φ", "ell": "ℓ", "le": "≤", "ge": "≥", "cdot": "·", "times": "×", "infty": "∞", "to": "→", "star": "*",
    "dots": "…", "log": "log", "max": "max", "min": "min", "circ": "∘", "mapsto": "↦",
}  # fmt: skip


def spelled(formula: str) -> str:
    r"""Return a short formula in Unicode; three dots if it is long or has an unknown command.

    Example:
        >>> spelled(r"p_{\mathrm{adv}}(d, \varepsilon) \ge \tau"), spelled(r"\frac12\big(x\big)")
        ('p_adv(d, ε) ≥ τ', '…')
    """
    formula = re.sub(r"\^\{([^{}]{2,})\}", r"^(\1)", formula)
    text = re.sub(r"\\(?:mathrm|mathbb|text)\b|\\[,;!]|[{}]", lambda found: " " * (found[0] in "\\,\\;"), formula)
    text = re.sub(r"\\([A-Za-z]+)", lambda found: LETTERS.get(found[1], found[0]), text)
    return "…" if "\\" in text or len(text) > LONGEST else " ".join(text.split())


def plain(node: Any) -> str:
    """Return the text of a paragraph or a title, its formulas spelled in Unicode, on one line."""
    copy = node.deepcopy()
    for formula in list(copy.findall(nodes.math)):
        formula.replace_self(nodes.Text(spelled(formula.astext())))
    return " ".join(copy.astext().split())


def description(doctree: Any) -> str:
    """Return the first paragraph of a page that is long enough, shortened if it is too long; "" if there is none."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = plain(paragraph)
        for opening in OPENINGS:
            text = text.removeprefix(opening).strip()
        if len(text) >= LEAST and isinstance(paragraph.parent, nodes.section):
            return text if len(text) <= MOST else text[:MOST].rpartition(" ")[0].rstrip(",;:") + " …"
    return ""


def describe(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Add the description of a page, and the same for cards in chats, to its head; an event of Sphinx."""
    if doctree is None:  # a page without a source, such as the index
        return
    title = context["title"] = html.escape(plain(app.env.titles[name]))
    said = html.escape(description(doctree))
    book = html.escape(app.config.html_title or "")
    facts = {"og:type": "article", "og:site_name": book, "og:title": title, "og:description": said}
    if address := (app.config.html_baseurl or "").rstrip("/"):
        facts |= {"og:url": f"{address}/{app.builder.get_target_uri(name)}", "og:image": f"{address}/{CARD.as_posix()}"}
        width, height = map(str, SIZE)
        facts |= {"og:image:alt": CARD_SHOWS, "og:image:width": width, "og:image:height": height}
    tags = [f'<meta property="{name}" content="{value}"/>' for name, value in facts.items() if value]
    tags += [f'<meta name="description" content="{said}"/>'] if said else []
    kind = "summary_large_image" if address else "summary"
    context["metatags"] += "\n".join(["", *tags, f'<meta name="twitter:card" content="{kind}"/>'])


def setup(app: Sphinx) -> dict[str, bool]:
    """Describe every page when it is written."""
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
