"""The book as one page, and that page as a PDF, printed by headless Chromium where one is installed.

The page is put together from the built pages in the order of the table of contents, so that it shows what they show:
statements with their proofs, figures and tables, and only the code that a page does not fold away.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from bs4 import BeautifulSoup
from chromium import Chromium

PDF = "hybrid_rs.pdf"
FIRST, PLACE = "book/intro.html", '<p id="whole-book"></p>'  # where the first page links to the PDF
LISTS, READ = "book/reference/", ("book/reference/cite.html", "book/reference/status.html")
WIDTH = 660  # CSS pixels of a line on A4 with these margins
PAPER: dict[str, Any] = {
    "paperWidth": 8.27, "paperHeight": 11.69, "marginLeft": 0.7, "marginRight": 0.7, "marginTop": 0.7,
    "marginBottom": 0.8, "printBackground": True, "generateDocumentOutline": True, "displayHeaderFooter": True,
    "headerTemplate": "<span></span>",
    "footerTemplate": '<p style="width: 100%; text-align: center; font-size: 8px"><span class="pageNumber"></span></p>',
}  # fmt: skip
DROPPED = (
    "script, style, button, a.headerlink, details.provenance, details.hide.above-input, #explorer, .toctree-wrapper, "
    "img.on-phones, #whole-book"
)
STYLE = """
body { font-size: 10pt; background: white; }
main > article > section > h1, h1.part { break-before: page; }
h1, h2, h3, summary { break-after: avoid; }
figure, img, tr, mjx-container[display="true"] { break-inside: avoid; }
pre, code { white-space: pre-wrap !important; overflow-wrap: anywhere; font-size: 8pt; }
table { font-size: 8pt; }
img, svg { max-width: 100%; height: auto; }
.cell_output, .bd-article { overflow: visible !important; }
summary { list-style: none; color: #666; }
"""
# Formulas are there twice, once for screen readers. Paper has no use for these, and printing them takes time.
UNHEARD = "document.querySelectorAll('mjx-assistive-mml').forEach((formula) => formula.remove())"
# Whatever is wider than a line is shrunk, since paper does not scroll.
FIT = """(() => {
  const line = document.querySelector("main").clientWidth;
  for (const wide of document.querySelectorAll("table, mjx-container[display='true'], svg, img")) {
    const width = wide.scrollWidth || wide.getBoundingClientRect().width;
    if (width > line) wide.style.zoom = Math.max(0.4, (line - 4) / width);
  }
})()"""


def make_pdf(html: Path) -> Path:
    """Print the book into its own folder of pages; return the file.

    Args:
        html: the folder of built pages.

    Raises:
        FileNotFoundError: if no Chromium is installed.
    """
    whole, pdf = html / "_whole.htm", html / PDF  # no page of the book
    with Chromium(seconds=900) as browser:
        whole.write_text(one_page(html), encoding="utf-8")
        try:
            browser.look(WIDTH)
            browser.ask("Emulation.setEmulatedMedia", media="print")
            browser.open(whole.as_uri())
            browser.value(UNHEARD)
            browser.value(FIT)
            browser.print(pdf, **PAPER)
        finally:
            whole.unlink()
    return pdf


def link_pdf(html: Path, pdf: Path) -> Path:
    """Link the PDF from the first page; return it.

    Args:
        html: the folder of built pages.
        pdf: a file in it.
    """
    page, size = html / FIRST, pdf.stat().st_size / 1e6
    link = (
        f'<p id="whole-book">To read on paper: <a href="../{pdf.name}">the book as a PDF</a> ({size:.0f} MB), without'
        " the lists of commands and names.</p>"
    )
    page.write_text(page.read_text(encoding="utf-8").replace(PLACE, link), encoding="utf-8")
    return pdf


def one_page(html: Path) -> str:
    """Return one page with the text of all others; links between them become links within it."""
    index = _soup(html / FIRST)
    contents = index.select_one("nav.bd-links") or index.new_tag("nav")
    order = [FIRST, *(_target(FIRST, str(a["href"]))[0] for a in contents.select("a[href]"))]
    order = [name for name in dict.fromkeys(order) if (html / name).is_file() and _is_read(name)]
    articles = [_article(html, name, set(order)) for name in order]
    styles = [str(link["href"]) for link in index.select('head link[rel="stylesheet"]')]
    links = [f'<link rel="stylesheet" href="{posixpath.normpath(f"book/{name}")}">' for name in styles]
    mathjax = [str(script) for script in index.select("script") if "window.MathJax" in script.get_text()]
    sources = [str(script["src"]) for script in index.select('script[src*="mathjax/"]')]
    mathjax += [f'<script defer src="{posixpath.normpath(f"book/{name}")}"></script>' for name in sources]
    title = index.title.get_text().rpartition(" — ")[2] if index.title else ""
    head = [f"<title>{title}</title>", *links, f"<style>{STYLE}</style>", *mathjax]
    return "\n".join([
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">', *head, "</head><body>",
        '<main class="bd-content">', *articles, "</main></body></html>",
    ])  # fmt: skip


def _is_read(name: str) -> bool:
    """Return whether a page is for reading; in lists of commands and names, half of all paper, things are looked up."""
    return not name.startswith(LISTS) or name in READ


def _soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def _article(html: Path, name: str, known: set[str]) -> str:
    """Return the text of a page, with its ids, links and images as they are on the whole page."""
    text = (html / name).read_text(encoding="utf-8")
    start, end = text.find('<article class="bd-article"'), text.rfind("</article>")
    if start < 0:
        return ""
    article = BeautifulSoup(text[start:end] + "</article>", "html.parser").article
    assert article is not None
    for tag in article.select(DROPPED):
        tag.decompose()
    for tag in article.select("details"):
        tag["open"] = ""
    for tag in article.select("[id]"):
        if not tag.find_parent("svg"):
            tag["id"] = f"{name}--{tag['id']}"
    for tag in article.select("a[href]"):
        place, anchor = _target(name, str(tag["href"]))
        if place in known:
            tag["href"] = f"#{place}--{anchor}" if anchor else f"#{place}"
        elif ":" not in place:  # a file beside the pages
            tag.unwrap()
    for tag in article.select("img[src]"):
        if not str(tag["src"]).startswith("data:"):
            tag["src"] = _target(name, str(tag["src"]))[0]
    article["id"] = name
    return str(article)


def _target(name: str, link: str) -> tuple[str, str]:
    """Return the page and the anchor to which a link on a page leads."""
    path, _, anchor = link.partition("#")
    if ":" in path:
        return path, anchor
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(path))) if path else name, anchor
