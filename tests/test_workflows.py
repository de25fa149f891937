"""The workflows, templates and hooks are whole: they parse, and what they run is a target of the Makefile."""

import re
import runpy
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOWEST = runpy.run_path(str(ROOT / ".github" / "lowest.py"))


def read(name):
    """A file of YAML."""
    return yaml.safe_load((ROOT / name).read_text())


def steps(workflow):
    """Every step of every job."""
    return [step for job in read(workflow)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_targets_of_the_makefile(workflow):
    commands = [step["run"] for step in steps(workflow) if "run" in step]
    assert commands
    for command in commands:
        make, target, *variables = command.split()
        assert (make, target in TARGETS) == ("make", True), command
        assert variables == ["PYTHON=python"]
    assert all("@v" in step["uses"] for step in steps(workflow) if "uses" in step)


def test_the_tests_run_on_every_python_that_is_promised():
    versions = read(".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    promised = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert versions[0] == promised
    assert versions == [f"3.{minor}" for minor in range(11, 11 + len(versions))]


def test_the_book_that_is_published_is_the_one_that_is_built():
    (folder,) = [
        step["with"]["path"] for step in steps(".github/workflows/book.yml") if "upload" in step.get("uses", "")
    ]
    assert f"The book: {folder}/index.html" in (ROOT / "Makefile").read_text()


def test_hooks_are_local_and_from_the_environment():
    config = read(".pre-commit-config.yaml")
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    linters = re.search(r"^lint:.*?\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert [hook["entry"] for hook in hooks] == [
        line.strip().replace("$(BIN)", ".venv/bin") for line in linters.splitlines()
    ]


@pytest.mark.parametrize("name", ["bug.yml", "idea.yml"])
def test_a_form_asks_for_something_and_every_field_has_a_name(name):
    form = read(f".github/ISSUE_TEMPLATE/{name}")
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert form["name"]
    assert form["description"]
    assert any(field.get("validations", {}).get("required") for field in fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)


def test_the_lowest_versions_are_admitted_and_cover_every_bound():
    project = LOWEST["PROJECT"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [line for group in groups for line in group if not line.startswith("hybrid_rs[")]
    pinned = dict(line.split("==") for line in LOWEST["lowest"](wanted) if "==" in line)
    for requirement in map(Requirement, wanted):
        bounded = any(each.operator == ">=" for each in requirement.specifier)
        assert bounded == (requirement.name in pinned)
        assert not bounded or pinned[requirement.name] in requirement.specifier


def test_the_citation_is_that_of_the_bibliography():
    citation, entry = read("CITATION.cff"), (ROOT / "book" / "references.bib").read_text()
    entry = entry[entry.index("{delattre2026hybrid") :]
    (paper,) = citation["references"]
    names = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    assert f"author    = {{{' and '.join(names)}}}" in entry
    assert f"title     = {{{paper['title']}}}" in entry
    assert paper["identifiers"][0]["value"] in entry
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert str(citation["version"]) == version
