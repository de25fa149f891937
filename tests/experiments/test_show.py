"""Tests of the tables and the figures' style that notebooks share."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hybrid_rs.experiments.show import show_table

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").rglob("*.ipynb"))
BY_HAND = re.compile(  # what the style and show_table do, done in a notebook instead
    r"set_theme|spines\[\[|despine|[\"']#[0-9a-fA-F]{6}[\"']|(?<!plt)\.style\.|set_uuid|to_markdown|-{3}:?\|"
)


def code(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def rows(shown) -> list[list[str]]:
    """The cells of a Markdown table, read by splitting at bars that are not escaped."""
    lines = [line for line in shown.data.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_each_row_has_a_cell_for_each_column() -> None:
    table = pd.DataFrame({"a|b": ["x | y", r"$\|v\|$"], "": [1, None], "c": [True, np.nan]})
    found = rows(show_table(table))
    assert [len(row) for row in found] == [3] * 4
    assert found[0] == [r"a\|b", "", "c"]
    assert found[2:] == [[r"x \| y", "1", "True"], [r"$\|v\|$", "-", "-"]]


def test_a_column_of_numbers_is_aligned_on_the_right() -> None:
    columns = {
        "name": ["Wasserstein", "3", "none at all"],
        "bold": ["**0.5**", "none", ""],
        "formula": ["$-1$", "$< 0$", "over 3000"],
        "n": [1e-9, 2, None],
        "missing": [None, None, None],
        "empty": ["", "", ""],
    }
    assert rows(show_table(pd.DataFrame(columns)))[1] == ["---", "---:", "---:", "---:", "---:", "---"]


def test_formats_by_column_for_all_numbers_and_by_function() -> None:
    table = pd.DataFrame({"who": ["x"], "n": [2], "share": [0.125], "no": [np.nan]})
    assert rows(show_table(table, "{:.1f}", missing="none"))[2] == ["x", "2.0", "0.1", "none"]
    found = rows(show_table(table, {"share": "{:.1%}", "n": lambda n: f"{n} of 3"}))[2]
    assert found == ["x", "2 of 3", "12.5%", "-"]
    assert rows(show_table(pd.DataFrame({"x": [1234567, 0.1 + 0.2]})))[2:] == [["1.23457e+06"], ["0.3"]]
    with pytest.raises(ValueError, match=r"^formats = radius: give columns of the table: \['who'"):
        show_table(table, {"radius": "{:.2f}"})


def test_a_label_that_repeats_the_one_above_is_blank_and_another_is_not() -> None:
    index = pd.MultiIndex.from_tuples(
        [("paper", 0.5, "x"), ("paper", 0.5, "y"), ("paper", 1.0, "x"), ("ours", 1.0, "x")],
        names=["tau", "sigma", None],
    )
    found = rows(show_table(pd.DataFrame({("r", 0): 1, ("r", 1): 2}, index=index), index=True))
    assert found[0] == ["tau", "sigma", "", "r, 0", "r, 1"]
    assert [row[:3] for row in found[2:]] == [["paper", "0.5", "x"], ["", "", "y"], ["", "1", "x"], ["ours", "1", "x"]]
    alone = rows(show_table(pd.DataFrame({"n": [1, 2]}, index=["same", "same"]), index=True))
    assert [row[0] for row in alone[2:]] == ["same", "same"]


def test_text_around_a_table_is_apart_from_it() -> None:
    shown = show_table(pd.DataFrame({"n": [1]}), before="Above.\n", after="Below.")
    assert shown.data == "Above.\n\n| n |\n|---:|\n| 1 |\n\nBelow."
    assert show_table(pd.DataFrame({"n": []})).data == "| n |\n|---|"


def test_the_style_is_found_by_its_name() -> None:
    with plt.style.context("hybrid_rs.experiments.figures"):
        assert plt.rcParams["figure.figsize"] == [8, 3.5]
        assert not plt.rcParams["axes.spines.top"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_leaves_its_look_to_the_package(notebook: Path) -> None:
    assert not BY_HAND.findall(code(notebook))
    if "plt.subplots" in code(notebook):
        assert 'plt.style.use("hybrid_rs.experiments.figures")' in code(notebook)
