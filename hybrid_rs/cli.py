"""The command line, ``hybrid-rs``."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Certificates for text edits and image perturbations at the same time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def radius(
    p_a: Annotated[float, typer.Option("--p-a", help="Clean smoothed probability, or a lower bound of it.")],
    vocab_size: Annotated[int, typer.Option(help="Size V of the replacement alphabet.")] = 32_000,
    beta: Annotated[float, typer.Option(help="Probability that a token is replaced.")] = 0.25,
    sigma: Annotated[float, typer.Option(help="Standard deviation of the image noise.")] = 1.0,
    tau: Annotated[float, typer.Option(help="Decision threshold.")] = 4.6e-5,
    d_max: Annotated[int, typer.Option(help="Largest text budget.")] = 8,
    save: Annotated[Path | None, typer.Option(help="File for the certificates, one a line, for `verify`.")] = None,
) -> None:
    """Print the certified image radius at every text budget (uniform kernel), rounded down."""
    import hybrid_rs as hrs

    kernel = hrs.UniformKernel(beta=beta, vocab_size=vocab_size)
    front = hrs.frontier(p_a, kernel, sigma=sigma, tau=tau, d_max=d_max)
    typer.echo(front)
    if save:
        made = [
            hrs.certify(p_a, kernel, d=d, epsilon=front.radius(d), sigma=sigma, tau=tau)
            for d in range(front.edits() + 1)
        ]
        save.write_text("".join(certificate.to_json() + "\n" for certificate in made))


@app.command()
def plan(
    d: Annotated[int, typer.Option("--d", help="Text budget.")],
    epsilon: Annotated[float, typer.Option(help="Image budget, l2, in the units of sigma.")],
    vocab_size: Annotated[int, typer.Option(help="Size V of the replacement alphabet.")] = 32_000,
    beta: Annotated[float, typer.Option(help="Probability that a token is replaced.")] = 0.25,
    sigma: Annotated[float, typer.Option(help="Standard deviation of the image noise.")] = 1.0,
    tau: Annotated[float, typer.Option(help="Decision threshold.")] = 4.6e-5,
    alpha: Annotated[float, typer.Option(help="Risk of the confidence bound.")] = 0.01,
    p_a: Annotated[float, typer.Option("--p-a", help="True probability hoped for (p_S with --masked).")] = 1.0,
    power: Annotated[float, typer.Option(help="Probability with which the draws are to certify.")] = 0.9,
    masked: Annotated[bool, typer.Option("--masked", help="Draw given that edited positions are replaced.")] = False,
) -> None:
    """Print the clean probability that a target requires, and the draws that show it (uniform kernel)."""
    import hybrid_rs as hrs

    kernel = hrs.UniformKernel(beta=beta, vocab_size=vocab_size)
    law = {"sigma": sigma, "tau": tau, "alpha": alpha}
    typer.echo(hrs.plan(d, epsilon, kernel, **law, p_a=p_a, power=power, masked=masked))


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="Certificates, one JSON object a line, as `to_json` writes them.")],
) -> None:
    """Check every certificate of a file in interval arithmetic; exit status 1 if one does not hold."""
    import hybrid_rs as hrs

    if not file.is_file():
        raise ValueError(f"file = {str(file)!r}: no such file")
    lines = [(number, line) for number, line in enumerate(file.read_text().splitlines(), start=1) if line.strip()]
    if not lines:
        raise ValueError(f"file = {str(file)!r}: no certificate in it")
    refused = certified = 0
    for number, line in lines:
        try:
            certificate = hrs.Certificate.from_json(line)
            hrs.verify(certificate)
            certified += certificate.certified
        except ValueError as error:
            refused += 1
            typer.echo(f"line {number}: {error}", err=True)
    typer.echo(f"{len(lines) - refused} of {len(lines)} bounds proved; {certified} of them certified at their tau")
    if refused:
        raise typer.Exit(1)


@app.command()
def train(
    out: Annotated[Path | None, typer.Option(help="Folder of the checkpoint; default: data/bay_guard.")] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 3000,
    batch_size: Annotated[int, typer.Option(help="Prompts per step.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed of weights and data.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Train the small guard from scratch, measure it, and write its checkpoint with its model card."""
    from hybrid_rs.guards.bay_guard import CHECKPOINT
    from hybrid_rs.guards.evaluation import evaluate_bay_guard
    from hybrid_rs.guards.training import train_bay_guard

    folder = train_bay_guard(out or CHECKPOINT, steps=steps, batch_size=batch_size, seed=seed, device=device)
    evaluate_bay_guard(folder)
    typer.echo((folder / "README.md").read_text())


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="Notebook of notebooks/experiments, without .ipynb; or all.")] = "all",
    profile: Annotated[str, typer.Option(help="Size of the run: quick, standard or full.")] = "quick",
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE; repeatable.")] = None,
    resample: Annotated[bool, typer.Option("--resample", help="Draw again what the store of counts has.")] = False,
    engine: Annotated[str | None, typer.Option(help="Where draws are made: local or ray.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes, or Ray actors, that draw.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster that is running, such as auto.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Executed notebook, default <name>.ipynb; of all: folder.")
    ] = None,
) -> None:
    """Run experiment notebooks with papermill; an unknown parameter is an error.

    Of all notebooks, each gets the parameters that it declares, and one that fails does not stop the others.
    """
    from hybrid_rs.experiments.engines import engine_name
    from hybrid_rs.experiments.runner import run_experiment, run_experiments

    given = dict(_assignment(text) for text in parameter or [])
    if resample:
        given["resample"] = True
    if engine or workers or address:
        given["engine"] = engine_name(engine or "local", workers, address)
    if name != "all":
        typer.echo(run_experiment(name, profile=profile, parameters=given, output=output or Path(f"{name}.ipynb")))
        return
    folder, failed = output or Path(), {}
    for done, error in run_experiments(profile=profile, parameters=given, folder=folder):
        if error is None:
            typer.echo(folder / f"{done}.ipynb")
        else:
            failed[done] = error
    if failed:
        raise RuntimeError(f"{len(failed)} failed: {', '.join(failed)}\n" + "\n".join(map(str, failed.values())))


def _assignment(text: str) -> tuple[str, Any]:
    """Split NAME=VALUE; the value is a Python literal where it is one, else the word itself.

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


def main() -> None:
    """Run the command line; an error is one message on stderr and exit code 1."""
    try:
        app()
    except (ValueError, ImportError, RuntimeError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
