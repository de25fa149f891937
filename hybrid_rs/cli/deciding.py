"""``hybrid-rs decide``: whether each example is certified at one pair of budgets, with as few draws as possible."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from hybrid_rs._checks import integer, probability, require, shown
from hybrid_rs.certificates.threshold import threshold
from hybrid_rs.cli import options as o
from hybrid_rs.cli.calibrating import check_file, chosen_tau
from hybrid_rs.cli.data import Source
from hybrid_rs.cli.loading import Checkpoint, check_law
from hybrid_rs.cli.resolution import Resolutions
from hybrid_rs.cli.showing import LABEL, json_line, note, plain, result, resumable
from hybrid_rs.cli.smoothing_options import Smoothing, alphabet_said
from hybrid_rs.storage.questions import described
from hybrid_rs.storage.records import records

if TYPE_CHECKING:
    from hybrid_rs.smoothing.example import Example

VERDICTS = ("certified", "not certifiable", "undecided")
FOUND = ("verdict", "draws", "unsafe", "p_star", "lower", "upper")


def decide(
    source: Source,
    checkpoint: Checkpoint,
    d: o.Budget,
    epsilon: o.Epsilon,
    smoothing: Smoothing,
    per_d: o.PerD = False,
    masked: o.Masked = False,
    tau: o.Tau = 4.6e-5,
    tau_from: o.TauFrom = None,
    max_draws: Annotated[
        int,
        typer.Option(
            min=1, max=o.MAX_DRAWS, help="Draws after which an example stays undecided.", rich_help_panel=o.DRAWS
        ),
    ] = 10_000,
    alpha: o.Alpha = 0.01,
    seed: o.Seed = 0,
    store: Annotated[
        Path, typer.Option(help="File of finished decisions; these are not drawn again.", rich_help_panel=o.DRAWS)
    ] = Path("decisions.jsonl"),
    as_json: o.Json = False,
    progress: o.Progress = True,
) -> None:
    """Decide for every example whether it is certified at (d, epsilon), and stop drawing as soon as that is known.

    A decision is wrong with probability at most alpha. Draws are made in this process. Decisions are stored as they are
    made: after a Ctrl-C the same command continues where it stopped. With --masked where edits may be anywhere, a draw
    counts if it was unsafe or kept a token of the worst set of d tokens.
    """
    check_law(tau, alpha, d=d, epsilon=epsilon, max_edits=smoothing.most_edits)
    check_file(tau_from)
    smoothing, entries = replace(smoothing, per_d=per_d), source.entries()
    smoothed = smoothing.of(checkpoint.loaded)
    chosen = chosen_tau(tau, tau_from, smoothed, checkpoint.name)
    tau = chosen if isinstance(chosen, float) else chosen.tau
    asked = {"masked": masked, "d": d, "epsilon": epsilon, "tau": tau, "alpha": alpha, "max_draws": max_draws}
    asked |= {"seed": seed}
    kept, problems, found = records(store, FOUND, checked), list(entries.problems), []
    law: dict[str, Any] = {"alpha": alpha, "tau": chosen, "masked": masked, "seed": seed, "max_draws": max_draws}
    resolutions = Resolutions()
    with resumable(store), tqdm(total=len(entries), unit="example", disable=not progress) as bar:
        drawn = 0
        for example in source.examples(entries, smoothed, problems):

            def decided(example: Example = example) -> dict[str, Any]:
                nonlocal drawn
                made = smoothed.decide(example, d, epsilon, **law)
                drawn += made.draws
                bar.set_postfix_str(f"{drawn / max(bar.format_dict['elapsed'], 1e-9):.0f} draws/s")
                return plain({name: getattr(made, name) for name in FOUND})

            bar.update()
            resolutions.add(example)
            threshold(chosen, [(example.id, seed)])  # refuses draws that chose it, also where the decision is stored
            row = kept.get_or_make(described(checkpoint.name, smoothed, example) | asked, decided)
            found.append((example.unsafe, row))
            if as_json:
                result(
                    json_line(
                        {"id": example.id, "label": LABEL[example.unsafe], "image": list(example.image.shape)}
                        | {k: row[k] for k in row if k != "example"}
                    )
                )
            else:
                anywhere = masked and smoothed.threat.conditions(example.token_ids.size) is None
                what = "unsafe or kept" if anywhere else "unsafe"
                drawn_so_far = f"{row['verdict']:<16}{row['draws']:>7} draws, {row['unsafe']} {what}"
                result(f"{drawn_so_far:<44}  {LABEL[example.unsafe] or '?':<6}  {shown(example.id)}")
    say = note if as_json else result
    for labels, group in (((True, None), "not labelled safe"), ((False,), "labelled safe")):
        rows = [row for label, row in found if label in labels]
        if not rows:
            continue
        verdicts = [row["verdict"] for row in rows]
        counts = ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS)
        draws = sum(row["draws"] for row in rows)
        say(f"{len(rows)} examples {group}, at d = {d}, epsilon = {epsilon:g}, tau = {tau:g}: {counts}; {draws} draws")
    for line in [alphabet_said(smoothed), *resolutions.lines(epsilon)]:
        say(line)
    say(f"Each single decision is wrong with probability at most {alpha:g}, and is about one smoothed classifier.")
    for problem in problems:
        say(f"left out: {problem}")


def checked(row: dict[str, Any]) -> None:
    """Require a line of decisions to be consistent."""
    require(row["verdict"] in VERDICTS, "verdict", row["verdict"], f"known are {', '.join(VERDICTS)}", repr)
    draws = integer("draws", row["draws"], at_least=0)
    require(draws <= row["max_draws"], "draws", draws, f"there were at most {row['max_draws']}")
    unsafe = integer("unsafe", row["unsafe"], at_least=0)
    require(unsafe <= draws, "unsafe", unsafe, f"give at most draws = {draws}")
    for name in ("p_star", "lower", "upper"):
        probability(name, [] if row[name] is None else row[name])
