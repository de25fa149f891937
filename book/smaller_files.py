"""Make pages with many figures or much code smaller, without a visible change.

A figure has few colours: lines, letters and the shades at their edges. So a palette of 256 colours is enough, and takes
a third of the bytes. Half of the tags in code give a colour that the rest has, too.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = 256
FURTHEST, RARE = (
    8,
    0.001,
)  # levels of 255, and the share of pixels that may be further off: a photograph needs more colours
UNCOLOURED = ("n", "nn", "p", "w", "pre")  # classes of names, punctuation and space; and of words in short code
TAGS = re.compile(rf'<span class="(?:{"|".join(UNCOLOURED)})">([^<>]*)</span>')
SAID_TWICE = re.compile(
    r'(<a class="reference internal" href="[^"#]*#([^"]+)") title="\2"'
)  # a link's hint is its anchor


def use_palettes(html: Path) -> int:
    """Rewrite the figures of a folder of built pages with a palette; return how many bytes they are smaller.

    Args:
        html: the folder.
    """

    def shorten(file: Path) -> int:
        before = file.read_bytes()
        after = with_palette(before)
        if len(after) < len(before):
            file.write_bytes(after)
        return max(0, len(before) - len(after))

    with ThreadPoolExecutor() as pool:
        return sum(pool.map(shorten, sorted((html / "_images").glob("*.png"))))


def with_palette(png: bytes) -> bytes:
    """Return the same picture with at most 256 colours; unchanged if that is visible or it is transparent."""
    with Image.open(BytesIO(png)) as opened:
        if opened.mode == "P" or opened.convert("RGBA").getextrema()[3][0] < 255:
            return png
        picture, density = opened.convert("RGB"), opened.info.get("dpi")
    few = picture.getcolors(COLOURS) is not None
    reduced = picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=0 if few else 1, dither=Image.Dither.NONE)
    off = np.abs(np.asarray(reduced.convert("RGB"), dtype=np.int16) - np.asarray(picture, dtype=np.int16)).max(axis=2)
    if np.mean(off > FURTHEST) > RARE:
        return png
    out = BytesIO()
    reduced.save(out, "PNG", optimize=True, **({"dpi": density} if density else {}))
    return out.getvalue()


def plain_code(html: Path) -> int:
    """Remove tags in code that change no colour, and hints that say nothing; return how many bytes were removed.

    Args:
        html: the folder of built pages.
    """
    saved = 0
    for page in sorted(html.rglob("*.html")):
        if "_static" not in page.parts:
            text = page.read_text(encoding="utf-8")
            shorter, found = TAGS.subn(r"\1", SAID_TWICE.sub(r"\1", text))
            while found:  # one tag may be within another
                shorter, found = TAGS.subn(r"\1", shorter)
            page.write_text(shorter, encoding="utf-8")
            saved += len(text) - len(shorter)
    return saved
