"""Files of the repository that are not part of the package: data, stored counts, notebooks, reference tables."""

from __future__ import annotations

from pathlib import Path

from hybrid_rs._checks import require
from hybrid_rs._places import TREE, require_tree


def checkout(path: str | Path) -> Path:
    """Return the path of a file or folder of the source tree that this package is installed from.

    Args:
        path: from the root of the tree, such as "data/counts".

    Raises:
        FileNotFoundError: in an installed copy, which has no source tree around it.
        ValueError: if the tree has no such file.

    Example:
        >>> checkout("data/counts/quick.jsonl").is_file()
        True
    """
    require_tree(str(path))
    found = TREE / path
    require(found.exists(), "path", repr(str(path)), f"not in {TREE}; give the path of a file of the source tree")
    return found
