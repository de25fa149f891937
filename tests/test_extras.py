"""A package that is missing is named, with the extra that brings it, wherever it is needed."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hybrid_rs._extras import DISTRIBUTIONS, needs

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = sorted((ROOT / "hybrid_rs").rglob("*.py"))


def names(requirements):
    """The distributions that some requirements name."""
    return {re.match(r"[\w.-]+", line)[0].lower() for line in requirements}


CORE = names(PROJECT["dependencies"])
EXTRAS = {extra: names(lines) for extra, lines in PROJECT["optional-dependencies"].items()}


class Imports(ast.NodeVisitor):
    """Every import of a module that runs: the package's distribution, its line, and the extra that guards it."""

    def __init__(self, tree):
        self.found, self.extra = [], None
        self.visit(tree)

    def visit_If(self, node):
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def visit_Try(self, node):
        caught = any(handler.type and "ImportError" in ast.unparse(handler.type) for handler in node.handlers)
        if not caught:  # what does without the package needs no extra
            self.generic_visit(node)

    def visit_With(self, node):
        before, call = self.extra, node.items[0].context_expr
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "needs":
            self.extra = call.args[0].value
        self.generic_visit(node)
        self.extra = before

    def visit_Import(self, node):
        self.found += [self._entry(alias.name, node) for alias in node.names]

    def visit_ImportFrom(self, node):
        self.found.append(self._entry(node.module, node))

    def _entry(self, module, node):
        top = module.partition(".")[0]
        return DISTRIBUTIONS.get(top, top), node.lineno, self.extra


def imports(path):
    """The imports of a module that are neither the standard library's, nor the package's own, nor always there."""
    always = CORE | set(sys.stdlib_module_names) | {"hybrid_rs"}
    return [entry for entry in Imports(ast.parse(path.read_text())).found if entry[0] not in always]


BROUGHT = {  # packages that another one brings
    "pyarrow": "datasets",
    "nbclient": "papermill",
    "jupyter_client": "ipykernel",
    "IPython": "ipykernel",
    "jinja2": "torch",
    "huggingface_hub": "transformers",
}


def test_every_optional_import_names_an_extra_that_brings_it():
    unguarded, wrong = [], []
    for path in MODULES:
        found = imports(path)
        guarded = {name for name, _, extra in found if extra}
        unguarded += [f"{path}:{line} {name}" for name, line, _ in found if name not in guarded]
        wrong += [f"{path}:{line} {name}" for name, line, extra in found if extra and lacks(extra, name)]
    assert unguarded == []
    assert wrong == []


def lacks(extra, name):
    """Whether an extra does not bring a package."""
    return BROUGHT.get(name, name) not in EXTRAS[extra]


WITHOUT = f"""
import importlib, pkgutil, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"torch", "transformers", "tokenizers", "safetensors", "PIL", "sklearn", "flint",
                                      "statsmodels", "datasets", "ray", "diffusers", "papermill", "nbformat",
                                      "nbclient", "jinja2", "huggingface_hub", "matplotlib", "mpmath", "psutil"}}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.path.insert(0, {str(ROOT)!r})
import hybrid_rs

def said(what, call):
    try:
        call()
    except ImportError as error:
        print(what, type(error).__name__, error, sep=" | ")
    else:
        print(what, "works", sep=" | ")

for module in pkgutil.walk_packages(hybrid_rs.__path__, "hybrid_rs."):
    if not module.name.endswith("__main__"):
        said(module.name, lambda: importlib.import_module(module.name))

from hybrid_rs.datasets import images, hugging_face
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.tables import data as tabular
kernel = hybrid_rs.UniformKernel(beta=0.25, vocab_size=50)
certificate = hybrid_rs.certify(0.99, kernel, d=1, epsilon=0.1, sigma=1.0, tau=0.01)
said("bay_notes", lambda: bay_notes.examples("test", 1))
said("fair", tabular.fair)
said("picture", lambda: images.decoded(b"", 10))
said("verify", lambda: hybrid_rs.verify(certificate))
said("plot", hybrid_rs.frontier(0.99, kernel, sigma=1.0, tau=0.01, d_max=2).plot)
"""


def test_without_any_extra_everything_works_or_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True, cwd=ROOT)
    lines = dict(line.split(" | ", 1) for line in done.stdout.splitlines())
    remedy = re.compile(r'works|ImportError \| [\w-]+ is not installed: pip install "hybrid_rs\[\w+\]"')
    assert {what: said for what, said in lines.items() if not remedy.fullmatch(said)} == {}
    wanted = {
        "hybrid_rs.guards.vlm": "torch",
        "hybrid_rs.small_guard.training": "torch",
        "bay_notes": "scikit-learn",
        "fair": "statsmodels",
        "picture": "pillow",
        "verify": "python-flint",
        "plot": "matplotlib",
    }
    assert {what: re.search(r"\| ([\w-]+) is not", lines[what])[1] for what in wanted} == wanted
    assert lines["hybrid_rs.certificates.worst_case"] == lines["hybrid_rs.cli"] == "works"


def test_a_package_that_is_too_old_is_upgraded():
    said = r'cannot import name .* pip install --upgrade "hybrid_rs\[guard\]"'
    with pytest.raises(ImportError, match=said), needs("guard"):
        from numpy import no_such_name  # noqa: F401


def test_a_mistake_of_our_own_is_not_blamed_on_an_extra():
    with pytest.raises(ModuleNotFoundError, match=r"hybrid_rs\.nowhere"), needs("guard"):
        import hybrid_rs.nowhere  # noqa: F401
