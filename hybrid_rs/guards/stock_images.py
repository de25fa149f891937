"""Image preparation of any model: its own image processor, followed once, then repeated on tensors.

An image processor resizes, scales, normalises, pads, cuts and reorders. The first three are arithmetic; all else only
moves numbers. So the processor is run once on an image whose pixels are their own numbers: the arithmetic is written
down step by step, and where every number ends up is read off the result.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs._extras import needs
from hybrid_rs.guards.prompt import SENTINEL, Frame, asked

with needs("guard"):
    import torch
    from PIL import Image
    from transformers.image_processing_backends import PilBackend

    from hybrid_rs.guards.steps import Places, Step, fused

LEVELS = 255
READ = ("input_ids", "attention_mask", "pixel_values", "labels")  # made otherwise, or not used: nothing is padded
ROUNDED = 4.0  # levels: a processor rounds to 8 bits after every resizing, twice or three times


class Tracer(PilBackend):  # type: ignore[misc]
    """An image processor that writes its arithmetic down: a base class that stands before the stock one."""

    steps: list[Step]
    starts: list[int]
    end: int

    def resize(self, image: Any, size: Any, resample: Any = None, **options: Any) -> Any:
        """Write a resizing down; the stock code says to which size."""
        shape = np.shape(image)
        height, width = super().resize(np.zeros(shape, np.uint8), size, resample, **options).shape[-2:]
        way = Image.Resampling.BILINEAR if resample is None else Image.Resampling(resample)
        return self._step(image, 1.0, 0.0, (height, width), int(way))

    def rescale(self, image: Any, scale: float, **options: Any) -> Any:
        """Write a scaling down."""
        return self._step(image, scale, 0.0)

    def normalize(self, image: Any, mean: Any, std: Any, **options: Any) -> Any:
        """Write a normalisation down."""
        means, stds = (np.reshape(np.asarray(each, dtype=np.float64), (-1, 1, 1)) for each in (mean, std))
        require(bool((stds > 0).all()), "image_std", std, "give positive numbers: pixels are divided by them")
        return self._step(image, 1 / stds, -means / stds)

    def _step(self, image: Any, scale: Any, shift: Any, size: tuple[int, int] | None = None, way: int = 0) -> Any:
        numbers = np.asarray(image).astype(np.int64)
        new = size or (numbers.shape[-2], numbers.shape[-1])
        factors = (np.asarray(each, dtype=np.float64) for each in (scale, shift))
        step = Step(Places.among(numbers, self.starts), new, way, *factors)
        self.steps.append(step)
        self.starts.append(self.end)
        self.end += int(np.prod(step.shape))
        return np.arange(self.starts[-1], self.end, dtype=np.float64).reshape(step.shape)


@dataclass(frozen=True, eq=False, repr=False)
class StockVision:
    """Turns pixels in [0, 1] into a model's input like its own image processor, but in floats and on any device.

    Nothing is rounded or clipped, so that Gaussian noise stays Gaussian. Resizing is that of Pillow, by a matrix for
    each axis, whatever else is installed: so a guard is the same guard on every machine.

    Make one with :meth:`of`.

    Args:
        image_size: (height, width) of the images, in which noise and the image budget epsilon are measured.
        steps: the arithmetic; None for a step that was joined with a later one.
        places: of the numbers of ``pixel_values`` of one image, among zero, the pixels (channel by channel, in units of
            1 / 255) and the results of the steps.
        beside: the model's other inputs that belong to one image, such as the number of its patches.
        example: what the processor itself makes of the opening of the prompt and a black image.
        along: the model's other inputs with a value for every token: the values of the opening, and that of a token
            after it.
    """

    image_size: tuple[int, int]
    steps: tuple[Step | None, ...]
    places: Places
    beside: dict[str, NDArray[Any]]
    along: dict[str, tuple[NDArray[Any], NDArray[Any]]]
    example: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, processor: Any, frame: Frame, image_size: tuple[int, int], known: Container[str]) -> Self:
        """Follow a checkpoint's processor on an image of that size.

        Args:
            processor: with an image processor of Pillow's kind.
            frame: the prompt around the untrusted text, with one image before it.
            image_size: (height, width).
            known: the names of the model's arguments; models take any other name, too, and do nothing with it.

        Raises:
            ValueError: if the processor does arithmetic of another kind: it is compared with itself on a random image.
        """
        (opening, ending, _), (height, width) = frame, image_size
        tracing = copy.copy(processor.image_processor)
        kind = type(tracing)
        remedy = f"{kind.__name__} does arithmetic that is not known here; this checkpoint cannot be used"
        require(isinstance(tracing, PilBackend), "image processor", kind.__name__, remedy)
        tracing.__class__ = type(f"Traced{kind.__name__}", (kind, Tracer), {})
        tracing.steps, tracing.starts, tracing.end = [], [0, 1], 1 + 3 * height * width
        followed = copy.copy(processor)
        followed.image_processor = tracing
        numbers = np.arange(1, tracing.end, dtype=np.float64).reshape(3, height, width)
        made = asked(followed, opening, numbers)
        numbers = made["pixel_values"]
        exact = 2 / float(np.finfo(numbers.dtype).eps)  # whole numbers up to here: some processors use float32
        require(tracing.end < exact, "image_size", image_size, f"give a smaller one for {kind.__name__}")
        inside = bool(np.all((numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < tracing.end)))
        require(inside, "image processor", kind.__name__, remedy)
        rest = {name: value for name, value in made.items() if name not in READ and name in known}
        black = np.zeros((height, width, 3), np.uint8)
        short, full = (asked(processor, text, black) for text in (opening, opening + SENTINEL + ending))
        along = {}
        for name, value in rest.items():
            if _follows(value, short["input_ids"]) and _follows(full[name], full["input_ids"]):
                later = full[name][:, value.shape[1] :]
                constant = bool(np.all(later == later[:, -1:]))
                require(constant, f"processor: {name}", later, "it must be the same for every token of the text")
                along[name] = (value, later[:, -1:])
        beside = {name: value for name, value in rest.items() if name not in along}
        example = {name: value for name, value in short.items() if name in known and name != "labels"}
        places = Places.among(numbers.astype(np.int64), tracing.starts)
        vision = cls(image_size, fused(tracing.steps, places), places, beside, along, example)
        off = vision.off(processor, opening)
        require(off <= ROUNDED, "image processor", f"{kind.__name__}, off by {off:.1f} levels", remedy)
        return vision

    def inputs(self, images: Any) -> dict[str, Any]:
        """Return the keyword arguments of the model, for a tensor ``(batch, 3, height, width)`` of pixels in [0, 1]."""
        parts = [images.new_zeros((len(images), 1)), LEVELS * images.flatten(1)]
        for step in self.steps:
            parts.append(None if step is None else step.made(parts))
        found = {"pixel_values": self.places.taken(parts).flatten(0, 1).contiguous()}
        for name, value in self.beside.items():
            one = torch.from_numpy(value).to(images.device)
            found[name] = one.repeat(len(images), *[1] * (one.ndim - 1))
        return found

    def along_text(self, count: int, length: int) -> dict[str, Any]:
        """Return the model's other inputs that have a value for every token, of prompts of that number and length."""
        found = {}
        for name, (opening, later) in self.along.items():
            whole = np.concatenate([opening, np.repeat(later, length - opening.shape[1], axis=1)], axis=1)
            found[name] = torch.from_numpy(np.repeat(whole, count, axis=0))
        return found

    def off(self, processor: Any, text: str, seed: int = 0) -> float:
        """Return the largest difference to the processor's own result on a random image, in units of 1 / 255.

        The image is far from black and white, because resizing may overshoot, and a processor clips what does.
        """
        levels = np.random.default_rng(seed).integers(80, 176, (*self.image_size, 3), dtype=np.uint8)
        pixels = torch.from_numpy(levels.transpose(2, 0, 1)[None].astype(np.float32) / LEVELS)
        own = np.asarray(asked(processor, text, levels)["pixel_values"])
        flat = (np.full_like(levels, level) for level in (128, 129))
        dark, light = (np.asarray(asked(processor, text, each)["pixel_values"]) for each in flat)
        ours = self.inputs(pixels)["pixel_values"].numpy()
        return float("inf") if own.shape != ours.shape else float(np.abs(own - ours).max() / np.abs(light - dark).max())

    @property
    def facts(self) -> dict[str, Any]:
        """What makes another guard, for its identity: a digest of the arithmetic, of every place and other input."""
        found = hashlib.sha256()
        for step in self.steps:
            if step is not None:
                found.update(f"{step.size} {step.way} {step.places.parts}".encode())
                _add(found, step.places.numbers, step.scale, step.shift)
        found.update(f"{self.places.parts}".encode())
        _add(found, self.places.numbers)
        for name, values in sorted((self.along | {name: (value,) for name, value in self.beside.items()}).items()):
            found.update(name.encode())
            _add(found, *values)
        return {"kind": type(self).__name__, "image_size": list(self.image_size), "map": found.hexdigest()}


def _add(found: Any, *arrays: NDArray[Any]) -> None:
    """Add arrays to a digest: kinds, shapes and values."""
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())


def _follows(value: NDArray[Any], ids: NDArray[Any]) -> bool:
    """Whether an input has one value for each token."""
    return value.ndim > 1 and value.shape[:2] == ids.shape
