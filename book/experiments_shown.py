"""A Sphinx extension for a bare ``jupyter-book build .``: experiments that were not run yet are shown without results.

``make book`` runs the experiment notebooks into ``book/experiments``, which the table of contents names. Where one is
missing there, its source is copied, so that its page is not missing from the book; a warning says what to do.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SOURCES, SHOWN = Path("notebooks", "experiments"), Path("book", "experiments")


def copy_missing(root: Path) -> list[str]:
    """Copy the experiment notebooks that are missing among those of the book; return their names.

    Args:
        root: of the repository.
    """
    shown = root / SHOWN
    missing = [path for path in sorted((root / SOURCES).glob("*.ipynb")) if not (shown / path.name).is_file()]
    shown.mkdir(parents=True, exist_ok=True)
    for path in missing:
        shutil.copyfile(path, shown / path.name)
    return [path.stem for path in missing]


def setup(app: Sphinx) -> dict[str, bool]:
    """Copy what is missing before Sphinx reads the table of contents."""
    if names := copy_missing(Path(app.srcdir)):
        remedy = "their pages show no results; `make book` runs them"
        logging.getLogger(__name__).warning("experiments not run yet: %s; %s", ", ".join(names), remedy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
