"""The comparison of methods: whole, from stored draws, with the order that the theory demands."""

import numpy as np
import pytest

from hybrid_rs.experiments import which


@pytest.fixture(scope="module")
def comparison():
    return which.Comparison("quick")


@pytest.fixture(scope="module")
def table(comparison):
    return comparison.table().set_index(["threat", "method"])


def test_every_method_has_draws_and_no_decision_asks_more_than_the_others_may(comparison, table):
    known = {*comparison.smoothed, *comparison.others}
    for method in which.methods(comparison.guard):
        assert {method.draws, method.evidence or method.draws} <= known
    assert table.index.is_unique
    assert (table["questions"] <= comparison.budget).all()
    assert (table["questions"] > 0.9 * comparison.budget).all()


def test_the_order_is_that_of_the_theory(table):
    edits = [f"d = {d}" for d in range(which.EDITS + 1)]
    assert (table[edits].diff(axis=1).iloc[:, 1:] <= 1e-12).all(axis=None)
    slot = table.loc["suffix, known slot"]
    assert slot.loc["slot removed", edits].nunique() == 1
    assert (slot.loc["hybrid, plain", edits] >= slot.loc["two certificates in sequence", edits]).all()
    added, any_edit = (table.loc[threat].iloc[0][edits] for threat in ("tokens added anywhere", "any edits"))
    assert (added >= any_edit).all()
    assert (added == table.loc[("tokens appended", "deletion"), edits]).all()  # what is appended is inserted
    assert (any_edit == table.loc[("tokens replaced anywhere", "deletion"), edits]).all()


def test_synonyms_of_a_closed_family_have_the_radius_of_the_image_alone(comparison):
    example = comparison.sets["unsafe"][0]
    [counts] = comparison.counts("synonyms", "unsafe")[:1]
    radii = which.synonym_radii(counts, 0.05, example)
    assert np.ptp(radii) == 0


def test_subsampling_is_asked_what_the_others_are_an_image_that_stays(comparison):
    [method] = [method for method in which.methods(comparison.guard) if method.name == "MMCert"]
    example = comparison.sets["unsafe"][0]
    law = which.KEPT.law(example)
    held = set()
    for unsafe in range(0, 501, 25):
        counts = which.Counts((unsafe,), 500, example.id, 0)
        values = [float(law.p_adv(counts.p_a(which.ALPHA)[0], d, 0)) for d in range(which.EDITS + 1)]
        found = method.radii(counts, 0.5, example)
        np.testing.assert_array_equal(found, np.where(np.array(values) >= 0.5, 0.0, np.nan))
        held.add(int((found == 0).sum()))
    assert {0, 1, 2} <= held


def test_a_guard_that_always_alarms_has_no_threshold(comparison, monkeypatch):
    method = which.methods(comparison.guard)[0]
    always = [which.Counts((10,), 10, f"a{i}", 0) for i in range(4)]
    monkeypatch.setattr(comparison, "counts", lambda draws, name: always)
    assert comparison.threshold(method) == 1.0
