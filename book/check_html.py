"""Check the built book: nothing is loaded from the network, images have alt text, links work, numbers are unique."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

# Attributes that make a browser fetch something; a plain hyperlink does not.
LOADED = {"object": "data", "link": "href"} | dict.fromkeys(
    ("script", "img", "iframe", "embed", "source", "video", "audio"), "src"
)
LINKS_NOT_LOADED = {"canonical", "alternate", "author", "help", "index", "license", "next", "prev", "search"}
IN_CSS = re.compile(r"""(?:@import\s+(?:url\()?|url\()\s*["']?(?P<target>(?:https?:)?//[^"')\s]+)""")
ELSEWHERE = re.compile(r"(^|[\s,])(https?:)?//")
FILE_NAME = re.compile(r"\S+\.(png|svg|jpe?g|gif|webp)", re.IGNORECASE)  # the alt text that Sphinx falls back to
NUMBERED = {"eqno", "caption-number"}  # the classes of the numbers of equations, figures and statements
TYPED = re.compile(r"\\tag\*?\{([^{}]*)\}")  # a number that somebody typed


class Page(HTMLParser):
    """The links of a page, the numbers that it shows, and its own problems.

    Args:
        text: the page's HTML.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: dict[str, str] = {}  # id: the number of its equation, if any
        self.links: dict[tuple[str, str], None] = {}  # in order, with the text if it leads to an equation
        self.numbers: list[str] = []
        self.problems: list[str] = []
        self._tag, self._classes, self._id = "", set[str](), ""
        self._link, self._said = "", ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Read what an element loads, says and links to."""
        given = {name: value or "" for name, value in attrs}
        self._tag, self._classes = tag, set(given.get("class", "").split())
        if "id" in given:
            self._id = given["id"]
            self.ids[self._id] = ""
        if tag == "a" and "href" in given:
            self._link, self._said = given["href"], ""
        relation = set(given.get("rel", "").split())
        target = given.get(LOADED.get(tag, ""), "")
        if ELSEWHERE.match(target) and not (tag == "link" and relation & LINKS_NOT_LOADED):
            self.problems.append(f"<{tag}> loads {target}")
        if ELSEWHERE.search(given.get("srcset", "")):
            self.problems.append(f"<{tag}> loads {given['srcset']}")
        self.problems += [f"a style loads {address}" for address in _in_css(given.get("style", ""))]
        alt = given.get("alt", "").strip()
        if tag == "img" and (not alt or FILE_NAME.fullmatch(alt)):
            remedy = "in a notebook, set `mystnb: image: alt` in the metadata of the cell"
            self.problems.append(f"image {given.get('src', '')[:80]} has no alt text; {remedy}")

    def handle_endtag(self, tag: str) -> None:
        """Leave a link."""
        if tag == "a" and self._link:
            self.links[self._link, self._said if re.fullmatch(r"\(.*\)", self._said) else ""] = None
            self._link = ""

    def handle_data(self, data: str) -> None:
        """Read styles, numbers and the text of links to equations."""
        if self._tag == "style":
            self.problems += [f"a style loads {address}" for address in _in_css(data)]
        elif self._link and "#equation-" in self._link:
            self._said += data
        elif self._classes & NUMBERED and data.strip():
            self.numbers.append(data.strip())
            self._classes = set()
            if data.startswith("("):
                self.ids[self._id] = data.strip()
        elif "math" in self._classes:
            self.numbers += [f"({number})" for number in TYPED.findall(data)]


def problems(html: Path) -> list[str]:
    """Return all external resources, images without alt text, dead links and ambiguous numbers in a folder of pages.

    Args:
        html: the folder.

    Returns:
        One sentence each.
    """
    files = [file for file in sorted(html.rglob("*.html")) if "_static" not in file.parts]  # those are templates
    pages = {file.resolve(): Page(file.read_text(encoding="utf-8")) for file in files}
    names = {file.resolve(): file.relative_to(html).as_posix() for file in files}
    found = [f"{names[file]}: {problem}" for file, page in pages.items() for problem in page.problems]
    found += [f"{names[file]}: {problem}" for file, problem in _dead(pages)]
    first: dict[str, str] = {}
    for file, page in pages.items():
        for number in page.numbers:
            if number in first:
                found.append(f"{names[file]}: {number} stands for something else on {first[number]}")
            first.setdefault(number, names[file])
    for sheet in sorted(html.rglob("*.css")):
        found += [f"{sheet.relative_to(html)}: loads {target}" for target in _in_css(sheet.read_text(encoding="utf-8"))]
    return found


def _in_css(text: str) -> list[str]:
    return [match["target"] for match in IN_CSS.finditer(text)]


def _dead(pages: dict[Path, Page]) -> Iterator[tuple[Path, str]]:
    """Yield links to missing pages or anchors, or with a wrong number; links out of the book are not followed."""
    for file, page in pages.items():
        for link, said in page.links:
            path, _, anchor = link.partition("#")
            if ":" in path or path.startswith("//"):
                continue
            target = (file.parent / unquote(path.partition("?")[0])).resolve() if path else file
            if not target.is_file():
                yield file, f"a link leads to {link}, which is missing"
            elif anchor and target in pages and unquote(anchor) not in pages[target].ids:
                yield file, f"a link leads to {link}, but that page has no such anchor"
            elif said and said != pages[target].ids[unquote(anchor)]:
                yield file, f"a link to {link} says {said}, but that is {pages[target].ids[unquote(anchor)]}"
