"""The counts store: the only expensive data, kept one finished unit a line."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tqdm import tqdm

from hybrid_rs._checks import require
from hybrid_rs.evidence import Counts, MaskedCounts, SubsetCounts
from hybrid_rs.example import Example
from hybrid_rs.experiments.engines import Engine, Evidence, Local, Unit
from hybrid_rs.margins import at_margin, sample_margins
from hybrid_rs.smoothing import SmoothedGuard, require_alike

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
HASHED = (".safetensors", ".bin", ".json", ".jinja", ".model", ".txt")  # files that make up a classifier
DRAWN = ("unsafe", "safe", "length")  # the fields that are drawn; all others say what was asked for


class CountsStore:
    """An append-only file of counts, one JSON object a line, readable with :func:`recorded`.

    A unit is one example under one smoothing with one seed and number of draws. Units already in the file are not
    drawn again. Each is written in one piece as soon as it and all before it are drawn, in the order of the examples:
    a run that was killed, or had other workers, ends with the same bytes. A last line that was cut off loses only its
    unit. Several runs may write one file at the same time, on a file system with POSIX locks; each sees the units of
    the others before it draws, and lines then stand in the order in which they were finished.

    Args:
        path: the file; made when the first unit is finished.
        classifier: what tells one base classifier from another, such as a hash of its weights; weights run in another
            precision are another classifier.
        engine: where missing units are drawn; by default in this process.

    Raises:
        ValueError: if the file was written with another schema, a line other than the last cannot be read, or two
            lines disagree about one unit.
    """

    def __init__(self, path: Path, classifier: str, engine: Engine | None = None) -> None:
        self.path, self.classifier, self.engine = path, classifier, engine or Local()
        self._units: dict[str, Evidence] = {}
        self._end = self._lines = 0  # what was read of the file: whole lines, from its beginning
        self._read()

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
        together = self.sample_together([smoothed], examples, n=n, seed=seed, masked=masked, progress=progress)
        return together[0]

    def sample_together(
        self,
        smoothed: Sequence[SmoothedGuard],
        examples: Iterable[Example],
        *,
        n: int,
        seed: int = 0,
        masked: bool = False,
        progress: bool = True,
    ) -> list[list[Any]]:
        """Return the counts of every example under smoothed guards that differ in kernel alone, with one noise.

        The units are those of :meth:`sample`, one per example and kernel; see :func:`hybrid_rs.sample_together`.

        Returns:
            for each smoothed guard, what :meth:`sample` returns.
        """
        examples, first = list(examples), require_alike(smoothed)

        def missing(example: Example) -> list[SmoothedGuard]:
            return [each for each in smoothed if self.get(each, example, n=n, seed=seed, masked=masked) is None]

        def units() -> Iterator[Unit]:
            for example in to_draw:
                self._read()  # another run may have drawn it since
                if kernels := tuple(each.kernel for each in missing(example)):
                    yield Unit(example, kernels, first.sigma, first.threat, n, seed, masked)
                else:
                    bar.update()

        self._read()
        to_draw = [example for example in examples if missing(example)]
        hidden = not progress or not to_draw
        with (
            tqdm(total=len(to_draw), unit="example", disable=hidden) as bar,
            closing(self.engine.draw(first.guard, units())) as drawing,
        ):
            for unit, evidence in drawing:
                drawn = zip(unit.kernels, evidence, strict=True)
                self._append(
                    self._unit(replace(first, kernel=kernel), unit.example, n, seed, masked) | _values(counts)
                    for kernel, counts in drawn
                )
                bar.update()
        return [[self.get(each, e, n=n, seed=seed, masked=masked) for e in examples] for each in smoothed]

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
            drawn = zip(wanted, sample_margins(smoothed, example, n, wanted, seed=seed), strict=True)
            self._append(self._unit(guards[m], example, n, seed, masked=False) | _values(counts) for m, counts in drawn)
        found: dict[float, list[Any]] = {}
        for margin, guard in guards.items():
            found[margin] = [self.get(guard, example, n=n, seed=seed) for example in examples]
        return found

    def _read(self, file: IO[bytes] | None = None) -> None:
        """Read the whole lines that were added to the file since the last time."""
        if file is None:
            if self.path.exists() or self._end:
                with self.path.open("rb") as opened:
                    self._read(opened)
            return
        size = file.seek(0, os.SEEK_END)
        require(size >= self._end, "path", self.path, "the file became shorter while in use; open the store again")
        file.seek(self._end)
        added = file.read(size - self._end)
        added = added[: added.rfind(b"\n") + 1]  # the rest is being written, or was cut off
        for line in added.split(b"\n")[:-1]:
            where = f"{self.path}, line {self._lines + 1}"
            try:
                unit = json.loads(line)
                schema = unit["schema"]
                key, counts = _key(unit), _evidence(unit) if schema == SCHEMA else None
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{where} = {line[:60]!r}: remove the line to draw it again") from error
            if counts is None:
                raise ValueError(f"{where}: schema = {schema}: this version reads {SCHEMA}; draw into another file")
            self._check(key, counts, where)
            self._units[key] = counts
            self._end, self._lines = self._end + len(line) + 1, self._lines + 1

    def _append(self, units: Iterable[dict[str, Any]]) -> None:
        """Add units as whole lines, in one write that no other run's can come between."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+", buffering=0) as file:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
            self._read(file)
            new = [unit for unit in units if not self._check(_key(unit), _evidence(unit), str(self.path))]
            lines = "".join(json.dumps(unit) + "\n" for unit in new).encode()
            file.truncate(self._end)  # what a killed run left of a line; nobody else is writing one now
            if file.write(lines) != len(lines):
                file.truncate(self._end)
                raise OSError(f"{self.path}: no room for {len(lines)} more bytes; make some and run again")
            os.fsync(file.fileno())
            self._read(file)

    def _check(self, key: str, counts: Evidence, where: str) -> bool:
        """Whether the unit is there already; another count for it is refused."""
        known = self._units.get(key)
        if known is not None and known != counts:
            remedy = "the classifier's name does not tell two apart, or a line was edited: remove the wrong line"
            raise ValueError(f"{where}: {counts} and {known} for {counts.example!r} under one smoothing: {remedy}")
        return known is not None

    def _unit(self, smoothed: SmoothedGuard, example: Example, n: int, seed: int, masked: bool) -> dict[str, Any]:
        more = {"n": n, "seed": seed} | ({"masked": True} if masked else {})
        return described(self.classifier, smoothed, example) | more


def described(classifier: str, smoothed: SmoothedGuard, example: Example) -> dict[str, Any]:
    """Return what stores say of a smoothed guard and an example: whatever the guard's answer may depend on."""
    variant = dict(getattr(smoothed.guard, "variant", {}))
    return {
        "schema": SCHEMA,
        "classifier": classifier,
        "margin": getattr(smoothed.guard, "margin", 0.0),
        "example": example.id,
        "kernel": _named(smoothed.kernel),
        "sigma": smoothed.sigma,
        "threat": _named(smoothed.threat),
    } | ({"variant": variant} if variant else {})


def recorded(path: Path) -> pd.DataFrame:
    """Return every unit of a file as a table, one row each.

    To the fields of the file come ``beta``, ``max_edits`` and what else belongs to kernel and threat, and ``run``: a
    short hash of all that the units of one run share. Columns ``unsafe`` and ``safe`` hold lists.
    """
    import pandas as pd

    with path.open() as file:
        units = [json.loads(line) for line in file]
    rows = []
    for unit in units:
        flat = {name: value for part in ("kernel", "threat") for name, value in unit[part].items() if name != "name"}
        rows.append({"run": run_of(unit)} | unit | flat)
    return pd.DataFrame(rows)


def run_of(unit: dict[str, Any]) -> str:
    """Return a short hash of all that the units of one run share: everything but the example and its counts."""
    shared = _key({name: value for name, value in unit.items() if name != "example"})
    return hashlib.sha256(shared.encode()).hexdigest()[:12]


def fingerprint(checkpoint: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights, in one file or several, the name of a classifier in the store.

    Raises:
        ValueError: if there are no weights in the folder.
    """
    files, digest = sorted(checkpoint.glob("*.safetensors")), hashlib.sha256()
    require(bool(files), "checkpoint", checkpoint, "give a folder with weights in *.safetensors")
    for path in files:
        with path.open("rb") as file:
            while part := file.read(2**24):
                digest.update(part)
    return digest.hexdigest()


def identity(folder: Path, dtype: str) -> str:
    """Return a digest of the files that make up a classifier: weights, configuration, tokenizer, template.

    Weights alone would not do: another chat template is another classifier. Files that play no part may be among those
    that count: one more or less only means that counts are drawn again.

    Args:
        folder: the checkpoint.
        dtype: the precision that its weights are run in.
    """
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.suffix in HASHED and path.is_file()):
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest() + ("" if dtype == "float32" else f":{dtype}")


def _named(value: Any) -> dict[str, Any]:
    return {"name": type(value).__name__} | dataclasses.asdict(value)


def _values(counts: Evidence) -> dict[str, Any]:
    if isinstance(counts, SubsetCounts):
        return {"length": counts.length, "safe": counts.safe}
    return {"unsafe": counts.unsafe}


def _evidence(unit: dict[str, Any]) -> Evidence:
    source = {"example": unit["example"], "seed": unit["seed"]}
    if "safe" in unit:
        return SubsetCounts(tuple(unit["safe"]), unit["n"], unit["length"], unit["kernel"]["beta"], **source)
    return (MaskedCounts if unit.get("masked") else Counts)(tuple(unit["unsafe"]), unit["n"], **source)


def _key(unit: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in unit.items() if name not in DRAWN}, sort_keys=True)
