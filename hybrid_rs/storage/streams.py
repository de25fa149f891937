"""The store of single verdicts, on which any sequential rule can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, kind, require
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
from hybrid_rs.storage.counts import described, name_of
from hybrid_rs.storage.records import Records

BoolArray = NDArray[np.bool_]
MAX_DRAWS = 2**27  # of one stream; a draw takes one byte of memory
FOUND = ("n", "unsafe", "rarer", "at")


class StreamStore:
    """An append-only file of the first verdicts of examples, one JSON object per line.

    Each line describes ``n`` draws, of which ``unsafe`` were unsafe. ``at`` has the numbers (from 0) of the draws whose
    verdict was the rarer one, ``rarer``. If a stream is too short, a longer one is drawn, and the longest line counts.
    Streams are always drawn in this process.

    Args:
        path: the file; made when the first stream is drawn.
        classifier: as in :class:`hybrid_rs.storage.counts.CountsStore`.

    Raises:
        ValueError: if the file does not contain streams, or has another schema.
    """

    def __init__(self, path: Path, classifier: str) -> None:
        self.path, self.classifier = path, classifier
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
            ValueError: if there is one classifier per text budget, or repeated draws differ from the stored ones.
        """
        kind("smoothed", smoothed, SmoothedGuard, "give a hybrid_rs.SmoothedGuard")
        kind("example", example, Example, "give a hybrid_rs.Example")
        remedy = "give a function of the verdicts so far"
        require(callable(enough) and not isinstance(enough, type), "enough", enough, remedy, repr)
        max_draws = integer("max_draws", max_draws, 1, MAX_DRAWS)
        require(counts is None or isinstance(counts, Counts), "counts", counts, "give Counts, or leave it out", repr)
        one = len(smoothed.threat.noised(example.token_ids.size)) == 1
        require(one, "smoothed.threat", smoothed.threat, "a stream belongs to one classifier: use one_shot=True")
        known = self.get(smoothed, example, seed=seed)
        if counts is not None and counts.n > known.size and counts.unsafe in ((0,), (counts.n,)):
            known = np.full(counts.n, counts.unsafe[0] > 0)
        known = known[:max_draws]
        if known.size >= max_draws or (known.size and enough(known)):
            return known
        row = np.zeros(0, dtype=bool)
        for verdicts in smoothed.verdicts(example, max_draws, seed=seed):
            row = np.append(row, verdicts[:, 0])
            if row.size > known.size and enough(row):
                break
        same = np.array_equal(row[: known.size], known)
        require(same, "classifier", self.classifier, f"draws of {example.id} differ from those in {self.path}")
        rarer = bool(2 * row.sum() < row.size)
        drawn = {"n": row.size, "unsafe": int(row.sum()), "rarer": "unsafe" if rarer else "safe"}
        unit = self._unit(smoothed, example, seed) | drawn | {"at": np.flatnonzero(row == rarer).tolist()}
        self._kept.append([unit])
        return row

    def _unit(self, smoothed: SmoothedGuard, example: Example, seed: int) -> dict[str, Any]:
        law = {"seed": integer("seed", seed, at_least=0)}
        return described(self.classifier, smoothed, name_of(example)) | law


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
