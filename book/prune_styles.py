"""Remove from the style sheets what no page of the book can use: three quarters of them.

A selector stays if every class in it is a word of some page or script. So a class that a script adds stays, too. Two
kinds of scripts are not read: Bootstrap's, of which pages use only hints and menus, and those of the search, which hold
the words of all pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tinycss2

WORD = re.compile(r"-?[A-Za-z_][\w-]*")
CLASS = re.compile(r"\.(-?[A-Za-z_](?:[\w-]|\\.)*)")
UNREAD = {"bootstrap.js", "searchindex.js", "search_texts.js"}
ADDED = {
    "show",
    "fade",
    "tooltip",
    "tooltip-inner",
    "tooltip-arrow",
    "bs-tooltip-auto",
    "dropup",
    "dropend",
    "dropstart",
}
LICENCE = re.compile(r"/\*!.*?\*/", re.DOTALL)


def prune(html: Path) -> int:
    """Rewrite all style sheets in a folder of built pages; return how many bytes they are shorter.

    Args:
        html: the folder.
    """
    scripts = (path for path in html.rglob("*.js") if "mathjax" not in path.parts and path.name not in UNREAD)
    sources = [*html.rglob("*.html"), *scripts]
    words = ADDED | {word for source in sources for word in WORD.findall(source.read_text(encoding="utf-8"))}
    saved = 0
    for sheet in html.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        rules = tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)
        shorter = "\n".join([*LICENCE.findall(text), *_kept(rules, words)]) + "\n"
        sheet.write_text(shorter, encoding="utf-8")
        saved += len(text) - len(shorter)
    return saved


def _kept(rules: Iterable[Any], words: set[str]) -> list[str]:
    """Return the rules that may apply, each as text."""
    kept = []
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [one for one in _selectors(rule.prelude) if _classes(one) <= words]
            if selectors:
                kept.append(f"{','.join(selectors)}{{{tinycss2.serialize(rule.content)}}}")
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports") and rule.content:
            within = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            if inner := _kept(within, words):
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{''.join(inner)}}}")
        else:
            kept.append(rule.serialize())
    return kept


def _classes(selector: str) -> set[str]:
    return {name.replace("\\", "") for name in CLASS.findall(selector)}


def _selectors(prelude: Iterable[Any]) -> list[str]:
    """Return the selectors of a rule; a comma in brackets, as in ``:is(a, b)``, is not between two."""
    parts: list[list[Any]] = [[]]
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return [tinycss2.serialize(part).strip() for part in parts]
