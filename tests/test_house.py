"""The plan of the package: which room may import which, and what its face shows."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hybrid_rs

PACKAGE = Path(hybrid_rs.__file__).parent
FLOORS = (  # from the ground up: a room imports from lower floors, and from its own where no circle comes of it
    {"_checks", "_citation", "_extras", "_files", "_roots", "checkout"},
    {"evidence"},
    {"certificates"},
    {"decisions"},
    {"smoothing"},
    {"datasets", "guards", "attacks"},
    {"storage"},
    {"tables", "small_guard", "baselines"},
    {"experiments"},
    {"ledger", "cli"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FACE = """
    AbsorbingKernel Certificate Counts Example FeatureKernel Frontier Guard L0Threat LikelihoodRatio MaskedCounts
    SmoothedGuard SubsetCounts SuffixThreat TextCertificate TextCounts UniformKernel VerificationError __version__
    calibrate ceiled ceiling certified_edits certified_radius certify citation clopper_pearson_lower
    clopper_pearson_upper floored frontier frontier_of p_adv plan read_certificate required_p_a verify
"""


def modules() -> dict[str, Path]:
    """Return every module by its dotted name below the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        *folders, name = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(folders if name == "__init__" else [*folders, name])] = path
    return found


MODULES = modules()
NAMES = [name for name in MODULES if name]  # the face names its modules for type checkers only, and imports each late


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of the package that a file imports, at its top or within its functions."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            inside = name.removeprefix("hybrid_rs.")
            if inside == name:
                continue
            while inside not in MODULES:  # a name in a module: cut it off
                inside = inside.rpartition(".")[0]
            if inside:  # the face imports nothing by itself
                yield inside


@cache
def arrows() -> dict[str, list[str]]:
    """Return what each module imports; read in a test, not where tests are collected: it takes seconds."""
    return {name: sorted(set(imported(MODULES[name])) - {name}) for name in NAMES}


def test_every_room_has_a_floor() -> None:
    assert {name.partition(".")[0] for name in NAMES} == set(FLOOR)


def test_no_import_runs_up() -> None:
    up = [
        f"{name} imports {other}"
        for name, others in arrows().items()
        for other in others
        if FLOOR[other.partition(".")[0]] > FLOOR[name.partition(".")[0]]
    ]
    assert not up


def test_no_import_runs_in_a_circle() -> None:
    ordered = [*TopologicalSorter(arrows()).static_order()]  # a CycleError names the circle
    assert {"evidence.counts", "cli.application"} <= {*ordered}


def test_the_check_sees_a_circle_and_an_import_in_a_function(tmp_path: Path) -> None:
    (tmp_path / "low.py").write_text("def f():\n    from hybrid_rs.cli.loading import Checkpoint\n")
    assert [*imported(tmp_path / "low.py")] == ["cli.loading"]


def test_the_face_is_small() -> None:
    assert sorted(hybrid_rs.__all__) == sorted(FACE.split())


def test_every_name_of_the_face_can_be_had() -> None:
    assert all(getattr(hybrid_rs, name) is not None for name in hybrid_rs.__all__)


@pytest.mark.parametrize(
    "rooms",
    [(), ("evidence", "certificates", "decisions"), ("cli",)],
    ids=["the face", "the mathematics", "the commands"],
)
def test_without_torch(rooms: tuple[str, ...]) -> None:
    """The mathematics can be used where no deep learning library is installed, and nothing slow delays its import."""
    found = [name for name in NAMES if name.partition(".")[0] in rooms and not name.endswith("__main__")]
    names = [f"hybrid_rs.{name}" for name in found]
    program = f"""
import importlib, sys
import hybrid_rs
for name in {names!r}:
    importlib.import_module(name)
heavy = {{"torch", "transformers", "PIL", "sklearn", "ray", "scipy.stats", "pandas"}} & {{*sys.modules}}
sys.exit(f"imported: {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_stay_small() -> None:
    long = {name: lines for name, path in MODULES.items() if (lines := len(path.read_text().splitlines())) > 350}
    assert not long


def test_tests_mirror_the_package() -> None:
    tests = Path(__file__).parent
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms - {"ledger"} <= {path.name for path in tests.iterdir() if path.is_dir()}
