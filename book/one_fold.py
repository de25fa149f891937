"""Join the folds of code cells that follow one another, so that a reader opens one fold, not four.

A notebook computes, asserts and tells in cells of their own. Where only the last of them has an output, a page would
show a bar to unfold for each of them.
"""

from __future__ import annotations

import re
from pathlib import Path

# the end of code without output, and the beginning of the next cell up to its code; one with a label is not joined
BETWEEN = re.compile(
    r"(</pre></div>\s*</div>\s*</div>)\s*</details>\s*</div>\s*"
    r'<div class="cell [^"]*\btag_hide-input\b[^"]*">\s*'
    r'<details class="[^"]*\babove-input\b[^"]*">\s*<summary.*?</summary>',
    re.DOTALL,
)


def join_folds(html: Path) -> int:
    """Join the folds of a folder of built pages; return how many bars are gone.

    Args:
        html: the folder.
    """
    gone = 0
    for page in sorted(html.rglob("*.html")):
        if "_static" not in page.parts:
            text, found = joined(page.read_text(encoding="utf-8"))
            if found:
                page.write_text(text, encoding="utf-8")
            gone += found
    return gone


def joined(text: str) -> tuple[str, int]:
    """Return the text of a page with its folds joined, and how many bars are gone."""
    return BETWEEN.subn(r"\1", text)
