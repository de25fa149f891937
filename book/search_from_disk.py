"""Let the search show excerpts when the book is read from disk, where a browser lets no page read other pages.

The text of all pages is written into one script, which only the page of results loads. From disk, it answers the
requests of that page; on a server it does nothing.
"""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

SCRIPT, RESULTS = Path("_static", "search_texts.js"), "search.html"
ANSWER = """
if (location.protocol === "file:") {
  window.fetch = async (address) => {
    const name = new URL(address, location.href).pathname.slice(new URL(".", location.href).pathname.length);
    const main = document.createElement("main");
    main.setAttribute("role", "main");
    main.textContent = texts[decodeURI(name)] ?? "";
    return new Response(main.outerHTML);
  };
}
"""


class _Article(HTMLParser):
    """The text of the article of a page, without what nobody searches for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._inside = False
        self._skipped, self._depth = "", 0  # the element that is left out, and how many of its name are open
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = (dict(attrs).get("class") or "").split()
        self._inside |= tag == "article" and "bd-article" in classes
        if self._skipped:
            self._depth += tag == self._skipped
        elif tag in ("script", "style") or {"headerlink", "provenance"} & set(classes):
            self._skipped, self._depth = tag, 1

    def handle_endtag(self, tag: str) -> None:
        if tag == self._skipped:
            self._depth -= 1
            self._skipped = self._skipped if self._depth else ""
        self._inside &= tag != "article"

    def handle_data(self, data: str) -> None:
        if self._inside and not self._skipped:
            self.parts.append(data)


def write_texts(html: Path) -> int:
    """Write that script and load it on the page of results; return the number of pages whose text is in it.

    Args:
        html: the folder of built pages.
    """
    texts = {}
    for page in sorted(html.rglob("*.html")):
        if "_static" not in page.parts and (parts := _Article(page.read_text(encoding="utf-8")).parts):
            texts[page.relative_to(html).as_posix()] = " ".join(" ".join(parts).split())
    (html / SCRIPT).write_text(f"const texts = {json.dumps(texts, ensure_ascii=False)};{ANSWER}", encoding="utf-8")
    results = html / RESULTS
    loads = f'<script src="{SCRIPT.as_posix()}"></script></head>'
    results.write_text(results.read_text(encoding="utf-8").replace("</head>", loads, 1), encoding="utf-8")
    return len(texts)
