"""Arithmetic on the numbers of an image, step by step: resizing, scaling, moving, and where each number goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._extras import needs

with needs("guard"):
    import torch
    from PIL import Image

INPUTS = 2  # parts before the results of the steps: the number zero, and the pixels


@dataclass(frozen=True, eq=False)
class Places:
    """Where numbers stand: in some parts, put one after the other.

    Args:
        parts: which ones.
        numbers: the places in them, in the shape in which the numbers are wanted.

    Example:
        >>> parts = [torch.tensor([[0.0]]), torch.tensor([[10.0, 20.0, 30.0]])]
        >>> Places.among(np.array([[1, 2], [3, 0]]), starts=[0, 1]).taken(parts).tolist()
        [[[10.0, 20.0], [30.0, 0.0]]]
    """

    parts: tuple[int, ...]
    numbers: NDArray[np.int64]

    @classmethod
    def among(cls, numbers: NDArray[np.int64], starts: Sequence[int]) -> Self:
        """Make places from numbers that count through all parts; ``starts`` has the first number of each part."""
        first = np.asarray(starts)
        part = np.searchsorted(first, numbers, side="right") - 1
        parts = np.unique(part)
        sizes = np.append(np.diff(first), 0)[parts]  # the size of the last part is not needed
        begins = np.zeros(len(first), dtype=np.int64)
        begins[parts] = np.cumsum(sizes) - sizes
        return cls(tuple(parts.tolist()), numbers - first[part] + begins[part])

    def taken(self, parts: Sequence[Any]) -> Any:
        """Return numbers of tensors ``(batch, size)``, shape ``(batch, *numbers.shape)``; differentiable."""
        held = torch.cat([parts[each] for each in self.parts], dim=1) if len(self.parts) > 1 else parts[self.parts[0]]
        if self.in_order and self.numbers.size == held.shape[1]:  # nothing moves: a view, not a copy
            return held.reshape(-1, *self.numbers.shape)
        if held.device not in self._sent:
            self._sent[held.device] = torch.from_numpy(self.numbers).to(held.device)
        return held[:, self._sent[held.device]]

    @cached_property
    def in_order(self) -> bool:
        """Whether the places count up from 0."""
        return bool(np.array_equal(self.numbers.reshape(-1), np.arange(self.numbers.size)))

    @cached_property
    def _sent(self) -> dict[Any, Any]:
        return {}


@dataclass(frozen=True, eq=False)
class Step:
    """Arithmetic on numbers: they are resized, then multiplied by ``scale`` and moved by ``shift``.

    Args:
        places: of the numbers, shape ``(..., channels, height, width)``.
        size: the new (height, width).
        way: number of Pillow's filter; not used where the size stays.
        scale: shape ``(channels, 1, 1)``, or one number.
        shift: likewise.
    """

    places: Places
    size: tuple[int, int]
    way: int
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    def made(self, parts: Sequence[Any]) -> Any:
        """Return the results, shape ``(batch, size)``; differentiable."""
        found, old = self.places.taken(parts), self.places.numbers.shape[-2:]
        if self.size != old:
            lengths = zip(old, self.size, strict=True)
            rows, columns = (torch.tensor(filter_matrix(*each, self.way)).to(found) for each in lengths)
            found = rows @ found @ columns.T
        scale, shift = (torch.as_tensor(each).to(found) for each in (self.scale, self.shift))
        return (found * scale + shift).flatten(1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the results of one image."""
        return (*self.places.numbers.shape[:-2], *self.size)

    def after(self, other: Step) -> Step:
        """Return both steps as one, where this one only scales and moves all results of the other."""
        shift = other.shift * self.scale + self.shift
        return Step(other.places, other.size, other.way, other.scale * self.scale, shift)


def fused(steps: Sequence[Step], places: Places) -> tuple[Step | None, ...]:
    """Join a step that only scales and moves with the one before it, unless that one's results are used elsewhere.

    Args:
        steps: in order.
        places: what is wanted of their results.

    Returns:
        as many; None for a step that is a part of a later one.
    """
    uses = Counter(part for each in (*(step.places for step in steps), places) for part in each.parts)
    found: list[Step | None] = list(steps)
    for at, step in enumerate(steps):
        [part, *more] = step.places.parts
        before = found[part - INPUTS] if part >= INPUTS else None
        if before is None or more or uses[part] > 1 or not step.places.in_order:
            continue
        if step.shape == step.places.numbers.shape == before.shape:
            found[at], found[part - INPUTS] = step.after(before), None
    return tuple(found)


@lru_cache(maxsize=64)
def filter_matrix(size: int, new: int, way: int) -> NDArray[np.float32]:
    """Return the matrix with which Pillow resizes a row of pixels, shape ``(new, size)``; each of its rows sums to 1.

    Example:
        >>> filter_matrix(4, 2, int(Image.Resampling.BOX)).tolist()
        [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    return np.array(Image.fromarray(np.eye(size, dtype=np.float32)).resize((size, new), Image.Resampling(way)))
