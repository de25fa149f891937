"""The README is short, its links lead somewhere, and every number of its findings is one of the ledger's."""

import re
from pathlib import Path

import pytest

from hybrid_rs.ledger import read_claims

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
CLAIMS = {claim.id: claim for claim in read_claims()}
FINDINGS = re.findall(r"^\d\. (.*?)(?=^\d\. |^\n|^The )", README, re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:[.^]\d+)?(?:e-\d+)?")


def test_it_has_five_findings_and_fits_two_screens():
    assert len(FINDINGS) == 5
    assert README.count("\n") <= 100


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_number_of_a_finding_is_in_the_ledger(finding):
    said, claim = re.fullmatch(r"(.*)\(\[([\w.-]+)\]\(\S+\)\)\s*", finding, re.DOTALL).groups()
    known = CLAIMS[claim]
    assert set(NUMBER.findall(said)) - set(NUMBER.findall(f"{known.claim} {known.paper} {known.ours}")) == set()
    assert NUMBER.search(said)


def test_the_ledger_calls_a_finding_what_the_readme_calls_it():
    assert CLAIMS["T1.price"].verdict == "differs"
    assert CLAIMS["released-solver"].verdict == "disputed"
    assert {CLAIMS[name].verdict for name in ("adversary-commits", "several-texts", "T1.alarms")} == {"shown"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#\s]+)\)", (ROOT / page).read_text())
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
