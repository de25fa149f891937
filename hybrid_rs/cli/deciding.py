"""``hybrid-rs decide``: whether each example is certified at one pair of budgets, with no more draws than it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from hybrid_rs._checks import integer, probability, require, shown
from hybrid_rs.cli import options as o
from hybrid_rs.cli.data import Source
from hybrid_rs.cli.loading import Checkpoint, Smoothing, check_law
from hybrid_rs.cli.showing import LABEL, json_line, note, result, resumable
from hybrid_rs.storage.counts import described
from hybrid_rs.storage.records import records

VERDICTS = ("certified", "not certifiable", "undecided")
FOUND = ("verdict", "draws", "unsafe", "p_star", "lower", "upper")


def decide(
    data: o.Data,
    model: o.Model,
    d: o.Budget,
    epsilon: o.Epsilon,
    layout: o.LayoutOption = None,
    split: o.Split = None,
    kind: o.Kind = "SD_TYPO",
    field: o.Field = None,
    fit: o.FitOption = "stretch",
    on_problem: o.OnProblemOption = "refuse",
    limit: o.Limit = None,
    max_pixels: o.MaxPixels = o.MAX_PIXELS,
    device: o.Device = "cpu",
    dtype: o.Dtype = "float32",
    margin: o.Margin = 0.0,
    batch_size: o.BatchSize = 256,
    policy: o.Policy = None,
    answer_prefix: o.AnswerPrefix = "",
    image_size: o.ImageSize = None,
    denoiser: o.Denoiser = None,
    download: o.Download = False,
    sigma: o.Sigma = 0.5,
    beta: o.Beta = 0.25,
    threat: o.ThreatOption = "suffix",
    max_edits: o.MaxEdits = 8,
    per_d: o.PerD = False,
    masked: o.Masked = False,
    tau: o.Tau = 4.6e-5,
    max_draws: Annotated[
        int,
        typer.Option(
            min=1, max=o.MAX_DRAWS, help="Draws after which an example stays undecided.", rich_help_panel=o.DRAWS
        ),
    ] = 10_000,
    alpha: o.Alpha = 0.01,
    seed: o.Seed = 0,
    store: Annotated[
        Path, typer.Option(help="File of finished decisions; what it has is not drawn again.", rich_help_panel=o.DRAWS)
    ] = Path("decisions.jsonl"),
    as_json: o.Json = False,
    progress: o.Progress = True,
) -> None:
    """Decide for every example whether it is certified at (d, epsilon), drawing no more than that takes.

    Whatever the truth, a decision is wrong with probability alpha at most. Draws are made in this process. Decisions
    are kept as they are made: after a Ctrl-C the same command goes on where it was.
    """
    check_law(tau, alpha, d=d, epsilon=epsilon, max_edits=max_edits)
    source = Source(data, layout, split, kind, field, fit, on_problem, limit, max_pixels)
    asked_with = (policy, answer_prefix, image_size, denoiser, sigma)
    checkpoint = Checkpoint(model, device, dtype, margin, batch_size, download, *asked_with)
    entries = source.entries()
    smoothed = Smoothing(sigma, beta, threat, max_edits, per_d).of(checkpoint.guard)
    asked = {"masked": masked, "d": d, "epsilon": epsilon, "tau": tau, "alpha": alpha, "max_draws": max_draws}
    asked |= {"seed": seed}
    kept, problems, found = records(store, FOUND, checked), list(entries.problems), []
    with resumable(store), tqdm(total=len(entries), unit="example", disable=not progress) as bar:
        drawn = 0
        for example in source.examples(entries, smoothed, problems):
            bar.update()
            question = described(checkpoint.name, smoothed, example) | asked
            row = kept.get(question)
            if row is None:
                law: dict[str, Any] = {"alpha": alpha, "tau": tau, "masked": masked, "seed": seed}
                made = smoothed.decide(example, d, epsilon, max_draws=max_draws, **law)
                row = json.loads(json_line(question | {name: getattr(made, name) for name in FOUND}))
                kept.append([row])
                drawn += made.draws
                bar.set_postfix_str(f"{drawn / max(bar.format_dict['elapsed'], 1e-9):.0f} draws/s")
            found.append((example.unsafe, row))
            if as_json:
                result(
                    json_line(
                        {"id": example.id, "label": LABEL[example.unsafe]} | {k: row[k] for k in row if k != "example"}
                    )
                )
            else:
                drawn_so_far = f"{row['verdict']:<16}{row['draws']:>7} draws, {row['unsafe']} unsafe"
                result(f"{drawn_so_far:<44}  {LABEL[example.unsafe] or '?':<6}  {shown(example.id)}")
    say = note if as_json else result
    for labels, whom in (((True, None), "not labelled safe"), ((False,), "labelled safe")):
        rows = [row for label, row in found if label in labels]
        if not rows:
            continue
        verdicts = [row["verdict"] for row in rows]
        counts = ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS)
        draws = sum(row["draws"] for row in rows)
        say(f"{len(rows)} examples {whom}, at d = {d}, epsilon = {epsilon:g}, tau = {tau:g}: {counts}; {draws} draws")
    say(f"Each decision is wrong with probability {alpha:g} at most, by itself; it speaks of one smoothed classifier.")
    for problem in problems:
        say(f"left out: {problem}")


def checked(row: dict[str, Any]) -> None:
    """Refuse a line of decisions that makes no sense."""
    require(row["verdict"] in VERDICTS, "verdict", repr(row["verdict"]), f"known are {', '.join(VERDICTS)}")
    draws = integer("draws", row["draws"], at_least=0)
    require(draws <= row["max_draws"], "draws", draws, f"there were at most {row['max_draws']}")
    unsafe = integer("unsafe", row["unsafe"], at_least=0)
    require(unsafe <= draws, "unsafe", unsafe, f"give at most draws = {draws}")
    for name in ("p_star", "lower", "upper"):
        probability(name, [] if row[name] is None else row[name])
