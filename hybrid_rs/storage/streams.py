"""The store of single verdicts, on which any sequential rule can be replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, kind, require, several
from hybrid_rs.evidence.counts import Counts, require_smoothing
from hybrid_rs.smoothing.example import Example, require_own_ids
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
from hybrid_rs.storage.engines import Engine, engine_or_local
from hybrid_rs.storage.questions import described
from hybrid_rs.storage.records import Records

BoolArray = NDArray[np.bool_]
MAX_DRAWS = 2**27  # of one stream; a draw takes one byte of memory
FOUND = ("n", "unsafe", "rarer", "at")


@dataclass(frozen=True, eq=False)
class Stream:
    """One stream of verdicts, as a unit of work.

    Args:
        example: the input.
        smoothing: kernel, sigma, threat and noise of the smoothed guard.
        enough: says whether the verdicts so far suffice.
        at_least: number of verdicts that are known; the draws go on beyond it.
        max_draws: the largest number of draws.
        seed: seed of the draws.
    """

    example: Example
    smoothing: tuple[Any, ...]
    enough: Callable[[BoolArray], bool]
    at_least: int
    max_draws: int
    seed: int

    def draw(self, guard: Guard, *, progress: bool = False) -> BoolArray:
        """Return the verdicts, as many as are enough."""
        row = np.zeros(0, dtype=bool)
        for verdicts in SmoothedGuard(guard, *self.smoothing).verdicts(self.example, self.max_draws, seed=self.seed):
            row = np.append(row, verdicts[:, 0])
            if row.size > self.at_least and self.enough(row):
                break
        return row


class StreamStore:
    """An append-only file of the first verdicts of examples, one JSON object per line.

    Each line describes ``n`` draws, of which ``unsafe`` were unsafe. ``at`` has the numbers (from 0) of the draws whose
    verdict was the rarer one, ``rarer``. If a stream is too short, a longer one is drawn, and the longest line counts.

    Args:
        path: the file; made when the first stream is drawn.
        classifier: as in :class:`hybrid_rs.storage.counts.CountsStore`.
        engine: where streams are drawn; by default in this process.

    Raises:
        ValueError: if the file does not contain streams, or has another schema.
    """

    def __init__(self, path: Path, classifier: str, engine: Engine | None = None) -> None:
        self.path, self.classifier, self.engine = path, classifier, engine_or_local(engine)
        self._kept = Records(path, FOUND, _row, _longer)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, smoothed: SmoothedGuard, example: Example, *, seed: int = 0) -> BoolArray:
        """Return the verdicts known so far, shape ``(n,)``; empty if the stream was never drawn."""
        known = self._kept.get(self._unit(smoothed, example, seed))
        return np.zeros(0, dtype=bool) if known is None else known

    def until(
        self,
        smoothed: SmoothedGuard,
        example: Example,
        enough: Callable[[BoolArray], bool],
        *,
        max_draws: int,
        seed: int = 0,
        counts: Counts | None = None,
    ) -> BoolArray:
        """Return the first verdicts, as many as are enough; if more are needed than are stored, draw and store them.

        If all verdicts of earlier counts were equal, the counts determine the stream, and nothing is drawn or stored.

        Args:
            smoothed: a smoothed guard with one classifier.
            example: the input.
            enough: says whether the verdicts so far suffice; called after every batch of draws.
            max_draws: the largest number of draws.
            seed: seed of the draws.
            counts: the counts of the first ``counts.n`` draws of this stream, if they are known.

        Returns:
            shape ``(n,)``, n at most ``max_draws``; more than enough if more are stored.

        Raises:
            ValueError: if there is one classifier per text budget, the counts are of another example or seed, or
                repeated draws differ from the stored ones.
        """
        kind("example", example, Example, "give a hybrid_rs.Example")
        law: dict[str, Any] = {"max_draws": max_draws, "seed": seed}
        return self.until_each(smoothed, [example], enough, **law, counts=None if counts is None else [counts])[0]

    def until_each(
        self,
        smoothed: SmoothedGuard,
        examples: Iterable[Example],
        enough: Callable[[BoolArray], bool],
        *,
        max_draws: int,
        seed: int = 0,
        counts: Sequence[Counts] | None = None,
    ) -> list[BoolArray]:
        """Return :meth:`until` of every example; the engine draws what is missing, and each stream is stored when done.

        Args:
            smoothed: as in :meth:`until`, and so are ``enough``, ``max_draws`` and ``seed``.
            examples: the inputs.
            counts: the counts of the streams, one for each example, if they are known.
        """
        kind("smoothed", smoothed, SmoothedGuard, "give a hybrid_rs.SmoothedGuard")
        inputs = several("examples", examples, "give examples", Example)
        remedy = "give a function of the verdicts so far"
        require(callable(enough) and not isinstance(enough, type), "enough", enough, remedy, repr)
        require_own_ids(inputs)
        max_draws, seed = integer("max_draws", max_draws, 1, MAX_DRAWS), integer("seed", seed, at_least=0)
        known = [] if counts is None else several("counts", counts, "give Counts, or leave it out", Counts)
        fits = counts is None or len(known) == len(inputs)
        require(fits, "counts", len(known), f"give one for each of {len(inputs)} examples")
        for example in inputs:
            one = len(smoothed.threat.noised(example.token_ids.size)) == 1
            require(one, "smoothed.threat", smoothed.threat, "a stream belongs to one classifier: use one_shot=True")
        self._kept.read()
        rows = [self._known(smoothed, example, seed, known[i : i + 1], max_draws) for i, example in enumerate(inputs)]
        left = [i for i, row in enumerate(rows) if row.size < max_draws and not (row.size and enough(row))]
        if left:
            self._kept.require_writable()
        smoothing = smoothed.kernel, smoothed.sigma, smoothed.threat, smoothed.noise
        units = [Stream(inputs[i], smoothing, enough, rows[i].size, max_draws, seed) for i in left]
        with closing(self.engine.draw(smoothed.guard, units)) as drawing:
            for i, (unit, row) in zip(left, drawing, strict=True):
                same, name = np.array_equal(row[: rows[i].size], rows[i]), unit.example.id
                require(same, "classifier", self.classifier, f"draws of {name} differ from those in {self.path}")
                self._keep(self._unit(smoothed, unit.example, seed), row)
                rows[i] = row
        return rows

    def _known(
        self, smoothed: SmoothedGuard, example: Example, seed: int, counts: Sequence[Counts], max_draws: int
    ) -> BoolArray:
        """Return the verdicts that are stored, or that counts of equal verdicts determine."""
        known = self.get(smoothed, example, seed=seed)
        for each in counts:
            ours = each.example in ("", example.id) and each.seed in (None, seed)
            said = f"those of {each.example!r} with seed {each.seed}"
            require(ours, "counts", said, f"give those of {example.id!r} with seed {seed}")
            require_smoothing(each, smoothed.kernel, smoothed.sigma)
            if each.n > known.size and each.unsafe in ((0,), (each.n,)):
                known = np.full(each.n, each.unsafe[0] > 0)
        return known[:max_draws]

    def _keep(self, unit: dict[str, Any], row: BoolArray) -> None:
        rarer = bool(2 * row.sum() < row.size)
        drawn = {"n": row.size, "unsafe": int(row.sum()), "rarer": "unsafe" if rarer else "safe"}
        self._kept.append([unit | drawn | {"at": np.flatnonzero(row == rarer).tolist()}])

    def _unit(self, smoothed: SmoothedGuard, example: Example, seed: int) -> dict[str, Any]:
        law = {"seed": integer("seed", seed, at_least=0)}
        return described(self.classifier, smoothed, example) | law


def _row(unit: dict[str, Any]) -> BoolArray:
    n, at, rarer = integer("n", unit["n"], at_least=1), unit["at"], unit["rarer"] == "unsafe"
    require(n <= MAX_DRAWS, "n", n, f"give at most {MAX_DRAWS}")
    require(rarer or unit["rarer"] == "safe", "rarer", repr(unit["rarer"]), 'give "unsafe" or "safe"')
    rising = all(type(i) is int for i in at) and all(0 <= i < j for i, j in pairwise([*at, n]))
    require(rising, "at", at, f"give numbers of draws, in order, from 0 to n - 1 = {n - 1}")
    row = np.full(n, not rarer)
    row[np.asarray(at, dtype=np.int64)] = rarer
    require(int(row.sum()) == unit["unsafe"], "unsafe", unit["unsafe"], f"there are {int(row.sum())} in the stream")
    return row


def _longer(known: BoolArray, other: BoolArray) -> BoolArray:
    both = min(known.size, other.size)
    if not np.array_equal(known[:both], other[:both]):
        raise ValueError("the draws of two lines for one stream differ: remove the wrong one")
    return other if other.size > known.size else known
