"""What is said about citing agrees everywhere: in the package, the citation file, the project and the references."""

import re
import tomllib
from pathlib import Path

import yaml

import hybrid_rs as hrs

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILE = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def entries(text):
    """The fields of every BibTeX entry, by its key; braces that only protect are dropped."""
    found = {}
    for kind, key, body in re.findall(r"^@(\w+)\{(\w+),\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        fields = re.findall(r"^  (\w+)\s*= \{(.*)\},?$", body, re.MULTILINE)
        found[key] = {"kind": kind} | {name: value.strip("{}").replace("\\_", "_") for name, value in fields}
    return found


CITED = entries(hrs.citation())
SOFTWARE, PAPER = CITED["hybrid_rs"], CITED["delattre2026hybrid"]


def test_the_software_is_cited_as_the_citation_file_and_the_project_say():
    assert list(CITED) == ["hybrid_rs", "delattre2026hybrid"]
    assert SOFTWARE["version"] == hrs.__version__ == FILE["version"] == PROJECT["version"]
    assert SOFTWARE["title"] == FILE["title"]
    assert SOFTWARE["title"].lower() == f"{PROJECT['name']}: {PROJECT['description']}".lower()
    assert SOFTWARE["license"] == FILE["license"] == PROJECT["license"]
    assert [{"name": SOFTWARE["author"]}] == FILE["authors"]
    assert f"Copyright (c) {SOFTWARE['year']} {SOFTWARE['author']}" in (ROOT / "LICENSE").read_text()


def test_the_paper_is_cited_as_the_book_and_the_citation_file_do():
    assert entries((ROOT / "book" / "references.bib").read_text())["delattre2026hybrid"] == PAPER
    (paper,) = FILE["references"]
    people = [f"{who['family-names']}, {who['given-names']}" for who in paper["authors"]]
    assert people == PAPER["author"].split(" and ")
    assert (paper["title"], str(paper["year"]), paper["url"]) == (PAPER["title"], PAPER["year"], PAPER["url"])
    assert paper["collection-title"] == PAPER["booktitle"]
    assert paper["identifiers"][0]["value"] == PAPER["note"]
