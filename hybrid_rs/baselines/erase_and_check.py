r"""Erase-and-check: erase every set of up to d tokens of a text, and flag it if the guard flags any of the results.

If the guard flags the clean text, then every text made from it by adding up to d tokens is flagged, because erasing
these gives the clean text. Against an adversary who only *adds* tokens this is a certificate without noise,
statistics or loss: exactly the examples that the guard flags are certified. The price is the number of questions, and
false alarms, since a benign text is flagged if any of its parts is.

Around a guard that is smoothed over the image, it certifies both modalities at once: the value of an attacked input is
at least that of the clean text with the attacked image, so the radius is Cohen's, at every d.

References:
    Kumar et al. (2023), Certifying LLM safety against adversarial prompting: modes suffix, insertion (one block) and
    infusion (anywhere).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import choice, integer, require
from hybrid_rs.smoothing.answers import asked
from hybrid_rs.smoothing.guard import Guard

Mode = Literal["suffix", "insertion", "infusion"]
MOST = 100_000  # questions about one text


def erased(tokens: NDArray[np.int64], d: int, mode: Mode) -> Iterator[NDArray[np.int64]]:
    """Yield the text, and what is left of it after erasing 1 to ``d`` tokens, once for each choice of positions.

    Args:
        tokens: shape ``(length,)``.
        d: the largest number of erased tokens.
        mode: "suffix": the last ones; "insertion": a block anywhere; "infusion": any.

    Example:
        >>> [rest.tolist() for rest in erased(np.array([4, 5, 6]), 1, "insertion")]
        [[4, 5, 6], [5, 6], [4, 6], [4, 5]]
    """
    choice("mode", mode, get_args(Mode))
    length, most = tokens.size, min(integer("d", d, at_least=0), tokens.size)
    yield tokens
    for count in range(1, most + 1):
        if mode == "suffix":
            yield tokens[: length - count]
        elif mode == "insertion":
            for start in range(length - count + 1):
                yield np.delete(tokens, slice(start, start + count))
        else:
            for places in combinations(range(length), count):
                yield np.delete(tokens, places)


def questions(length: int, d: int, mode: Mode) -> int:
    """Return how many texts :func:`erased` yields: what a decision costs.

    Example:
        >>> questions(100, 20, "suffix"), questions(100, 20, "insertion"), questions(100, 3, "infusion")
        (21, 1811, 166751)
    """
    choice("mode", mode, get_args(Mode))
    size = integer("length", length, at_least=0)
    counts = range(1, min(integer("d", d, at_least=0), size) + 1)
    if mode == "suffix":
        return 1 + len(counts)
    ways = (size - count + 1 if mode == "insertion" else math.comb(size, count) for count in counts)
    return 1 + sum(ways)


@dataclass(frozen=True)
class EraseAndCheck:
    """A guard that flags an input if the base guard flags it with some of its tokens erased.

    It is a guard itself, so it can be attacked, smoothed over the image, and counted. (Smoothed over the image, its
    value is at least the largest smoothed value of the erased texts.)

    Args:
        guard: the base guard.
        d: the largest number of added tokens.
        mode: where they may be; see :func:`erased`.

    Example:
        >>> class Sevens:
        ...     alphabet, pad_id, mask_id = np.arange(10), 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return (token_ids == 7).all(axis=1)
        >>> guard, image = EraseAndCheck(Sevens(), 2, "suffix"), np.zeros((1, 3, 4, 4), np.float32)
        >>> guard.unsafe(np.array([[7, 1, 2]]), image), guard.unsafe(np.array([[7, 1, 2, 3]]), image)
        (array([ True]), array([False]))
    """

    guard: Guard
    d: int
    mode: Mode = "suffix"

    def __post_init__(self) -> None:
        integer("d", self.d, at_least=0)
        choice("mode", self.mode, get_args(Mode))
        require(hasattr(self.guard, "unsafe"), "guard", self.guard, "give an object with unsafe(token_ids, images)")

    def __getattr__(self, name: str) -> Any:
        if name in ("scores", "gradients", "identity", "guard") or name.startswith("__"):  # the base guard's do not fit
            raise AttributeError(name)
        return getattr(self.guard, name)

    def unsafe(self, token_ids: NDArray[np.int64], images: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the verdict on each pair; see :class:`hybrid_rs.Guard`."""
        length = np.shape(token_ids)[1]
        cost = questions(length, self.d, self.mode)
        require(cost <= MOST, "d", self.d, f"this makes {cost} questions about a text; give a smaller d")
        found = np.zeros(len(token_ids), dtype=bool)
        for places in erased(np.arange(length), self.d, self.mode):
            open_ones = np.flatnonzero(~found)
            if not open_ones.size:
                break
            found[open_ones] = asked(self.guard, "unsafe", token_ids[open_ones][:, places], images[open_ones])
        return found
