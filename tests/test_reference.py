"""The pages of reference are whole: every name of the package, every command, and every option."""

import inspect
import io
import re
from pathlib import Path

import pytest
import reference_pages
import yaml
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils
from typer.main import get_command

import hybrid_rs
from hybrid_rs.cli import app
from hybrid_rs.evidence.counts import Counts

ROOT = Path(__file__).resolve().parents[1]
PAGES = reference_pages.pages()
COMMANDS = get_command(app).commands
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGES["commands.md"], re.MULTILINE | re.DOTALL))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]


def test_the_table_of_contents_has_every_page_of_reference():
    listed = re.findall(r"file: book/reference/(\w+)", (ROOT / "_toc.yml").read_text())
    assert sorted(listed) == sorted(Path(name).stem for name in PAGES)


def test_every_module_of_a_folder_is_on_its_page():
    package = Path(hybrid_rs.__file__).parent
    for folder in {path.parent for path in package.glob("*/__init__.py")} - {package / "cli"}:
        documented = set(re.findall(r"automodule:: hybrid_rs\.(\S+)", PAGES[f"{folder.name}.rst"]))
        modules = {f"{folder.name}.{path.stem}" for path in folder.glob("*.py") if not path.stem.startswith("_")}
        assert documented == modules | {folder.name}


def test_every_name_of_the_package_is_on_the_page_of_names():
    rows = re.findall(r"\* - (?::py:obj:`|:doc:`|``)(\w+)", PAGES["names.rst"])
    assert sorted(rows) == sorted(hybrid_rs.__all__)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_in_its_section(name):
    spelled = re.findall(r"\{option\} (.*)", SECTIONS[name])
    known = {word for line in spelled for word in re.findall(r"(?<!\S)--?[\w-]+|^[A-Z]+", line)}
    wanted = {
        spelling if spelling.startswith("-") else spelling.upper()
        for parameter in COMMANDS[name].params
        if parameter.name != "help"
        for spelling in (*parameter.opts, *parameter.secondary_opts)
    }
    assert known == wanted
    assert SECTIONS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_says_what_the_help_of_its_command_says(name):
    said, plain = " ".join(SECTIONS[name].replace("`", "").split()), str.maketrans("", "", "`")
    assert " ".join(inspect.cleandoc(COMMANDS[name].help).translate(plain).split()) in said
    for parameter in COMMANDS[name].params:
        assert parameter.name == "help" or " ".join(parameter.help.translate(plain).split()) in said


def test_options_and_json_in_a_sentence_are_code():
    assert reference_pages._as_code('with --on-problem skip, X=1; a line {"label": 1}') == (
        'with `--on-problem` skip, `X=1`; a line `{"label": 1}`'
    )


def test_a_signature_has_the_annotations_of_the_source():
    shown = reference_pages.signature_as_written(None, "method", "", Counts.p_a, None, "()", None)
    assert shown[0].startswith("(alpha: float")
    assert "self" not in shown[0]
    assert reference_pages.signature_as_written(None, "module", "", None, None, None, None) is None


def test_pages_are_written_where_they_changed_and_those_of_gone_folders_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(reference_pages, "pages", lambda: {"a.rst": "A", "b.md": "B"})
    reference_pages.write(tmp_path)
    folder = tmp_path / reference_pages.PAGES
    before = (folder / "a.rst").stat().st_mtime_ns
    (folder / "b.md").write_text("old")
    (folder / "gone.rst").write_text("of a folder that was removed")
    reference_pages.write(tmp_path)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a.rst": "A", "b.md": "B"}
    assert (folder / "a.rst").stat().st_mtime_ns == before


def build(folder, page):
    """Build one page of reference as the book does; return what it shows, and the warnings."""
    name, warned, out = page.partition(".")[0], io.StringIO(), folder / "out"
    (folder / page).write_text(PAGES[page])
    settings = {key: CONFIG[key] for key in ("autodoc_typehints", "add_module_names")}
    settings |= {"extensions": ["sphinx.ext.autodoc"], "root_doc": name, "nitpicky": True}
    (folder / "conf.py").write_text("\n".join(f"{key} = {value!r}" for key, value in settings.items()))
    with patch_docutils(), docutils_namespace():
        sphinx = Sphinx(folder, folder, out, out, "text", status=io.StringIO(), warning=warned)
        reference_pages.hooks(sphinx)
        sphinx.build()
    return (out / f"{name}.txt").read_text(), warned.getvalue()


def test_a_page_shows_signatures_arguments_and_examples_without_a_warning(tmp_path):
    text, warned = build(tmp_path, "evidence.rst")
    assert warned == ""
    assert "clopper_pearson_lower(k: ArrayLike, n: ArrayLike" in text
    assert ">>> " in text
    assert "Raises:" in text


def test_a_name_that_does_not_exist_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setitem(PAGES, "tables.rst", f"{PAGES['tables.rst']}\n:func:`hybrid_rs.nothing`\n")
    assert "reference target not found: hybrid_rs.nothing" in build(tmp_path, "tables.rst")[1]
