"""What stands at the end of a notebook's page, once more under each of its figures and tables: where it comes from."""

from __future__ import annotations

from pathlib import Path

from bs4 import BeautifulSoup

MARK = "Provenance."  # with which the closing line of a notebook begins, see hybrid_rs.experiments.provenance


def annotate(html: Path) -> int:
    """Fold the provenance of every page of a folder under its figures and tables; return how many there are.

    Args:
        html: the folder of built pages.
    """
    total = 0
    for page in sorted(html.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        if MARK in text and (marked := _annotated(text)):
            page.write_text(marked[0], encoding="utf-8")
            total += marked[1]
    return total


def _annotated(text: str) -> tuple[str, int] | None:
    page = BeautifulSoup(text, "html.parser")
    lines = [line for line in page.select("div.cell_output p") if line.get_text().startswith(MARK)]
    if not lines:
        return None
    facts = lines[-1].decode_contents().partition("</em>")[2].strip()
    shown = [output for output in page.select("div.cell_output") if output.select_one("img, table, svg")]
    for output in shown:
        folded = f'<details class="provenance"><summary>Provenance</summary><p>{facts}</p></details>'
        output.insert_after(BeautifulSoup(folded, "html.parser"))
    return str(page), len(shown)
