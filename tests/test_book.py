"""The book's table of contents is complete, and the check of its pages sees what it is there to see."""

from pathlib import Path

import build
import pytest
import yaml
from annotate import annotate
from check_html import problems

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
    sources = [source(page) for page in pages(TOC)]
    assert [missing for missing in sources if isinstance(missing, str)] == []
    assert len(set(sources)) == len(sources)


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
