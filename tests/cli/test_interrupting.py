"""From the first moment on, a Ctrl-C is status 130 without a traceback; a reader that has seen enough is no error."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = os.environ | {"PYTHONPATH": str(ROOT)}


def _hears_ctrl_c():
    """Even where the tests are a background job, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_nothing_heavy_is_imported_before_a_ctrl_c_is_answered():
    said = "import sys, hybrid_rs.cli; print({'numpy', 'scipy', 'typer', 'torch'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", said], env=HERE, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


@pytest.mark.parametrize("module", ["numpy", "typer", "hybrid_rs.certificates.worst_case"])
def test_a_ctrl_c_while_a_module_is_imported_is_one_line_and_130(tmp_path, module):
    """The process interrupts itself where the module would be looked for."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    here = HERE | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "hybrid_rs.cli", "radius", "--p-a", "0.9"]
    found = subprocess.run(command, env=here, capture_output=True, text=True, check=False, preexec_fn=_hears_ctrl_c)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "\ninterrupted: nothing was finished\n")


def test_a_reader_that_has_seen_enough_is_no_error():
    with subprocess.Popen(
        [sys.executable, "-m", "hybrid_rs.cli", "radius", "--p-a", "0.9", "--d-max", "64"],
        env=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
    ) as started:
        started.stdout.close()
        assert started.stderr.read() == b""
        assert started.wait() != 0
