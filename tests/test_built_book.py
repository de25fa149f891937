"""A reader opens the book in a browser: from disk and from a server, on a phone in the dark, to search, and to print.

A few pages of each kind are built from their stored outputs, and opened in headless Chromium. ``make pages`` opens all.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

import build
import check_pages
import pytest
import yaml
from bs4 import BeautifulSoup
from card import CARD, SIZE
from check_pages import HEAVY, problems_on_screen
from chromium import NAMES, PROGRAM, Chromium
from fontTools.ttLib import TTFont
from one_page import one_page
from smaller_files import UNCOLOURED

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "https://example.org/book/"
SHOWN = {
    "book/intro": "the first page", "book/idea": "prose with formulas", "book/explorer": "a program",
    "notebooks/theory/cdf_and_threshold": "theory",
    "book/experiments/T1": "wide tables", "book/reference/commands": "reference",
    "book/glossary": "terms", "book/references": "literature",
}  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=f"Chromium is not installed: put {' or '.join(NAMES)} on the path"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder of built pages, finished as ``make book`` does it, and what that and ``make pages`` find wrong."""
    root = tmp_path_factory.mktemp("source")
    for folder in ("book", "data", "notebooks"):
        ignored = shutil.ignore_patterns("_build", "__pycache__", ".ipynb_checkpoints", "counts", "experiments.jsonl")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    shutil.copytree(ROOT / "notebooks" / "experiments", root / "book" / "experiments", dirs_exist_ok=True)
    for file in ("CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / file, root)
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["execute"]["execute_notebooks"] = "off"
    config["html"]["baseurl"] = ADDRESS
    (root / "_config.yml").write_text(yaml.safe_dump(config))
    first, *others = SHOWN
    toc = {"format": "jb-book", "root": first, "chapters": [{"file": name} for name in others]}
    (root / "_toc.yml").write_text(yaml.safe_dump(toc))
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", root, "--path-output", root]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    pages = root / "_build" / "html"
    return pages, [*build.finish(pages), *problems_on_screen(pages)]


@pytest.fixture(scope="module")
def html(finished) -> Path:
    return finished[0]


@pytest.fixture(scope="module")
def served(html):
    """The address of the same pages on a server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=html)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with Chromium() as opened:
        opened.look(1280)
        yield opened


@pytest.fixture
def one_browser(browser, monkeypatch):
    """Checks take turns with the browser that is open: a start costs more than looking at a few small pages."""
    turn = Lock()

    @contextmanager
    def taken():
        with turn:
            yield browser

    monkeypatch.setattr(check_pages, "Chromium", taken)


def test_nothing_is_wrong_with_the_pages_from_disk_on_a_phone_in_the_dark(finished):
    html, found = finished
    assert {f"{name}.html" for name in SHOWN} < {page.relative_to(html).as_posix() for page in html.rglob("*.html")}
    assert found == []


def test_the_pages_come_from_their_server_alone_and_weigh_little(html, served, browser):
    for name in SHOWN:
        browser.open(f"{served}/{name}.html")
        assert browser.errors() == []
        asked = [address for address in browser.loaded() if not address.startswith("data:")]
        assert {address for address in asked if not address.startswith(f"{served}/")} == set()
        files = {html / address.removeprefix(f"{served}/").partition("?")[0] for address in asked}
        assert sum(file.stat().st_size for file in files) < HEAVY


def test_the_icons_of_the_theme_are_in_its_fonts(html):
    (cmap,) = (TTFont(file).getBestCmap() for file in html.rglob("fa-solid-900.*"))
    assert {0xF002, 0xF0C9} <= cmap.keys()  # for the search, and for the menu
    assert len(cmap) < 200


def test_code_without_tags_has_the_colour_of_the_rest(html):
    style = (html / "_static" / "pygments.css").read_text()
    for scheme in ("light", "dark"):
        (rest,) = re.findall(rf'data-theme="{scheme}"\] \.highlight\s*{{[^}}]*[; ]color: (#\w+)', style)
        for name in UNCOLOURED:
            rules = re.findall(rf'data-theme="{scheme}"\] \.highlight \.{name}\s*{{([^}}]*)}}', style)
            assert rules in ([], [f" color: {rest} "])


def test_formulas_are_typeset_and_a_link_into_a_proof_unfolds_it(html, browser):
    page = (html / "notebooks/theory/cdf_and_threshold.html").as_uri()
    browser.open(page)
    assert browser.value("document.querySelectorAll('mjx-container').length") > 50
    assert browser.value("document.querySelectorAll('mjx-merror').length") == 0
    folded = "[...document.querySelectorAll('details.proof-fold')].map((fold) => fold.open)"
    assert not any(browser.value(folded))
    browser.open(f"{page}#equation-eq-cdf-swap")
    assert sum(browser.value(folded)) == 1


@pytest.mark.parametrize("place", ["disk", "server"])
def test_search_finds_a_word_and_shows_where_it_stands(html, served, browser, place):
    browser.open(f"{html.as_uri() if place == 'disk' else served}/search.html?q=threshold")
    found = """new Promise((done) => setInterval(() => {
      const excerpts = [...document.querySelectorAll("#search-results li p.context")].map((x) => x.textContent);
      if (excerpts.length > 2) done(excerpts);
    }, 50))"""
    assert any("threshold" in excerpt.lower() for excerpt in browser.value(found))
    assert browser.errors() == []


def test_the_whole_book_is_one_file_and_linked(html):
    pdf = (html / "hybrid_rs.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > len(SHOWN)
    assert '<a href="../hybrid_rs.pdf">' in (html / "book" / "intro.html").read_text()
    whole = BeautifulSoup(one_page(html), "html.parser")
    read = [f"{name}.html" for name in SHOWN if SHOWN[name] != "reference"]  # lists are not printed
    assert [article["id"] for article in whole.select("article")] == read
    anchors = {tag["id"] for tag in whole.select("[id]")}
    assert {a["href"][1:] for a in whole.select('a[href^="#"]')} - anchors == set()
    assert all((html / image["src"]).is_file() for image in whole.select('img:not([src^="data:"])'))


def test_a_link_to_the_book_has_a_picture(html):
    card = (html / CARD).read_bytes()
    assert card.startswith(b"\x89PNG")
    assert struct.unpack(">II", card[16:24]) == SIZE
    head = BeautifulSoup((html / "book" / "idea.html").read_text(), "html.parser").head
    said = {tag["property"]: tag["content"] for tag in head.select("meta[property]")}
    assert said["og:url"] == f"{ADDRESS}book/idea.html"
    assert said["og:image"] == f"{ADDRESS}{CARD.as_posix()}"
    assert head.select_one('link[rel="canonical"]')["href"] == said["og:url"]


BAD = {
    "<pre style='width: 600px'>long</pre>": "wider than the screen",
    "<script>unknown()</script>": "unknown is not defined",
    "<script>console.error('bad')</script>": "the console says bad",
    "<img src='missing.png'>": "missing.png does not show",
    "<style>body { background: white !important }</style>": "not dark in the dark",
    "<style>body { background: black !important; color: white !important }</style>": "not light in the light",
    "<p style='color: #444'>faint</p>": "color-contrast",
    "<button></button>": "button-name",
    "<div style='overflow: auto; width: 9em'><p style='width: 99em'>long</p></div>": "not by keyboard",
}
GOOD = "<div style='overflow-x: auto' tabindex='0'><pre style='width: 600px'>long</pre></div>"

PAGE = """<!doctype html><html lang="en"><title>a page</title><style>body { background: black; color: white }
@media (prefers-color-scheme: light) { body { background: white; color: black } }</style>
<main><article>{}</article></main>"""


@pytest.mark.usefixtures("one_browser")
def test_the_check_sees_what_it_is_there_to_see(tmp_path):
    for number, body in enumerate([GOOD, *BAD]):
        (tmp_path / f"{number}.html").write_text(PAGE.replace("{}", body))
    found = problems_on_screen(tmp_path)
    assert [problem for problem in found if problem.startswith("0.html")] == []
    for number, said in enumerate(BAD.values(), start=1):
        assert any(problem.startswith(f"{number}.html") and said in problem for problem in found), (said, found)


@pytest.mark.usefixtures("one_browser")
@pytest.mark.parametrize(
    "alike", ["<p style='color: #444'>x</p>", "<p style='color: #444' aria-disabled='true'>not</p>"]
)
def test_what_axe_does_not_judge_hides_nothing_on_other_pages(tmp_path, alike):
    (tmp_path / "0.html").write_text(PAGE.replace("{}", alike + " " * 1000))  # the longest page goes first
    for number in range(1, 9):
        (tmp_path / f"{number}.html").write_text(PAGE.replace("{}", "<p style='color: #444'>faint</p>"))
    assert sum("color-contrast" in problem for problem in problems_on_screen(tmp_path)) >= 8


@pytest.mark.usefixtures("one_browser")
def test_the_command_says_what_is_wrong_and_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check_pages, "HTML", tmp_path)
    assert check_pages.main() == 1
    assert capsys.readouterr().err == "error: no book yet: make book\n"
    (tmp_path / "index.html").write_text(PAGE.replace("{}", GOOD))
    assert check_pages.main() == 0
    assert capsys.readouterr().err == "nothing is wrong with any page\n"
    (tmp_path / "index.html").write_text(PAGE.replace("{}", next(iter(BAD))))
    assert check_pages.main() == 1
    assert capsys.readouterr().err.startswith("error: index.html: ")


@pytest.mark.usefixtures("one_browser")
def test_a_page_that_leads_on_is_not_looked_at(tmp_path):
    (tmp_path / "0.html").write_text(PAGE.replace("{}", GOOD))
    (tmp_path / "index.html").write_text('<meta http-equiv="Refresh" content="0; url=0.html" />\n')
    assert problems_on_screen(tmp_path) == []
