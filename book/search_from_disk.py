"""Let the search show excerpts when the book is read from disk, where a page of a browser may not read other pages.

The text of all pages is written into one script, which only the page of results loads. It answers in the place of the
network there; on a server it does nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from bs4 import BeautifulSoup

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


def write_texts(html: Path) -> int:
    """Write that script and load it on the page of results; return the number of pages whose text is in it.

    Args:
        html: the folder of built pages.
    """
    texts = {}
    for page in sorted(html.rglob("*.html")):
        if "_static" not in page.parts:
            article = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one("article.bd-article")
            for code in article.select("script, style, a.headerlink, details.provenance") if article else ():
                code.decompose()
            if article:
                texts[page.relative_to(html).as_posix()] = " ".join(article.get_text(" ").split())
    (html / SCRIPT).write_text(f"const texts = {json.dumps(texts, ensure_ascii=False)};{ANSWER}", encoding="utf-8")
    results = html / RESULTS
    loads = f'<script src="{SCRIPT.as_posix()}"></script></head>'
    results.write_text(results.read_text(encoding="utf-8").replace("</head>", loads, 1), encoding="utf-8")
    return len(texts)
