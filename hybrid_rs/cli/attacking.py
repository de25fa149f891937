"""``hybrid-rs attack``: how low an adaptive attack gets, compared with the certified bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from tqdm import tqdm

from hybrid_rs._checks import shown
from hybrid_rs.cli import options as o
from hybrid_rs.cli.certifying import Work
from hybrid_rs.cli.data import Source
from hybrid_rs.cli.loading import Checkpoint, Counting, check_law
from hybrid_rs.cli.resolution import Resolutions
from hybrid_rs.cli.showing import LABEL, down, json_line, note, result, resumable, up
from hybrid_rs.cli.smoothing_options import Smoothing, alphabet_said

if TYPE_CHECKING:
    from hybrid_rs.datasets import Entries

RISK = 0.01  # probability of calling any valid certificate broken, over all bounds and attacked values together


def attack(
    source: Source,
    checkpoint: Checkpoint,
    d: o.Budget,
    epsilon: o.Epsilon,
    smoothing: Smoothing,
    counting: Counting,
    towards: o.Towards = "safe",
    tau: o.Tau = 4.6e-5,
    effort: Annotated[Literal["adaptive", "stronger"], typer.Option(help="How hard to search.")] = "adaptive",
    fresh: Annotated[int, typer.Option(min=1, max=o.MAX_DRAWS, help="Fresh draws at the attacked input.")] = 1000,
    alpha: o.Alpha = 0.01,
    attacks: Annotated[
        Path, typer.Option(help="File of finished attacks; these are not searched again.", rich_help_panel=o.DRAWS)
    ] = Path("attacks.jsonl"),
    as_json: o.Json = False,
) -> None:
    """Attack every example that is not labelled safe, within (d, epsilon), and compare with the certified bound.

    The search uses the guard's scores and gradients, if it has them, and averages over the noise. The value at the
    attacked input is estimated on fresh draws, which neither the search nor the certificate used. The exit status is 1
    if a value is shown to be below its certified bound. With --towards unsafe the attack raises false alarms in
    examples that are not labelled unsafe, and is compared with the certified upper bound.
    """
    from hybrid_rs.attacks import ADAPTIVE, STRONGER
    from hybrid_rs.attacks.bounds import beside_bounds
    from hybrid_rs.storage.attacks import AttackStore

    check_law(tau, alpha, d=d, epsilon=epsilon, max_edits=smoothing.most_edits)
    engine, entries, progress = counting.engine_for(checkpoint), source.entries(), counting.progress
    smoothed = smoothing.of(checkpoint.loaded)
    work = Work(smoothed, checkpoint.name, counting, engine, masked=towards == "safe" and not smoothing.deletes)
    kept, search = AttackStore(attacks, checkpoint.name), {"adaptive": ADAPTIVE, "stronger": STRONGER}[effort]
    if towards == "unsafe":
        how: dict[str, Any] = {"effort": search, "seed": counting.seed, "n": fresh}
        raise_alarms(work, source, entries, attacks, d, epsilon, tau, alpha, how, as_json=as_json)
        return
    rows, evidence, left_out = [], list[Any](), [str(problem) for problem in entries.problems]
    kernel: Any = smoothed.kernel
    resolutions = Resolutions()
    if not as_json:
        result("     clean  certified  masked    attacked  (between)             edits  epsilon  label   id")
    with resumable(counting.store, attacks):
        drawn = list(work.counts(source, entries, safe=False))
        for example, counts in tqdm(drawn, unit="attack", disable=not progress):
            if not smoothing.deletes and len(counts.p_s(alpha)) <= d:
                left_out.append(f"{shown(example.id)}: fewer than d = {d} tokens to edit")
                continue
            row = kept.attack(smoothed, example, d, epsilon, effort=search, seed=counting.seed, n=fresh)
            rows.append(row)
            resolutions.add(example)
            evidence.append(counts)
            found = beside_bounds([row], [counts], kernel, alpha=alpha).iloc[0]
            low, high = _between(row["unsafe"], fresh, alpha)
            bounds = {"certified": float(found["certified"]), "certified_masked": float(found["certified, masked"])}
            if as_json:
                reached = {
                    "attacked": row["unsafe"] / fresh,
                    "lower": low,
                    "upper": high,
                    "clean": float(found["clean"]),
                }
                used = {name: row[name] for name in ("d", "epsilon", "edits", "epsilon_used", "queries", "token_ids")}
                about = {
                    "id": example.id,
                    "label": LABEL[example.unsafe],
                    "image": list(example.image.shape),
                    "tau": tau,
                }
                result(json_line(about | bounds | reached | used))
                continue
            values = (
                f"{found['clean']:>10.5f}{down(bounds['certified']):>11}{lower_bound(bounds['certified_masked']):>8}"
            )
            reach = f"{row['unsafe'] / fresh:>12.5f}  [{down(low)}, {up(high)}]"
            used_up = f"{row['edits']:>7}{row['epsilon_used']:>9.3f}"
            result(f"{values}{reach}{used_up}  {LABEL[example.unsafe] or '?':<6}  {shown(example.id)}")
    say = note if as_json else result
    for line in [*left_out, *map(str, work.problems)]:
        say(f"left out: {line}")
    if not rows:
        say("Nothing was attacked: every example is labelled safe or was left out.")
        return
    table = beside_bounds(rows, evidence, kernel, alpha=alpha, risk=RISK)
    broken = table[table["upper"] < table["floor"]]
    if len(broken):
        names = shown(", ".join(broken["example"]))
        raise RuntimeError(
            f"CERTIFICATE BROKEN: at {len(broken)} of {len(rows)} attacked inputs the smoothed value is below its "
            f"certified bound p_adv ({names}). By chance this happens at most once in {1 / RISK:.0f} times. Otherwise "
            f"there is a mistake in the guard (verdicts that depend on more than the input) or in this package. Try "
            f"another --seed, and report it with {counting.store} and {attacks}."
        )
    for line in [alphabet_said(smoothed), *resolutions.lines(epsilon)]:
        say(line)
    under = int((table["g"] < tau).sum())
    say(
        f"In {len(rows)} attacks no smoothed value is shown to be below p_adv (all bounds at once, risk {RISK:g}). "
        f"The estimate is below tau = {tau:g} in {under}."
    )


def lower_bound(value: float) -> str:
    """Format a lower bound, rounded down; a dash where there is none."""
    return "-" if value != value else down(value)


def raise_alarms(
    work: Work,
    source: Source,
    entries: Entries,
    attacks: Path,
    d: int,
    epsilon: float,
    tau: float,
    alpha: float,
    how: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Attack every example not labelled unsafe towards "unsafe", and compare with the certified upper bound."""
    from hybrid_rs.attacks.bounds import beside_ceilings
    from hybrid_rs.attacks.exchanged import EXCHANGED, Exchanged
    from hybrid_rs.storage.attacks import AttackStore

    kernel: Any = work.smoothed.kernel
    exchanged = replace(work.smoothed, guard=Exchanged(work.smoothed.guard))
    kept = AttackStore(attacks, f"{work.store.classifier}{EXCHANGED}")
    rows, evidence = [], list[Any]()
    if not as_json:
        result("     clean  certified    attacked    edits  epsilon  label   id")
    with resumable(work.counting.store, attacks):
        drawn = list(work.counts(source, entries, unsafe=False))
        for example, counts in tqdm(drawn, unit="attack", disable=not work.counting.progress):
            row = kept.attack(exchanged, example, d, epsilon, **how)
            rows.append(row)
            evidence.append(counts)
            found = beside_ceilings([row], [counts], kernel, alpha=alpha).iloc[0]
            reached = {name: float(found[name]) for name in ("clean", "certified", "g")}
            if as_json:
                used = {name: row[name] for name in ("d", "epsilon", "edits", "epsilon_used", "queries", "token_ids")}
                facts = {"id": example.id, "label": LABEL[example.unsafe], "towards": "unsafe", "tau": tau}
                result(json_line(facts | reached | used))
                continue
            values = f"{reached['clean']:>10.5f}{up(reached['certified']):>11}{reached['g']:>12.5f}"
            used_up = f"{row['edits']:>9}{row['epsilon_used']:>9.3f}"
            result(f"{values}{used_up}  {LABEL[example.unsafe] or '?':<6}  {shown(example.id)}")
    say = note if as_json else result
    for problem in [*entries.problems, *work.problems]:
        say(f"left out: {problem}")
    if not rows:
        say("Nothing was attacked: every example is labelled unsafe or was left out.")
        return
    table = beside_ceilings(rows, evidence, kernel, alpha=alpha, risk=RISK)
    broken = table[table["lower"] > table["ceiling"]]
    if len(broken):
        names = shown(", ".join(broken["example"]))
        raise RuntimeError(
            f"CERTIFICATE BROKEN: at {len(broken)} of {len(rows)} attacked inputs the smoothed value is above its "
            f"certified upper bound ({names}). By chance this happens at most once in {1 / RISK:.0f} times. Report it "
            f"with {work.counting.store} and {attacks}."
        )
    over = int((table["g"] >= tau).sum())
    say(
        f"In {len(rows)} attacks no smoothed value is shown to be above its bound (all bounds at once, risk {RISK:g}). "
        f"The estimate reaches tau = {tau:g} in {over}."
    )


def _between(k: int, n: int, alpha: float) -> tuple[float, float]:
    from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper

    return float(clopper_pearson_lower(k, n, alpha / 2)), float(clopper_pearson_upper(k, n, alpha / 2))
