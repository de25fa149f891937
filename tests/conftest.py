"""Shared by all tests: notebooks made on the spot."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from hypothesis import settings
from nbformat.v4 import new_code_cell, new_notebook

pytest_plugins = ["pytester"]

settings.register_profile("project", deadline=None, derandomize=True)  # timings vary, verdicts must not
settings.load_profile("project")


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
