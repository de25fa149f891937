"""What a reader's browser would complain of in the built book, page by page, on a phone in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chromium import Chromium

PHONE = 390  # CSS pixels
# Parts of the text that stick out of the window and lie in no box that scrolls. Folds are opened first.
WIDE = """(() => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  const width = document.documentElement.clientWidth;
  const outside = (box) => box.width > 0 && (box.right > width + 1 || box.left < -1);
  const scrolls = ["auto", "scroll"];
  const held = (part) => {
    let box = part.parentElement;
    while (box && !(scrolls.includes(getComputedStyle(box).overflowX) && !outside(box.getBoundingClientRect())))
      box = box.parentElement;
    return box;
  };
  return [...document.querySelectorAll("main article *")]
    .filter((part) => outside(part.getBoundingClientRect()) && !part.closest("mjx-assistive-mml") && !held(part))
    .slice(0, 3).map((part) => `<${part.localName}> ${part.textContent.trim().slice(0, 60)}`);
})()"""
BROKEN = "[...document.images].filter((x) => x.complete && x.naturalWidth === 0).map((x) => x.getAttribute('src'))"
# The brightness of the page and of its text, from 0 to 1.
SHADES = """(() => {
  const shade = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).reduce((sum, x) => sum + Number(x), 0) / 765;
  const style = getComputedStyle(document.body);
  return [shade(style.backgroundColor), shade(getComputedStyle(document.querySelector("main article")).color)];
})()"""


def problems_on_screen(html: Path) -> list[str]:
    """Open every page from disk, and return what is wrong with them, one sentence each.

    Args:
        html: the folder of built pages.

    Raises:
        FileNotFoundError: if no Chromium is installed.
    """
    pages = (page.relative_to(html).as_posix() for page in sorted(html.rglob("*.html")) if "_static" not in page.parts)
    with Chromium() as browser:
        browser.look(PHONE, dark=True)
        return [f"{name}: {problem}" for name in pages for problem in _problems(browser, html / name)]


def _problems(browser: Chromium, page: Path) -> Iterator[str]:
    browser.open(page.as_uri())
    yield from (f"asks for {address}" for address in browser.loaded() if not address.startswith(("file:", "data:")))
    yield from (f"the console says {line}" for line in browser.errors())
    if not browser.value("document.querySelector('main article') !== null"):
        return  # it leads on to another
    yield from (f"on a phone, wider than the screen: {part}" for part in browser.value(WIDE))
    yield from (f"image {source} does not show" for source in browser.value(BROKEN))
    background, text = browser.value(SHADES)
    if not background < 0.3 < 0.6 < text:
        yield f"not dark in the dark: background {background:.2f}, text {text:.2f}, from black to white"
