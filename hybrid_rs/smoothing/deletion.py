"""A guard smoothed by deleting tokens and adding image noise: certificates for inserted and deleted tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, kind, nonnegative, one, require, risk
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.frontier import Frontier, frontier
from hybrid_rs.certificates.threats import L0Threat
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.smoothing.answers import asked
from hybrid_rs.smoothing.draws import BLOCK, MAX_DRAWS, SAMPLERS, Noise, Stream, distance, noisy_images
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard

Groups: TypeAlias = Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]
KEPT = 5  # kind of random stream; smoothing uses 0, 1 and 8, attacks 2, subsampling 3 and 4


@dataclass(frozen=True)
class DeletionSmoothedGuard:
    """A guard, the deletion of tokens and the image noise that smooth it.

    The guard sees texts of many lengths, from nothing to the whole text. An attacked text may be longer than the clean
    one; the certificate speaks of the smoothed classifier there, so the guard must be able to read it.

    Args:
        guard: the base classifier.
        kernel: how tokens are deleted, and which edits are certified.
        sigma: standard deviation of the image noise in pixel units; 0 leaves images alone.
        noise: how image noise is drawn; see :class:`hybrid_rs.SmoothedGuard`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> class Long:
        ...     alphabet, pad_id, mask_id = np.arange(100), 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return np.full(len(token_ids), token_ids.shape[1] > 2)
        >>> smoothed = DeletionSmoothedGuard(Long(), DeletionKernel(0.25, "insertions"), sigma=0.0)
        >>> example = Example("long", np.arange(12), np.ones((3, 8, 8), np.float32))
        >>> smoothed.certify(example, n=1000, tau=0.05, d_max=2).edits()
        2
    """

    guard: Guard
    kernel: DeletionKernel
    sigma: float
    noise: Noise = "float32"

    def __post_init__(self) -> None:
        able = callable(getattr(self.guard, "unsafe", None))
        require(able, "guard", self.guard, "give an object with unsafe(token_ids, images)", repr)
        kind("kernel", self.kernel, DeletionKernel, "give DeletionKernel(...)")
        object.__setattr__(self, "sigma", one("sigma", nonnegative("sigma", self.sigma)))
        require(self.noise in SAMPLERS, "noise", self.noise, f"give one of {', '.join(SAMPLERS)}", repr)

    @property
    def threat(self) -> L0Threat:
        """Every position is noised: what stores and the distance of the law need to know."""
        return L0Threat(1)

    def sample(self, example: Example, n: int, *, seed: int = 0, batch_draws: int = 256) -> Counts:
        """Draw noise ``n`` times and count the guard's unsafe verdicts.

        A draw is a function of (seed, example.id, its number), as in :meth:`hybrid_rs.SmoothedGuard.sample`, and its
        image noise is the same as there.

        Args:
            example: the input; its text must not be empty.
            n: number of draws, at least 1.
            seed: a non-negative whole number.
            batch_draws: draws given to the guard at a time, rounded up to a multiple of 64.

        Raises:
            ValueError: if n, seed or batch_draws is out of range.
        """
        length = kind("example", example, Example, "give a hybrid_rs.Example").token_ids.size

        def noisy(blocks: list[np.random.Generator], draws: int) -> Groups:
            kept = np.concatenate([self.kernel.kept(length, BLOCK, rng) for rng in blocks])[:draws]
            return _by_length(example.token_ids, kept)

        unsafe = count_unsafe(self, example, n, seed, batch_draws, KEPT, noisy)
        return Counts((unsafe,), n, example.id, seed, self.distance(example))

    def distance(self, example: Example) -> float:
        """Return a bound of the total variation between the law of a draw and that of the theorem."""
        return distance(self, example)  # type: ignore[arg-type]  # of the kernel only beta is used

    def certify(
        self, example: Example, n: int, *, alpha: float = 0.01, tau: float, d_max: int = 8, seed: int = 0
    ) -> Frontier:
        """Sample, bound the smoothed probability by Clopper-Pearson, and return the certified frontier.

        Args:
            example: the input.
            n: number of draws.
            alpha: risk, in (0, 1); it covers all points at once.
            tau: decision threshold, in [0, 1], fixed before the draws.
            d_max: the largest number of edits.
            seed: seed of the draws.
        """
        risk("alpha", alpha)
        return self.frontier(self.sample(example, n, seed=seed), alpha=alpha, tau=tau, d_max=d_max)

    def frontier(self, counts: Counts, *, alpha: float = 0.01, tau: float, d_max: int = 8) -> Frontier:
        """Return the certified frontier of counts drawn earlier with this smoothed guard."""
        bound = float(kind("counts", counts, Counts, "give the counts of sample").p_a(alpha)[0])
        found = frontier(bound, self.kernel, sigma=self.sigma, tau=tau, d_max=d_max)
        return replace(found, alpha=alpha, n=counts.n, example=counts.example)


def count_unsafe(
    smoothed: Any,
    example: Example,
    n: int,
    seed: int,
    batch_draws: int,
    stream_kind: int,
    noisy: Callable[[list[np.random.Generator], int], Groups],
) -> int:
    """Return how many of ``n`` draws are unsafe, for noise on texts that :class:`SmoothedGuard` does not have.

    Args:
        smoothed: has the guard, sigma and the kind of image noise.
        example: the input.
        n: number of draws, at least 1.
        seed: a non-negative whole number.
        batch_draws: draws given to the guard at a time, rounded up to a multiple of 64.
        stream_kind: the kind of random stream of the texts.
        noisy: of the generators of whole blocks of 64 draws, and the number of draws wanted, groups of texts of one
            length, shape ``(group, length)``, with the numbers of their draws.
    """
    n, seed = integer("n", n, at_least=1, at_most=MAX_DRAWS), integer("seed", seed, at_least=0)
    step = -(-integer("batch_draws", batch_draws, at_least=1) // BLOCK) * BLOCK
    stream, unsafe = Stream(seed, example.id), 0
    for start in range(0, n, step):
        stop = min(n, start + step)
        images = noisy_images(smoothed, example, stream, start, stop)
        for texts, draws in noisy(stream.blocks(stream_kind, start, stop), stop - start):
            image_of = draws if len(images) > 1 else np.zeros_like(draws)
            unsafe += int(asked(smoothed.guard, "unsafe", texts, images, image_of).sum())
    return unsafe


def _by_length(tokens: NDArray[np.int64], kept: NDArray[np.bool_]) -> Groups:
    """Yield the texts of each length, shape ``(draws, length)``, and the numbers of their draws."""
    lengths = kept.sum(axis=1)
    for length in np.unique(lengths).tolist():
        draws = np.flatnonzero(lengths == length)
        yield np.broadcast_to(tokens, (draws.size, tokens.size))[kept[draws]].reshape(draws.size, length), draws
