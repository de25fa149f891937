"""Repeat the line of provenance at the end of a notebook's page under each of the page's figures and tables."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import accumulate, pairwise
from pathlib import Path

MARK = "Provenance."  # with which the closing line of a notebook begins, see hybrid_rs.experiments.provenance
SHOWN = ("img", "table", "svg")


def annotate(html: Path) -> int:
    """Fold the provenance of every page of a folder under its figures and tables; return how many there are.

    Args:
        html: the folder of built pages.
    """
    total = 0
    for page in sorted(html.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        if MARK in text and (outputs := _Outputs(text)).facts:
            facts = outputs.facts.partition("</em>")[2].strip()
            folded = f'<details class="provenance"><summary>Provenance</summary><p>{facts}</p></details>'
            cuts = [0, *outputs.ends, len(text)]
            parts = [text[start:end] for start, end in pairwise(cuts)]
            page.write_text(folded.join(parts), encoding="utf-8")
            total += len(outputs.ends)
    return total


class _Outputs(HTMLParser):
    """The outputs of the cells of a page.

    Attributes:
        ends: where each output that shows something ends in the page's text.
        facts: the closing line, as HTML; "" if there is none.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ends: list[int] = []
        self.facts = ""
        self._page, self._lines = page, [0, *accumulate(len(line) + 1 for line in page.split("\n"))]
        self._divisions: list[str] = []  # for each open one: "output", then "shown" once something is in it, or ""
        self._paragraph = 0  # where the text of the last paragraph starts
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "div":
            classes = (dict(attrs).get("class") or "").split()
            self._divisions.append("output" if "cell_output" in classes else "")
        elif tag == "p":
            self._paragraph = self._offset() + len(self.get_starttag_text() or "")
        elif tag in SHOWN:
            self._divisions = [name and "shown" for name in self._divisions]

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and any(self._divisions):
            line = self._page[self._paragraph : self._offset()]
            self.facts = line if line.startswith(f"<em>{MARK}</em>") else self.facts
        elif tag == "div" and self._divisions and self._divisions.pop() == "shown":
            self.ends.append(self._page.index(">", self._offset()) + 1)

    def _offset(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column
