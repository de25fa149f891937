"""The book's table of contents is complete, and the check of its pages sees what it is there to see."""

import json
import re
from io import BytesIO
from pathlib import Path

import build
import numpy as np
import pytest
import yaml
from annotate import annotate
from bs4 import BeautifulSoup
from check_html import problems
from experiments_shown import SHOWN, SOURCES, copy_missing
from figure_sizes import size_figures
from one_fold import joined
from PIL import Image
from prune_styles import prune
from smaller_files import plain_code, with_palette
from theme_fixes import lighten, name_buttons

from hybrid_rs.experiments import get_profile
from hybrid_rs.experiments.alarms import RULES
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.language import SPECIAL_TOKENS, alphabet

ROOT = Path(__file__).resolve().parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())


def pages(node):
    """Every file that a table of contents names."""
    if isinstance(node, list):
        return [page for child in node for page in pages(child)]
    own = [node[key] for key in ("file", "root") if key in node]
    return own + [page for key in ("parts", "chapters", "sections") for page in pages(node.get(key, []))]


def source(page):
    """The file that a page is made from; an executed experiment is made from its notebook."""
    executed = build.EXECUTED.relative_to(ROOT).as_posix()
    page = page.replace(executed, build.EXPERIMENTS.relative_to(ROOT).as_posix())
    return next(
        (ROOT / f"{page}{suffix}" for suffix in (".md", ".ipynb") if (ROOT / f"{page}{suffix}").is_file()), page
    )


def test_every_page_of_the_book_exists_once():
    sources = [source(page) for page in pages(TOC) if not page.startswith("book/reference/")]  # made by the build
    assert [missing for missing in sources if isinstance(missing, str)] == []
    assert len(set(sources)) == len(sources)


def test_a_bare_build_shows_experiments_that_were_not_run_and_keeps_those_that_were(tmp_path):
    for folder, text in ((SOURCES, "source"), (SHOWN, "executed")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "T1.ipynb").write_text(text)
    (tmp_path / SOURCES / "T2.ipynb").write_text("source")
    assert copy_missing(tmp_path) == ["T2"]
    assert (tmp_path / SHOWN / "T1.ipynb").read_text() == "executed"
    assert (tmp_path / SHOWN / "T2.ipynb").read_text() == "source"
    assert copy_missing(tmp_path) == []


def test_every_notebook_and_prose_page_is_in_the_book():
    notebooks = {path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts}
    written = notebooks | set((ROOT / "book").glob("*.md"))
    assert written - {source(page) for page in pages(TOC)} == set()


@pytest.fixture
def check(tmp_path):
    """The problems of a page with this body."""

    def run(body):
        (tmp_path / "page.html").write_text(f"<html><head></head><body>{body}</body></html>")
        return problems(tmp_path)

    return run


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://cdn.example.org/m.js"></script>',
        '<link rel="stylesheet" href="//cdn.example.org/s.css">',
        '<link rel="preload" href="https://cdn.example.org/f.woff2">',
        '<iframe src="https://example.org"></iframe>',
        '<img alt="a curve" src="https://example.org/a.png">',
        '<img alt="a curve" src="a.png" srcset="a.png 1x, https://example.org/a2.png 2x">',
        '<object data="https://example.org/a.svg"></object>',
        "<style>@import url('https://example.org/s.css');</style>",
        '<p style="background: url(https://example.org/a.png)">text</p>',
    ],
)
def test_what_a_browser_would_fetch_from_elsewhere_is_a_problem(check, body):
    assert len(check(body)) == 1


def test_a_style_sheet_that_fetches_is_a_problem(tmp_path):
    (tmp_path / "s.css").write_text("@font-face { src: url(https://example.org/f.woff2); }")
    assert problems(tmp_path) == ["s.css: loads https://example.org/f.woff2"]


@pytest.mark.parametrize(
    "body", ['<img src="a.png">', '<img src="a.png" alt=" ">', '<img src="x/a.png" alt="x/a.png">']
)
def test_an_image_without_alt_text_is_a_problem(check, body):
    (problem,) = check(body)
    assert "no alt text" in problem


@pytest.mark.parametrize(
    "body",
    [
        '<a href="https://example.org">a link</a>',
        '<link rel="canonical" href="https://example.org/">',
        '<script src="_static/mathjax/tex-chtml.js"></script>',
        '<img src="a.png" alt="The radius falls with d.">',
        '<img src="data:image/png;base64,AAAA" alt="A dot.">',
    ],
)
def test_a_link_and_what_the_book_serves_itself_are_none(check, body):
    assert check(body) == []


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("page.html", False),
        ("page.html#here", False),
        ("#here", False),
        ("#", False),
        ("page.html?q=tau#here", False),
        ("mailto:someone@example.org", False),
        ("#nowhere", True),
        ("page.html#nowhere", True),
        ("other.html", True),
    ],
)
def test_a_link_within_the_book_that_leads_nowhere_is_a_problem(check, link, dead):
    found = check(f'<p id="here"></p><a href="{link}">a link</a>')
    assert [problem for problem in found if link not in problem] == []
    assert bool(found) == dead


ONE, TWO = (
    f'<div class="math" id="equation-{n}"><span class="eqno">({n})<a href="#equation-{n}">#</a></span>x</div>'
    for n in (1, 2)
)
FIGURE = '<span class="caption-number">Fig. 1 </span>'


@pytest.mark.parametrize(
    ("first", "second", "wrong"),
    [
        (ONE, TWO, []),
        (ONE, ONE, ["2.html: (1)"]),
        (ONE, r'<div class="math">\[ x \tag{1} \]</div>', ["2.html: (1)"]),
        (FIGURE, FIGURE, ["2.html: Fig. 1"]),
        (ONE, '<a href="1.html#equation-1"><span>(1)</span></a>', []),
        (ONE, '<a href="1.html#equation-1">the swap</a>', []),
        (ONE, '<a href="1.html#equation-1">(2)</a>', ["2.html: a link to 1.html#equation-1"]),
    ],
)
def test_a_number_stands_for_one_thing_and_links_say_which(tmp_path, first, second, wrong):
    (tmp_path / "1.html").write_text(first)
    (tmp_path / "2.html").write_text(second)
    found = problems(tmp_path)
    assert len(found) == len(wrong)
    assert all(problem.startswith(start) for problem, start in zip(found, wrong, strict=True))


def test_a_style_stays_where_a_page_or_a_script_has_its_classes(tmp_path):
    (tmp_path / "page.html").write_text('<p class="used">text</p>')
    (tmp_path / "script.js").write_text('part.classList.add("added")')
    rules = {
        "p{color:red}": True,
        ".used:hover{color:red}": True,
        ".added > a{color:red}": True,
        ".absent{color:red}": False,
        ".used .absent{color:red}": False,
        "@media print{.used{color:red}}": True,
        "@media print{.absent{color:red}}": False,
        "@font-face{font-family:x}": True,
        ":root{--x:1}": True,
    }
    (tmp_path / "s.css").write_text("/*! whose it is */ /* a remark */" + "".join(rules) + ".used,.absent{top:0}")
    prune(tmp_path)
    left = (tmp_path / "s.css").read_text().splitlines()
    kept = [rule for rule, stays in rules.items() if stays]
    assert left == ["/*! whose it is */", *kept, ".used{top:0}"]


def png(picture):
    out = BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def levels(data):
    with Image.open(BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"), dtype=int)


def test_a_figure_of_few_colours_is_the_same_with_a_palette_and_smaller():
    rng = np.random.default_rng(0)
    figure = rng.integers(0, 256, (200, 3), dtype=np.uint8)[rng.integers(0, 200, (60, 80))]
    short = with_palette(png(figure))
    assert len(short) < len(png(figure)) / 2
    np.testing.assert_array_equal(levels(short), figure)


def test_a_picture_that_a_palette_would_change_stays_and_so_does_one_that_is_seen_through():
    rng = np.random.default_rng(0)
    for picture in (rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), np.full((60, 80, 4), 128, dtype=np.uint8)):
        assert with_palette(png(picture)) == png(picture)


def test_figures_are_shown_at_their_size_in_inches(tmp_path):
    (tmp_path / "_images").mkdir()
    picture, page = Image.new("L", (1760, 770)), tmp_path / "theory" / "page.html"
    picture.save(tmp_path / "_images" / "figure.png", dpi=(220, 220))
    picture.save(tmp_path / "_images" / "photograph.png")
    page.parent.mkdir()
    page.write_text(
        '<img alt="a" src="../_images/figure.png" /><img src="../_images/photograph.png" alt="b">'
        '<img src="../_images/figure.png" width="60%" alt="c">'
    )
    assert size_figures(tmp_path) == 1
    assert page.read_text() == (
        '<img alt="a" src="../_images/figure.png" width="736" height="322"/>'
        '<img src="../_images/photograph.png" alt="b"><img src="../_images/figure.png" width="60%" alt="c">'
    )
    assert size_figures(tmp_path) == 0


def test_code_keeps_its_text_and_the_tags_that_colour_it(tmp_path):
    code = '<span class="k">def</span><span class="w"> </span><span class="n"><span class="pre">f</span></span>'
    (tmp_path / "page.html").write_text(code)
    saved = plain_code(tmp_path)
    assert (tmp_path / "page.html").read_text() == '<span class="k">def</span> f'
    assert saved == len(code) - len('<span class="k">def</span> f')


@pytest.mark.parametrize(("hint", "stays"), [("hybrid_rs.Guard", False), ("what the page says", True)])
def test_the_hint_of_a_link_stays_if_it_says_more_than_the_address(tmp_path, hint, stays):
    link = f'<a class="reference internal" href="guards.html#hybrid_rs.Guard" title="{hint}">Guard</a>'
    (tmp_path / "page.html").write_text(link)
    plain_code(tmp_path)
    assert ("title" in (tmp_path / "page.html").read_text()) == stays


def test_a_button_of_the_theme_gets_a_name(tmp_path):
    (tmp_path / "page.html").write_text(
        '<summary><span class="toctree-toggle"></span></summary><summary>Proof</summary>'
    )
    name_buttons(tmp_path)
    named = '<summary aria-label="Pages below"><span class="toctree-toggle"></span></summary><summary>Proof</summary>'
    assert (tmp_path / "page.html").read_text() == named


def test_parameters_on_lines_are_no_list_of_definitions_and_other_lists_stay(tmp_path):
    first, second = '<em class="sig-param">a: int</em>,', '<em class="sig-param">b</em>,'
    (tmp_path / "page.html").write_text(
        f"<dl><dt>f(<dl>\n<dd>{first}</dd>\n<dd>{second}</dd>\n</dl>)</dt><dd><p>text</p></dd></dl>"
    )
    name_buttons(tmp_path)
    lines = f'<div class="sig-params"><div>{first}</div>\n<div>{second}</div>\n</div>'
    assert (tmp_path / "page.html").read_text() == f"<dl><dt>f({lines})</dt><dd><p>text</p></dd></dl>"


def test_a_page_is_made_lighter_and_keeps_what_it_needs(tmp_path):
    (tmp_path / "_static" / "scripts").mkdir(parents=True)
    for name in ("scripts/fontawesome.js", "scripts/bootstrap.js.map", "searchtools.js"):
        (tmp_path / "_static" / name).write_text("123")
    script = '<script src="{}"></script>'
    names = ["_static/scripts/fontawesome.js?digest=1", "searchindex.js", "_static/searchtools.js", "_static/other.js"]
    for page in ("page.html", "search.html"):
        (tmp_path / page).write_text("".join(map(script.format, names)) + "text")
    assert lighten(tmp_path) == 6
    assert (tmp_path / "page.html").read_text() == script.format("_static/other.js") + "text"
    assert (tmp_path / "search.html").read_text() == "".join(map(script.format, names[1:])) + "text"
    assert [file.name for file in (tmp_path / "_static").rglob("*.*")] == ["searchtools.js"]


def test_the_outputs_depend_on_package_data_and_lock_file(tmp_path):
    for name in ("hybrid_rs/a.py", "data/counts.csv", "requirements.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    first = build.digest(build.inputs(tmp_path), tmp_path)
    assert build.digest(build.inputs(tmp_path), tmp_path) == first
    for name in ("hybrid_rs/a.py", "data/counts.csv", "requirements.lock"):
        (tmp_path / name).write_text("2")
        assert build.digest(build.inputs(tmp_path), tmp_path) != first
        (tmp_path / name).write_text("1")
    (tmp_path / "hybrid_rs" / "a.py").rename(tmp_path / "hybrid_rs" / "b.py")
    assert build.digest(build.inputs(tmp_path), tmp_path) != first


def test_kernels_draw_sharp_figures(tmp_path, monkeypatch):
    from ipykernel.kernelapp import IPKernelApp

    monkeypatch.setattr(build, "BUILT", tmp_path)
    monkeypatch.setenv("IPYTHONDIR", "elsewhere")
    build.sharpen_figures()
    app = IPKernelApp()
    app.init_profile_dir()
    app.load_config_file()
    assert app.config.InlineBackend.print_figure_kwargs["dpi"] == build.PIXELS["dpi"] > 200


def test_every_figure_and_table_of_a_notebook_has_the_provenance_of_its_page(tmp_path):
    closing = "<p><em>Provenance.</em> commit abc · counts: <code>data/x.jsonl</code></p>"
    outputs = ['<img alt="a" src="a.png"/>', "<table><tr><td>1</td></tr></table>", "<p>prose</p>", closing]
    body = "".join(f'<div class="cell_output">{output}</div>' for output in outputs)
    (tmp_path / "notebook.html").write_text(f"<p>&lt;&amp; \\(x\\)</p>{body}")
    (tmp_path / "prose.html").write_text("<p><em>Provenance.</em> is a word</p><table></table>")
    before = (tmp_path / "prose.html").read_text()
    assert annotate(tmp_path) == 2
    found = (tmp_path / "notebook.html").read_text()
    assert found.startswith("<p>&lt;&amp; \\(x\\)</p>")
    assert found.count("<details") == 2
    assert found.count("commit abc · counts: <code>data/x.jsonl</code>") == 3
    assert found.index("<details") > found.index("<img")
    assert found.rindex("</details>") < found.index("prose")
    assert (tmp_path / "prose.html").read_text() == before


NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
CELLS = {path.stem: json.loads(path.read_text())["cells"] for path in NOTEBOOKS}
CERTIFIED = "T1 T2 T3 T4 T6 F1 F2 F3 calibration decisions suffix_threat frontier_claims quickstart certify_your_guard"


def code(stem):
    """The code of a notebook."""
    return "\n".join("".join(cell["source"]) for cell in CELLS[stem] if cell["cell_type"] == "code")


@pytest.mark.parametrize("stem", CERTIFIED.split())
def test_a_page_that_certifies_a_guard_shows_its_false_alarms_by_both_rules(stem):
    both = ("alarm_shares(", "RULES", "robustness_curve(")  # each gives both
    assert any(name in code(stem) for name in both)
    assert "spelled_share" in code(stem) or "alarm_styles" in code(stem)  # with their intervals


@pytest.mark.parametrize("stem", CELLS)
def test_no_page_counts_false_alarms_by_one_rule(stem):
    assert "flagged_share" not in code(stem)
    assert all((rule in code(stem)) == (RULES[0] in code(stem)) or stem == "T2" for rule in RULES)


@pytest.mark.parametrize("stem", CELLS)
def test_no_caption_and_no_alt_text_prints_its_markup(stem):
    for cell in CELLS[stem]:
        shown = cell["metadata"].get("mystnb", {})
        assert "\\\\" not in shown.get("figure", {}).get("caption", "")
        assert not re.search(r"[$\\]", shown.get("image", {}).get("alt", ""))


def page(name):
    """The text of a page, on one line."""
    return " ".join((ROOT / name).read_text().split())


def numbers(pattern, text):
    """The numbers in the one place where a sentence stands."""
    (found,) = re.findall(pattern, text)
    return [int(number) for number in (found if isinstance(found, tuple) else (found,))]


def test_the_sizes_on_the_page_of_scaling_are_those_of_the_profiles():
    standard, full, text = get_profile("standard"), get_profile("full"), page("book/scaling_out.md")
    unsafe, safe, power = numbers(r"profile, (\d+) unsafe and (\d+) safe examples with \$10\^(\d+)\$ draws each", text)
    assert (unsafe, safe, 10**power) == (standard.n_unsafe, standard.n_safe + standard.n_calibration, standard.n)
    assert numbers(r"The `full` profile, (\d+) unsafe examples", text) == [full.n_unsafe]
    assert full.n_unsafe == 10 * standard.n_unsafe  # ten times the hours
    unsafe, safe, units = numbers(r"At (\d+) unsafe and (\d+) safe examples there are (\d+) units", text)
    assert unsafe + safe == units == standard.n_unsafe + standard.n_safe + standard.n_calibration


def test_the_sizes_on_the_card_of_the_notes_are_those_of_the_language():
    (words,) = numbers(r"The vocabulary has (\d+) words and eight special tokens", page("data/bay_notes/README.md"))
    assert (words, 8) == (alphabet().size, len(SPECIAL_TOKENS))
    least, most = numbers(r"(\d+) to (\d+) words from templates", page("data/bay_notes/README.md"))
    lengths = {note.token_ids.size for note in bay_notes.examples("test", 400)}
    assert least <= min(lengths) <= max(lengths) <= most


def test_folds_of_cells_without_output_are_joined_to_the_next():
    def cell(number, output="", attribute=""):
        code = f'<div class="cell_input"><div class="highlight"><div><pre>code {number}</pre></div>\n</div>\n</div>\n'
        fold = (
            f'<details class="hide above-input">\n<summary aria-label="Toggle"><p>Show</p></summary>\n{code}</details>'
        )
        return f'<div class="cell tag_hide-input docutils container"{attribute}>\n{fold}\n{output}</div>\n'

    shown = '<div class="cell_output">shown</div>'
    page, gone = joined(
        cell(1) + cell(2, shown) + cell(3) + cell(4, attribute=' id="labelled"') + "<p>prose</p>" + cell(5)
    )
    assert gone == 1
    soup = BeautifulSoup(page, "html.parser")
    assert [len(each.select("pre")) for each in soup.select("details")] == [2, 1, 1, 1]
    assert [each.parent.select_one(".cell_output") is not None for each in soup.select("details")] == [True] + [
        False
    ] * 3
    assert joined(page) == (page, 0)
