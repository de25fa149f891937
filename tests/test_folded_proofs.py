"""A proof is folded, its title is said once, and its id is not that of every other proof."""

from types import SimpleNamespace

import folded_proofs
import pytest
from docutils import nodes
from sphinx_proof.nodes import proof_node


def proof(*parts):
    """What sphinx-proof makes of a proof with these parts."""
    return proof_node("", nodes.admonition("", nodes.paragraph("", "", *parts), ids=["proof"]))


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        ([nodes.Text("Proof. It is so.")], "It is so."),
        ([nodes.Text("Proof. "), nodes.emphasis("", "First."), nodes.Text(" Proof. again")], "First. Proof. again"),
        ([nodes.Text("No title.")], "No title."),
    ],
)
def test_a_proof_opens_and_closes_a_fold_and_loses_its_title(parts, shown):
    node, translator = proof(*parts), SimpleNamespace(body=[])
    folded_proofs.visit(translator, node)
    folded_proofs.depart(translator, node)
    assert "".join(translator.body) == '<details class="proof-fold"><summary>Proof</summary></details>'
    assert node.astext() == shown
    assert node[0]["ids"] == []
