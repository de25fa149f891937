"""The description and the title of a page are plain text, whatever formulas they hold."""

from types import SimpleNamespace

import descriptions
import pytest
from docutils import nodes

SECOND = "the second paragraph, of more than thirty characters"


def paragraph(*parts):
    """A paragraph of text, with a formula wherever a part is in dollars."""
    return nodes.paragraph(
        "", "", *(nodes.math("", part.strip("$")) if part[0] == "$" else nodes.Text(part) for part in parts)
    )


def page(*parts):
    """A page that begins with such a paragraph."""
    return nodes.section(
        "",
        nodes.title("", "A title"),
        paragraph(*parts),
        paragraph("the second paragraph, of more than thirty characters"),
    )


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (r"p_{\mathrm{adv}}(d, \varepsilon) \ge \tau", "p_adv(d, ε) ≥ τ"),
        (r"\beta", "β"),
        (r"n = 10^4", "n = 10^4"),
        (r"\alpha^{1/n}", "α^(1/n)"),
        (r"\sigma\,(a)", "σ (a)"),
        (r"\frac12", "…"),
        (r"a + " * 20, "…"),
    ],
)
def test_a_short_formula_is_spelled_and_another_left_out(formula, said):
    assert descriptions.spelled(formula) == said


def test_a_description_is_the_first_paragraph_without_its_opening():
    said = descriptions.description(page("Claim. From ", "$n$", " draws at risk ", r"$\alpha$", " follows no bound."))
    assert said == "From n draws at risk α follows no bound."
    assert descriptions.description(page("Package a.")) == SECOND
    assert descriptions.description(nodes.section("")) == ""


def test_a_long_description_ends_after_a_word():
    found = descriptions.description(page("word, " * 100))
    assert found.endswith("word …")
    assert len(found) <= descriptions.MOST + 2


def test_the_head_of_a_page_is_escaped_and_has_no_markup():
    title = nodes.title("", "", nodes.Text("What "), nodes.math("", r"\tau"), nodes.Text(" <is>"))
    config = SimpleNamespace(html_title="A book", html_baseurl="")
    app, context = SimpleNamespace(env=SimpleNamespace(titles={"a": title}), config=config), {"metatags": ""}
    descriptions.describe(app, "a", "page.html", context, page('say "so", and say it again and again'))
    assert context["title"] == "What τ &lt;is&gt;"
    assert '<meta name="description" content="say &quot;so&quot;, and say it again and again"/>' in context["metatags"]
    assert '<meta property="og:site_name" content="A book"/>' in context["metatags"]
    assert "og:image" not in context["metatags"]  # which has to be an absolute address
    descriptions.describe(app, "genindex", "genindex.html", context, None)  # has no source
