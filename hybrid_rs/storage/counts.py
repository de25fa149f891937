"""The store of counts, the only expensive data: one finished unit per line.

This module chooses the fields of a line; :mod:`hybrid_rs.storage.records` writes the lines.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tqdm import tqdm

from hybrid_rs._checks import flag, integer, path as path_of, require, several as listed, shown, text
from hybrid_rs.evidence.counts import Counts, MaskedCounts, smoothing_text
from hybrid_rs.evidence.subset_counts import SubsetCounts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts
from hybrid_rs.evidence.text_counts import TextCounts
from hybrid_rs.smoothing.deletion import AnySmoothed
from hybrid_rs.smoothing.draws import MAX_DRAWS
from hybrid_rs.smoothing.example import Example, require_own_ids
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.margins import at_margin, levels_of
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
from hybrid_rs.smoothing.together import require_alike
from hybrid_rs.storage.engines import Engine, engine_or_local
from hybrid_rs.storage.questions import OF_EXAMPLE, described, smoothing_of
from hybrid_rs.storage.records import Records, key, rows
from hybrid_rs.storage.units import Evidence, Unit

if TYPE_CHECKING:
    import pandas as pd

Progress: TypeAlias = bool | Callable[[int], None]
DRAWN = ("unsafe", "safe", "length", "reached", "distance")  # of the result; all other fields are the question


class CountsStore:
    """An append-only file of counts, one JSON object a line, readable with :func:`recorded`.

    A unit is one example under one smoothing with one seed and number of draws. Units that are in the file are not
    drawn again. A unit is written, in one piece, as soon as it and all units before it are drawn, in the order of the
    examples. So a run that was killed and resumed, or had other workers, ends with the same bytes. If the last line was
    cut off, only its unit is lost. Several runs may write one file at the same time (see
    :class:`hybrid_rs.storage.records.Records`). Each sees the units of the others before it draws, and lines are then
    in the order in which they were finished.

    A line contains everything that its counts depend on. :func:`recorded` adds a short hash that all units of one run
    share.

    Args:
        path: the file; made when the first unit is finished.
        classifier: ``guard.identity``; for a guard without one, a name that distinguishes it from all others, such as a
            hash of its weights, prompt and precision.
        engine: where missing units are drawn; by default in this process.

    Raises:
        ValueError: if the file does not contain counts, was written with another schema, or two lines disagree about
            one unit.
    """

    def __init__(self, path: Path, classifier: str, engine: Engine | None = None) -> None:
        self.path, self.classifier = path_of("path", path), text("classifier", classifier)
        self.engine = engine_or_local(engine)
        self._kept = Records(path, DRAWN, _evidence, _same)

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self, smoothed: AnySmoothed, example: Example, *, n: int, seed: int = 0, masked: bool = False, texts: int = 1
    ) -> Evidence | None:
        """Return the counts of a unit, or None if it is not in the store."""
        return self._kept.get(self._question(smoothed, example, n, seed, masked, texts))

    def sample(
        self,
        smoothed: AnySmoothed,
        examples: Iterable[Example],
        *,
        n: int,
        seed: int = 0,
        masked: bool = False,
        texts: int = 1,
        progress: Progress = True,
    ) -> list[Any]:
        """Return the counts of every example; missing counts are drawn and stored.

        Args:
            smoothed: the smoothed guard.
            examples: the inputs.
            n: draws per example.
            seed: seed of the draws.
            masked: draw evidence for the masked certificate; see :meth:`SmoothedGuard.sample`.
            texts: noisy texts for each noisy image; with several, ``n`` counts images.
            progress: show a bar on stderr while drawing; or a function that is called after each unit that was drawn,
                with its number of draws.

        Returns:
            one Counts per example; MaskedCounts or SubsetCounts if ``masked``; with several texts TextCounts, or
            SubsetTextCounts if ``masked`` and the positions are unknown.
        """
        law: dict[str, Any] = {"n": n, "seed": seed, "masked": masked, "texts": texts}
        return self.sample_together([smoothed], examples, **law, progress=progress)[0]

    def sample_together(
        self,
        smoothed: Sequence[AnySmoothed],
        examples: Iterable[Example],
        *,
        n: int,
        seed: int = 0,
        masked: bool = False,
        texts: int = 1,
        progress: Progress = True,
    ) -> list[list[Any]]:
        """Return the counts of every example under smoothed guards that differ only in kernel, with the same noise.

        The units are those of :meth:`sample`, one per example and kernel; see
        :func:`hybrid_rs.smoothing.together.sample_together`.

        Returns:
            for each smoothed guard, what :meth:`sample` returns.
        """
        smoothed = [smoothing_of(each) for each in listed("smoothed", smoothed, "give smoothed guards")]
        first, kernels = require_alike(cast(Any, smoothed)), [each.kernel for each in smoothed]

        def unit(example: Example, missing: list[int]) -> Unit:
            lacking = tuple(kernels[i] for i in missing)
            return Unit(example, lacking, first.sigma, first.threat, n, seed, masked, texts=texts, noise=first.noise)

        law: dict[str, Any] = {"n": n, "seed": seed, "masked": masked, "texts": texts}
        return self._drawn(first.guard, smoothed, examples, unit, law, progress)

    def sample_margins(
        self,
        smoothed: SmoothedGuard,
        examples: Iterable[Example],
        *,
        margins: Iterable[float],
        n: int,
        seed: int = 0,
        progress: Progress = True,
    ) -> dict[float, list[Counts]]:
        """Return the counts of every example by margin; one set of draws serves all margins.

        An example is drawn if the counts of any of its margins are missing. Arguments as in :meth:`sample` and
        :func:`hybrid_rs.smoothing.margins.sample_margins`.
        """
        guards = {level: at_margin(smoothed, level) for level in levels_of(smoothed, margins)}
        levels = list(guards)

        def unit(example: Example, missing: list[int]) -> Unit:
            wanted = tuple(levels[i] for i in missing)
            return Unit(
                example,
                (smoothed.kernel,),
                smoothed.sigma,
                smoothed.threat,
                n,
                seed,
                margins=wanted,
                noise=smoothed.noise,
            )

        law: dict[str, Any] = {"n": n, "seed": seed, "masked": False}
        found = self._drawn(smoothed.guard, list(guards.values()), examples, unit, law, progress)
        return dict(zip(guards, found, strict=True))

    def _drawn(
        self,
        base: Guard,
        variants: Sequence[AnySmoothed],
        examples: Iterable[Example],
        unit: Callable[[Example, list[int]], Unit],
        law: dict[str, Any],
        progress: Progress,
    ) -> list[list[Any]]:
        """Return the counts by variant of the smoothing, then by example; the engine draws what is missing.

        Args:
            base: the guard that the engine draws with.
            variants: smoothed guards that one unit serves.
            examples: the inputs.
            unit: makes the unit that draws an example for the variants of the given numbers, in their order.
            law: n, seed, masked and texts.
            progress: as in :meth:`sample`.
        """
        require(callable(progress) or isinstance(progress, bool), "progress", progress, "give True or False", repr)
        examples = listed("examples", examples, "give examples", Example)
        require_own_ids(examples)
        asked = [[self._question(each, example, **law) for each in variants] for example in examples]

        def missing(questions: list[dict[str, Any]]) -> list[int]:
            return [i for i, question in enumerate(questions) if self._kept.get(question) is None]

        def units() -> Iterator[Unit]:
            for example, questions in to_draw:
                self._kept.read()  # another run may have drawn it since
                if lacking := missing(questions):
                    pending.append([questions[i] for i in lacking])
                    yield unit(example, lacking)
                else:
                    bar.update()

        self._kept.read()
        to_draw = [
            (example, questions) for example, questions in zip(examples, asked, strict=True) if missing(questions)
        ]
        if to_draw:
            self._kept.require_writable()
        pending: deque[list[dict[str, Any]]] = deque()
        hidden = progress is not True or not to_draw
        with (
            tqdm(total=len(to_draw), unit="example", disable=hidden) as bar,
            closing(self.engine.draw(base, units())) as drawing,
        ):
            for done, evidence in drawing:  # in the order of the units
                self._kept.append(q | counts.drawn() for q, counts in zip(pending.popleft(), evidence, strict=True))
                bar.update()
                if callable(progress):
                    progress(done.n)
        return [[self._kept.get(questions[i]) for questions in asked] for i in range(len(variants))]

    def _question(
        self, smoothed: AnySmoothed, example: Example, n: int, seed: int, masked: bool, texts: int = 1
    ) -> dict[str, Any]:
        law: dict[str, Any] = {"n": integer("n", n, 1, MAX_DRAWS), "seed": integer("seed", seed, at_least=0)}
        several = {"texts": texts} if (texts := integer("texts", texts, at_least=1)) > 1 else {}
        more = law | ({"masked": True} if flag("masked", masked) else {}) | several
        question = described(self.classifier, smoothed, example) | more
        question["kernel"].pop("edits", None)  # the same draws serve every kind of edits
        return question


def recorded(path: Path) -> pd.DataFrame:
    """Return a file as a table with one row per unit.

    Besides the fields of the file there are columns for the fields of kernel and threat, such as ``beta`` and
    ``max_edits``, and ``run``: a short hash that all units of one run share. Columns ``unsafe``, ``safe`` and
    ``reached`` hold lists.
    """
    import pandas as pd

    found = []
    for unit, _ in units(path):
        flat = {name: value for part in ("kernel", "threat") for name, value in unit[part].items() if name != "name"}
        found.append({"run": run_of(unit)} | unit | flat)
    return pd.DataFrame(found)


def units(path: Path) -> list[tuple[dict[str, Any], Evidence]]:
    """Return every unit of a file, as the fields of its line and as counts, in the order of the lines.

    Raises:
        ValueError: naming file and line, as a :class:`CountsStore` does.
    """
    kept: dict[str, Evidence] = {}
    found = []
    for where, unit in rows(path):
        try:
            evidence = _evidence(unit)
            _same(kept.setdefault(key(unit, DRAWN), evidence), evidence)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{where}: invalid counts ({shown(error, most=600)}); give another file") from error
        found.append((unit, evidence))
    return found


def run_of(unit: dict[str, Any]) -> str:
    """Return a short hash of what the units of one run share: all fields but those about the example and the counts."""
    shared = key(unit, (*OF_EXAMPLE, *DRAWN))
    return hashlib.sha256(shared.encode()).hexdigest()[:12]


def _evidence(unit: dict[str, Any]) -> Evidence:
    source = {"example": unit["example"], "seed": unit["seed"], "distance": unit.get("distance", 0.0)}
    source["smoothing"] = smoothing_text(unit["kernel"], unit["sigma"])
    if "safe" in unit:
        return SubsetCounts(tuple(unit["safe"]), unit["n"], unit["length"], unit["kernel"]["beta"], **source)
    if "reached" in unit and "length" in unit:
        rows, law = tuple(map(tuple, unit["reached"])), (unit["texts"], unit["length"], unit["kernel"]["beta"])
        return SubsetTextCounts(rows, unit["n"], *law, **source)
    if "reached" in unit:
        counts = TextCounts(tuple(map(tuple, unit["reached"])), unit["n"], **source)
        require(counts.texts == unit["texts"], "texts", unit["texts"], f"the counts have {counts.texts}")
        return counts
    return (MaskedCounts if unit.get("masked") else Counts)(tuple(unit["unsafe"]), unit["n"], **source)


def _same(known: Evidence, other: Evidence) -> Evidence:
    if known != other:
        remedy = "two classifiers have one name, or a line was edited: remove the wrong line"
        raise ValueError(f"{other} and {known} for {other.example!r} under one smoothing: {remedy}")
    return known
