"""The status page says what the lines of provenance and the stored counts say."""

import json

import pytest
import status_page
from docutils import nodes

from hybrid_rs.experiments.provenance import Provenance

VERSIONS = {"Python": "3.11.7", "numpy": "2.4.6"}


def line(**changes):
    """The line that a notebook shows, without its marks of Markdown."""
    given = {"commit": "abc, modified", "parameters": {"n": 5}, "versions": VERSIONS, "device": "x86_64 CPU, 2 cores"}
    shown = Provenance(**given | {"seconds": 12.3} | changes)._repr_markdown_()
    return shown.replace("*", "").replace("`", "")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"parameters": {}},
        {"counts": ("data/a.jsonl", "data/b.jsonl")},
        {"counts": ("data/a.jsonl",), "command": "hybrid-rs run T1 --profile quick"},
        {"command": "hybrid-rs run T7 --profile quick"},
    ],
)
def test_a_line_of_provenance_is_read_as_it_was_meant(changes):
    run = status_page.parsed(line(**changes))
    assert (run.commit, run.packages) == ("abc, modified", "Python 3.11.7, numpy 2.4.6")
    assert (run.device, run.seconds, run.counts) == ("x86_64 CPU, 2 cores", 12, changes.get("counts", ()))


def test_another_line_is_refused():
    with pytest.raises(ValueError, match=r"^text = 'Provenance. nothing': give a line"):
        status_page.parsed("Provenance. nothing")


def test_the_last_line_of_a_page_counts():
    page = nodes.section("", *(nodes.paragraph("", text) for text in (line(seconds=1), line(seconds=2), "prose")))
    assert status_page.last_run(page).seconds == 2
    assert status_page.last_run(nodes.section("", nodes.paragraph("", "prose"))) is None


def test_the_table_names_each_machine_once_and_shows_every_page():
    runs = [status_page.parsed(line(device=device, seconds=60)) for device in ("a GPU", "a CPU", "a CPU")]
    shown = status_page.table((f"{i}.html", f"page {i}", run) for i, run in enumerate(runs))
    assert "3 pages were computed, in 3 minutes all together" in shown
    assert shown.count("a GPU") == shown.count("a CPU") == 1
    assert shown.index("a CPU") < shown.index("a GPU")  # the one with most pages first
    assert [shown.count(f'<a href="{i}.html">page {i}</a>') for i in range(3)] == [1, 1, 1]
    assert [shown.count(f"<td>{machine}</td>") for machine in (1, 2)] == [2, 1]


def test_pages_stand_in_the_order_of_the_table_of_contents():
    included = {"root": ["b", "a"], "b": ["c"]}
    assert [*status_page._in_order(included, "root")] == ["root", "b", "c", "a"]


def test_the_counts_are_summed_up_and_drafts_are_left_out(tmp_path):
    folder = tmp_path / "data" / "counts"
    folder.mkdir(parents=True)
    rows = "\n".join(json.dumps({"n": n}) for n in (1000, 500))
    for name in ("kept.jsonl", "draft.local.jsonl"):
        (folder / name).write_text(rows)
    (folder / "other.jsonl").write_text('{"seconds": 1}')
    page = status_page.page(tmp_path)
    assert "| `data/counts/kept.jsonl` | 2 | 1,500 | unknown |" in page  # there is no repository
    assert "| `data/counts/other.jsonl` | 1 |  | unknown |" in page
    assert "draft" not in page
