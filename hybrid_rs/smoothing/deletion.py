"""A guard smoothed by deleting tokens and adding image noise: certificates for inserted and deleted tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hybrid_rs._checks import flag, integer, kind, nonnegative, one, require, risk
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.frontier import Frontier
from hybrid_rs.certificates.frontier_of import frontier_of
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.certificates.threats import EditDistanceThreat, Threat
from hybrid_rs.certificates.threshold import CalibratedThreshold, threshold
from hybrid_rs.certificates.worst_case import required_p_a
from hybrid_rs.decisions.decide import Decision, decide
from hybrid_rs.evidence.counts import Counts, smoothing_text
from hybrid_rs.smoothing.answers import about, asked
from hybrid_rs.smoothing.draws import (
    BLOCK,
    MAX_DRAWS,
    SAMPLERS,
    Noise,
    Stream,
    at_once,
    distance,
    noisy_images,
    require_readable,
)
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

Groups: TypeAlias = Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]
KEPT = 5  # kind of random stream; smoothing uses 0, 1 and 8, attacks 2, subsampling 3 and 4, synonyms 6


@dataclass(frozen=True)
class DeletionSmoothedGuard:
    """A guard, the deletion of tokens and the image noise that smooth it.

    The guard is shown texts of many lengths, from no token to the whole text. An attacked text may be longer than the
    clean one. The certificate is about the smoothed classifier there too, so the guard must be able to read it.

    Args:
        guard: the base classifier.
        kernel: how tokens are deleted, and which edits are certified.
        sigma: standard deviation of the image noise in pixel units; 0 leaves images alone.
        threat: the largest number of edits of interest.
        noise: how image noise is drawn; see :class:`hybrid_rs.SmoothedGuard`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> class Long:
        ...     alphabet, pad_id, mask_id = np.arange(100), 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return np.full(len(token_ids), token_ids.shape[1] > 2)
        >>> threat = EditDistanceThreat(max_edits=2)
        >>> smoothed = DeletionSmoothedGuard(Long(), DeletionKernel(0.25, "insertions"), 0.0, threat)
        >>> example = Example("long", np.arange(12), np.ones((3, 8, 8), np.float32))
        >>> smoothed.certify(example, n=1000, tau=0.05).edits()
        2
    """

    guard: Guard
    kernel: DeletionKernel
    sigma: float
    threat: EditDistanceThreat = field(default_factory=EditDistanceThreat)
    noise: Noise = "lattice"

    def __post_init__(self) -> None:
        able = callable(getattr(self.guard, "unsafe", None))
        require(able, "guard", self.guard, "give an object with unsafe(token_ids, images)", repr)
        kind("kernel", self.kernel, DeletionKernel, "give DeletionKernel(...)")
        object.__setattr__(self, "sigma", one("sigma", nonnegative("sigma", self.sigma)))
        kind("threat", self.threat, EditDistanceThreat, "give EditDistanceThreat(max_edits)")
        require(self.noise in SAMPLERS, "noise", self.noise, f"give one of {', '.join(SAMPLERS)}", repr)

    def sample(
        self,
        example: Example,
        n: int,
        *,
        texts: int = 1,
        masked: bool = False,
        seed: int = 0,
        batch_draws: int = 256,
        progress: bool = False,
    ) -> Counts:
        """Draw noise ``n`` times and count the guard's unsafe verdicts.

        A draw is a function of (seed, example.id, its number), as in :meth:`hybrid_rs.SmoothedGuard.sample`, and its
        image noise is the same as there.

        Args:
            example: the input.
            n: number of draws, at least 1.
            texts: must be 1; only noise that replaces tokens has several texts for each image.
            masked: must be False: the evidence under deletion is p_A.
            seed: a non-negative whole number.
            batch_draws: draws given to the guard at a time, rounded up to a multiple of 64.
            progress: show a bar on stderr.

        Raises:
            ValueError: if an argument is out of range.
        """
        require(not flag("masked", masked), "masked", masked, "evidence under deletion is p_A: leave it out")
        one_text = integer("texts", texts, at_least=1) == 1
        require(one_text, "texts", texts, "deletion has one text for each image: leave it out")
        batches = self._verdicts(example, integer("n", n, at_least=1, at_most=MAX_DRAWS), seed, batch_draws)
        with tqdm(total=n, unit="draw", desc=example.id, disable=not flag("progress", progress), leave=False) as bar:
            unsafe = 0
            for verdicts in batches:
                unsafe += int(verdicts.sum())
                bar.update(len(verdicts))
        noise = smoothing_text(self.kernel, self.sigma)
        return Counts((unsafe,), n, example.id, seed, self.distance(example), noise)

    def _verdicts(self, example: Example, n: int, seed: int, batch_draws: int) -> Iterator[NDArray[np.bool_]]:
        length = kind("example", example, Example, "give a hybrid_rs.Example").token_ids.size
        require_readable(self.guard, length, f"example {example.id!r}")

        def noisy(blocks: list[np.random.Generator], draws: int) -> Groups:
            kept = np.concatenate([self.kernel.kept(length, BLOCK, rng) for rng in blocks])[:draws]
            return by_length(example.token_ids, kept)

        return verdicts_of(self, example, n, seed, batch_draws, KEPT, noisy)

    def distance(self, example: Example) -> float:
        """Return a bound of the total variation between the law of a draw and that of the theorem."""
        return distance(self, example)  # type: ignore[arg-type]  # of the kernel only beta is used

    def certify(
        self,
        example: Example,
        n: int,
        *,
        alpha: float = 0.01,
        tau: float | CalibratedThreshold,
        seed: int = 0,
    ) -> Frontier:
        """Sample, bound the smoothed probability by Clopper-Pearson, and return the certified frontier.

        Args:
            example: the input.
            n: number of draws.
            alpha: risk, in (0, 1); it covers all points at once.
            tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
            seed: seed of the draws.
        """
        risk("alpha", alpha)
        kind("example", example, Example, "give a hybrid_rs.Example")
        threshold(tau, [(example.id, seed)])
        return self.frontier(self.sample(example, n, seed=seed), alpha=alpha, tau=tau)

    def frontier(
        self,
        counts: Counts,
        *,
        alpha: float = 0.01,
        tau: float | CalibratedThreshold,
        simultaneous: bool = False,
    ) -> Frontier:
        """Return the certified frontier of counts drawn earlier with this smoothed guard.

        There is one smoothed classifier, so the confidence covers all points at once; ``simultaneous`` changes nothing.
        """
        kind("counts", counts, Counts, "give the counts of sample")
        law: dict[str, Any] = {"sigma": self.sigma, "tau": tau, "alpha": alpha, "simultaneous": simultaneous}
        return replace(frontier_of(counts, self.kernel, d_max=self.threat.max_edits, **law), threat=self.threat)

    def decide(
        self,
        example: Example,
        d: int,
        epsilon: float,
        *,
        alpha: float = 0.01,
        tau: float | CalibratedThreshold,
        max_draws: int = 10_000,
        masked: bool = False,
        seed: int = 0,
        batch_draws: int = 64,
    ) -> Decision:
        """Draw until it is known whether one pair of budgets is certified; see :meth:`hybrid_rs.SmoothedGuard.decide`.

        Args:
            example: the input.
            d: text budget, at most the threat's largest.
            epsilon: image budget, l2, in the units of sigma.
            alpha: risk of a false "certified", and also of a false "not certifiable".
            tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
            max_draws: after this many draws the decision stays open.
            masked: must be False: the evidence under deletion is p_A.
            seed: seed of the draws.
            batch_draws: draws given to the guard at a time, rounded up to a multiple of 64.
        """
        require(not flag("masked", masked), "masked", masked, "evidence under deletion is p_A: leave it out")
        kind("example", example, Example, "give a hybrid_rs.Example")
        budget, shift = integer("d", d, at_least=0), one("epsilon", nonnegative("epsilon", epsilon))
        require(budget <= self.threat.max_edits, "d", d, f"give at most max_edits = {self.threat.max_edits}")
        law: dict[str, Any] = {"sigma": self.sigma, "tau": threshold(tau, [(example.id, seed)])}
        laws = self.kernel.likelihood_ratios(budget)
        least = float(np.max([required_p_a(shift, ratio, **law) for ratio in laws]))  # nan if one is beyond reach
        limit = integer("max_draws", max_draws, at_least=0)
        batches = self._verdicts(example, limit, seed, batch_draws)
        return decide(batches, least, alpha=alpha, max_draws=limit, distance=self.distance(example))


AnySmoothed: TypeAlias = SmoothedGuard | DeletionSmoothedGuard


def smooth(
    guard: Guard,
    kernel: UniformKernel | AbsorbingKernel | DeletionKernel,
    sigma: float,
    threat: Threat,
    noise: Noise,
) -> AnySmoothed:
    """Return the smoothed guard of a kernel: one that deletes tokens, or one that replaces them.

    Args:
        guard: the base classifier.
        kernel: the noise on tokens.
        sigma: standard deviation of the image noise in pixel units.
        threat: what the adversary may do to the text; an :class:`EditDistanceThreat` if tokens are deleted.
        noise: how image noise is drawn.
    """
    if isinstance(kernel, DeletionKernel):
        return DeletionSmoothedGuard(guard, kernel, sigma, threat, noise)  # type: ignore[arg-type]  # checked there
    return SmoothedGuard(guard, kernel, sigma, threat, noise)


def verdicts_of(
    smoothed: Any,
    example: Example,
    n: int,
    seed: int,
    batch_draws: int,
    stream_kind: int,
    noisy: Callable[[list[np.random.Generator], int], Groups],
) -> Iterator[NDArray[np.bool_]]:
    """Yield the verdicts on ``n`` draws, batch by batch, for noise on texts that :class:`SmoothedGuard` does not have.

    Args:
        smoothed: has the guard, sigma and the kind of image noise.
        example: the input.
        n: number of draws.
        seed: a non-negative whole number.
        batch_draws: draws given to the guard at a time, rounded up to a multiple of 64.
        stream_kind: the kind of random stream of the texts.
        noisy: is given the generators of whole blocks of 64 draws and the number of draws; yields groups of texts of
            one length, shape ``(group, length)``, with the numbers of their draws.
    """
    n, seed = integer("n", n, at_least=0, at_most=MAX_DRAWS), integer("seed", seed, at_least=0)
    step, stream = at_once(batch_draws, example), Stream(seed, example.id)

    def batches() -> Iterator[NDArray[np.bool_]]:
        for start in range(0, n, step):
            stop = min(n, start + step)
            images = noisy_images(smoothed, example, stream, start, stop)
            verdicts = np.zeros(stop - start, dtype=bool)
            for texts, draws in noisy(stream.blocks(stream_kind, start, stop), stop - start):
                image_of = draws if len(images) > 1 else np.zeros_like(draws)
                with about(example.id):
                    verdicts[draws] = asked(smoothed.guard, "unsafe", texts, images, image_of)
            yield verdicts

    return batches()


def by_length(tokens: NDArray[np.int64], kept: NDArray[np.bool_]) -> Groups:
    """Yield the texts of each length, shape ``(draws, length)``, and the numbers of their draws."""
    lengths = kept.sum(axis=1)
    for length in np.unique(lengths).tolist():
        draws = np.flatnonzero(lengths == length)
        yield np.broadcast_to(tokens, (draws.size, tokens.size))[kept[draws]].reshape(draws.size, length), draws
