"""Print the oldest version of every package that pyproject.toml admits, one pin a line, for `make lowest`."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]


def lowest(requirements: list[str]) -> list[str]:
    """Return ``name==version`` for each requirement with a lower bound, and the name for one without.

    Example:
        >>> lowest(["numpy>=2.0", "tokenizers", "jupyter-book>=1.0.4,<2"])
        ['numpy==2.0', 'tokenizers', 'jupyter-book==1.0.4']
    """
    bounds = [re.match(r"([\w.-]+)(?:>=([\w.]+))?", line).groups() for line in requirements]
    return [f"{name}=={version}" if version else name for name, version in bounds]


if __name__ == "__main__":
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    lines = [line for group in groups for line in group if not line.startswith("hybrid_rs[")]
    print("\n".join(dict.fromkeys(lowest(lines))))
