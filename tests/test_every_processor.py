"""What is printed must not depend on the processor: an unstable sort orders ties by the vector width of the machine.

Equal values cannot be told apart, so ``np.sort`` of values is safe; an order of rows or of indices is not.
"""

import ast

import nbformat
import pytest

from hybrid_rs.checkout import checkout

ORDERS = {"argsort", "sort_values", "sort_index"}  # stable only where they are asked to be
NEVER = {"argpartition"}
FOLDERS = ("hybrid_rs", "notebooks", "tests", "benchmarks", "book")
SOURCES = [path for folder in FOLDERS for path in sorted(checkout(folder).rglob("*.py"))]
NOTEBOOKS = [path for path in sorted(checkout("notebooks").rglob("*.ipynb")) if "checkpoint" not in path.name]


def unstable(source):
    """The calls of a source whose order of ties depends on the processor."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [(call, getattr(call.func, "attr", getattr(call.func, "id", ""))) for call in calls]
    asked = [any(ast.unparse(word) == "kind='stable'" for word in call.keywords) for call, _ in named]
    return [
        ast.unparse(call)
        for (call, name), stable in zip(named, asked, strict=True)
        if name in NEVER or (name in ORDERS and not stable)
    ]


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("np.argsort(x)", 1),
        ("table.sort_values('p')", 1),
        ("x.argsort(kind='quicksort')", 1),
        ("np.argpartition(x, 3, kind='stable')", 1),
        ("np.argsort(x, kind='stable')", 0),
        ("np.sort(x), sorted(x), np.lexsort((x, y))", 0),
    ],
)
def test_the_rule_tells_stable_orders_from_others(source, calls):
    assert len(unstable(source)) == calls


def test_every_order_is_stable():
    found = {path: unstable(path.read_text()) for path in SOURCES}
    for path in NOTEBOOKS:
        found[path] = [
            call
            for cell in nbformat.read(path, 4).cells
            if cell.cell_type == "code" and not cell.source.startswith("%")
            for call in unstable(cell.source)
        ]
    assert {path.name: calls for path, calls in found.items() if calls} == {}
