"""The README and the book's first page: short, their links lead somewhere, and their numbers are computed again."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.attacks import Attack, distance
from hybrid_rs.attacks.joint import evaluate
from hybrid_rs.experiments.setting import bay_setting
from hybrid_rs.ledger import read_claims

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
CLAIMS = {claim.id: claim for claim in read_claims()}
INTRO = (ROOT / "book" / "intro.md").read_text()
PAGES = {"README": README, "first page": INTRO}
FINDINGS = {name: re.findall(r"^\d\. (.*?)(?=^\d\. |^\n|^The )", page, re.M | re.S) for name, page in PAGES.items()}
NUMBER = re.compile(r"\d+(?:[.^]\d+)?(?:e-\d+)?")


def test_both_have_five_findings_and_the_readme_fits_two_screens():
    assert [len(found) for found in FINDINGS.values()] == [5, 5]
    assert README.count("\n") <= 100


@pytest.mark.parametrize("finding", [each for found in FINDINGS.values() for each in found])
def test_every_number_of_a_finding_is_in_the_ledger(finding):
    said, claim = re.fullmatch(r"(.*)\(\[([\w.-]+)\]\(\S+\)\)\s*", finding, re.DOTALL).groups()
    known = CLAIMS[claim]
    assert set(NUMBER.findall(said)) - set(NUMBER.findall(f"{known.claim} {known.paper} {known.ours}")) == set()
    assert NUMBER.search(said)


def test_the_picture_shows_an_attack_that_the_guard_misses_and_its_smoothed_version_does_not(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book"))
    import front_page

    setting, kept = bay_setting("standard"), json.loads((ROOT / "book" / "front_page.json").read_text())
    smoothed, example = front_page.deployed(setting)
    front, alarms = front_page.certified(setting)
    image = np.reshape(np.array(kept["levels"], np.float32) / np.float32(255), example.image.shape)
    slot = np.append(example.token_ids, np.full(front_page.EDITS, setting.guard.pad_id))
    ids, length = np.array(kept["token_ids"]), distance(image, example.image)
    assert np.flatnonzero(ids != slot).tolist() == [example.token_ids.size]  # the slot is filled from its beginning
    edits = 1
    alone = setting.guard.unsafe(np.stack([slot, ids]), np.stack([example.image, image]))
    assert alone.tolist() == [True, False]
    assert length < front.radius(edits)
    tried = evaluate(smoothed, example, Attack(ids, image, edits, length, 0.0, 0), front_page.DRAWS, seed=1)
    assert tried.lower > front_page.TAU
    share = int(kept["share"].removesuffix(" %").removesuffix("%"))
    assert tried.unsafe / front_page.DRAWS == pytest.approx(share / 100, abs=0.01)
    radii = [f"{hrs.floored(front.radius(d), 1):.1f}" for d in range(4)]
    assert np.isnan(front.radii[4:]).all()
    assert set(alarms.values()) == {0.0}
    for page in PAGES.values():
        pictures = len(re.findall("which the guard calls unsafe", page))  # by their descriptions
        assert (
            page.count("up to {} with no edited word, {} with one, {} with two and {} with three".format(*radii))
            == pictures
            > 0
        )
        assert page.count(f"perturbation of length {length:.1f}") == pictures
        assert page.count(f"{share} % of the noisy copies of the attacked pair") == pictures
        assert "none of 40 safe" in " ".join(page.split())


def test_the_ledger_calls_a_finding_what_the_readme_calls_it():
    assert CLAIMS["T1.price"].verdict == "differs"
    assert CLAIMS["released-solver"].verdict == "disputed"
    assert {CLAIMS[name].verdict for name in ("adversary-commits", "several-texts", "T1.alarms", "T1.slot")} == {
        "shown"
    }


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "book/intro.md", "book/idea.md"])
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#\s]+)\)", (ROOT / page).read_text())
    there = (ROOT / page).parent
    kept = [link for link in links if not link.startswith(("experiments/", "reference/"))]  # which the build makes
    assert [link for link in kept if "://" not in link and not (there / link).exists()] == []
