"""Commands that need no guard: radii, plans, and the verification of certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid_rs._checks import require
from hybrid_rs._files import check_writable, read_text, write_whole
from hybrid_rs.certificates.kernels import MAX_EDITS
from hybrid_rs.cli.showing import json_line, note
from hybrid_rs.decisions.sample_size import MAX_DRAWS


def radius(
    p_a: Annotated[float, typer.Option("--p-a", help="Clean smoothed probability, or a lower bound of it.")],
    vocab_size: Annotated[int, typer.Option(help="Size V of the replacement alphabet.")] = 32_000,
    beta: Annotated[float, typer.Option(help="Probability that a token is replaced.")] = 0.25,
    sigma: Annotated[float, typer.Option(help="Standard deviation of the image noise.")] = 1.0,
    tau: Annotated[float, typer.Option(help="Decision threshold.")] = 4.6e-5,
    d_max: Annotated[int, typer.Option(min=0, max=MAX_EDITS, help="Largest text budget.")] = 8,
    save: Annotated[Path | None, typer.Option(help="File for the certificates, one a line, for `verify`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; radii are not rounded.")] = False,
) -> None:
    """Print the certified image radius at every text budget (uniform kernel), rounded down."""
    import hybrid_rs as hrs

    if save:
        check_writable("save", save)
    kernel = hrs.UniformKernel(beta=beta, vocab_size=vocab_size)
    front = hrs.frontier(p_a, kernel, sigma=sigma, tau=tau, d_max=d_max)
    law = {"vocab_size": vocab_size, "beta": beta, "sigma": sigma, "tau": tau}
    typer.echo(json_line({"p_a": p_a, **law, "radii": front.radii.tolist()}) if as_json else front)
    if save:
        made = [
            hrs.certify(p_a, kernel, d=d, epsilon=front.radius(d), sigma=sigma, tau=tau)
            for d in range(front.edits() + 1)
        ]
        write_whole("save", save, "".join(certificate.to_json() + "\n" for certificate in made))


def plan(
    d: Annotated[int | None, typer.Option("--d", min=0, max=MAX_EDITS, help="Text budget of the target.")] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Image budget of the target, l2, in the units of sigma.")
    ] = None,
    n: Annotated[
        int | None,
        typer.Option("--n", min=1, max=MAX_DRAWS, help="Number of draws, instead of a target: what can they certify?"),
    ] = None,
    d_max: Annotated[int, typer.Option(min=0, max=MAX_EDITS, help="Largest text budget shown with --n.")] = 8,
    vocab_size: Annotated[int, typer.Option(help="Size V of the replacement alphabet.")] = 32_000,
    beta: Annotated[float, typer.Option(help="Probability that a token is replaced.")] = 0.25,
    sigma: Annotated[float, typer.Option(help="Standard deviation of the image noise.")] = 1.0,
    tau: Annotated[float, typer.Option(help="Decision threshold.")] = 4.6e-5,
    alpha: Annotated[float, typer.Option(help="Risk of the confidence bound.")] = 0.01,
    p_a: Annotated[float, typer.Option("--p-a", help="True probability that you expect (p_S with --masked).")] = 1.0,
    power: Annotated[float, typer.Option(help="Probability with which the draws should certify.")] = 0.9,
    masked: Annotated[bool, typer.Option("--masked", help="Draw given that edited positions are replaced.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Print the p_A and the draws that a target needs; or, with --n, the most that this number of draws can certify.

    The kernel is the uniform one.
    """
    import hybrid_rs as hrs

    if (n is None) == (d is None and epsilon is None) or (d is None) != (epsilon is None):
        raise ValueError(
            f"d, epsilon, n = {d}, {epsilon}, {n}: give a target (--d and --epsilon) or a number of draws (--n)"
        )
    kernel = hrs.UniformKernel(beta=beta, vocab_size=vocab_size)
    law = {"sigma": sigma, "tau": tau, "alpha": alpha}
    if n is not None:
        require(p_a == 1, "p_a", p_a, "leave it out with --n: the ceiling assumes that all draws are unsafe")
        require(power == 0.9, "power", power, "it is for a target: leave it out with --n")
        most = hrs.ceiling(n, kernel, **law, d_max=d_max, masked=masked)
        found = {"n": n, "vocab_size": vocab_size, "beta": beta, **law, "masked": masked, "radii": most.radii.tolist()}
        typer.echo(json_line(found) if as_json else f"If all {n} draws are unsafe, the best possible result:\n{most}")
    elif d is not None and epsilon is not None:
        require(d_max == 8, "d_max", d_max, "it is for --n: leave it out with a target")
        made = hrs.plan(d, epsilon, kernel, **law, p_a=p_a, power=power, masked=masked)
        typer.echo(json_line(vars(made) | {"kernel": vars(kernel)}) if as_json else made)


def verify(
    file: Annotated[Path, typer.Argument(help="Certificates, one JSON object a line, as `to_json` writes them.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Verify every certificate of a file in interval arithmetic; exit status 1 if one does not hold."""
    import hybrid_rs as hrs

    text = read_text("file", file)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise ValueError(f"file = {str(file)!r}: no certificate in it")
    refused = certified = 0
    for number, line in lines:
        try:
            certificate = hrs.read_certificate(line)
            hrs.verify(certificate)
            certified += certificate.certified
        except ValueError as error:
            refused += 1
            note(f"line {number}: {error}")
    if as_json:
        typer.echo(json_line({"bounds": len(lines), "proved": len(lines) - refused, "certified": certified}))
    else:
        typer.echo(f"{len(lines) - refused} of {len(lines)} bounds proved; {certified} of them certified at their tau")
    if refused:
        raise typer.Exit(1)
