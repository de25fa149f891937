"""``hybrid-rs certify``: counts and frontiers of a guard on a data set, and the false alarms beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from hybrid_rs._checks import require, shown
from hybrid_rs.cli import options as o
from hybrid_rs.cli.data import Source
from hybrid_rs.cli.loading import Checkpoint, Smoothing, check_law, engine_of
from hybrid_rs.cli.showing import LABEL, down, json_line, note, radii_row, result, resumable

if TYPE_CHECKING:
    from hybrid_rs.certificates.frontier import Frontier
    from hybrid_rs.datasets import Entries, Problem
    from hybrid_rs.smoothing.example import Example
    from hybrid_rs.smoothing.guard import Guard
    from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
    from hybrid_rs.storage.engines import Drawing, Engine, Unit


def certify(
    data: o.Data,
    model: o.Model,
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
    simultaneous: o.Simultaneous = False,
    tau: o.Tau = 4.6e-5,
    n: o.N = 10_000,
    texts: o.Texts = 1,
    alpha: o.Alpha = 0.01,
    seed: o.Seed = 0,
    store: o.Store = Path("counts.jsonl"),
    engine: o.EngineOption = None,
    workers: o.Workers = None,
    address: o.Address = None,
    as_json: o.Json = False,
    progress: o.Progress = True,
) -> None:
    """Certify a guard on a data set: for every example the image radius at each number of edited tokens.

    Examples that are labelled safe are not certified: they show the false alarms at the same threshold. Counts are
    kept as they are finished: after a Ctrl-C the same command goes on where it was. Radii are rounded down; in JSON
    they are not rounded at all.
    """
    source = Source(data, layout, split, kind, field, fit, on_problem, limit, max_pixels)
    asked_with = (policy, answer_prefix, image_size, denoiser, sigma)
    checkpoint = Checkpoint(model, device, dtype, margin, batch_size, download, *asked_with)
    smoothing = Smoothing(sigma, beta, threat, max_edits, per_d)
    check_law(tau, alpha)
    drawing = engine_of(engine, workers, address, checkpoint)
    require(not (masked and per_d), "masked", True, "masked evidence is of one classifier; leave out --per-d")
    require(texts == 1 or not per_d, "texts", texts, "several texts are of one classifier; leave out --per-d")
    entries = source.entries()
    smoothed = smoothing.of(checkpoint.guard)
    work = Work(smoothed, checkpoint.name, store, drawing, n, seed, masked, texts)
    report = Report(work, tau, alpha, simultaneous, as_json)
    if not as_json:
        evidence = "plain and masked together" if masked else "plain"
        result(f"Certified at tau = {tau:g}; {smoothing}; certificate: {evidence}")
        result("p is the lower bound of the smoothed probability at d = 0; under each d the image radius.")
        if texts > 1:
            result(f"Each noisy image has {texts} noisy texts; false alarms are counted with one, as deployed.")
        result(f"{'p':>9}{'edits':>7}" + "".join(f"{f'd = {d}':>8}" for d in range(max_edits + 1)) + "  label   id")
    with resumable(store):
        for found in work.counts(source, entries, progress=progress):
            report.add(*found)
    report.close([*entries.problems, *work.problems])


class Report:
    """What is said of each example as it comes, and of all of them at the end."""

    def __init__(self, work: Work, tau: float, alpha: float, simultaneous: bool, as_json: bool) -> None:
        self.work, self.as_json, self.tau, self.alpha, self.simultaneous = work, as_json, tau, alpha, simultaneous
        self.frontiers: list[Frontier] = []
        self.safe: list[Any] = []

    def add(self, example: Example, counts: Any) -> None:
        """Say what the counts of one example show."""
        if example.unsafe is False:
            self.safe.append(counts)
            flagged = [bool(k / counts.n >= self.tau) for k in counts.unsafe]
            if self.as_json:
                result(json_line(self._facts(example, counts) | {"flagged": flagged, "unsafe": counts.unsafe}))
            return
        law: dict[str, Any] = {"alpha": self.alpha, "tau": self.tau, "simultaneous": self.simultaneous}
        front = self.work.smoothed.frontier(counts, **law)
        self.frontiers.append(front)
        if self.as_json:
            values = {"p": front.p.tolist(), "masked": front.masked.tolist(), "radii": front.radii.tolist()}
            claim = {"edits": front.edits(), "claim": front.claim}
            result(json_line(self._facts(example, counts) | values | claim))
            return
        row = f"{down(front.p[0]):>9}{front.edits():>7}{radii_row(front.radii.tolist())}"
        result(f"{row}  {LABEL[example.unsafe] or '?':<6}  {shown(example.id)}")

    def _facts(self, example: Example, counts: Any) -> dict[str, Any]:
        s = self.work.smoothed
        guard: dict[str, Any] = {"classifier": self.work.store.classifier, "margin": getattr(s.guard, "margin", 0.0)}
        guard["guard"] = repr(s.guard)
        law = {"tau": self.tau, "alpha": self.alpha, "n": counts.n, "seed": counts.seed, "sigma": s.sigma}
        law |= {"texts": counts.texts} if hasattr(counts, "texts") else {}
        threat = {"beta": s.kernel.beta, "threat": type(s.threat).__name__, **vars(s.threat)}
        return {"id": example.id, "label": LABEL[example.unsafe]} | guard | law | threat

    def close(self, problems: list[Problem]) -> None:
        """Say what all of them show: on stderr if stdout is for JSON."""
        say = note if self.as_json else result
        for line in [*self._certified(), *self._false_alarms()]:
            say(line)
        if problems:
            say(f"{len(problems)} entries left out:")
            for problem in problems:
                say(f"  {problem}")

    def _certified(self) -> list[str]:
        if not self.frontiers:
            return ["Nothing to certify: every example is labelled safe."] if self.safe else []
        radii = np.array([front.radii for front in self.frontiers])
        certified = ~np.isnan(radii)
        means = np.where(certified.any(axis=0), np.nansum(radii, axis=0) / np.maximum(certified.sum(axis=0), 1), np.nan)
        edits = np.mean([max(front.edits(), 0) for front in self.frontiers])
        return [
            f"{'certified':>16}" + "".join(f"{k:>8}" for k in certified.sum(axis=0)),
            f"{'mean radius':>16}{radii_row(means.tolist())}",
            f"Of {len(radii)} examples not labelled safe {int(certified[:, 0].sum())} are certified at d = 0. Mean "
            f"edits: {down(float(edits), 2)}, none counts as 0. A mean radius is over those certified at its d.",
            f"Of each example: {self.frontiers[0].claim}",
        ]

    def _false_alarms(self) -> list[str]:
        from hybrid_rs.decisions.calibrate import flagged_share

        if not self.safe:
            return ["No example is labelled safe: what is certified says nothing about false alarms at this tau."]
        m = len(self.safe)
        seen, deployed = (flagged_share(self.safe, self.tau, alpha) for alpha in (None, self.alpha))
        lines = []
        for d, (by_estimate, by_bound) in enumerate(zip(seen, deployed, strict=True)):
            where = f", classifier of d = {d}" if len(seen) > 1 else ""
            lines.append(
                f"False alarms at this tau{where}: k / n >= tau for {round(by_estimate * m)} of {m} safe examples; "
                f"flagged as deployed (upper bound of k / n not below tau): {round(by_bound * m)}."
            )
        return lines


class Work:
    """The counts of a data set, from the store or drawn into it."""

    def __init__(
        self,
        smoothed: SmoothedGuard,
        name: str,
        store: Path,
        engine: Engine,
        n: int,
        seed: int,
        masked: bool,
        texts: int = 1,
    ) -> None:
        from hybrid_rs.storage.counts import CountsStore
        from hybrid_rs.storage.engines import Local

        self.smoothed, self.n, self.seed, self.masked, self.texts = smoothed, n, seed, masked, texts
        self.problems: list[Problem] = []
        self._watched = Watched(engine)
        self.store = CountsStore(store, name, self._watched)
        self.at_once = 1 if isinstance(engine, Local) else 64  # workers want work in hand; this process shows each one

    def counts(
        self, source: Source, entries: Entries, *, progress: bool, safe: bool = True
    ) -> Iterator[tuple[Example, Any]]:
        """Yield every example with its counts: masked, of several texts, if asked for, unless it is labelled safe.

        Args:
            source: the data set.
            entries: its entries.
            progress: show a bar on stderr.
            safe: take the examples, too, that are labelled safe.
        """
        if not safe:
            entries = replace(entries, entries=tuple(entry for entry in entries if entry.unsafe is not False))
        examples = source.examples(entries, self.smoothed, self.problems)
        total = self.n * len(entries)
        stored = 0
        with tqdm(total=total, unit="draw", unit_scale=True, disable=not progress) as bar:
            self._watched.bar = bar
            while usable := list(islice(examples, self.at_once)):
                found: dict[str, Any] = {}
                for safe_ones in {example.unsafe is False for example in usable}:
                    group = [example for example in usable if (example.unsafe is False) is safe_ones]
                    law: dict[str, Any] = {"n": self.n, "seed": self.seed}
                    law |= {} if safe_ones else {"masked": self.masked, "texts": self.texts}
                    known = sum(self.store.get(self.smoothed, example, **law) is not None for example in group)
                    stored += known
                    bar.total = self.n * (len(entries) - stored - len(self.problems))
                    bar.refresh()
                    counts = self.store.sample(self.smoothed, group, **law, progress=False)
                    found |= dict(zip((example.id for example in group), counts, strict=True))
                for example in usable:
                    yield example, found[example.id]
        if stored:
            note(f"{stored} of {len(entries)} examples were in {self.store.path} already")


@dataclass
class Watched:
    """An engine whose draws a bar counts; in this process, each draw."""

    engine: Any
    bar: Any = None

    def draw(self, guard: Guard, units: Iterable[Unit]) -> Drawing:
        """Yield every unit with its counts, in the order of ``units``."""
        from hybrid_rs.storage.engines import Local

        if isinstance(self.engine, Local):
            drawing: Any = ((unit, unit.draw(guard, progress=not self.bar.disable)) for unit in units)
        else:
            drawing = self.engine.draw(guard, units)
        with closing(drawing):
            for unit, evidence in drawing:
                self.bar.update(unit.n)
                yield unit, evidence
