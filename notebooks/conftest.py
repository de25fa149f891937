"""Tests of the notebooks: each cell runs and must print what is stored, numbers up to a tolerance.

Built on nbval, whose own comparison is exact. Not compared: stderr (progress), figures and their reprs. A cell whose
output depends on the machine (timings, provenance) carries the tag ``nbval-ignore-output``. With nbval's own options
the cells run once, too: ``--nbval`` changes nothing, and with ``--nbval-lax`` nothing is compared.
"""

from __future__ import annotations

import math
import re

import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile
from warm_kernels import WarmKernel

RELATIVE = 1e-6
ABSOLUTE = 1e-12  # below it is rounding error, which differs between machines
NUMBER = re.compile(r"((?<![\w.)])[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)", re.IGNORECASE)
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object whose repr says nothing else
FIGURES = {"image/png", "image/jpeg", "image/svg+xml", "application/pdf"}


class Text(str):
    """An output that equals another when the words agree and the numbers are close; whole numbers must be equal."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        mine, others = (NUMBER.split(" ".join(str(text).split())) for text in (self, other))
        return len(mine) == len(others) and all(map(_agree, mine, others))

    def __ne__(self, other: object) -> bool:
        return not self == other


def _agree(a: str, b: str) -> bool:
    if not (NUMBER.fullmatch(a) and NUMBER.fullmatch(b)):
        return a == b
    if a.lstrip("+-").isdigit() and b.lstrip("+-").isdigit():
        return int(a) == int(b)
    return math.isclose(float(a), float(b), rel_tol=RELATIVE, abs_tol=ABSOLUTE)


class Cell(IPyNbCell):
    """A code cell, compared by ``Text``."""

    def sanitize(self, s):
        return Text(ADDRESS.sub("", s)) if isinstance(s, str) else s

    def compare_outputs(self, test, ref, skip_compare=None):
        return super().compare_outputs(_comparable(test), _comparable(ref), skip_compare)


def _comparable(outputs):
    """The outputs that mean something: no progress bars, and of a figure nothing."""
    return [o for o in outputs if o.get("name") != "stderr" and not FIGURES & set(o.get("data", ()))]


class Notebook(IPyNbFile):
    """A notebook, one test per code cell."""

    def setup(self):
        """Start a kernel of the Python that runs the tests, however long a busy machine takes."""
        option = self.config.option
        if option.nbval_kernel_name:  # another kernel is asked for
            super().setup()
            return
        folder, seconds = str(self.path.parent), max(option.nbval_kernel_startup_timeout, 600)
        alone = all(item.path == self.path for item in self.session.items if isinstance(item, Cell))
        kernel = RunningKernel(CURRENT_ENV_KERNEL_NAME, folder, seconds) if alone else WarmKernel(folder, seconds)
        self.kernel = kernel
        self.setup_sanitize_files()

    def collect(self):
        for cell in super().collect():
            ours = Cell.from_parent(self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options)
            ours.output_timeout = 60
            yield ours


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Collect notebooks with or without nbval's own options, which would collect them a second time."""
    found = yield
    return [Notebook.from_parent(parent, path=file_path)] if file_path.suffix == ".ipynb" else found
