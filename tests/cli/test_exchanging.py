"""export and import: every kind of file that they take, and the table that comes out."""

import json

import pytest

import hybrid_rs as hrs
from hybrid_rs.storage.exchange import HEADER
from hybrid_rs.storage.records import SCHEMA, sealed

UNIT = {
    "schema": SCHEMA,
    "classifier": "toy",
    "margin": 0.0,
    "example": "a",
    "kernel": {"name": "UniformKernel", "beta": 0.25, "vocab_size": 32_000},
    "sigma": 1.0,
    "threat": {"name": "SuffixThreat", "max_edits": 3, "one_shot": True},
    "n": 10_000,
    "seed": 0,
    "unsafe": [10_000],
}
AUTHORS = {
    "example_id": 7,
    "text_threat": "append_only",
    "kernel": "uniform",
    "beta": 0.25,
    "sigma": 1.0,
    "tau": 4.6e-5,
    "n": 10_000,
    "alpha": 0.01,
    "certified_curve": [
        {"d": 1, "nA_unsafe": 10_000, "pA_lcb": 0.9995, "r": 6.4676},
        {"d": 2, "nA_unsafe": 100, "pA_lcb": 0.008, "r": 0.0},
    ],
}


def write(path, *units):
    path.write_text("".join(sealed(unit) + "\n" for unit in units))
    return path


def rows(text):
    head, *lines = text.splitlines()
    assert tuple(head.split("\t")) == HEADER
    return [line.split("\t") for line in lines]


def test_a_store_is_exported_with_the_radii_of_its_counts(run, tmp_path):
    store = write(tmp_path / "counts.jsonl", UNIT, UNIT | {"example": "b", "unsafe": [10]})
    code, printed = run("export", store, "--d", 1, "--out", "table.tsv")
    assert (code, "counts have no labels: every line says unsafe" in printed.err) == (0, True)
    first, second = rows((tmp_path / "table.tsv").read_text())
    radius = hrs.frontier(hrs.Counts((10_000,), 10_000).p_a()[0], hrs.UniformKernel(0.25, 32_000), sigma=1, tau=4.6e-5)
    assert 0 <= radius.radius(1) - float(first[3]) <= 1.001e-6
    assert second == ["1", "1", "-1", "0.000000", "0", "nan"]
    assert run("export", "table.tsv")[1].out == (tmp_path / "table.tsv").read_text()
    assert "2 examples: 1 correct, 1 abstained, 0 wrong" in run("import", "table.tsv")[1].out
    assert [row[4] for row in rows(run("export", store, "--safe")[1].out)] == ["0", "0"]


def test_of_several_runs_in_a_store_one_must_be_named(run, tmp_path):
    store = write(tmp_path / "counts.jsonl", UNIT, UNIT | {"sigma": 0.5, "unsafe": [9_000]})
    code, printed = run("export", store)
    assert code == 1
    names = [line.split(":")[0].strip() for line in printed.err.splitlines()[1:]]
    radii = [rows(run("export", store, "--run", name)[1].out)[0][3] for name in names]
    assert float(radii[0]) > 2 * float(radii[1]) > 0
    assert run("export", store, "--run", "none")[0] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"kernel": {"name": "AbsorbingKernel", "beta": 0.25}},
        {"noise": "philox-float32"},
        {"classifier": "another"},
        {"texts": 2, "reached": [[10_000, 9_000]], "unsafe": None},
        {"masked": True},
    ],
    ids=["kernel", "noise", "classifier", "texts", "masked"],
)
def test_runs_that_differ_look_different_where_one_must_be_chosen(run, tmp_path, other):
    unit = {name: value for name, value in (UNIT | other).items() if value is not None}
    store = write(tmp_path / "counts.jsonl", UNIT | {"noise": "philox-lattice"}, {"noise": "philox-lattice"} | unit)
    _, first, second = run("export", store)[1].err.splitlines()
    assert first.split(":")[1] != second.split(":")[1]


def test_runs_that_cannot_be_exported_do_not_hinder_others(run, tmp_path):
    deletion = {"kernel": {"name": "DeletionKernel", "beta": 0.25}}
    store = write(tmp_path / "counts.jsonl", UNIT, UNIT | deletion)
    listed = [line.split(":")[0].strip() for line in run("export", store)[1].err.splitlines()[1:]]
    assert len(rows(run("export", store, "--d", 1, "--run", listed[0])[1].out)) == 1
    code, printed = run("export", store, "--run", listed[1])
    assert (code, "DeletionKernel" in printed.err, "certify --json" in printed.err) == (1, True, True)


def test_counts_of_the_image_alone_are_exported(run, tmp_path):
    store = write(tmp_path / "counts.jsonl", UNIT | {"threat": {"name": "SuffixThreat", "max_edits": 0}})
    [[_, _, predict, radius, *_]] = rows(run("export", store)[1].out)
    assert (predict, float(radius) > 7) == ("1", True)


def test_one_example_with_two_contents_is_not_counted_once(run, tmp_path):
    store = write(tmp_path / "counts.jsonl", UNIT | {"content": "a"}, UNIT | {"content": "b", "unsafe": [10]})
    code, printed = run("export", store)
    assert (code, "line 2" in printed.err, "certify --json" in printed.err) == (1, True, True)


def test_what_certify_printed_is_exported_with_its_labels(run, tmp_path):
    law = {"tau": 4.6e-5, "alpha": 0.01, "n": 10, "sigma": 1.0, "beta": 0.25, "threat": "L0Threat", "max_edits": 1}
    lines = [law | {"label": "unsafe", "radii": [1.5, None]}, law | {"label": None, "radii": [None, None]}]
    file = write(tmp_path / "out.jsonl", *lines, law | {"label": "safe", "flagged": [True]})
    safe = law | {"label": "safe", "flagged": [True]}
    write(file, safe, lines[0], safe, lines[1])  # an example has the number of its place in the data set
    assert rows(run("export", file)[1].out) == [
        ["1", "1", "1", "1.500000", "1", "nan"],
        ["3", "1", "-1", "0.000000", "0", "nan"],
    ]
    assert [row[2] for row in rows(run("export", file, "--d", 1)[1].out)] == ["-1", "-1"]
    assert "d = 2" in run("export", file, "--d", 2)[1].err
    write(file, lines[0], lines[1] | {"tau": 0.1})
    assert "of one run; these are of 2" in run("export", file)[1].err


def test_the_authors_results_are_exported_as_they_are_and_imported_beside_ours(run, tmp_path):
    file = tmp_path / "authors.json"
    file.write_text(json.dumps([AUTHORS], indent=4))
    assert rows(run("export", file, "--d", 1)[1].out) == [["7", "1", "1", "6.467600", "1", "nan"]]
    assert rows(run("export", file, "--d", 2)[1].out)[0][2] == "-1"
    code, printed = run("import", file)
    assert code == 0
    assert "give --vocab-size" in printed.err
    printed = run("import", file, "--vocab-size", 32_000)[1]
    p_a = hrs.Counts((10_000,), 10_000).p_a()[0]
    ours = hrs.frontier(p_a, hrs.UniformKernel(0.25, 32_000), sigma=1.0, tau=4.6e-5).radius(1)
    shown = ["1", "1", "of", "1", "6.467", "1", "of", "1", f"{hrs.floored(ours, 3):.3f}", "0"]
    assert printed.out.splitlines()[2].split() == shown


@pytest.mark.parametrize(
    "text", ["nonsense", "[]", "[1]", '{"a": 1}', '{"schema": 1, "d": 1}', '{"schema": 1}', "idx\tlabel\n"]
)
def test_a_file_of_no_known_kind_is_one_message(run, tmp_path, text):
    file = tmp_path / "file"
    file.write_text(text)
    for command in ("export", "import"):
        code, printed = run(command, file, *(("--d", 1) if command == "export" and text[:1] in "[n" else ()))
        assert (code, printed.err.startswith("error: ")) == (1, True)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "file = 'file': it is empty"), (b"\xff\x00\xfe", "file = 'file': it is not UTF-8; give a file of text")],
)
def test_a_file_without_text_is_named(run, tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    for command in ("export", "import"):
        code, printed = run(command, "file")
        assert (code, printed.err) == (1, f"error: {message}\n")


def test_import_says_the_same_in_json(run, tmp_path):
    store = write(tmp_path / "counts.jsonl", UNIT, UNIT | {"example": "b", "unsafe": [10]})
    run("export", store, "--d", 1, "--out", "table.tsv")
    found = json.loads(run("import", "table.tsv", "--json")[1].out)
    assert {name: found[name] for name in ("examples", "correct", "abstained", "wrong")} == {
        "examples": 2, "correct": 1, "abstained": 1, "wrong": 0
    }  # fmt: skip
    assert found["correct_with_at_least"][0] == {"radius": 0.0, "correct": 1}
    file = tmp_path / "authors.json"
    file.write_text(json.dumps([AUTHORS], indent=4))
    first, second = json.loads(run("import", file, "--vocab-size", 32_000, "--json")[1].out)["curve"]
    assert first["theirs"] == {"certified": 1, "mean_radius": 6.4676}
    assert first["ours"]["mean_radius"] == pytest.approx(6.4676, rel=1e-3)
    assert first["larger"] == 0
    assert second["theirs"] == {"certified": 0, "mean_radius": None}
    assert "ours" not in json.loads(run("import", file, "--json")[1].out)["curve"][0]


@pytest.mark.parametrize("option", [("--tau", 0.3), ("--alpha", 0.05), ("--run", "a")])
def test_an_option_that_would_change_nothing_is_refused(run, tmp_path, option):
    store = write(tmp_path / "counts.jsonl", UNIT)
    run("export", store, "--out", "table.tsv")
    code, printed = run("export", "table.tsv", *option)
    assert (code, "leave it out" in printed.err, option[0][2:] in printed.err) == (1, True, True)


def test_labels_of_a_table_are_not_replaced(run, tmp_path):
    run("export", write(tmp_path / "counts.jsonl", UNIT), "--out", "table.tsv")
    assert "leave it out" in run("export", "table.tsv", "--safe")[1].err
