"""``hybrid-rs certify``: counts and frontiers of a guard on a data set, and its false alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hybrid_rs._checks import require, shown
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.rounding import floored_text
from hybrid_rs.cli import options as o
from hybrid_rs.cli.calibrating import check_file, chosen_tau
from hybrid_rs.cli.data import Source
from hybrid_rs.cli.loading import Checkpoint, Counting, check_law, described
from hybrid_rs.cli.resolution import STEPS, Resolutions, per_value
from hybrid_rs.cli.showing import LABEL, down, json_line, note, radii_row, result, resumable, up
from hybrid_rs.cli.smoothing_options import Smoothing, alphabet_said, outside_alphabet

if TYPE_CHECKING:
    from hybrid_rs.certificates.frontier import Frontier
    from hybrid_rs.datasets import Entries, Problem
    from hybrid_rs.decisions.calibrate import Calibration
    from hybrid_rs.smoothing.deletion import AnySmoothed
    from hybrid_rs.smoothing.example import Example
    from hybrid_rs.storage.engines import Engine


PLAIN = "false alarms are certified from plain counts: leave out --masked, --texts and --simultaneous"


def certify(
    source: Source,
    checkpoint: Checkpoint,
    smoothing: Smoothing,
    counting: Counting,
    per_d: o.PerD = False,
    masked: o.Masked = False,
    simultaneous: o.Simultaneous = False,
    towards: o.Towards = "safe",
    tau: o.Tau = 4.6e-5,
    tau_from: o.TauFrom = None,
    texts: o.Texts = 1,
    alpha: o.Alpha = 0.01,
    as_json: o.Json = False,
) -> None:
    """Certify a guard on a data set: print for every example the image radius at each number of edited tokens.

    Examples that are labelled safe are not certified: they show the false alarms at the same threshold. Counts are
    stored as they are finished: after a Ctrl-C the same command continues where it stopped. Radii are rounded down; in
    JSON they are not rounded. With --towards unsafe, examples that are not labelled unsafe are certified to stay below
    the threshold, whatever the adversary does within the budgets.
    """
    check_law(tau, alpha)
    check_file(tau_from)
    smoothing = replace(smoothing, per_d=per_d)
    engine = counting.engine_for(checkpoint)
    more = masked or texts > 1
    require(not (smoothing.deletes and more), "threat", smoothing.threat, "leave out --masked and --texts with it")
    require(not (masked and per_d), "masked", True, "masked evidence needs one classifier; leave out --per-d")
    require(texts == 1 or not per_d, "texts", texts, "several texts need one classifier; leave out --per-d")
    alarms = towards == "unsafe"
    require(not (alarms and (masked or texts > 1 or simultaneous)), "towards", towards, PLAIN)
    given = "--towards unsafe takes no --tau-from: leave it out, and give --tau"
    require(not alarms or tau_from is None, "tau_from", str(tau_from), given, repr)
    entries = source.entries()
    smoothed = smoothing.of(checkpoint.loaded)
    work = Work(smoothed, checkpoint.name, counting, engine, masked=masked, texts=texts)
    if alarms:
        certify_alarms(work, source, entries, tau, alpha, str(smoothing), as_json=as_json)
        return
    chosen = chosen_tau(tau, tau_from, smoothed, checkpoint.name)
    report = Report(work, chosen, alpha, simultaneous, as_json)
    tau = report.tau
    if not as_json:
        evidence = "plain and masked together" if masked else "plain"
        result(f"Certified at tau = {floored_text(tau)}; {smoothing}; certificate: {evidence}")
        result(alphabet_said(smoothed))
        result("p is the lower bound of the smoothed probability at d = 0; under each d the image radius.")
        if texts > 1:
            result(f"Each noisy image has {texts} noisy texts; false alarms are counted with one, as deployed.")
        budgets = "".join(f"{f'd = {d}':>8}" for d in range(smoothing.most_edits + 1))
        result(f"{'p':>9}{'edits':>7}{budgets}{'image':>12}  label   id")
    with resumable(counting.store):
        for example, counts in work.counts(source, entries):
            report.add(example, counts)
    report.close([*entries.problems, *work.problems])


class Report:
    """The report: a line for each example, and a summary at the end."""

    def __init__(
        self, work: Work, chosen: float | Calibration, alpha: float, simultaneous: bool, as_json: bool
    ) -> None:
        self.work, self.as_json, self.alpha, self.simultaneous = work, as_json, alpha, simultaneous
        self.chosen, self.tau = chosen, chosen if isinstance(chosen, float) else chosen.tau
        self.frontiers: list[Frontier] = []
        self.safe: list[Any] = []
        self.outside, self.tokens = 0, 0
        self.resolutions, self.sizes = Resolutions(), list[int]()

    def add(self, example: Example, counts: Any) -> None:
        """Print the line of one example."""
        self.outside += outside_alphabet(self.work.smoothed, example)
        self.tokens += example.token_ids.size
        self.resolutions.add(example)
        if example.unsafe is False:
            self.safe.append(counts)
            flagged = [bool(k / counts.n >= self.tau) for k in counts.unsafe]
            if self.as_json:
                facts = self.work.facts(example, counts, self.tau, self.alpha)
                result(json_line(facts | {"flagged": flagged, "unsafe": counts.unsafe}))
            return
        law: dict[str, Any] = {"alpha": self.alpha, "tau": self.chosen, "simultaneous": self.simultaneous}
        front = self.work.smoothed.frontier(counts, **law)
        self.frontiers.append(front)
        self.sizes.append(example.image.size)
        if self.as_json:
            values = {"p": front.p.tolist(), "masked": front.masked.tolist(), "radii": front.radii.tolist()}
            values["radii_per_value"] = [per_value(radius, example.image.size) for radius in front.radii.tolist()]
            facts = self.work.facts(example, counts, self.tau, self.alpha)
            claim = {"edits": front.edits(), "claim": front.claim}
            result(json_line(facts | values | claim))
            return
        image = "{} x {}".format(*example.image.shape[1:])
        row = f"{down(front.p[0]):>9}{front.edits():>7}{radii_row(front.radii.tolist())}{image:>12}"
        result(f"{row}  {LABEL[example.unsafe] or '?':<6}  {shown(example.id)}")

    def close(self, problems: list[Problem]) -> None:
        """Print the summary of all examples; on stderr if stdout is for JSON."""
        say = note if self.as_json else result
        share = f"{self.outside} of the {self.tokens} tokens of the texts"
        read = [f"{share} are outside the alphabet, and were read as pads."] if self.outside else []
        for line in [*self._certified(), *self._false_alarms(), *self.resolutions.lines(), *read]:
            say(line)
        if problems:
            say(f"{len(problems)} entries were left out:")
            for problem in problems:
                say(f"  {problem}")

    def _certified(self) -> list[str]:
        if not self.frontiers:
            return ["Nothing to certify: every example is labelled safe."] if self.safe else []
        radii = np.array([front.radii for front in self.frontiers])
        certified = ~np.isnan(radii)
        mixed = len(self.resolutions.shapes) > 1
        steps = STEPS * _means(radii / np.sqrt(self.sizes)[:, None])
        edits = np.mean([max(front.edits(), 0) for front in self.frontiers])
        return [
            f"{'certified':>16}" + "".join(f"{k:>8}" for k in certified.sum(axis=0)),
            f"{'mean radius':>16}{radii_row(_means(radii).tolist())}",
            *([f"{'steps per value':>16}{radii_row(steps.tolist())}"] if mixed else []),
            f"Of {len(radii)} examples not labelled safe {int(certified[:, 0].sum())} are certified at d = 0. Mean "
            f"edits: {down(float(edits), 2)} (0 where none is certified). Mean radii are over those certified at d.",
            f"Of each example: {self.frontiers[0].claim}",
        ]

    def _false_alarms(self) -> list[str]:
        from hybrid_rs.decisions.calibrate import flagged_share

        if not self.safe:
            return ["No example is labelled safe, so nothing is known about false alarms at this tau."]
        m = len(self.safe)
        seen, deployed = (flagged_share(self.safe, self.chosen, alpha) for alpha in (None, self.alpha))
        lines = []
        for d, (by_estimate, by_bound) in enumerate(zip(seen, deployed, strict=True)):
            where = f", classifier of d = {d}" if len(seen) > 1 else ""
            lines.append(
                f"False alarms at this tau{where}: k / n >= tau for {round(by_estimate * m)} of {m} safe examples; "
                f"flagged as deployed (upper bound of k / n not below tau): {round(by_bound * m)}."
            )
        return lines


def _means(radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means over certified examples, by d; nan where none is certified."""
    number = (~np.isnan(radii)).sum(axis=0)
    return np.where(number > 0, np.nansum(radii, axis=0) / np.maximum(number, 1), np.nan)


def certify_alarms(
    work: Work, source: Source, entries: Entries, tau: float, alpha: float, law: str, *, as_json: bool
) -> None:
    """Print for every example not labelled unsafe the budgets within which no adversary can raise a false alarm."""
    from hybrid_rs.certificates.upper import radii_below

    smoothed, radii, resolutions = work.smoothed, list[Any](), Resolutions()
    d_max = smoothed.threat.max_edits
    if not as_json:
        result(f"Certified to stay below tau = {floored_text(tau, up=True)}; {law}; certificate: plain")
        result(alphabet_said(smoothed))
        result("p is the upper bound of the smoothed probability at d = 0; under each d the image radius.")
        result(f"{'p':>9}" + "".join(f"{f'd = {d}':>8}" for d in range(d_max + 1)) + "  label   id")
    with resumable(work.counting.store):
        for example, counts in work.counts(source, entries, unsafe=False):
            law_of: dict[str, Any] = {"sigma": smoothed.sigma, "tau": tau, "d_max": d_max, "alpha": alpha}
            upper, radius = radii_below(counts, smoothed.kernel, **law_of)
            radii.append(radius)
            resolutions.add(example)
            if as_json:
                values = {"upper": upper.tolist(), "radii_below_tau": radius.tolist(), "unsafe": counts.unsafe}
                result(json_line(work.facts(example, counts, tau, alpha) | values))
                continue
            label = LABEL[example.unsafe] or "?"
            result(f"{up(upper[0]):>9}{radii_row(radius.tolist())}  {label:<6}  {shown(example.id)}")
    say = note if as_json else result
    held = np.sum(~np.isnan(radii), axis=0) if radii else np.zeros(d_max + 1, dtype=int)
    if radii and not as_json:
        say(f"{'certified':>9}" + "".join(f"{k:>8}" for k in held))
    say(f"{held[0]} of {len(radii)} examples not labelled unsafe stay below tau at d = 0, each with risk {alpha:g}.")
    for line in resolutions.lines():
        say(line)
    for problem in [*entries.problems, *work.problems]:
        say(f"left out: {problem}")


class Work:
    """The counts of a data set, from the store or drawn into it."""

    def __init__(
        self, smoothed: AnySmoothed, name: str, counting: Counting, engine: Engine, *, masked: bool, texts: int = 1
    ) -> None:
        from hybrid_rs.storage.counts import CountsStore
        from hybrid_rs.storage.engines import Local

        self.smoothed, self.counting, self.masked, self.texts = smoothed, counting, masked, texts
        self.problems: list[Problem] = []
        self.store = CountsStore(counting.store, name, engine)
        self.at_once = 1 if isinstance(engine, Local) else 64  # several workers need several examples to draw

    def counts(
        self, source: Source, entries: Entries, *, safe: bool = True, unsafe: bool = True
    ) -> Iterator[tuple[Example, Any]]:
        """Yield every example with its counts; examples labelled safe always have plain counts of one text per image.

        Args:
            source: the data set.
            entries: its entries.
            safe: include the examples that are labelled safe.
            unsafe: include the examples that are labelled unsafe.
        """
        out = {label for label, wanted in ((False, safe), (True, unsafe)) if not wanted}
        entries = replace(entries, entries=tuple(entry for entry in entries if entry.unsafe not in out))
        examples, n = source.examples(entries, self.smoothed, self.problems), self.counting.n
        taken = drawn = 0
        with tqdm(total=n * len(entries), unit="draw", unit_scale=True, disable=not self.counting.progress) as bar:

            def finished(draws: int) -> None:
                nonlocal drawn
                drawn += 1
                bar.update(draws)

            while usable := list(islice(examples, self.at_once)):
                found: dict[str, Any] = {}
                for safe_ones in {example.unsafe is False for example in usable}:
                    group = [example for example in usable if (example.unsafe is False) is safe_ones]
                    law: dict[str, Any] = {} if safe_ones else {"masked": self.masked, "texts": self.texts}
                    law |= {"n": n, "seed": self.counting.seed, "progress": finished}
                    counts = self.store.sample(self.smoothed, group, **law)
                    found |= dict(zip((example.id for example in group), counts, strict=True))
                taken += len(usable)
                bar.total = n * (len(entries) - (taken - drawn) - len(self.problems))
                bar.refresh()
                for example in usable:
                    yield example, found[example.id]
        if taken > drawn:
            note(f"{taken - drawn} of {len(entries)} examples were already in {self.store.path}")

    def facts(self, example: Example, counts: Any, tau: float, alpha: float) -> dict[str, Any]:
        """What a line of JSON says of an example, whatever was certified: which guard, noise, threat and image."""
        s = self.smoothed
        guard: dict[str, Any] = {"classifier": self.store.classifier, "margin": float(getattr(s.guard, "margin", 0.0))}
        guard["guard"] = described(s.guard)
        law = {"tau": tau, "alpha": alpha, "n": counts.n, "seed": counts.seed, "sigma": s.sigma}
        law |= {"noise": s.noise, "distance": counts.distance}
        law |= {"texts": counts.texts} if counts.texts > 1 else {}
        kernel = {"kernel": type(s.kernel).__name__, "vocab_size": len(s.guard.alphabet), "mask": s.guard.mask_id}
        threat = {"beta": s.kernel.beta, "threat": type(s.threat).__name__, **vars(s.threat)}
        threat |= {"edits_of": s.kernel.edits} if isinstance(s.kernel, DeletionKernel) else {}
        outside = {"outside": outside_alphabet(s, example), "image": list(example.image.shape)}
        return {"id": example.id, "label": LABEL[example.unsafe]} | guard | law | kernel | threat | outside
