"""What a reader without a network or without eyes would miss in the built book: external resources, absent alt text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup

# Attributes that make a browser fetch something; a plain hyperlink does not.
LOADED = "script[src], img[src], iframe[src], embed[src], source[src], video[src], audio[src], object[data], link[href]"
LINKS_NOT_LOADED = {"canonical", "alternate", "author", "help", "index", "license", "next", "prev", "search"}
IN_CSS = re.compile(r"""(?:@import\s+(?:url\()?|url\()\s*["']?(?P<target>(?:https?:)?//[^"')\s]+)""")
FILE_NAME = re.compile(r"\S+\.(png|svg|jpe?g|gif|webp)", re.IGNORECASE)  # the alt text that Sphinx falls back to


def problems(html: Path) -> list[str]:
    """Every external resource and every image without alt text in a folder of built pages, one sentence each."""
    found = []
    for page in sorted(html.rglob("*.html")):
        if "_static" not in page.parts:  # templates of the theme
            soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
            found += [f"{page.relative_to(html)}: {problem}" for problem in (*_external(soup), *_unspoken(soup))]
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
