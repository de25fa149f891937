"""Optional packages: one way to import them, and one message when they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "flint": "python-flint"}
"""The names that pip uses for packages that are imported under another name."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """If an import in this block fails, name the missing package and the extra that installs it.

    Args:
        extra: a key of ``[project.optional-dependencies]`` in ``pyproject.toml``.

    Raises:
        ImportError: if a package is missing, or is too old to have what is imported from it.

    Example:
        >>> with needs("guard"):
        ...     import a_missing_package
        Traceback (most recent call last):
        ImportError: a_missing_package is not installed: pip install "hybrid_rs[guard]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name in ("", "hybrid_rs"):  # a mistake in this package, which no extra fixes
            raise
        said = f'{DISTRIBUTIONS.get(name, name)} is not installed: pip install "hybrid_rs[{extra}]"'
        raise ImportError(said, name=name) from error
    except ImportError as error:
        name = (error.name or "").partition(".")[0]
        if name in ("", "hybrid_rs") or "is not installed: pip install" in str(error):
            raise
        said = f'{error}: pip install --upgrade "hybrid_rs[{extra}]"'
        raise ImportError(said, name=name) from error
