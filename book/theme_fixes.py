"""Correct two faults of the theme on all pages: large files, and buttons that a screen reader cannot name.

The theme draws each icon twice, by a font and by a script with all icons that there are; the font stays. It also loads
the search index on every page, for a search field with results while typing, which this book does not have.
"""

from __future__ import annotations

import re
from pathlib import Path

from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont

ICONS = r"scripts/fontawesome\.js"
INDEX = r"searchindex\.js|searchtools\.js|language_data\.js"  # the page of results needs them
USELESS = ("_static/scripts/*.map", "_static/scripts/fontawesome.js*", "_static/vendor/fontawesome/webfonts/*.woff2",
           "_static/mathjax/*-*.js", "_static/mathjax/sre/**/*.js*", "_static/mathjax/output/svg/**/*.js")  # fmt: skip
ICON = re.compile("[\ue000-\uf8ff]")  # a letter of such a font
# The parameters of a function, each on a line: Sphinx writes a list of definitions without terms, which is no list.
PARAMETERS = re.compile(r'<dl>\s*((?:<dd><em class="sig-param">(?:(?!</?d[ld]>).)*</dd>\s*)+)</dl>', re.DOTALL)
COMPRESSED = re.compile(r"url\([^()]*/webfonts/[\w-]+\.woff2\) format\(\"woff2\"\),")
NAMES = {
    '<summary><span class="toctree-toggle"': '<summary aria-label="Pages below"><span class="toctree-toggle"',
    '<span class="search-button__kbd-shortcut"': '<span aria-hidden="true" class="search-button__kbd-shortcut"',
    '<div role="list" class="citation-list">': '<div class="citation-list">',  # its entries are no items of a list
}


def name_buttons(html: Path) -> None:
    """Name the parts of a page that the theme does not name, or names wrongly.

    Args:
        html: the folder of built pages.
    """
    for page in _pages(html):
        text = page.read_text(encoding="utf-8")
        for unnamed, named in NAMES.items():
            text = text.replace(unnamed, named)
        page.write_text(PARAMETERS.sub(_as_lines, text), encoding="utf-8")


def _as_lines(found: re.Match[str]) -> str:
    lines = found[1].replace("<dd>", "<div>").replace("</dd>", "</div>")
    return f'<div class="sig-params">{lines}</div>'


def lighten(html: Path) -> int:
    """Remove these scripts from all pages, and files that no page loads; return how many bytes were removed.

    Args:
        html: the folder of built pages.
    """
    for page in _pages(html):
        names = ICONS if page.name == "search.html" else f"{ICONS}|{INDEX}"
        script = rf'\s*<script[^>]*\bsrc="[^"]*\b(?:{names})(?:\?[^"]*)?"[^>]*></script>'
        page.write_text(re.sub(script, "", page.read_text(encoding="utf-8")), encoding="utf-8")
    gone = {file for pattern in USELESS for file in html.glob(pattern)}
    size = sum(file.stat().st_size for file in gone)
    for file in gone:
        file.unlink()
    return size


def shrink_fonts(html: Path) -> int:
    """Keep in the icon fonts only the icons that a style sheet names; return how many bytes they are smaller.

    Args:
        html: the folder of built pages, its style sheets pruned.
    """
    sheets = sorted(html.rglob("*.css"))
    named = {ord(letter) for sheet in sheets for letter in ICON.findall(sheet.read_text(encoding="utf-8"))}
    for sheet in sheets:
        sheet.write_text(COMPRESSED.sub("", sheet.read_text(encoding="utf-8")), encoding="utf-8")
    saved = 0
    for file in html.glob("_static/vendor/fontawesome/webfonts/*.ttf"):
        font, before = TTFont(file), file.stat().st_size
        subset = Subsetter()
        subset.populate(unicodes=named)
        subset.subset(font)
        font.save(file)
        saved += before - file.stat().st_size
    return saved


def _pages(html: Path) -> list[Path]:
    return [page for page in sorted(html.rglob("*.html")) if "_static" not in page.parts]
