"""Run experiment notebooks through papermill, at the size of a profile."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hybrid_rs._checks import integer, require
from hybrid_rs._extras import needs
from hybrid_rs.experiments import parameters as declared_parameters
from hybrid_rs.experiments.parameters import NOTEBOOKS
from hybrid_rs.experiments.profiles import get_profile

TIMED = ("T4",)  # they measure seconds, so nothing else runs at the same time
KERNEL = {"kernel_name": "python3", "language": "python", "start_timeout": 600}  # seconds; a busy machine needs minutes


class ExperimentFailed(RuntimeError):
    """A cell of an experiment failed; the message says which one, why, and where the partial output is."""


def run_experiment(
    name: str,
    *,
    profile: str = "quick",
    parameters: Mapping[str, Any] | None = None,
    output: Path,
    notebooks: Path = NOTEBOOKS,
    progress: bool = True,
    forked: bool = False,
) -> Path:
    """Execute ``<name>.ipynb`` with a profile and parameters, and write the executed notebook to ``output``.

    The notebook declares its parameters in one cell tagged ``parameters``. One of them is ``profile``; the notebook
    gets its sizes from ``get_profile(profile)``, so that no size can be mistyped. It runs in the current folder, to
    which relative paths in parameters refer, and with the running Python. While it runs, the output goes to
    ``<output>.partial.ipynb``, and an existing output is replaced only when the new one is complete. With ``progress``,
    the cells that are done are counted on stderr. With ``forked``, the kernel starts with most imports done, which
    saves seconds for each notebook but the first of a process.

    Returns:
        the path of the executed notebook.

    Raises:
        ValueError: if there is no such notebook or profile, or a parameter is unknown or of the wrong type.
        ExperimentFailed: if a cell failed or the kernel died; the partial output is kept.

    Example:
        >>> run_experiment("T0", output=Path("T0.ipynb"), notebooks=Path("nowhere"))
        Traceback (most recent call last):
        ValueError: name = 'T0': no notebook nowhere/T0.ipynb; known are none
    """
    source, declared = declared_parameters.find_notebook(name, notebooks)
    get_profile(profile)
    given = {**(parameters or {}), "profile": profile}
    declared_parameters.check(given, declared)

    with needs("book"):
        import papermill
        from nbclient.exceptions import DeadKernelError

        from hybrid_rs.experiments.kernel import ForkedKernel, OwnKernel

    kernel = ForkedKernel if forked and "forkserver" in multiprocessing.get_all_start_methods() else OwnKernel
    output = Path(output).resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".partial.ipynb")
    try:
        papermill.execute_notebook(source, partial, given, **KERNEL, kernel_manager_class=kernel, progress_bar=progress)
    except papermill.PapermillExecutionError as error:
        line = next((text for text in error.source.splitlines() if text.strip()), "")
        raise ExperimentFailed(
            f"{name}, cell [{error.exec_count}] ({line.strip()}): {error.ename}: {error.evalue}\n"
            f"The output up to there: {partial}"
        ) from error
    except DeadKernelError as error:
        raise ExperimentFailed(
            f"{name}: its process died; if memory ran out, give fewer workers\nThe output up to there: {partial}"
        ) from error
    except RuntimeError as error:  # jupyter_client has no specific exception for a kernel that does not start
        remedy = "check that it has ipykernel, or try again when the machine is less busy"
        raise ExperimentFailed(f"{name}: no kernel started with {sys.executable} ({error}); {remedy}") from error
    partial.replace(output)
    return output


def run_experiments(
    names: Iterable[str] | None = None,
    *,
    profile: str = "quick",
    parameters: Mapping[str, Any] | None = None,
    folder: Path,
    notebooks: Path = NOTEBOOKS,
    at_once: int = 1,
) -> Iterator[tuple[str, ExperimentFailed | None]]:
    """Execute several experiments into a folder; a failure does not stop the others.

    Args:
        names: the notebooks, without ``.ipynb``; by default all.
        profile: "quick", "standard" or "full".
        parameters: each is given to the notebooks that declare it; at least one notebook must declare it.
        folder: where ``<name>.ipynb`` is written; see :func:`run_experiment`.
        notebooks: where the notebooks are.
        at_once: how many may run at the same time, each with one thread. Those that measure seconds run first, alone.

    Yields:
        each name when it is done, with its error, or None. Nothing runs before the first result is requested.

    Raises:
        ValueError: before anything runs, if a notebook, the profile or a parameter is unknown or of the wrong type.
    """
    at_once = integer("at_once", at_once, at_least=1)
    chosen = sorted(path.stem for path in notebooks.glob("*.ipynb")) if names is None else list(names)
    declared = {name: declared_parameters.find_notebook(name, notebooks)[1] for name in chosen}
    given = {name: {p: v for p, v in (parameters or {}).items() if p in declared[name]} for name in chosen}
    get_profile(profile)
    for name in chosen:
        declared_parameters.check(given[name], declared[name])
    for parameter, value in (parameters or {}).items():
        known = ", ".join(sorted(set().union(*declared.values()))) or "none"
        used = any(parameter in own for own in declared.values())
        require(used, parameter, value, f"no notebook has this parameter; known are {known}", repr)

    def arguments(name: str) -> dict[str, Any]:
        output = Path(folder) / f"{name}.ipynb"
        return {"profile": profile, "parameters": given[name], "output": output, "notebooks": notebooks}

    together = [name for name in chosen if name not in TIMED] if at_once > 1 else []
    with tqdm(total=len(chosen), unit="notebook", disable=not chosen) as bar:
        for name in chosen:
            if name not in together:
                bar.set_description(name)
                error = _error_of(name, arguments(name))
                bar.update()
                yield name, error
        if together:
            bar.set_description("experiments")
            spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads of the bar
            with ProcessPoolExecutor(at_once, spawn, initializer=_one_thread) as pool:
                here = {"progress": False, "forked": len(together) > 2 * at_once}
                running = {pool.submit(_error_of, name, arguments(name) | here): name for name in together}
                for done in as_completed(running):
                    bar.update()
                    yield running[done], done.result()


def _error_of(name: str, arguments: dict[str, Any]) -> ExperimentFailed | None:
    """Run one experiment; return its failure, or None."""
    try:
        run_experiment(name, **arguments)
    except ExperimentFailed as error:
        return error
    return None


def _one_thread() -> None:
    """Let the kernels of this process use one thread each: more would wait for one another."""
    os.environ["OMP_NUM_THREADS"] = "1"
