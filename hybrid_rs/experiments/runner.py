"""Run one experiment notebook through papermill, at the size of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid_rs._checks import require
from hybrid_rs.experiments import parameters as declared_parameters
from hybrid_rs.experiments.profiles import get_profile

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks" / "experiments"


class ExperimentFailed(RuntimeError):
    """A cell of an experiment raised; the message says which, why, and where the output up to there is."""


def run_experiment(
    name: str,
    *,
    profile: str = "quick",
    parameters: Mapping[str, Any] | None = None,
    output: Path,
    notebooks: Path = NOTEBOOKS,
) -> Path:
    """Execute ``<name>.ipynb`` with a profile and parameters, and write the executed notebook to ``output``.

    The notebook declares its parameters in one cell tagged ``parameters``, among them ``profile``; it looks its sizes
    up with ``get_profile(profile)``, so that no size can be mistyped. It runs in its own folder. While it runs, the
    output goes to ``<output>.partial.ipynb``: an existing output stays until a whole new one is there. Progress goes
    to stderr.

    Returns:
        the path of the executed notebook.

    Raises:
        ValueError: if there is no such notebook or profile, or a parameter is unknown or of the wrong type.
        ExperimentFailed: if a cell raised; the partial output is kept.

    Example:
        >>> run_experiment("T0", output=Path("T0.ipynb"), notebooks=Path("nowhere"))
        Traceback (most recent call last):
        ValueError: name = 'T0': no notebook nowhere/T0.ipynb; known are none
    """
    source = notebooks / f"{name}.ipynb"
    known = ", ".join(sorted(p.stem for p in notebooks.glob("*.ipynb"))) or "none"
    require(source.is_file(), "name", repr(name), f"no notebook {source}; known are {known}")
    get_profile(profile)
    given = {**(parameters or {}), "profile": profile}
    declared_parameters.check(given, declared_parameters.declared_in(source))

    try:
        import papermill
    except ImportError as error:
        raise ImportError("running experiments needs papermill: pip install 'hybrid_rs[book]'") from error

    output = Path(output).resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".partial.ipynb")
    try:
        # the kernel of this very environment, whatever the notebook was last saved with
        papermill.execute_notebook(source, partial, given, kernel_name="python3", language="python", cwd=source.parent)
    except papermill.PapermillExecutionError as error:
        line = next((text for text in error.source.splitlines() if text.strip()), "")
        raise ExperimentFailed(
            f"{name}, cell [{error.exec_count}] ({line.strip()}): {error.ename}: {error.evalue}\n"
            f"The output up to there: {partial}"
        ) from error
    partial.replace(output)
    return output
