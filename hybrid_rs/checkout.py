"""Where the package finds its files: inside it when it is installed, or in the source tree around it."""

from __future__ import annotations

from pathlib import Path

from hybrid_rs._checks import require

PACKAGE = Path(__file__).resolve().parent
TREE = PACKAGE.parent
"""The root of the source tree, if the package was not installed as a copy; see :func:`in_tree`."""


def carried(name: str) -> Path:
    """Return a folder of ``data/`` that belongs to the package: inside it when installed, else in the source tree.

    Args:
        name: a folder of ``data/`` that ``pyproject.toml`` maps into the package, such as ``"bay_guard"``.

    Example:
        >>> (carried("bay_guard") / "model.safetensors").is_file()
        True
    """
    inside = PACKAGE / "data" / name
    return inside if inside.is_dir() else TREE / "data" / name


def in_tree() -> bool:
    """Return whether the package is in its source tree, together with the notebooks and the stored counts."""
    return (TREE / "pyproject.toml").is_file() and (TREE / "notebooks" / "experiments").is_dir()


def require_tree(what: str) -> None:
    """Raise an error unless the package is in its source tree.

    Args:
        what: what needs the tree; the message begins with it.

    Raises:
        FileNotFoundError: in an installed copy.
    """
    if not in_tree():
        raise FileNotFoundError(
            f"{what}: this needs the source tree of hybrid_rs, but the package is installed in {PACKAGE}; "
            "clone the repository and work there: make env"
        )


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
    require(found.exists(), "path", str(path), f"not in {TREE}; give the path of a file of the source tree", repr)
    return found
