"""The wheel is whole: built, installed into a clean environment, and used from an empty folder."""

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOL, VERSION = PROJECT["tool"]["setuptools"], PROJECT["project"]["version"]
PAPERS = ("pyproject.toml", "README.md", "LICENSE")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
NOTES = """
import json
import numpy as np
from pathlib import Path
from PIL import Image
from hybrid_rs.small_guard import notes as bay_notes
Path("notes").mkdir()
with open("notes/notes.jsonl", "w") as file:
    for unsafe in (True, False):
        (example,) = bay_notes.examples("test", 1, unsafe=unsafe)
        pixels = np.rint(example.image.transpose(1, 2, 0) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(f"notes/{unsafe}.png")
        print(json.dumps({"image": f"{unsafe}.png", "text": example.text, "label": int(unsafe)}), file=file)
"""


def test_every_folder_of_the_package_is_listed():
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "hybrid_rs").rglob("__init__.py")}
    mapped = TOOL["package-dir"]
    assert {".".join(folder.parts) for folder in folders} | mapped.keys() == set(TOOL["packages"])
    assert [folder for folder in mapped.values() if not (ROOT / folder).is_dir()] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the files that a checkout has."""
    source, out = (tmp_path_factory.mktemp(name) for name in ("source", "wheel"))
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "hybrid_rs", "data/bay_guard", *PAPERS],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", out, source)
    return next(out.glob("*.whl"))


def pip(*arguments):
    """Run pip of this environment, quietly, and without a network."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, env=without_python() | {"PIP_NO_INDEX": "1"})


def without_python():
    """The environment without Python's variables: pip installs nothing that it finds on PYTHONPATH."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Run a program of a clean environment, which has the wheel and the locked packages, in an empty folder."""
    home, folder = tmp_path_factory.mktemp("venv"), tmp_path_factory.mktemp("empty")
    venv.create(home)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": home, "platbase": home}))
    pip("--python", home / "bin" / "python", "install", "--no-deps", wheel)
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")  # without the hook of an editable install
    environment = without_python()

    def call(line):
        program, *words = shlex.split(line)
        command = [home / "bin" / program, *words]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    call.package, call.folder = site / "hybrid_rs", folder
    return call


def test_the_wheel_has_the_code_the_weights_and_the_mark_of_its_types(wheel):
    names = set(ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "hybrid_rs").rglob("*.py")}
    weights = {f"hybrid_rs/data/bay_guard/{path.name}" for path in (ROOT / "data" / "bay_guard").iterdir()}
    others = {"hybrid_rs/py.typed", "hybrid_rs/experiments/figures.mplstyle"}
    assert modules | weights | others == {name for name in names if name.startswith("hybrid_rs/")}


def files(folder):
    """Every file below a folder, with when it was written; what Python compiled is none."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


COMMANDS = """
import contextlib, io, json, shlex, sys
from hybrid_rs.cli import main

def outcome(line):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["hybrid-rs", *shlex.split(line)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            return ended.code or 0, out.getvalue(), err.getvalue()

json.dump({line: outcome(line) for line in LINES}, open("outcomes.json", "w"))
"""


@pytest.mark.slow
def test_an_installed_copy_does_what_the_readme_says(run):
    before = files(run.package)
    assert len(SNIPPETS) >= 2
    found = run("python -c 'import hybrid_rs; print(hybrid_rs.__file__)'")
    assert found.stdout.strip() == str(run.package / "__init__.py"), found
    assert run("hybrid-rs --version").stdout == f"hybrid-rs {VERSION}\n"
    ledger = run("python -m hybrid_rs.ledger")
    assert ledger.returncode == 1
    assert re.fullmatch(ONE_LINE, ledger.stderr)

    works = (
        "doctor",
        "radius --p-a 0.9995",
        "plan --d 3 --epsilon 1",
        "certify notes --model bay_guard --n 100 --json",
        "train --out mine --steps 2 --batch-size 4 --examples 10",
    )
    refused = ("run T1", "run", f"train --out {run.package / 'data' / 'bay_guard'} --steps 1")
    script = "\n".join([*SNIPPETS, NOTES, f"LINES = {(*works, *refused)!r}", COMMANDS])  # one process, to save time
    (run.folder / "script.py").write_text(script)
    done = run("python script.py")
    assert done.returncode == 0, done.stderr
    outcomes = json.loads((run.folder / "outcomes.json").read_text())
    assert {line: outcomes[line] for line in works if outcomes[line][0] != 0} == {}
    assert "This machine can certify a guard." in outcomes["doctor"][1]
    certified = [json.loads(line)["id"] for line in outcomes[works[3]][1].splitlines()[:2]]
    assert [name.partition("@")[0] for name in certified] == ["notes/1", "notes/2"]
    assert outcomes[works[4]][1].startswith("# Model card")
    assert {outcomes[line][0] for line in refused} == {1}
    assert all(re.fullmatch(ONE_LINE, outcomes[line][2]) for line in refused[:2])
    assert "inside the installed package" in outcomes[refused[2]][2]
    assert files(run.package) == before


ONE_LINE = r"error: .* source tree .*\n"
