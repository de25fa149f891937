"""A Sphinx extension: proofs are folded, so that a page of theory can be read statement by statement.

A browser unfolds a proof when a link leads into it, and the script below unfolds everything before printing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx_proof.nodes import proof_node

if TYPE_CHECKING:
    from sphinx.application import Sphinx

WORD = "Proof. "  # with which sphinx-proof begins a proof
UNFOLD = "addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((x) => (x.open = true)))"


def visit(translator: Any, node: Any) -> None:
    """Open a fold labelled "Proof", without the word in the text or the id, which all proofs of a page shared."""
    for admonition in node.findall(nodes.admonition):
        admonition["ids"] = []
        first = next(iter(admonition.findall(nodes.Text)), None)
        if first is not None and first.startswith(WORD):
            first.parent.replace(first, nodes.Text(first.removeprefix(WORD)))
    translator.body.append('<details class="proof-fold"><summary>Proof</summary>')


def depart(translator: Any, node: Any) -> None:
    """Close it."""
    translator.body.append("</details>")


def setup(app: Sphinx) -> dict[str, bool]:
    """Fold the proofs of every page."""
    app.setup_extension("sphinx_proof")
    app.add_node(proof_node, override=True, html=(visit, depart))
    app.add_js_file(None, body=UNFOLD)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
