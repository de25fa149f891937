"""Find, with axe-core, what hinders readers who use a screen reader or a keyboard, or who see badly.

axe-core is Deque's engine, which the browsers' own audits use, too. Its script is read from a Python package; that
package's browser driver is not needed.

It takes many seconds on a page with ten thousand letters of formulas and code. So formulas are emptied first: they have
the colour of their paragraph. Of all texts that look alike in colours, size and weight, only one is measured in a check
of many pages.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from chromium import Chromium

PACKAGE = "axe_playwright_python"
REPORTED = ("serious", "critical")
EMPTIED = 'document.querySelectorAll("mjx-container").forEach((formula) => formula.replaceChildren())'
PLAIN = 'document.querySelectorAll("pre").forEach((code) => (code.textContent = code.textContent))'
FRESH = """(() => {
  const known = new Set(%s), looks = new Map(), behind = new WeakMap();
  const ground = (part) => {  // every background down to the first that hides what is behind it
    if (!part) return "";
    if (!behind.has(part)) {
      const {backgroundColor: colour, backgroundImage: image, opacity} = getComputedStyle(part);
      const own = `${colour} ${image} ${opacity}`;
      behind.set(part, colour.startsWith("rgb(") && opacity === "1" ? own : `${own} on ${ground(part.parentElement)}`);
    }
    return behind.get(part);
  };
  for (const part of document.body.querySelectorAll("*")) {
    // axe does not judge what is disabled, nor a single letter: these do not stand for others that look alike
    const says = [...part.childNodes].some((node) => node.nodeType === 3 && node.data.trim().length > 1);
    if (!says || !part.checkVisibility() || part.closest("[aria-disabled='true'], :disabled")) continue;
    const {color, fontSize, fontWeight} = getComputedStyle(part);
    const look = [color, fontSize, fontWeight, ground(part)].join();
    if (!known.has(look) && !looks.has(look)) looks.set(look, part);
  }
  window.freshLooks = [...looks.values()];
  return [...looks.keys()];
})()"""
TOLD = """(found) => found.violations.filter((rule) => REPORTED.includes(rule.impact))
  .map((rule) => `${rule.id}, ${rule.nodes.length} times: ${rule.help}: `
    + rule.nodes.slice(0, 3).map((node) => node.html.slice(0, 120)).join(" and "))""".replace(
    "REPORTED", json.dumps(REPORTED)
)
COLOURS = """axe.run({include: window.freshLooks},
  {resultTypes: ["violations", "passes"], elementRef: true, preload: false, runOnly: ["color-contrast"]})
  .then((found) => {
    const passed = new Set(found.passes.flatMap((rule) => rule.nodes.map((node) => node.element)));
    return {told: (%s)(found), passed: window.freshLooks.map((part) => passed.has(part))};
  }).catch((error) => {  // it sees none of them, for instance where scripts would have to be off
    if (!String(error).includes("No elements found")) throw error;
    return {told: [], passed: window.freshLooks.map(() => false)};
  })"""
ALL_ELSE = """axe.run(document,
  {resultTypes: ["violations"], preload: false, rules: {"color-contrast": {enabled: false}}}).then(%s)"""


def script() -> str:
    """Return the source of axe-core.

    Raises:
        ModuleNotFoundError: if the package that carries it is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{PACKAGE} is not installed: make env", name=PACKAGE)
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")


def prepare(browser: Chromium, source: str) -> None:
    """Load axe-core into the page that is open, and empty its formulas."""
    browser.value(f"{source}; {EMPTIED}")


def faint(browser: Chromium, known: set[str]) -> list[str]:
    """Return the texts of a prepared page that have too little contrast to their background.

    Args:
        browser: with the page open.
        known: the looks that need no measurement; those that are found to be readable are added.
    """
    looks = browser.value(FRESH % json.dumps(sorted(known)))
    if not looks:
        return []
    found = browser.value(COLOURS % TOLD)
    known.update(look for look, passed in zip(looks, found["passed"], strict=True) if passed)
    return list(found["told"])


def barriers(browser: Chromium) -> list[str]:
    """Return the other serious or critical problems of a prepared page, one line for each broken rule.

    This removes the colours of its code.
    """
    browser.value(PLAIN)
    return list(browser.value(ALL_ELSE % TOLD))
