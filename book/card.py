"""Draw the picture that chats and social networks show next to a link to the book: its title and first picture.

A link to a picture has to be an absolute address. So pages name it only if `_config.yml` says where the book is
published; see descriptions.py.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

from chromium import Chromium

CARD, SIZE = Path("_static", "card.png"), (1200, 630)  # the size in pixels that social networks ask for
PICTURE = "_images/front_page.svg"
TITLE = "Hybrid randomized smoothing"
LINE = "Certificates that hold when an adversary edits words and perturbs the image"
LOOK = """
body { margin: 0; padding: 40px; box-sizing: border-box; width: 1200px; height: 630px; background: white }
h1 { margin: 0 0 8px; font: bold 58px sans-serif; color: #14508c }
p { margin: 0 0 24px; font: 28px sans-serif; color: #333 }
img { width: 1120px }
"""


def draw_card(html: Path) -> Path:
    """Draw the picture into a folder of built pages; return the file.

    Args:
        html: the folder, with the picture of the first page.

    Raises:
        FileNotFoundError: if no Chromium is installed.
    """
    page, card = html / "_card.htm", html / CARD
    body = f'<h1>{TITLE}</h1><p>{LINE}</p><img alt="" src="{PICTURE}">'
    page.write_text(f'<!doctype html><meta charset="utf-8"><style>{LOOK}</style>{body}', encoding="utf-8")
    try:
        with Chromium() as browser:
            browser.look(*SIZE)
            browser.open(page.as_uri())
            card.write_bytes(b64decode(browser.ask("Page.captureScreenshot")["data"]))
    finally:
        page.unlink()
    return card
