"""A page has every script once, and none of thebe."""

from types import SimpleNamespace

import page_scripts
import pytest


def script(filename=None, body=None):
    return SimpleNamespace(filename=filename, attributes={"body": body} if body else {})


THEBE = [script("sphinx-thebe.js"), script(body='const THEBE_JS_URL = "https://example.org"')]


@pytest.mark.parametrize("scripts", [[], ["a.js", "b.js"], [script("a.js"), script(body="let a = 1")]])
def test_scripts_that_differ_are_kept_in_their_order(scripts):
    assert page_scripts.kept(scripts, "") == scripts


def test_a_script_is_kept_once_and_thebe_never():
    first, inline = script("a.js"), script(body="let a = 1")
    scripts = [first, *THEBE, inline, *THEBE, script("a.js"), script(body="let a = 1"), script("b.js")]
    assert page_scripts.kept(scripts, "") == [first, inline, scripts[-1]]


@pytest.mark.parametrize(
    ("name", "used"),
    [("copybutton.js", '<div class="highlight">'), ("togglebutton.js", '<div class="admonition dropdown">')],
)
def test_a_script_is_on_the_pages_that_use_it(name, used):
    assert page_scripts.kept([script(name)], used)
    assert page_scripts.kept([script(name)], "<p>toggle, highlight</p>") == []


def test_a_page_of_a_build_has_only_these():
    context = {"script_files": ["a.js", *THEBE, "a.js"]}
    page_scripts.clean(None, "page", "page.html", context, None)
    assert context["script_files"] == ["a.js"]
