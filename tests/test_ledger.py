"""The ledger: every verdict is what its check says today, and what stands behind each claim exists."""

import ast
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.ledger import (
    VERDICTS,
    Claim,
    all_checks,
    comparisons,
    read_claims,
    recompute,
    results as checks,
    to_frame,
    write_claims,
)
from hybrid_rs.ledger.finding import Finding, measured, refuted, shown
from hybrid_rs.ledger.results import RESULTS
from hybrid_rs.ledger.stored import stored
from hybrid_rs.storage.records import sealed

ROOT = Path(__file__).resolve().parents[1]
CLAIMS = read_claims()


@pytest.mark.slow
def test_every_verdict_is_found_again():
    for claim, again in zip(CLAIMS, recompute(CLAIMS), strict=True):
        assert (again.ours, again.verdict) == (claim.ours, claim.verdict), claim.id


def test_every_check_has_a_claim_and_every_claim_a_check():
    assert sorted(claim.id for claim in CLAIMS) == sorted(all_checks())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_what_stands_behind_a_claim_exists(claim):
    assert (ROOT / "notebooks" / f"{claim.notebook}.ipynb").is_file()
    assert claim.verdict in VERDICTS
    assert claim.why or claim.verdict in ("reproduced", "shown")
    assert (claim.verdict == "shown") == (claim.source == "ours")  # nothing of ours passes for the paper's
    assert claim.ours or claim.verdict == "not testable here"
    assert claim.tests
    for test in claim.tests:
        file, _, name = test.partition("::")
        functions = [
            node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)
        ]
        assert (name in functions) if name else any(function.startswith("test_") for function in functions)


def test_other_counts_give_other_verdicts(monkeypatch):
    def with_counts(k, sigma):
        other = [hrs.Counts((k,) * 9, n=10_000, example=str(i), seed=0) for i in range(40)]
        worse = [hrs.Counts((9000,) * 9, n=10_000, example=str(i), seed=0) for i in range(40)]
        monkeypatch.setattr(checks, "stored", lambda name, at, *rest, **more: other if at == sigma else worse)

    assert RESULTS["F1.edits"]().verdict == "reproduced"
    with_counts(10_000, sigma=1.0)
    assert RESULTS["F1.edits"]().verdict == "differs"
    assert RESULTS["F1.accuracy"]().verdict == "differs"
    with_counts(10_000, sigma=0.5)
    assert RESULTS["F1.edits"]().verdict == "reproduced"
    assert RESULTS["F1.accuracy"]().verdict == "reproduced"


def test_a_result_that_is_not_stored_is_an_error_and_is_not_drawn():
    with pytest.raises(ValueError, match=r"sigma 0.75, beta 0.25 = 0: run the experiment"):
        stored("unsafe", 0.75)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Copies of the stored results, from which the checks read."""
    for folder in ("counts", "attacks"):
        shutil.copytree(ROOT / "data" / folder, tmp_path / folder)
    monkeypatch.setattr(comparisons, "COUNTS", tmp_path / "counts")
    monkeypatch.setattr(comparisons, "ATTACKS", tmp_path / "attacks")
    return tmp_path


def rewrite(path, change):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(sealed(row) + "\n" for each in rows for row in change(each)))


@pytest.mark.parametrize(
    ("file", "claims"),
    [
        ("counts/T2_standard.jsonl", ["T2.edits", "T2.radius"]),
        ("counts/F3_standard.jsonl", ["F3.mmcert"]),
        ("attacks/F2_standard.jsonl", ["F2.attacks"]),
        ("attacks/F3_standard.jsonl", ["F3.unimodal"]),
    ],
)
def test_the_results_of_other_parameters_change_no_verdict(copied, file, claims):
    found = [comparisons.COMPARISONS[name]() for name in claims]

    def others(row):
        zero = [0] * len(row["unsafe"]) if isinstance(row["unsafe"], list) else 0
        worse = row | {"unsafe": zero}
        changes = ({"sigma": row["sigma"] + 0.27}, {"seed": 9}, {"margin": 1.0}, {"n": row["n"] + 1})
        return [row, *(worse | each for each in changes)]

    rewrite(copied / file, others)
    assert [comparisons.COMPARISONS[name]() for name in claims] == found


def test_subsampling_is_judged_by_its_stored_counts(copied):
    assert comparisons.COMPARISONS["F3.mmcert"]().verdict == "differs"
    rewrite(copied / "counts" / "F3_standard.jsonl", lambda row: [row | {"unsafe": [0]}])
    assert comparisons.COMPARISONS["F3.mmcert"]().verdict == "reproduced"


def test_attacks_that_go_below_a_bound_dispute_it(copied):
    rewrite(copied / "attacks" / "F2_standard.jsonl", lambda row: [row | {"unsafe": 0}])
    assert comparisons.COMPARISONS["F2.attacks"]().verdict == "disputed"


def test_means_are_compared_at_sigma_one(monkeypatch):
    monkeypatch.setattr(checks, "mean_radius", lambda found, d: 3.99 if found[0].sigma == 0.5 else 5.0)
    assert RESULTS["T1.image"]() == Finding("3.99 at sigma 0.5, 5.00 at sigma 1", "differs")


def test_rules():
    assert shown(True, "x").verdict == "shown"
    assert shown(False, "x").verdict == "disputed"
    assert measured(3.0, 3.1).verdict == "reproduced"
    assert measured([3.0, 9.0], [3.1, 3.1]).verdict == "differs"
    assert measured(np.nan, 3.1).verdict == "differs"
    assert refuted(True, "x").verdict == "disputed"
    assert refuted(False, "x").verdict == "reproduced"


def test_a_ledger_comes_back_as_it_was(tmp_path):
    path = tmp_path / "claims.json"
    write_claims(CLAIMS, path)
    assert read_claims(path) == CLAIMS
    assert len(to_frame(CLAIMS)) == len(CLAIMS)
    write_claims([CLAIMS[0], CLAIMS[0]], path)
    with pytest.raises(ValueError, match=r"give each claim of claims\.json its own name"):
        read_claims(path)
    unknown = Claim("T0", "", "", "", "", "", ())
    with pytest.raises(ValueError, match=r"id = 'T0': no check of this name"):
        recompute([replace(unknown)])
