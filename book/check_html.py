"""What a reader would miss in the built book: without a network, without eyes, or on following a link within it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup

# Attributes that make a browser fetch something; a plain hyperlink does not.
LOADED = "script[src], img[src], iframe[src], embed[src], source[src], video[src], audio[src], object[data], link[href]"
LINKS_NOT_LOADED = {"canonical", "alternate", "author", "help", "index", "license", "next", "prev", "search"}
IN_CSS = re.compile(r"""(?:@import\s+(?:url\()?|url\()\s*["']?(?P<target>(?:https?:)?//[^"')\s]+)""")
FILE_NAME = re.compile(r"\S+\.(png|svg|jpe?g|gif|webp)", re.IGNORECASE)  # the alt text that Sphinx falls back to


def problems(html: Path) -> list[str]:
    """Every external resource, image without alt text and dead link in a folder of built pages, one sentence each."""
    found: list[str] = []
    anchors: dict[Path, set[str]] = {}
    links: list[tuple[Path, str]] = []
    for page in sorted(html.rglob("*.html")):
        if "_static" not in page.parts:  # templates of the theme
            soup, name = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser"), page.relative_to(html)
            found += [f"{name}: {problem}" for problem in (*_external(soup), *_unspoken(soup))]
            anchors[page.resolve()] = {str(tag["id"]) for tag in soup.select("[id]")}
            links += [(page, str(tag["href"])) for tag in soup.select("a[href]")]
    found += [f"{page.relative_to(html)}: {problem}" for page, problem in _dead(dict.fromkeys(links), anchors)]
    for sheet in sorted(html.rglob("*.css")):
        found += [f"{sheet.relative_to(html)}: loads {target}" for target in _in_css(sheet.read_text(encoding="utf-8"))]
    return found


def _external(page: BeautifulSoup) -> Iterator[str]:
    for tag in page.select(LOADED):
        if tag.name == "link" and LINKS_NOT_LOADED & set(tag.get("rel") or ()):
            continue
        target = str(tag.get("src") or tag.get("data") or tag.get("href"))
        if target.startswith(("http:", "https:", "//")):
            yield f"<{tag.name}> loads {target}"
    for tag in page.select("[srcset]"):
        if re.search(r"(^|[\s,])(https?:)?//", str(tag["srcset"])):
            yield f"<{tag.name}> loads {tag['srcset']}"
    for css in (
        *(tag.get_text() for tag in page.select("style")),
        *(str(tag["style"]) for tag in page.select("[style]")),
    ):
        yield from (f"a style loads {target}" for target in _in_css(css))


def _in_css(text: str) -> list[str]:
    return [match["target"] for match in IN_CSS.finditer(text)]


def _unspoken(page: BeautifulSoup) -> Iterator[str]:
    for image in page.select("img"):
        alt = str(image.get("alt") or "").strip()
        if not alt or FILE_NAME.fullmatch(alt):
            source = str(image.get("src", ""))[:80]
            remedy = "in a notebook, set `mystnb: image: alt` in the metadata of the cell"
            yield f"image {source} has no alt text; {remedy}"


def _dead(links: Iterable[tuple[Path, str]], anchors: dict[Path, set[str]]) -> Iterator[tuple[Path, str]]:
    """Links to a file or to an anchor that the book does not have; links to other places are not followed."""
    for page, link in links:
        path, _, anchor = link.partition("#")
        if ":" in path or path.startswith("//"):
            continue
        target = (page.parent / unquote(path.partition("?")[0])).resolve() if path else page.resolve()
        if not target.is_file():
            yield page, f"a link leads to {link}, which is missing"
        elif anchor and target in anchors and unquote(anchor) not in anchors[target]:
            yield page, f"a link leads to {link}, but that page has no such anchor"
