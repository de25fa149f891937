"""One list of versions: pyproject.toml, requirements.lock and environment.yml agree, and so does what is installed."""

import re
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines):
    """Package to version, of the lines that pin one."""
    return {
        canonical(line.split("==")[0]): line.split("==")[1].strip() for line in lines if re.match(r"[\w.-]+==", line)
    }


LOCK = pins((ROOT / "requirements.lock").read_text().splitlines())
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
CONDA_PIP = pins(CONDA[-1]["pip"])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


APART = (
    "quantised",
    "spread",
)  # packages for some machines only: in neither environment; make optional runs their tests
EXTRAS = {name: lines for name, lines in PROJECT["optional-dependencies"].items() if name not in APART}


def direct():
    """The packages that pyproject.toml names, in any extra."""
    groups = [PROJECT["dependencies"], *EXTRAS.values()]
    names = {canonical(re.match(r"[\w.-]+", line)[0]) for group in groups for line in group}
    return names - {"hybrid-rs"}


def test_every_line_of_the_lock_file_pins_a_version_for_any_machine():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_the_lock_file_names_all_that_its_packages_need():
    """So that pip may install it in parts; a build of torch for GPUs needs more."""
    needed = {}
    for name in LOCK.keys() - {"torch"}:
        for requirement in map(Requirement, requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed.setdefault(canonical(requirement.name), name)
    assert needed.keys() - LOCK.keys() == set()


def test_both_environments_list_every_direct_dependency():
    assert direct() - LOCK.keys() == set()
    assert direct() == CONDA_PIP.keys()


def test_the_conda_environment_pins_what_the_lock_file_pins():
    assert {name: LOCK.get(name) for name in CONDA_PIP} == CONDA_PIP
    assert "-c requirements.lock" in CONDA[-1]["pip"]


def test_the_lock_file_satisfies_the_bounds_of_the_project():
    groups = [PROJECT["dependencies"], *EXTRAS.values()]
    wanted = [Requirement(line) for group in groups for line in group if not line.startswith("hybrid_rs[")]
    assert [str(r) for r in wanted if LOCK[canonical(r.name)] not in r.specifier] == []


def test_the_extra_called_all_is_the_others_together():
    together = re.match(r"hybrid_rs\[(.*)\]", EXTRAS["all"][0])[1].split(",")
    assert together == [name for name in EXTRAS if name != "all"]


@pytest.mark.parametrize("name", sorted(direct()))
def test_the_installed_version_is_the_locked_one(name):
    assert version(name).split("+")[0] == LOCK[name]  # "+cpu" is a build of the same version
