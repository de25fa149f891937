"""The counts store: the only expensive data, kept one finished unit a line."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tqdm import tqdm

from hybrid_rs.evidence import Counts, MaskedCounts, SubsetCounts
from hybrid_rs.example import Example
from hybrid_rs.margins import at_margin, sample_margins
from hybrid_rs.smoothing import SmoothedGuard

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
Evidence: TypeAlias = Counts | MaskedCounts | SubsetCounts


class CountsStore:
    """An append-only file of counts, one JSON object a line, readable with ``pandas.read_json(path, lines=True)``.

    A unit is one example under one smoothing with one seed and number of draws. Units already in the file are not
    drawn again; an interrupted run resumes where it was; a last line that was cut off loses only that unit.

    Args:
        path: the file; made when the first unit is finished.
        classifier: what tells one base classifier from another, such as a hash of its weights; weights run in another
            precision are another classifier.

    Raises:
        ValueError: if the file was written with another schema, or a line other than the last cannot be read.
    """

    def __init__(self, path: Path, classifier: str) -> None:
        self.path, self.classifier = path, classifier
        self._units: dict[str, Evidence] = {}
        lines = path.read_text().split("\n") if path.exists() else []
        for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline was cut off
            try:
                unit = json.loads(line)
                schema = unit["schema"]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number} = {line[:60]!r}: remove the line to draw it again") from error
            if schema != SCHEMA:
                raise ValueError(f"{path}, line {number}: schema = {schema}: this version reads {SCHEMA}; draw again")
            self._units[_key(unit)] = _read(unit)
        if lines and lines[-1]:
            path.write_text("\n".join([*lines[:-1], ""]))

    def __len__(self) -> int:
        return len(self._units)

    def get(
        self, smoothed: SmoothedGuard, example: Example, *, n: int, seed: int = 0, masked: bool = False
    ) -> Evidence | None:
        """Return the counts of a unit, or None if it is not in the store."""
        return self._units.get(_key(self._unit(smoothed, example, n, seed, masked)))

    def sample(
        self,
        smoothed: SmoothedGuard,
        examples: Iterable[Example],
        *,
        n: int,
        seed: int = 0,
        masked: bool = False,
        progress: bool = True,
    ) -> list[Any]:
        """Return the counts of every example, drawing and storing those that are missing.

        Args:
            smoothed: the smoothed guard.
            examples: the inputs.
            n: draws per example.
            seed: seed of the draws.
            masked: draw evidence for the masked certificate; see :meth:`SmoothedGuard.sample`.
            progress: show a bar on stderr while drawing.

        Returns:
            one Counts per example; MaskedCounts or SubsetCounts if ``masked``.
        """
        examples = list(examples)

        def kept(example: Example) -> Evidence | None:
            return self.get(smoothed, example, n=n, seed=seed, masked=masked)

        missing = [example for example in examples if kept(example) is None]
        for example in tqdm(missing, unit="example", disable=not progress or not missing):
            counts: Evidence = (
                smoothed.sample(example, n, seed=seed, masked=True)
                if masked
                else smoothed.sample(example, n, seed=seed)
            )
            self._keep(self._unit(smoothed, example, n, seed, masked), counts)
        return [kept(example) for example in examples]

    def sample_margins(
        self,
        smoothed: SmoothedGuard,
        examples: Iterable[Example],
        *,
        margins: Iterable[float],
        n: int,
        seed: int = 0,
        progress: bool = True,
    ) -> dict[float, list[Counts]]:
        """Return, by margin, the counts of every example; one set of draws serves all margins.

        Where one of an example's margins is missing, it is drawn, and those that were missing are stored. Arguments as
        in :meth:`sample` and :func:`hybrid_rs.margins.sample_margins`.
        """
        examples, guards = list(examples), {float(margin): at_margin(smoothed, margin) for margin in margins}

        def missing(example: Example) -> list[float]:
            return [m for m, guard in guards.items() if self.get(guard, example, n=n, seed=seed) is None]

        to_draw = [example for example in examples if missing(example)]
        for example in tqdm(to_draw, unit="example", disable=not progress or not to_draw):
            wanted = missing(example)
            for margin, counts in zip(wanted, sample_margins(smoothed, example, n, wanted, seed=seed), strict=True):
                self._keep(self._unit(guards[margin], example, n, seed, masked=False), counts)
        found: dict[float, list[Any]] = {}
        for margin, guard in guards.items():
            found[margin] = [self.get(guard, example, n=n, seed=seed) for example in examples]
        return found

    def _keep(self, unit: dict[str, Any], counts: Evidence) -> None:
        drawn = {"safe": counts.safe} if isinstance(counts, SubsetCounts) else {"unsafe": counts.unsafe}
        length = {"length": counts.length} if isinstance(counts, SubsetCounts) else {}
        unit = unit | length | drawn
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(unit) + "\n")
        self._units[_key(unit)] = counts

    def _unit(self, smoothed: SmoothedGuard, example: Example, n: int, seed: int, masked: bool) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "classifier": self.classifier,
            "margin": getattr(smoothed.guard, "margin", 0.0),
            "example": example.id,
            "kernel": _named(smoothed.kernel),
            "sigma": smoothed.sigma,
            "threat": _named(smoothed.threat),
            "n": n,
            "seed": seed,
        } | ({"masked": True} if masked else {})


def recorded(path: Path) -> pd.DataFrame:
    """Return every unit of a file as a table; columns ``unsafe`` and ``safe`` hold lists, see the kinds of counts."""
    import pandas as pd

    return pd.read_json(path, lines=True)


def fingerprint(checkpoint: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights, the name of a classifier in the store."""
    return hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()


def _named(value: Any) -> dict[str, Any]:
    return {"name": type(value).__name__} | dataclasses.asdict(value)


def _read(unit: dict[str, Any]) -> Evidence:
    source = {"example": unit["example"], "seed": unit["seed"]}
    if "safe" in unit:
        return SubsetCounts(tuple(unit["safe"]), unit["n"], unit["length"], unit["kernel"]["beta"], **source)
    return (MaskedCounts if unit.get("masked") else Counts)(tuple(unit["unsafe"]), unit["n"], **source)


def _key(unit: dict[str, Any]) -> str:
    return json.dumps({name: x for name, x in unit.items() if name not in ("unsafe", "safe", "length")}, sort_keys=True)
