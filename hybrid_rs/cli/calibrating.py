"""``hybrid-rs calibrate``: a threshold from benign examples, for one guard or for each of several margins and betas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from tqdm import tqdm

from hybrid_rs._checks import integer, kind, one, probability, require, text
from hybrid_rs._files import check_writable, parsed_json, read_text, write_whole
from hybrid_rs.certificates.rounding import ceiled
from hybrid_rs.cli import options as o
from hybrid_rs.cli.data import Source
from hybrid_rs.cli.loading import Checkpoint, Counting, check_law
from hybrid_rs.cli.showing import json_line, note, result, resumable
from hybrid_rs.cli.smoothing_options import Smoothing, alphabet_said

if TYPE_CHECKING:
    from hybrid_rs.decisions.calibrate import Calibration
    from hybrid_rs.evidence.counts import Counts
    from hybrid_rs.smoothing.deletion import AnySmoothed
    from hybrid_rs.smoothing.example import Example
    from hybrid_rs.storage.counts import CountsStore

TAU = 4.6e-5  # the default of --tau
MOST = 20  # values of a list of margins or betas


def calibrate(
    source: Source,
    checkpoint: Checkpoint,
    smoothing: Smoothing,
    counting: Counting,
    false_alarms: Annotated[
        float, typer.Option(help="Largest share of benign inputs that may be flagged.", rich_help_panel=o.NOISE)
    ] = 0.05,
    confidence: Annotated[
        float, typer.Option(help="Confidence in that share, over the choice of examples.", rich_help_panel=o.DRAWS)
    ] = 0.99,
    margins: Annotated[
        str | None,
        typer.Option(help="Try several margins, such as 0,2,4; one set of draws serves all.", rich_help_panel=o.GUARD),
    ] = None,
    betas: Annotated[
        str | None, typer.Option(help="Try several values of beta, such as 0.1,0.25.", rich_help_panel=o.NOISE)
    ] = None,
    alpha: o.Alpha = 0.01,
    save: Annotated[Path | None, typer.Option(help="File for certify --tau-from and decide --tau-from.")] = None,
    as_json: o.Json = False,
) -> None:
    """Choose tau, the smallest threshold at which at most a given share of benign inputs is flagged.

    Only examples that are labelled safe are used. The share of false alarms holds for the population that they are
    drawn from. With several margins or betas it holds for all of them at the same time, so you may use any of them.
    Counts are stored; after a Ctrl-C the same command continues where it stopped.
    """
    from hybrid_rs.smoothing.margins import has_margin
    from hybrid_rs.storage.counts import CountsStore

    check_law(0.5, alpha)
    require(0 <= false_alarms < 1, "false_alarms", false_alarms, "give a share below 1")
    require(0 < confidence < 1, "confidence", confidence, "give a number in (0, 1), such as 0.99")
    levels, rates = _numbers("margins", margins), _numbers("betas", betas)
    require(
        levels is None or not smoothing.deletes, "margins", margins, "edit-distance takes one margin: give --margin"
    )
    within = rates is None or all(0 <= rate <= 1 for rate in rates)
    require(within, "betas", betas, "give probabilities in [0, 1]", repr)
    for name, single, usual, several in (
        ("margin", checkpoint.margin, Checkpoint.margin, levels),
        ("beta", smoothing.beta, Smoothing.beta, rates),
    ):
        require(several is None or single == usual, name, single, f"--{name}s takes its place; leave it out")
    if save:
        check_writable("save", save)
    engine, entries = counting.engine_for(checkpoint), source.entries()
    benign = replace(entries, entries=tuple(entry for entry in entries if entry.unsafe is False))
    remedy = "calibration needs examples that are labelled safe (label 0)"
    require(len(benign) > 0, "data", str(source.data), remedy, repr)
    candidates = len(rates or [0]) * len(levels or [0])
    _require_enough(len(benign), false_alarms, alpha, confidence, candidates)
    kind_of, lacks = type(checkpoint.loaded).__name__, "has no scores(...) and field margin; leave the option out"
    require(levels is None or has_margin(checkpoint.loaded), "margins", margins, f"the guard {kind_of} {lacks}", repr)
    made = [replace(smoothing, beta=rate).of(checkpoint.loaded) for rate in rates or [smoothing.beta]]
    problems = list(entries.problems)
    store = CountsStore(counting.store, checkpoint.name, engine)
    examples = list(source.examples(benign, made[0], problems))
    _require_enough(len(examples), false_alarms, alpha, confidence, candidates)
    found: list[Choice] = []
    with resumable(counting.store):
        for smoothed, counts in _counts(store, made, examples, levels, counting):
            found.append(Choice.of(smoothed, counts, checkpoint.name, (false_alarms, alpha, confidence, candidates)))
    if save:
        write_whole("save", save, "".join(choice.line() + "\n" for choice in found))
    if as_json:
        for choice in found:
            result(json_line(choice.facts()))
    else:
        _tell(found, made[0], len(entries) - len(benign))
    for problem in problems:
        (note if as_json else result)(f"left out: {problem}")


def _require_enough(benign: int, share: float, alpha: float, confidence: float, candidates: int) -> None:
    """Require enough benign examples before anything is loaded or drawn; only their number matters."""
    from hybrid_rs.decisions.calibrate import most_above

    most_above(benign, share, alpha, confidence, candidates)


@dataclass(frozen=True)
class Choice:
    """A threshold, and the smoothed guard that it is for.

    Args:
        calibration: tau with its guarantee.
        setting: the fields that distinguish the smoothed guard from others, as stores write them.
        ceiling: by d, the largest radius that this number of draws can certify at tau, if all are unsafe.
        confidence: confidence of the bound on false alarms.
    """

    calibration: Calibration
    setting: dict[str, Any]
    ceiling: tuple[float, ...]
    confidence: float

    @classmethod
    def of(cls, smoothed: AnySmoothed, counts: list[Counts], name: str, law: tuple[float, float, float, int]) -> Choice:
        """Choose tau for one smoothed guard."""
        import hybrid_rs as hrs

        false_alarms, alpha, confidence, candidates = law
        made = hrs.calibrate(counts, false_alarms, alpha=alpha, confidence=confidence, candidates=candidates)
        how: dict[str, Any] = {"tau": made.tau, "alpha": alpha, "d_max": smoothed.threat.max_edits}
        most: list[float] = []
        if smoothed.sigma > 0:
            most = hrs.ceiling(made.n, smoothed.kernel, sigma=smoothed.sigma, **how).radii.tolist()
        return cls(made, setting_of(smoothed, name), tuple(most), confidence)

    def facts(self) -> dict[str, Any]:
        """The values that are printed as JSON."""
        made = {name: value for name, value in asdict(self.calibration).items() if name != "used"}
        bound = {"false_alarm_bound": self.calibration.false_alarm_bound(self.confidence)}
        return made | bound | {"confidence": self.confidence, "ceiling": list(self.ceiling), "setting": self.setting}

    def line(self) -> str:
        """The line of the file that ``--save`` writes."""
        return json_line(self.facts() | {"used": sorted([example, seed] for example, seed in self.calibration.used)})


def setting_of(smoothed: AnySmoothed, name: str) -> dict[str, Any]:
    """Return the fields that distinguish a smoothed guard from others."""
    from hybrid_rs.storage.questions import described

    return {key: value for key, value in described(name, smoothed).items() if key != "schema"}


def check_file(file: Path | None) -> None:
    """Require that the file of ``--tau-from`` can be read, before a guard is loaded."""
    if file is not None:
        read_text("tau_from", file)


def chosen_tau(tau: float, file: Path | None, smoothed: AnySmoothed, name: str) -> float | Calibration:
    """Return the calibration of ``--tau-from`` if there is one, else the number of ``--tau``."""
    if file is None:
        return tau
    require(tau == TAU, "tau", tau, "it comes from --tau-from; leave it out")
    return read_calibration(file, smoothed, name)


def read_calibration(file: Path, smoothed: AnySmoothed, name: str) -> Calibration:
    """Read the calibration of a smoothed guard from a file that ``calibrate --save`` wrote.

    Args:
        file: the file.
        smoothed: the smoothed guard that is certified.
        name: its guard's identity.

    Raises:
        ValueError: if the file is not one of ``--save``, or none of its lines is for this smoothed guard.
    """
    from hybrid_rs.decisions.calibrate import Calibration
    from hybrid_rs.evidence.counts import smoothing_text

    wanted, others = setting_of(smoothed, name), set[str]()
    for number, line in enumerate(read_text("tau_from", file).splitlines(), start=1):
        try:
            row = parsed_json(line)
            setting = kind("setting", row["setting"], dict, "give an object")
            counts = {key: integer(key, row[key], at_least=0) for key in ("above", "benign", "n", "candidates")}
            tau, alpha = (one(key, probability(key, row[key])) for key in ("tau", "alpha"))
            used = frozenset((text("used", example), integer("used", seed, 0)) for example, seed in row["used"])
        except (ValueError, KeyError, TypeError) as error:
            remedy = "give a file that hybrid-rs calibrate --save wrote"
            raise ValueError(f"tau_from = {str(file)!r}: line {number} is not a calibration; {remedy}") from error
        if setting == wanted:
            noise = smoothing_text(smoothed.kernel, smoothed.sigma)
            return Calibration(tau=tau, alpha=alpha, used=used, smoothing=noise, **counts)
        others |= {key for key in wanted if setting.get(key) != wanted[key]}
    differ = f"another {', another '.join(sorted(others))}" if others else "no line"
    raise ValueError(f"tau_from = {str(file)!r}: it has {differ}; calibrate this guard with this noise and threat")


def _counts(
    store: CountsStore,
    made: list[AnySmoothed],
    examples: list[Example],
    levels: list[float] | None,
    counting: Counting,
) -> Iterator[tuple[AnySmoothed, list[Counts]]]:
    """Yield every smoothed guard with the counts of all examples."""
    from hybrid_rs.smoothing.margins import at_margin

    law: dict[str, Any] = {"n": counting.n, "seed": counting.seed}
    total = counting.n * len(examples) * len(made)
    with tqdm(total=total, unit="draw", unit_scale=True, disable=not counting.progress) as bar:
        for smoothed in made:
            gathered: dict[float | None, list[Counts]] = {}
            rest = iter(examples)
            while group := list(islice(rest, 64)):
                if levels is None:
                    found: dict[Any, list[Counts]] = {None: store.sample(smoothed, group, **law, progress=bar.update)}
                else:
                    found = store.sample_margins(cast(Any, smoothed), group, margins=levels, **law, progress=bar.update)
                for level, counts in found.items():
                    gathered.setdefault(level, []).extend(counts)
            for level, counts in gathered.items():
                yield (smoothed if level is None else at_margin(cast(Any, smoothed), level)), counts


def _tell(found: list[Choice], smoothed: AnySmoothed, left_out: int) -> None:
    first = found[0].calibration
    result(f"{first.benign} benign examples, {first.n} draws each; {left_out} entries are not labelled safe.")
    result(alphabet_said(smoothed))
    budgets = "".join(f"{f'd = {d}':>9}" for d in range(len(found[0].ceiling)))
    result(f"{'beta':>6}{'margin':>8}{'tau':>12}{'above':>7}{'flagged <=':>12}{budgets}")
    for choice in found:
        made, setting = choice.calibration, choice.setting
        bound = ceiled(made.false_alarm_bound(choice.confidence), 4)
        radii = "".join(f"{'-' if radius != radius else f'{ceiled(radius, 3):.3f}':>9}" for radius in choice.ceiling)
        beta, margin = setting["kernel"]["beta"], setting["margin"]
        result(f"{beta:>6g}{margin:>8g}{made.tau:>12.6g}{made.above:>7}{bound:>12.4f}{radii}")
    result(f"above: benign examples that are not shown to be below tau, of {first.benign}.")
    result(
        f"flagged: bound of the share of such inputs that the deployed guard flags, with confidence "
        f"{found[0].confidence:g}{' for all rows at once' if len(found) > 1 else ''}."
    )
    result(f"d: the largest radius that {first.n} draws can certify at tau, if all of them are unsafe.")
    result(f"The price of a query of the deployed guard: {first.n} calls of the guard. It flags unless the upper bound")
    result(f"of its draws, at risk {first.alpha:g}, is below tau. Do not certify with the draws that chose tau.")


def _numbers(name: str, given: str | None) -> list[float] | None:
    """Read different numbers, separated by commas."""
    if given is None:
        return None
    try:
        found = [float(part) for part in given.split(",")]
    except ValueError:
        found = []
    fits = 0 < len(found) == len(set(found)) <= MOST and all(map(math.isfinite, found))
    require(fits, name, given, f"give up to {MOST} different numbers with commas between them, such as 0,2,4", repr)
    return found
