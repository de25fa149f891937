"""Notebooks run with the ordinary tools, from any folder, and refuse by themselves what they do not declare."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from hybrid_rs.checkout import checkout

THEORY, EXPERIMENT = (checkout(f"notebooks/{name}.ipynb") for name in ("theory/audit", "experiments/T1"))
BIN = os.path.dirname(sys.executable)
SLOW = "--ExecutePreprocessor.startup_timeout=600"  # seconds, for a busy machine


def run(folder, *command):
    """Run a tool of this environment in a folder: its exit status and what it printed."""
    path = os.pathsep.join([str(checkout("")), *filter(None, [os.environ.get("PYTHONPATH")])])
    plain = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}  # ours, not a reader's
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=folder,
        env=plain | {"PATH": BIN + os.pathsep + os.environ["PATH"], "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("tool", "source"), [("papermill", EXPERIMENT), ("nbconvert", THEORY)])
def test_a_copy_runs_elsewhere(tmp_path, tool, source):
    shutil.copy(source, tmp_path / "copy.ipynb")
    options = {
        "papermill": ("papermill", "copy.ipynb", "out.ipynb", "--no-progress-bar"),
        "nbconvert": ("nbconvert", "--to", "notebook", "--execute", "copy.ipynb", "--output", "out.ipynb", SLOW),
    }
    status, said = run(tmp_path, *options[tool])
    assert status == 0, said
    assert (tmp_path / "out.ipynb").is_file()


@pytest.mark.slow
def test_nbval_runs_each_cell_once_from_another_folder(tmp_path):
    status, said = run(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-lax", THEORY)
    assert status == 0, said
    cells = [cell["cell_type"] for cell in json.loads(THEORY.read_text(encoding="utf-8"))["cells"]]
    assert f"\n{cells.count('code')} passed" in said


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("-p", "tolerence", "1e-9"), "tolerence = 1e-09: no such parameter; known are tolerance (float)"),
        (("-r", "tolerance", "1e-9"), "tolerance = '1e-9': this is str; give float"),
    ],
)
def test_papermill_cannot_give_what_a_notebook_does_not_declare(tmp_path, option, said):
    status, printed = run(tmp_path, "papermill", THEORY, "out.ipynb", *option)
    assert status != 0
    assert said in printed
