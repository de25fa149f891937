"""Show every figure of a notebook at its size in inches, so that letters are as large in one figure as in another.

Without it, a figure of 5 inches is as wide as the column of text, like one of 8 inches, and its letters are larger.
The browser also learns the height before the picture is there, so that nothing moves while a page loads.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from PIL import Image

PER_INCH = 92  # CSS pixels: a figure of 8 inches fills the column
FIGURE = re.compile(r'<img\b(?![^>]*\b(?:width|height)=)([^>]*?\bsrc="([^"]*_images/[^"]+\.png)"[^>]*?)\s*(/?)>')


def size_figures(html: Path) -> int:
    """Write width and height into the ``img`` of every PNG that knows its dots per inch; return how many there are.

    Args:
        html: the folder of built pages.
    """
    total = 0
    for page in sorted(html.rglob("*.html")):
        before = page.read_text(encoding="utf-8")
        after = FIGURE.sub(partial(_sized, page.parent), before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            total += after.count(" height=") - before.count(" height=")
    return total


def _sized(folder: Path, found: re.Match[str]) -> str:
    attributes, source, slash = found.groups()
    with Image.open(folder / source) as picture:
        dots, pixels = picture.info.get("dpi"), picture.size
    if dots is None:
        return found[0]
    width, height = (round(PER_INCH * many / per) for many, per in zip(pixels, dots, strict=True))
    return f'<img{attributes} width="{width}" height="{height}"{slash}>'
