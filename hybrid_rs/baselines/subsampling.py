"""Drawing subsamples and showing them to a guard: the smoothing that :mod:`hybrid_rs.baselines.mmcert` certifies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, kind, one, probability, require
from hybrid_rs.baselines.mmcert import SubsamplingLaw
from hybrid_rs.evidence.counts import Counts, smoothing_text
from hybrid_rs.smoothing.answers import about, asked
from hybrid_rs.smoothing.draws import BLOCK, MAX_DRAWS, Noise, Stream, at_once
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard

KEPT_TOKENS, KEPT_PIXELS = 3, 4  # kinds of random streams; smoothing uses 0 and 1, attacks use 2


@dataclass(frozen=True)
class SparseThreat:
    """The adversary changes any r1 tokens and any r2 pixels arbitrarily."""


@dataclass(frozen=True)
class Subsampling:
    """The noise: how much is kept, and what overwrites the rest.

    Args:
        keep_tokens: k1; all tokens of a shorter text are kept.
        keep_pixels: k2 of the height x width pixels, each with all its channels; a smaller image is kept completely.
        token_fill: the id that overwrites the other tokens.
        pixel_fill: the value in [0, 1] that overwrites the other pixels.
    """

    keep_tokens: int
    keep_pixels: int
    token_fill: int
    pixel_fill: float = 0.5

    def __post_init__(self) -> None:
        for name in ("keep_tokens", "keep_pixels", "token_fill"):
            object.__setattr__(self, name, integer(name, getattr(self, name), at_least=0))
        object.__setattr__(self, "pixel_fill", one("pixel_fill", probability("pixel_fill", self.pixel_fill)))

    def law(self, example: Example) -> SubsamplingLaw:
        """Return the sizes that the certificate of this example needs."""
        kind("example", example, Example, "give a hybrid_rs.Example")
        tokens, pixels = example.token_ids.size, example.image[0].size
        return SubsamplingLaw(tokens, min(self.keep_tokens, tokens), pixels, min(self.keep_pixels, pixels))


@dataclass(frozen=True, eq=False)
class SubsampledGuard:
    """A guard smoothed by keeping a random part of each modality.

    The rest is overwritten by a constant. It must not depend on the input (such as the image's mean), because then the
    adversary could change what the guard sees of untouched elements.

    Args:
        guard: the base classifier.
        kernel: how much is kept.

    Example:
        >>> class Bright:
        ...     alphabet, pad_id, mask_id = np.arange(100), 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return images.mean(axis=(1, 2, 3)) > 0.55
        >>> subsampled = SubsampledGuard(Bright(), Subsampling(keep_tokens=1, keep_pixels=16, token_fill=0))
        >>> example = Example("white", np.array([7, 8]), np.ones((3, 8, 8), np.float32))
        >>> counts = subsampled.sample(example, n=1000)
        >>> subsampled.kernel.law(example).certified_pixels(counts.p_a(alpha=0.01), r_tokens=0, tau=0.5)
        array([2])
    """

    guard: Guard
    kernel: Subsampling
    threat: SparseThreat = SparseThreat()
    sigma: float = 0.0  # no Gaussian noise
    noise: Noise = "float32"  # not used: no Gaussian noise is drawn

    def __post_init__(self) -> None:
        able = callable(getattr(self.guard, "unsafe", None))
        require(able, "guard", self.guard, "give an object with unsafe(token_ids, images)", repr)
        kind("kernel", self.kernel, Subsampling, "give Subsampling(...)")
        kind("threat", self.threat, SparseThreat, "leave it out: there is one")
        require(self.sigma == 0.0, "sigma", self.sigma, "leave it out: subsampling adds no noise", repr)
        require(self.noise == "float32", "noise", self.noise, "leave it out: subsampling adds no noise", repr)

    def sample(self, example: Example, n: int, *, seed: int = 0, batch_draws: int = 256) -> Counts:
        """Draw ``n`` subsamples and count the guard's unsafe verdicts.

        A draw is a function of (seed, example.id, its number), as in :meth:`hybrid_rs.SmoothedGuard.sample`.

        Args:
            example: the input.
            n: number of draws, at least 1.
            seed: a non-negative whole number.
            batch_draws: draws given to the guard at a time, rounded up to a multiple of 64.

        Raises:
            ValueError: if n, seed or batch_draws is out of range.
        """
        kind("example", example, Example, "give a hybrid_rs.Example")
        n, seed = integer("n", n, at_least=1, at_most=MAX_DRAWS), integer("seed", seed, at_least=0)
        step, stream = at_once(batch_draws, example), Stream(seed, example.id)
        batches = (self._shown(example, stream, start, min(n, start + step)) for start in range(0, n, step))
        with about(example.id):
            unsafe = sum(int(asked(self.guard, "unsafe", *batch).sum()) for batch in batches)
        return Counts((unsafe,), n, example.id, seed, smoothing=smoothing_text(self.kernel, self.sigma))

    def _shown(
        self, example: Example, stream: Stream, start: int, stop: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return texts, shape ``(draws, length)``, and images, ``(draws, channels, height, width)``, of some draws."""
        law, (height, width) = self.kernel.law(example), example.image.shape[1:]

        def kept(kind: int, total: int, k: int) -> NDArray[np.bool_]:
            first = np.tile(np.arange(total) < k, (BLOCK, 1))
            return np.concatenate([rng.permuted(first, axis=1) for rng in stream.blocks(kind, start, stop)])

        keep_text = kept(KEPT_TOKENS, law.tokens, law.keep_tokens)[: stop - start]
        keep_image = kept(KEPT_PIXELS, law.pixels, law.keep_pixels)[: stop - start].reshape(-1, 1, height, width)
        texts = np.where(keep_text, example.token_ids, self.kernel.token_fill)
        return texts, np.where(keep_image, example.image, np.float32(self.kernel.pixel_fill))


class Subsamples:
    """An engine with which a ``CountsStore`` draws for a SubsampledGuard.

    Give it to the store: ``CountsStore(path, classifier, Subsamples())``.
    """

    def draw(self, guard: Guard, units: Iterable[Any]) -> Iterator[tuple[Any, list[Counts]]]:
        """Yield every unit (see :class:`hybrid_rs.storage.units.Unit`) with its counts, in this process."""
        for unit in units:
            kernels = (SubsampledGuard(guard, kernel) for kernel in unit.kernels)
            yield unit, [subsampled.sample(unit.example, unit.n, seed=unit.seed) for subsampled in kernels]
