"""Notebooks run by themselves, anywhere; the comparison of their outputs (notebooks/conftest.py) works."""

import os
import re
import sys
from pathlib import Path
from pkgutil import resolve_name

import nbformat
import pytest

from hybrid_rs.checkout import checkout
from hybrid_rs.experiments.parameters import declared

ROOT = checkout("")
NOTEBOOKS = [path for path in sorted(checkout("notebooks").rglob("*.ipynb")) if "checkpoint" not in path.name]
OF_A_PLACE = re.compile(
    r"sys\.path|globals\(\)|\.\./\.\./(tests|data)|oracle\._"
)  # runs in one folder only, or reads private names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_has_a_kernel_and_checks_its_parameters_and_depends_on_no_folder(path):
    notebook = nbformat.read(path, 4)
    assert notebook.metadata["kernelspec"] == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert "jupytext" not in notebook.metadata  # its filters drop the kernel when they write
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell for cell in code if "parameters" in cell.metadata.get("tags", [])] == code[:1]
    assert declared(code[0].source)
    assert "\ncheck_parameters()" in code[1].source
    assert [cell.source for cell in code if OF_A_PLACE.search(cell.source)] == []


def prose(path):
    """The Markdown of a notebook: its own, and what its cells have displayed."""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            yield cell.source
        else:
            yield from (
                output.data["text/markdown"] for output in cell.outputs if "text/markdown" in output.get("data", ())
            )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_prose_of_a_notebook_names_what_exists_and_its_formulas_have_no_stray_backslash(path):
    text = "\n".join(prose(path))
    for name in re.findall(r"\b(?:hrs|hybrid_rs)(?:\.[A-Za-z_]\w*)+", text):
        resolve_name(re.sub(r"^hrs\b", "hybrid_rs", name))  # raises an error if it does not exist
    assert re.findall(r"\\\\[a-zA-Z]{2,}", text) == []
    assert "Theorem {prf:ref}" not in text  # which says Theorem itself


PRINTS = "import sys\nprint('progress', file=sys.stderr)\nprint('radius 2.9123456789 at d = 1')"


def test_rounding_error_passes_a_changed_digit_fails_and_a_tagged_cell_is_not_compared(
    pytester, write_notebook, monkeypatch
):
    path = write_notebook(Path(pytester.path) / "T.ipynb", "sigma = 0.5", PRINTS, PRINTS, PRINTS)
    notebook = nbformat.read(path, 4)
    jittered = f"radius {2.9123456789 * (1 + 1e-9):.10f} at d = 1\n"
    for cell, stored in zip(notebook.cells[1:], (jittered, "radius 2.9223456789 at d = 1\n", "any"), strict=True):
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=stored)]
        cell.execution_count = 1
    notebook.cells[3].metadata["tags"] = ["nbval-ignore-output"]
    nbformat.write(notebook, path)
    pytester.makeconftest((ROOT / "notebooks" / "conftest.py").read_text())
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-v", "T.ipynb")
    result.stdout.fnmatch_lines(["*Cell 1 PASSED*", "*Cell 2 FAILED*", "*Cell 3 PASSED*"])


@pytest.fixture(scope="module")
def text():
    import importlib.util

    spec = importlib.util.spec_from_file_location("notebooks_conftest", ROOT / "notebooks" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Text


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("4.6e-05", "4.6000000001e-5"),
        ("   d  radius\n0  1    2.5", "d radius\n0 1 2.5000000001"),
        ("residual 3e-16", "residual -1e-15"),
        ("<td>0.25</td>", "<td>0.25000000001</td>"),
        ("[nan inf]", "[nan inf]"),
    ],
)
def test_close_texts_are_equal(text, stored, new):
    assert text(stored) == text(new)


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("0.25", "-0.25"),
        ("p = 1.0e-09", "p = 1.1e-09"),
        ("k = 9973", "k = 9974"),
        ("kernel T1", "kernel T2"),
        ("nan", "1.0"),
        ("1.0 2.0", "1.0"),
    ],
)
def test_other_texts_are_not(text, stored, new):
    assert text(stored) != text(new)
