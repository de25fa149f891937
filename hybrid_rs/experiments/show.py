"""Tables in notebooks: every table of the book is shown by :func:`show_table`.

Figures have one style, too, in ``figures.mplstyle`` beside this file. A notebook chooses it by
``plt.style.use("hybrid_rs.experiments.figures")``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from hybrid_rs._checks import require
from hybrid_rs._extras import needs

if TYPE_CHECKING:
    from IPython.display import Markdown

Format: TypeAlias = str | Callable[[object], str]
"""A format string such as ``"{:.2f}"``, or a function from a cell to its text."""

NUMBER = re.compile(r"[-+\d.$\\*−<≤>≥~ ]*\d")  # how the text of a number begins, also in bold or in a formula


def show_table(
    table: pd.DataFrame,
    formats: Mapping[Hashable, Format] | Format | None = None,
    *,
    index: bool = False,
    missing: str = "-",
    before: str = "",
    after: str = "",
) -> Markdown:
    r"""Return a table as Markdown, which Jupyter, the book and GitHub show alike, formulas included.

    Columns of numbers are aligned on the right. Formats round to nearest: round a certified value to its safe side
    first, with :func:`hybrid_rs.floored` or :func:`hybrid_rs.ceiled`.

    Args:
        table: one row for each line. Headings and cells may contain Markdown and formulas between dollar signs.
        formats: how to write each column, by its name; or one format for all numbers. Without one, whole numbers are
            written in full and others to six digits.
        index: whether the index is shown, as leading columns. A label that repeats the one above is left blank.
        missing: the text of a cell that is NaN or None.
        before: Markdown above the table.
        after: Markdown below it.

    Raises:
        ImportError: if IPython is not installed.
        ValueError: if a format names a column that is not there.

    Example:
        >>> found = pd.DataFrame({"threat": ["suffix", "l0"], "$d$": [3, 1], "radius": [1.25, float("nan")]})
        >>> print(show_table(found, {"radius": "{:.2f}"}, before="Certified:").data)
        Certified:
        <BLANKLINE>
        | threat | $d$ | radius |
        |---|---:|---:|
        | suffix | 3 | 1.25 |
        | l0 | 1 | - |
    """
    each = formats if isinstance(formats, Mapping) else {}
    for name in each:
        require(name in table.columns, "formats", name, f"give columns of the table: {[*table.columns]}")
    columns = [*_labels(table.index)] if index else []
    for place, name in enumerate(table.columns):
        form = each.get(name) if isinstance(formats, Mapping) else formats
        columns.append((_spelled(name), [_text(cell, form, missing) for cell in table.iloc[:, place]]))
    lines = [[name for name, _ in columns], *zip(*(cells for _, cells in columns), strict=True)]
    lines.insert(1, ["---:" if _numeric(cells, missing) else "---" for _, cells in columns])
    rows = [_line(cells) for cells in lines]
    rows[1] = rows[1].replace(" ", "")
    with needs("book"):
        from IPython.display import Markdown

    return Markdown("\n\n".join(part for part in (before.strip(), "\n".join(rows), after.strip()) if part))


def _labels(index: pd.Index) -> Iterable[tuple[str, list[str]]]:
    """Yield the heading and the cells of each level of an index."""
    shown: list[tuple[str, ...]] = [tuple(map(_plain, row if isinstance(row, tuple) else (row,))) for row in index]
    above = [(), *shown]
    for level, name in enumerate(index.names):
        repeats = [row[: level + 1] == last[: level + 1] for row, last in zip(shown, above, strict=False)]
        last = level == len(index.names) - 1
        cells = ["" if again and not last else row[level] for row, again in zip(shown, repeats, strict=True)]
        yield _spelled(name), cells


def _spelled(name: object) -> str:
    """The heading of a column; of several levels, those that say something."""
    levels = name if isinstance(name, tuple) else (name,)
    return ", ".join(_plain(level) for level in levels if level is not None and level != "")


def _text(cell: object, form: Format | None, missing: str) -> str:
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return missing
    if callable(form):
        return form(cell)
    if form is not None and isinstance(cell, Real):
        return form.format(cell)
    return _plain(cell)


def _plain(cell: object) -> str:
    if isinstance(cell, Real) and not isinstance(cell, Integral):
        return f"{float(cell):g}"
    return str(cell)


def _numeric(cells: Sequence[str], missing: str) -> bool:
    """Whether a column is one of numbers: most of its cells begin like one, or are missing."""
    told = [cell for cell in cells if cell]
    return 2 * sum(cell in (missing, "none") or bool(NUMBER.match(cell)) for cell in told) > len(told)


def _line(cells: Iterable[str]) -> str:
    kept = (re.sub(r"(?<!\\)\|", r"\|", cell) for cell in cells)  # a bar would begin the next cell
    return re.sub(r"\|  \|", "| |", f"| {' | '.join(kept)} |")
