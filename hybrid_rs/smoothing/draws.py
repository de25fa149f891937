"""The noise that smooths a guard; each draw is a function of (seed, example, draw number) alone.

The kernel draws which tokens are replaced, and by what: :mod:`hybrid_rs.certificates.kernels`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hybrid_rs._checks import flag, integer, kind, require
from hybrid_rs._extras import needs
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.certificates.threats import Threat
from hybrid_rs.smoothing.answers import AnswerError, asked
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.lattice import LEVELS, rounded_gaussian

BLOCK = 64  # draws that share one random stream; changing it would change the draws of every seed
IMAGE, TEXT, MORE = 0, 1, 8  # streams of a block
AT_ONCE = 2**28  # most pixel values in a batch: a gibibyte of float32; one block may exceed it
CACHED = 2**17  # pixels whose noise is drawn at a time; their noise stays in a core's cache
ALONE = 2**15  # pixel values of an image below which threads would take longer than they save
Noise = Literal["float32", "lattice"]
SAMPLERS: dict[Noise, str] = {"float32": "philox-float32", "lattice": "philox-lattice"}
"""The names of the noise in stores, which keep counts of different noise apart."""
MAX_DRAWS = 10**9  # for one example; the same limit as in plans


@runtime_checkable
class Smoothing(Protocol):
    """A guard and its noise: the part of a :class:`hybrid_rs.SmoothedGuard` that sampling uses."""

    @property
    def guard(self) -> Guard:
        """The base classifier."""
        ...

    @property
    def kernel(self) -> UniformKernel | AbsorbingKernel:
        """The token kernel."""
        ...

    @property
    def sigma(self) -> float:
        """Standard deviation of the image noise."""
        ...

    @property
    def threat(self) -> Threat:
        """What is noised, and what the adversary may touch."""
        ...

    @property
    def noise(self) -> Noise:
        """How image noise is drawn."""
        ...


def drawn(
    smoothed: Sequence[Smoothing],
    example: Example,
    n: int,
    seed: int,
    batch_draws: int,
    *,
    forced: NDArray[np.bool_] | None,
    rows: list[int] | None = None,
    ask: Literal["unsafe", "scores"] = "unsafe",
    progress: bool = False,
) -> Iterator[list[tuple[NDArray[Any], NDArray[np.bool_]]]]:
    """Yield for every smoothed guard its answers, ``(draws, classifiers or conditions)``, and the replaced positions.

    If ``rows`` is given, only these classifiers are evaluated. The answers are verdicts, or scores. The arguments are
    checked at once, not when the first draw is requested.
    """
    kind("example", example, Example, "give a hybrid_rs.Example")
    flag("progress", progress)
    integer("n", n, at_least=0, at_most=MAX_DRAWS)
    first, step = smoothed[0], at_once(batch_draws, example)
    noised = first.threat.noised(example.token_ids.size)
    require_readable(first.guard, example.token_ids.size + first.threat.slot, f"example {example.id!r}")
    clean = np.append(example.token_ids, np.full(first.threat.slot, first.guard.pad_id))
    stream = Stream(seed, example.id)
    ascending = sorted(range(len(smoothed)), key=lambda i: smoothed[i].kernel.beta)  # most replacements come last

    def batches() -> Iterator[list[tuple[NDArray[Any], NDArray[np.bool_]]]]:
        with tqdm(total=n, unit="draw", desc=example.id, disable=not progress, leave=False) as bar:
            for start in range(0, n, step):
                stop = min(n, start + step)
                noisy = [
                    noisy_texts(first.guard, each.kernel, clean, noised, forced, stream, start, stop)
                    for each in smoothed
                ]
                texts = [noisy[i][0] if rows is None else noisy[i][0][:, rows] for i in ascending]
                images = noisy_images(first, example, stream, start, stop)
                answers = answers_of(first.guard, ask, np.concatenate(texts, axis=1), images, example.id, start)
                by_kernel = dict(zip(ascending, np.split(answers, len(smoothed), axis=1), strict=True))
                yield [(by_kernel[i], replaced) for i, (_, replaced) in enumerate(noisy)]
                bar.update(stop - start)

    return batches()


def at_once(batch_draws: int, example: Example, texts: int = 1) -> int:
    """Return the number of images in a batch, a multiple of 64; fewer than asked for where images are large.

    Args:
        batch_draws: draws given to the guard at a time, at least 1.
        example: the input.
        texts: noisy texts for each noisy image; each is a draw.
    """
    blocks = -(-integer("batch_draws", batch_draws, at_least=1) // (BLOCK * texts))
    return BLOCK * min(blocks, max(1, AT_ONCE // (BLOCK * example.image.size)))


def distance(smoothed: Smoothing, example: Example, texts: int = 1) -> float:
    """Return a bound of the total variation between the law of a draw and that of the theorem.

    With lattice noise it is a sum: over the pixels, of the distance of :class:`RoundedGaussian`; and over the noised
    positions of all ``texts`` texts, of the difference between beta and a multiple of 2^-53. With float noise the
    distance is not known, and the result is 0.
    """
    if smoothed.noise != "lattice":
        return 0.0
    law = rounded_gaussian(smoothed.sigma)
    positions = texts * int(smoothed.threat.noised(example.token_ids.size).any(axis=0).sum())
    beta = Fraction(smoothed.kernel.beta)
    off = example.image.size * Fraction(law.distance) + positions * (Fraction(math.ceil(beta * 2**53), 2**53) - beta)
    return float(np.nextafter(float(off), 1.0)) if off else 0.0


def require_readable(guard: Guard, length: int, name: str) -> None:
    """Require that the guard's model can read the whole text.

    Args:
        guard: the guard; the limit is its ``max_length``, if it has one.
        length: number of tokens of the text and its slot.
        name: the name of the text in the error.
    """
    limit = getattr(guard, "max_length", None)
    remedy = f"the guard can read at most {limit}, without prompt and image; shorten the text or the slot"
    if limit == 0:
        remedy = "the guard judges the image alone, so no text can be edited; give max_edits = 0 (--max-edits 0)"
    require(limit is None or length <= limit, name, f"{length} tokens with its slot", remedy)


def noisy_texts(
    guard: Guard,
    kernel: UniformKernel | AbsorbingKernel,
    clean: NDArray[np.int64],
    noised: NDArray[np.bool_],
    forced: NDArray[np.bool_] | None,
    stream: Stream,
    start: int,
    stop: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return noisy texts, shape ``(draws, classifiers or conditions, length)``, and which of ``noised`` were replaced.

    All classifiers share one noise draw. Each classifier noises only its own positions; each condition always replaces
    its positions.
    """
    where = noised.any(axis=0)
    if not where.any():
        shape = (stop - start, len(noised), clean.size)
        return np.broadcast_to(clean, shape), np.zeros((stop - start, 0), dtype=bool)
    alphabet = guard.alphabet
    known = np.isin(clean, alphabet)
    canonical = np.where(where & ~known, guard.pad_id, clean)
    positions = np.searchsorted(alphabet, canonical[where])
    blocks = [kernel.replacements(positions, BLOCK, rng) for rng in stream.blocks(TEXT, start, stop)]
    replaced, by = (np.concatenate(parts)[: stop - start] for parts in zip(*blocks, strict=True))
    mask = np.int64(guard.mask_id or 0)  # NumPy would fit a plain number into the alphabet's type
    tokens = np.where(by == AbsorbingKernel.MASK, mask, alphabet[np.maximum(by, 0)])
    rows = noised[:, where] & replaced[:, None] if forced is None else replaced[:, None] | forced[:, where]
    texts = np.broadcast_to(canonical, (*rows.shape[:2], clean.size)).copy()
    texts[:, :, where] = np.where(rows, tokens[:, None], canonical[where])
    return texts, replaced


def noisy_images(smoothed: Smoothing, example: Example, stream: Stream, start: int, stop: int) -> NDArray[np.float32]:
    """Return noisy images, shape ``(draws, channels, height, width)``; a single row if there is no noise.

    If ``images_on`` of the guard names a device, they are made there, as a torch tensor with the same bits.
    """
    if smoothed.sigma == 0:
        return example.image[None]
    device = getattr(smoothed.guard, "images_on", None)
    if device is not None and smoothed.noise == "lattice":
        require(isinstance(device, str), "guard.images_on", device, 'give the name of a device, such as "cuda"', repr)
        return _on_device(smoothed.sigma, example, stream, start, stop, device)
    count = -(-stop // BLOCK) - start // BLOCK
    noisy = np.empty((count * BLOCK, *example.image.shape), dtype=np.float32)
    fill = {"float32": _floats, "lattice": _levels}[smoothed.noise](smoothed.sigma, example)
    streams = (stream.blocks(kind, start, stop) for kind in (IMAGE, MORE))
    parts = np.split(noisy, count)
    if count == 1 or example.image.size < ALONE:
        list(map(fill, *streams, parts))
    else:
        with ThreadPoolExecutor(count) as pool:  # NumPy releases the interpreter's lock, so each block has a core
            list(pool.map(fill, *streams, parts))
    return noisy[: stop - start]


Fill: TypeAlias = Callable[[np.random.Generator, np.random.Generator, NDArray[np.float32]], None]


def _floats(sigma: float, example: Example) -> Fill:
    """Return a function that adds normals in floating point; their last bits are not those of a Gaussian."""

    def fill(rng: np.random.Generator, _: np.random.Generator, part: NDArray[np.float32]) -> None:
        rng.standard_normal(out=part, dtype=np.float32)
        part *= np.float32(sigma)
        part += example.image

    return fill


def _levels(sigma: float, example: Example) -> Fill:
    """Return a function that adds Gaussians rounded to the 8-bit lattice, on which the image must lie."""
    law, levels = rounded_gaussian(sigma), example.levels().ravel()
    words = 4 * -(-levels.size // 16)  # each draw begins with a new counter of the generator
    at_once = max(1, CACHED // levels.size)

    def fill(rng: np.random.Generator, more: np.random.Generator, part: NDArray[np.float32]) -> None:
        first, rest = rng.bit_generator.random_raw, more.bit_generator.random_raw
        flat = part.reshape(len(part), -1)
        for draws in (flat[i : i + at_once] for i in range(0, len(flat), at_once)):
            bits = first(words * len(draws)).astype("<u8", copy=False).view("<u2").reshape(len(draws), -1)
            noise = law.values(bits[:, : levels.size].ravel(), rest).reshape(draws.shape)
            np.divide(noise + levels, np.float32(LEVELS), out=draws, dtype=np.float32)

    return fill


def _on_device(sigma: float, example: Example, stream: Stream, start: int, stop: int, device: str) -> Any:
    """Return images with lattice noise, made on the guard's device."""
    with needs("guard"):
        import torch

        from hybrid_rs.smoothing.device import device_noise

    streams = zip(*(stream.blocks(kind, start, stop) for kind in (IMAGE, MORE)), strict=True)
    keys = [(_key(first), _key(rest)) for first, rest in streams]
    levels = torch.as_tensor(example.levels().astype(np.int32), device=device)
    return device_noise(sigma, device).images(keys, levels)[: stop - start]


def _key(rng: np.random.Generator) -> tuple[int, int]:
    first, second = rng.bit_generator.state["state"]["key"]
    return int(first), int(second)


def answers_of(
    guard: Guard,
    ask: Literal["unsafe", "scores"],
    texts: NDArray[np.int64],
    images: NDArray[np.float32],
    example: str,
    start: int,
) -> NDArray[Any]:
    """Return verdicts or scores, shape ``(draws, classifiers)``; distinct pairs of image and text are evaluated once.

    An invalid answer is an error that names the example and the draw; draws are numbered from ``start``.
    """
    draws, classifiers, length = texts.shape
    new, place = _distinct(texts if len(images) == draws else texts.reshape(1, -1, length))
    rows, image_of = texts.reshape(*new.shape, length)[new], np.nonzero(new)[0]
    number = place.reshape(draws, classifiers)
    try:
        answers = asked(guard, ask, rows, images, image_of)
    except AnswerError as error:
        draw = "" if error.row is None else f", draw {start + int(np.argmax((number == error.row).any(axis=1)))}"
        raise error.at(f"example {example!r}{draw}") from error
    return answers[number]


def _distinct(texts: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which texts of each image to evaluate, shape ``(images, texts)``, and which of these each text equals.

    Of equal texts the last is evaluated; nested texts are in ascending order of their replacements.
    """
    images, count, length = texts.shape
    if count == 1:
        return np.ones((images, 1), dtype=bool), np.arange(images)[:, None]
    keys = [[b""] * count] * images  # empty texts are all equal
    if length:
        keys = np.ascontiguousarray(texts).view(f"V{length * texts.itemsize}").reshape(images, -1).tolist()
    last = [{key: column for column, key in enumerate(row)} for row in keys]
    new = np.zeros(texts.shape[:2], dtype=bool)
    for image, found in enumerate(last):
        new[image, list(found.values())] = True
    number = new.cumsum().reshape(new.shape) - 1
    source = np.array([[found[key] for key in row] for row, found in zip(keys, last, strict=True)])
    return new, np.take_along_axis(number, source, axis=1)


class Stream:
    """Independent random streams by (seed, example, kind of noise, block of 64 draws, and which text of an image)."""

    def __init__(self, seed: int, example: str, text: int = 0) -> None:
        digest = hashlib.sha256(example.encode()).digest()
        self._entropy = [integer("seed", seed, at_least=0), *np.frombuffer(digest, dtype=np.uint32).tolist()]
        self._text = (text,) if text else ()  # the first text of an image is that of a draw with one text

    def blocks(self, kind: int, start: int, stop: int) -> list[np.random.Generator]:
        """Return the generators of the blocks that hold draws ``start`` (a multiple of 64) to ``stop - 1``."""
        return [
            np.random.Generator(np.random.Philox(np.random.SeedSequence(self._entropy, spawn_key=key)))
            for key in ((kind, block, *self._text) for block in range(start // BLOCK, -(-stop // BLOCK)))
        ]
