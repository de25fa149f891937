"""Shared by all tests: notebooks made on the spot, how many examples are tried, and which files go first."""

import gc
from collections.abc import Callable, Generator
from pathlib import Path

import nbformat
import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from nbformat.v4 import new_code_cell, new_notebook

pytest_plugins = ["pytester"]

# Hypothesis also tries constants that it finds in the modules imported so far. Which those are depends on the tests
# that ran before in the same process, and so would the examples.
providers._get_local_constants = lambda: providers._local_constants  # none

# timings vary, verdicts must not
settings.register_profile("project", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("project")

LONGEST = (  # files, from the one that takes the most seconds on
    "tests/test_plain_tools.py",
    "tests/test_built_book.py",
    "tests/storage/test_engines.py",
    "tests/cli/test_guards.py",
    "tests/cli/test_options.py",
    "tests/test_wheel.py",
    "notebooks/theory/sequential.ipynb",
    "tests/attacks/test_attacks.py",
    "tests/guards/test_reasoning.py",
    "tests/small_guard/test_guard.py",
    "tests/test_ledger.py",
    "tests/certificates/test_worst_case.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage neither while millions of objects are imported, nor later among these: it takes seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, then notebooks, so that no worker is alone with a long one at the end."""

    def place(item: pytest.Item) -> int:
        file = item.nodeid.partition("::")[0]
        return LONGEST.index(file) if file in LONGEST else len(LONGEST) + (not file.endswith(".ipynb"))

    items.sort(key=place)


@pytest.fixture
def write_notebook() -> Callable[..., Path]:
    """Write a notebook of code cells, the first tagged as its parameters: ``write_notebook(path, parameters, ...)``."""

    def write(path: Path, parameters: str, *sources: str) -> Path:
        cells = [new_code_cell(source) for source in (parameters, *sources)]
        cells[0].metadata["tags"] = ["parameters"]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
        return path

    return write
