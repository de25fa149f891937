"""The shared table and the authors' JSON: read back as written, rounded down, refused where they make no sense."""

import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

import hybrid_rs as hrs
from hybrid_rs.storage.exchange import HEADER, Row, certified_row, read_authors, read_table, write_table

CURVE = [
    {"d": 1, "nA_unsafe": 10_000, "pA_lcb": 0.9995395, "r": 6.4},
    {"d": 2, "nA_unsafe": 9_990, "pA_lcb": 0.99799, "r": 4.0},
    {"d": 3, "nA_unsafe": 9_000, "pA_lcb": 0.8927, "r": 0.0},
]
AUTHORS = {
    "example_id": 4,
    "text_threat": "append_only",
    "guard_decision_rule": "logit_mass",
    "kernel": "uniform",
    "beta": 0.25,
    "sigma": 1.0,
    "tau": 4.6e-5,
    "n": 10_000,
    "alpha": 0.01,
    "d_max_effective": 8,
    "d_cert": 2,
    "certified_curve": CURVE,
}


@given(st.lists(st.floats(0, 100) | st.just(math.nan), max_size=5), st.integers(0, 1))
def test_a_table_is_read_as_written_and_no_radius_grows(tmp_path_factory, radii, label):
    file = tmp_path_factory.mktemp("table") / "table.tsv"
    rows = [certified_row(idx, label, radius) for idx, radius in enumerate(radii)]
    file.write_text(write_table(rows))
    found = read_table(file)
    assert write_table(found) == file.read_text()
    for row, radius in zip(found, radii, strict=True):
        assert (row.predict, row.correct) == ((-1, False) if math.isnan(radius) else (1, label == 1))
        assert 0 <= (0 if math.isnan(radius) else radius) - row.radius <= 1.001e-6


def test_the_table_is_what_the_analysis_of_cohen_et_al_reads():
    rows = [Row(0, 1, 1, 1.29999999, True), Row(1, 1, -1, 0.0, False, "0:00:12.5")]
    table = pd.read_csv(io.StringIO(write_table(rows)), delimiter="\t")
    assert tuple(table.columns) == HEADER
    assert (table["correct"] & (table["radius"] >= 1.29)).mean() == 0.5
    assert (table["correct"] & (table["radius"] >= 1.3)).mean() == 0
    assert table["time"].isna().tolist() == [True, False]  # what was not recorded is missing
    assert pd.to_timedelta(table["time"]).dt.total_seconds().tolist()[1] == 12.5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0\t1\t1\t-1\t1\tx", "radius = -1"),
        ("0\t1\t1\tnan\t1\tx", "radius = nan"),
        ("0\t1\t-1\t0\t1\tx", "correct = 1: predict -1 and label 1"),
        ("0\t1\t1", "give values of columns"),
        ("a\t1\t1\t0\t1\tx", "give values of columns"),
    ],
)
def test_a_line_that_contradicts_the_format_is_refused_by_number(tmp_path, line, message):
    file = tmp_path / "table.tsv"
    file.write_text("\t".join(HEADER) + "\n0\t1\t1\t0.5\t1\t0:00:01\n" + line + "\n")
    with pytest.raises(ValueError, match="line 3") as raised:
        read_table(file)
    assert message in str(raised.value)


def authors(tmp_path, **changes):
    file = tmp_path / "authors.json"
    file.write_text(json.dumps([AUTHORS | changes], indent=4))
    return file


def test_the_authors_radii_are_computed_anew_from_their_counts(tmp_path):
    (result,) = read_authors(authors(tmp_path))
    assert [result.radius(d) for d in (1, 2)] == [6.4, 4.0]
    assert math.isnan(result.radius(3))
    assert math.isnan(result.radius(8))
    kernel = hrs.UniformKernel(0.25, 32_000)
    front = hrs.frontier(hrs.Counts((0, 10_000, 9_990, 9_000), n=10_000).p_a(), kernel, sigma=1.0, tau=4.6e-5, d_max=3)
    np.testing.assert_allclose(result.recomputed(32_000), front.radii[1:], rtol=1e-12)


def test_at_beta_one_the_authors_radius_is_seen_to_be_too_large(tmp_path):
    # the released solver's own answer at p_A = 0.5, where atoms of infinite ratio are given ratio 0
    curve = [{"d": 8, "nA_unsafe": 5_117, "pA_lcb": 0.5, "r": 5.75}]
    (result,) = read_authors(authors(tmp_path, beta=1.0, certified_curve=curve))
    assert 3.9 < result.recomputed(30_000)[0] < 3.92


def test_the_other_scripts_of_the_authors_are_read_too(tmp_path):
    shared = read_authors(authors(tmp_path, approach="shared_D", nA_shared=10_000, pA_shared=0.9995))
    assert shared[0].shared
    text = [{"d": 1, "nA_unsafe": 9_990, "pA_lcb": 0.998, "p_adv_lb": 0.01, "ok": True}]
    text += [{"d": 2, "nA_unsafe": 9_990, "pA_lcb": 0.998, "p_adv_lb": 0.0, "ok": False}]
    file = authors(tmp_path, text_threat="l0_inplace", certified_curve=text)
    value = json.loads(file.read_text())
    del value[0]["sigma"]
    file.write_text(json.dumps({"results": value}))
    (alone,) = read_authors(file)
    assert (alone.sigma, alone.radius(1), alone.shared) == (0.0, 0.0, True)
    assert math.isnan(alone.radius(2))
    assert alone.recomputed(32_000)[0] >= 0


@pytest.mark.parametrize(
    "changes",
    [
        {"beta": 2},
        {"kernel": "gauss"},
        {"certified_curve": [{"d": 1, "nA_unsafe": 10_001, "pA_lcb": 0.9, "r": 1.0}]},
        {"certified_curve": [{"d": 1, "nA_unsafe": 10, "pA_lcb": 0.9}]},
        {"certified_curve": [{"d": 0, "nA_unsafe": 10, "pA_lcb": 0.9, "r": 1.0}]},
        {"n": None},
    ],
)
def test_what_the_authors_scripts_do_not_write_is_refused(tmp_path, changes):
    with pytest.raises(ValueError, match="object 0: not what the authors' scripts write"):
        read_authors(authors(tmp_path, **changes))
