"""Check every page of the built book in a browser: in a desktop window, and on a phone with dark colours.

``make pages`` calls this after ``make book``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import axe
from chromium import Chromium

HTML = Path(__file__).resolve().parent / "_build" / "html"
DESKTOP, PHONE = 1280, 390  # CSS pixels
HEAVY = 1.5e6  # bytes of a page with all that it loads, none of it compressed
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
UNREAD = "[...document.querySelectorAll('mjx-merror')].map((x) => x.dataset.mjxError || x.textContent)"
BROKEN = "[...document.images].filter((x) => x.complete && x.naturalWidth === 0).map((x) => x.getAttribute('src'))"
# The brightness of the page and of its text, from 0 to 1.
SHADES = """(() => {
  const shade = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).reduce((sum, x) => sum + Number(x), 0) / 765;
  const style = getComputedStyle(document.body);
  return [shade(style.backgroundColor), shade(getComputedStyle(document.querySelector("main article")).color)];
})()"""

# Boxes that scroll but cannot be reached with a keyboard.
OUT_OF_REACH = """[...document.querySelectorAll("main article *")]
  .filter((box) => box.scrollWidth > box.clientWidth + 1 && box.checkVisibility() && !box.closest("mjx-container")
    && ["auto", "scroll"].includes(getComputedStyle(box).overflowX)
    && box.tabIndex < 0 && !box.querySelector("a[href], button, input, summary, [tabindex='0']"))
  .slice(0, 3).map((box) => `<${box.localName} class="${box.className}"> ${box.textContent.trim().slice(0, 60)}`)"""
SETTLED = "new Promise((done) => setTimeout(done, 350))"  # the theme waits 300 ms before it reacts to a new size


def problems_on_screen(html: Path) -> list[str]:
    """Open every page from disk, and return the problems, one sentence each.

    The pages are shared by one browser more than there are processors, or by fewer if there are few pages; each page is
    loaded once.

    Args:
        html: the folder of built pages.

    Raises:
        FileNotFoundError: if no Chromium is installed.
        ModuleNotFoundError: if axe-core is not.
    """
    pages = [page for page in sorted(html.rglob("*.html")) if "_static" not in page.parts and not _leads_on(page)]
    found: dict[Path, list[str]] = {}
    waiting, source = iter(sorted(pages, key=lambda page: -page.stat().st_size)), axe.script()
    readable: set[str] = set()  # the looks of readable text, on all pages so far

    def work() -> None:
        with Chromium() as browser:
            for page in waiting:  # shared: each page goes to one browser
                found[page] = list(_problems(browser, page, source, readable))

    # each waits now and then; but one takes as long to start as for some pages
    browsers = min(1 + (os.cpu_count() or 1), 1 + len(pages) // 8)
    with ThreadPoolExecutor(browsers) as pool:
        for done in [pool.submit(work) for _ in range(browsers)]:
            done.result()
    return [f"{page.relative_to(html).as_posix()}: {problem}" for page in pages for problem in found[page]]


def _leads_on(page: Path) -> bool:
    """Return whether a page redirects to another one; only that one is checked."""
    return page.read_bytes().startswith(b'<meta http-equiv="Refresh"')


def _problems(browser: Chromium, page: Path, source: str, readable: set[str]) -> Iterator[str]:
    browser.look(DESKTOP)
    browser.open(page.as_uri())
    yield from (f"asks for {address}" for address in browser.loaded() if not address.startswith(("file:", "data:")))
    if not browser.value("document.querySelector('main article') !== null"):  # the search page has no text of its own
        yield from (f"the console says {line}" for line in browser.errors())
        return
    files = {Path(unquote(urlsplit(address).path)) for address in browser.loaded() if address.startswith("file:")}
    if (weight := sum(file.stat().st_size for file in files if file.is_file())) > HEAVY:
        yield f"weighs {weight / 1e6:.2f} MB with all that it loads, and should not weigh {HEAVY / 1e6:g}"
    yield from (f"a formula cannot be read: {error}" for error in browser.value(UNREAD))
    yield from (f"image {source} does not show" for source in browser.value(BROKEN))
    yield from (f"at a desk, wider than the screen: {part}" for part in browser.value(WIDE))
    browser.look(PHONE, dark=True)
    browser.value(SETTLED)
    yield from (f"on a phone, wider than the screen: {part}" for part in browser.value(WIDE))
    yield from (f"on a phone, scrolls but not by keyboard: {part}" for part in browser.value(OUT_OF_REACH))
    background, text = browser.value(SHADES)
    if not background < 0.3 < 0.6 < text:
        yield f"not dark in the dark: background {background:.2f}, text {text:.2f}, from black to white"
    axe.prepare(browser, source)
    yield from (f"in the dark, {barrier}" for barrier in axe.faint(browser, readable))
    browser.look(DESKTOP)
    browser.value(SETTLED)
    background, text = browser.value(SHADES)
    if not text < 0.4 < 0.7 < background:
        yield f"not light in the light: background {background:.2f}, text {text:.2f}, from black to white"
    yield from (f"in the light, {barrier}" for barrier in axe.faint(browser, readable))
    yield from (f"for some readers, {barrier}" for barrier in axe.barriers(browser))
    yield from (f"the console says {line}" for line in browser.errors())


def main() -> int:
    """Check the book that ``make book`` has built; return 0 if nothing is wrong."""
    if not (HTML / "index.html").is_file():
        print("error: no book yet: make book", file=sys.stderr)
        return 1
    try:
        found = problems_on_screen(HTML)
    except FileNotFoundError as error:
        found = [str(error)]
    print("\n".join(f"error: {problem}" for problem in found) or "nothing is wrong with any page", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
