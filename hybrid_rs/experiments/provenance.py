"""The last line of a notebook: what was run, on which machine, and how long it took."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hybrid_rs.experiments.parameters import find_notebook, notebook_values
from hybrid_rs.storage.records import DATA, local

PACKAGES = ("hybrid_rs", "numpy", "scipy", "torch", "transformers")


@dataclass(frozen=True)
class Provenance:
    """The origin of a result; a notebook shows it as one paragraph of Markdown.

    Args:
        commit: short hash of the package's git commit, with ``, modified`` if the tree differs from it; or ``unknown``.
        parameters: the notebook's parameters.
        versions: package name to installed version; packages that are not installed are left out.
        device: the device that computed the numbers.
        seconds: wall time since the process (the notebook's kernel) started.
        counts: the files of counts that were used.
        command: the command that repeats it, from the repository's root; None if it is not an experiment.
    """

    commit: str
    parameters: Mapping[str, Any]
    versions: Mapping[str, str]
    device: str
    seconds: float
    counts: tuple[str, ...] = ()
    command: str | None = None

    def _repr_markdown_(self) -> str:
        """The paragraph that Jupyter shows."""
        facts = [f"commit {self.commit}"]
        facts += [", ".join(f"{name} = {value!r}" for name, value in self.parameters.items())]
        facts += [", ".join(f"{name} {number}" for name, number in self.versions.items())]
        facts += [self.device, f"{self.seconds:.0f} s"]
        facts += [f"counts: {', '.join(f'`{name}`' for name in self.counts)}"] if self.counts else []
        facts += [f"again: `{self.command}`"] if self.command else []
        return f"*Provenance.* {' · '.join(fact for fact in facts if fact)}"


def provenance(
    parameters: Mapping[str, Any] | None = None,
    *,
    counts: Iterable[str | Path] = (),
    experiment: str | None = None,
) -> Provenance:
    """Return the provenance of everything that this process has computed; call it in the last cell of a notebook.

    Args:
        parameters: parameters by name; for an experiment, only those that its notebook does not declare.
        counts: the files of counts that were used; files with new draws for a file of the book are added.
        experiment: name of a notebook in ``notebooks/experiments``; its declared parameters are added, and the command
            that repeats it. Use it only inside that notebook, which has the values.

    Raises:
        ValueError: if there is no such experiment.
        KeyError: if a declared parameter has no value.

    Example:
        >>> provenance({"sigma": 0.5}).parameters
        {'sigma': 0.5}
    """
    given, command = dict(parameters or {}), None
    if experiment is not None:
        defaults = {name: declared.default for name, declared in find_notebook(experiment)[1].items()}
        values = notebook_values()
        actual = {name: values[name] for name in defaults}
        changed = [name for name in actual if name != "profile" and actual[name] != defaults[name]]
        options = [f"-p {shlex.quote(f'{name}={actual[name]}')}" for name in changed]
        command = " ".join(["hybrid-rs run", experiment, f"--profile {actual['profile']}", *options])
        given = actual | given
    named = [DATA.parent / path for path in counts]
    files = [path for each in named for path in dict.fromkeys((each, local(each))) if path == each or path.exists()]
    return Provenance(_commit(), given, _versions(), _device(), _seconds(), tuple(map(shown, files)), command)


def shown(path: Path) -> str:
    """Return a path as text, relative to the repository's root if it is below it.

    Example:
        >>> shown(DATA / "counts" / "quick.jsonl"), shown(Path("/elsewhere/my.jsonl"))
        ('data/counts/quick.jsonl', '/elsewhere/my.jsonl')
    """
    root, whole = DATA.parent, path.absolute()
    return str(whole.relative_to(root) if whole.is_relative_to(root) else whole)


def _commit() -> str:
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", here.parent, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        git(
            "ls-files", "--error-unmatch", here.name
        )  # the commit of a repository around an installed copy is unrelated
        return git("rev-parse", "--short", "HEAD") + (", modified" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _device() -> str:
    torch = sys.modules.get("torch")  # if it has not been imported, it has not computed anything
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def _seconds() -> float:
    try:
        import psutil  # installed with every notebook kernel
    except ImportError:
        return time.process_time()
    return time.time() - float(psutil.Process().create_time())
