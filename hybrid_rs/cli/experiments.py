"""Commands that train the small guard and run experiments."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid_rs._checks import require
from hybrid_rs.checkout import PACKAGE, in_tree, require_tree
from hybrid_rs.cli.making import require_device
from hybrid_rs.cli.options import Address, EngineOption, Gpus, Workers
from hybrid_rs.cli.showing import note, resumable

OUT = Path("bay_guard")


def train(
    out: Annotated[
        Path, typer.Option(help="Folder of the checkpoint: a new one, or that of an earlier training.")
    ] = OUT,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 4000,
    batch_size: Annotated[int, typer.Option(help="Prompts per step.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed of weights and data.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    examples: Annotated[
        int, typer.Option(min=10, help="Test examples per language for the accuracies in the model card.")
    ] = 1000,
) -> None:
    """Train the small guard from scratch, measure it, and write its checkpoint with its model card.

    With the default options, training takes about 16 minutes on two CPU cores, and measuring about two. The
    guard of the book was made by: hybrid-rs train --out data/bay_guard
    """
    from hybrid_rs.small_guard.evaluation import evaluate_bay_guard
    from hybrid_rs.small_guard.training import train_bay_guard

    require_device(device)
    ours = not in_tree() and out.resolve().is_relative_to(PACKAGE)
    require(not ours, "out", str(out), "this is inside the installed package; give a folder of your own", repr)
    known = not out.exists() or (out.is_dir() and ((out / "training.json").is_file() or not any(out.iterdir())))
    require(known, "out", str(out), "it contains other files; give a new folder", repr)
    folder = train_bay_guard(out, steps=steps, batch_size=batch_size, seed=seed, device=device)
    evaluate_bay_guard(folder, n=examples)
    typer.echo((folder / "README.md").read_text())


def run(
    name: Annotated[str, typer.Argument(help="Notebook of notebooks/experiments, without .ipynb; or all.")] = "all",
    profile: Annotated[str, typer.Option(help="Size of the run: quick, standard or full.")] = "quick",
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE; repeatable.")] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Draw everything again and keep it in data/resampled.")
    ] = False,
    engine: EngineOption = None,
    workers: Workers = None,
    gpus: Gpus = None,
    address: Address = None,
    output: Annotated[
        Path | None, typer.Option(help="Executed notebook, default `<name>.ipynb`; of all: folder.")
    ] = None,
) -> None:
    """Run experiment notebooks with papermill; an unknown parameter is an error.

    If all notebooks are run, each gets the parameters that it declares, and a failure does not stop the others. How the
    guard is loaded is a parameter: -p guard="{'device': 'cuda'}". The stored results of the book are read and never
    changed: missing counts are drawn into data/counts/*.local.jsonl. With --resample, everything is drawn again into
    data/resampled, and a run that was stopped can be resumed. The engine makes counts, streams and attacks.
    """
    from hybrid_rs.experiments.runner import run_experiment, run_experiments
    from hybrid_rs.storage.engines import engine_name
    from hybrid_rs.storage.records import DATA

    require_tree("hybrid-rs run")
    given = dict(_assignment(text) for text in parameter or [])
    if resample:
        given["resample"] = True
        note("new draws are kept in data/resampled, or next to your own data: remove that folder to start again")
    if engine or workers or address or gpus is not None:
        given["engine"] = engine_name(engine, workers, address, gpus)
    folder, failed = output or Path(), {}
    with resumable(DATA / ("resampled" if resample else "counts")):
        if name != "all":
            typer.echo(run_experiment(name, profile=profile, parameters=given, output=output or Path(f"{name}.ipynb")))
            return
        for done, error in run_experiments(profile=profile, parameters=given, folder=folder):
            if error is None:
                typer.echo(folder / f"{done}.ipynb")
            else:
                failed[done] = error
    if failed:
        raise RuntimeError(f"{len(failed)} failed: {', '.join(failed)}\n" + "\n".join(map(str, failed.values())))


def _assignment(text: str) -> tuple[str, Any]:
    """Split NAME=VALUE; the value is read as a Python literal if possible, else as a string.

    Example:
        >>> _assignment("sigma=0.5"), _assignment("kernel=uniform")
        (('sigma', 0.5), ('kernel', 'uniform'))
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"parameter = {text!r}: write it as NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
