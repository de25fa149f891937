"""The smoothed guard: it draws noise, counts verdicts, and certifies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import flag, integer, kind, nonnegative, one, require, risk
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.certificates.frontier import Frontier
from hybrid_rs.certificates.frontier_of import frontier_of
from hybrid_rs.certificates.kernels import AbsorbingKernel, Kernel, UniformKernel
from hybrid_rs.certificates.threats import EditDistanceThreat, Threat
from hybrid_rs.certificates.threshold import threshold
from hybrid_rs.certificates.worst_case import required_p_a
from hybrid_rs.decisions.calibrate import Calibration
from hybrid_rs.decisions.decide import Decision, decide
from hybrid_rs.decisions.decide_sets import decide_sets
from hybrid_rs.decisions.watch import watch
from hybrid_rs.decisions.watch_sets import watch_sets
from hybrid_rs.evidence.counts import Counts, MaskedCounts
from hybrid_rs.evidence.kinds import KINDS, AnyCounts
from hybrid_rs.evidence.subset_counts import SubsetCounts
from hybrid_rs.smoothing.draws import SAMPLERS, Noise, distance, drawn
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard, require_guard
from hybrid_rs.smoothing.text_sampling import sample_texts
from hybrid_rs.smoothing.together import conditions, sample_together


@dataclass(frozen=True, eq=False)
class SmoothedGuard:
    """A guard, the noise that smooths it, and the threat it is certified against.

    Gaussian noise of standard deviation ``sigma`` is added to the image in pixel units [0, 1], at the guard's own
    resolution, before normalisation and without clipping. Tokens are noised by ``kernel``; a token to be noised
    that is not in the guard's alphabet is first replaced by the guard's pad, so that the kernel's law holds for it.

    Args:
        guard: the base classifier.
        kernel: the token kernel; a uniform kernel must have the size of the guard's alphabet.
        sigma: standard deviation of the image noise in pixel units; 0 leaves images alone.
        threat: what is noised, and what the adversary may touch.
        noise: how image noise is drawn. "lattice" draws Gaussians rounded to steps of 1 / 255. It has the law of the
            theorem for every guard, if the image and the attacked image have 8 bits per channel. "float32" accepts any
            image. Its last bits are not Gaussian, so the guard must not depend on them.

    Raises:
        ValueError: if a member of the guard is missing or of the wrong kind, the kernel does not fit the guard's
            alphabet, or sigma is negative or not a number.

    References:
        Delattre et al. (2026); the suffix and l0 threats follow Chen et al. (2025).

    Example:
        >>> class Bright:
        ...     alphabet, pad_id, mask_id = np.arange(100), 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return images.mean(axis=(1, 2, 3)) > 0.5
        >>> from hybrid_rs import SuffixThreat
        >>> smoothed = SmoothedGuard(Bright(), UniformKernel(0.25, 100), sigma=0.5, threat=SuffixThreat(max_edits=2))
        >>> example = Example("white", np.array([7, 8]), np.ones((3, 8, 8), np.float32))
        >>> smoothed.certify(example, n=1000, tau=0.01).edits(epsilon=0.5)
        2
    """

    guard: Guard
    kernel: UniformKernel | AbsorbingKernel
    sigma: float
    threat: Threat
    noise: Noise = "lattice"

    def __post_init__(self) -> None:
        known = isinstance(self.noise, str) and self.noise in SAMPLERS
        require(known, "noise", self.noise, f"give one of {', '.join(SAMPLERS)}", repr)
        object.__setattr__(self, "sigma", one("sigma", nonnegative("sigma", self.sigma)))
        require_guard(self.guard)
        kind("kernel", self.kernel, Kernel, "give hybrid_rs.UniformKernel or AbsorbingKernel")
        kind("threat", self.threat, Threat, "give hybrid_rs.SuffixThreat or L0Threat")
        keeps_length = not isinstance(self.threat, EditDistanceThreat)
        require(keeps_length, "threat", self.threat, "insertions and deletions need a DeletionSmoothedGuard")
        alphabet, mask = self.guard.alphabet, self.guard.mask_id
        if isinstance(self.kernel, UniformKernel):
            require(
                self.kernel.vocab_size == alphabet.size,
                "kernel.vocab_size",
                self.kernel.vocab_size,
                f"give the size of the guard's alphabet, vocab_size={alphabet.size}",
            )
        elif isinstance(self.kernel, FeatureKernel):
            raise ValueError(f"kernel = {self.kernel}: this one is for tables; give a kernel over the guard's alphabet")
        elif isinstance(self.kernel, AbsorbingKernel):
            fits = mask is not None and not np.isin(mask, alphabet)
            require(fits, "guard.mask_id", mask, "the absorbing kernel needs a mask token outside the alphabet")

    @overload
    def sample(
        self,
        example: Example,
        n: int,
        *,
        texts: Literal[1] = ...,
        masked: Literal[False] = ...,
        seed: int = ...,
        batch_draws: int = ...,
        progress: bool = ...,
    ) -> Counts: ...

    @overload
    def sample(
        self,
        example: Example,
        n: int,
        *,
        texts: Literal[1] = ...,
        masked: Literal[True],
        seed: int = ...,
        batch_draws: int = ...,
        progress: bool = ...,
    ) -> MaskedCounts | SubsetCounts: ...

    @overload
    def sample(
        self,
        example: Example,
        n: int,
        *,
        texts: int,
        masked: bool = ...,
        seed: int = ...,
        batch_draws: int = ...,
        progress: bool = ...,
    ) -> AnyCounts: ...

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
    ) -> AnyCounts:
        """Draw noise ``n`` times and count the guard's unsafe verdicts, for every smoothed classifier of the threat.

        A draw is a function of (seed, example.id, its number): the batch size changes nothing, and draws 0..n-1 are
        the first n of any longer run. One draw serves all nested classifiers; equal noisy texts are evaluated once.

        Args:
            example: the input.
            n: number of draws, at least 1; with several texts, the number of images.
            texts: noisy texts for each noisy image; they share its encoding, and show whether the image alone decides.
            masked: collect evidence for the masked certificate. Suffix: for every d, each draw is also shown to the
                guard with the first d pads replaced, which is a draw given that they were replaced. l0: the draws are
                unchanged, and the replaced positions are recorded whenever the guard does not flag.
            seed: a non-negative whole number.
            batch_draws: draws given to the guard at a time, rounded up to a multiple of 64; it limits only the memory.
            progress: show a bar on stderr.

        Returns:
            Counts with one entry per smoothed classifier; if masked, MaskedCounts (suffix) or SubsetCounts (l0). With
            several texts TextCounts: for the clean law, or, if masked (suffix), for every d; if masked (l0),
            SubsetTextCounts.

        Raises:
            ValueError: if n, texts, seed or batch_draws is out of range; or if masked evidence or several texts are
                requested for a threat with more than one smoothed classifier.
        """
        law: dict[str, Any] = {"masked": masked, "seed": seed, "batch_draws": batch_draws, "progress": progress}
        if integer("texts", texts, at_least=1) > 1:
            return sample_texts(self, example, n, texts, **law)
        return sample_together([self], example, n, **law)[0]

    def certify(
        self,
        example: Example,
        n: int,
        *,
        texts: int = 1,
        alpha: float = 0.01,
        tau: float | Calibration,
        masked: bool = False,
        simultaneous: bool = False,
        seed: int = 0,
        progress: bool = False,
    ) -> Frontier:
        """Sample, bound the smoothed probability by Clopper-Pearson, and return the certified frontier.

        Args:
            example: the input.
            n: number of draws; with several texts, the number of images.
            texts: noisy texts for each noisy image; see :meth:`sample`.
            alpha: risk, in (0, 1); the frontier says whether it covers all its points at once.
            tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
            masked: certify from p_S, the smoothed value given that the edited positions were replaced; see
                :meth:`sample`.
            simultaneous: let alpha cover all points at once; this needs a union bound unless there is one classifier.
            seed: seed of the draws.
            progress: show a bar on stderr.
        """
        risk("alpha", alpha)  # fail before anything is drawn
        flag("simultaneous", simultaneous)
        kind("example", example, Example, "give a hybrid_rs.Example")
        threshold(tau, [(example.id, seed)])
        law: dict[str, Any] = {"texts": texts, "masked": flag("masked", masked), "seed": seed, "progress": progress}
        counts: AnyCounts = self.sample(example, n, **law)
        return self.frontier(counts, alpha=alpha, tau=tau, simultaneous=simultaneous)

    def frontier(
        self,
        counts: AnyCounts,
        *,
        alpha: float = 0.01,
        tau: float | Calibration,
        simultaneous: bool = False,
    ) -> Frontier:
        """Return the certified frontier of counts drawn earlier with this smoothed guard."""
        by_budget = kind("counts", counts, KINDS, "give the counts of sample").by_budget
        fits = not by_budget or self.threat.conditions(1) is not None
        remedy = "these have a bound for each number of pads, but here edits may be anywhere; give the counts of sample"
        require(fits, "counts", type(counts).__name__, remedy)
        law = {"sigma": self.sigma, "alpha": alpha}
        front = frontier_of(counts, self.kernel, tau=tau, d_max=self.threat.max_edits, simultaneous=simultaneous, **law)
        return replace(front, threat=self.threat)

    def decide(
        self,
        example: Example,
        d: int,
        epsilon: float,
        *,
        alpha: float = 0.01,
        tau: float | Calibration,
        max_draws: int = 10_000,
        masked: bool = False,
        seed: int = 0,
        batch_draws: int = 64,
    ) -> Decision:
        """Draw until it is known whether one pair of budgets is certified.

        The evidence is valid at any time, so stopping early costs no confidence. The draws are the first ones of
        :meth:`sample` with the same seed.

        Args:
            example: the input.
            d: text budget, at most the threat's largest.
            epsilon: image budget, l2, in the units of sigma.
            alpha: risk of a false "certified", and also of a false "not certifiable".
            tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
            max_draws: after this many draws the decision stays open.
            masked: decide from p_S; see :meth:`sample`. Where positions are unknown, p_S of every set of d positions
                must reach the required value (:func:`hybrid_rs.decisions.decide_sets.decide_sets`).
            seed: seed of the draws.
            batch_draws: draws given to the guard at a time, rounded up to a multiple of 64; does not affect the
                decision.

        Raises:
            ValueError: if a budget is out of range, or there are more than 20,000 sets of d positions.
        """
        kind("example", example, Example, "give a hybrid_rs.Example")
        flag("masked", masked)
        epsilon = one("epsilon", nonnegative("epsilon", epsilon))
        budget = integer("d", d, at_least=0)
        require(budget <= self.threat.max_edits, "d", d, f"give at most max_edits = {self.threat.max_edits}")
        forced = conditions(self.threat, example) if masked else None
        ratio = self.kernel.likelihood_ratio(budget, masked=masked)
        level = threshold(tau, [(example.id, seed)])
        p_star = required_p_a(epsilon, ratio, sigma=self.sigma, tau=level)
        rows = [budget if forced is not None or len(self.threat.noised(example.token_ids.size)) > 1 else 0]
        limit = integer("max_draws", max_draws, at_least=0)
        batches = drawn([self], example, limit, seed, batch_draws, forced=forced, rows=rows)
        law: dict[str, Any] = {"alpha": alpha, "max_draws": limit, "distance": distance(self, example)}
        if masked and forced is None:
            law |= {"length": (words := example.token_ids.size), "size": min(budget, words), "beta": self.kernel.beta}
            return decide_sets(((verdicts[:, 0], replaced) for [(verdicts, replaced)] in batches), float(p_star), **law)
        return decide((verdicts[:, 0] for [(verdicts, _)] in batches), float(p_star), **law)

    def watch(
        self,
        example: Example,
        max_draws: int = 10_000,
        *,
        alpha: float = 0.01,
        tau: float | Calibration,
        masked: bool = False,
        simultaneous: bool = False,
        seed: int = 0,
        batch_draws: int = 256,
    ) -> Iterator[Frontier]:
        """Yield, after every batch of draws, the frontier that all draws so far support; stop at any time.

        The confidence covers all moments together, and radii never shrink: see
        :func:`hybrid_rs.decisions.watch.watch`. A batch is drawn when the next frontier is requested. The draws are the
        first ones of :meth:`sample` with the same seed.

        Args:
            example: the input.
            max_draws: the largest number of draws, at least 1.
            alpha: risk, in (0, 1); the frontiers say whether it covers all points at once.
            tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
            masked: certify from p_S; see :meth:`sample`. Where positions are unknown, from p_A and p_S of all sets.
            simultaneous: let alpha cover all points at once; this needs a union bound unless there is one classifier.
            seed: seed of the draws.
            batch_draws: draws between one frontier and the next, rounded up to a multiple of 64.

        Raises:
            ValueError: if an argument is out of range.
        """
        limit = integer("max_draws", max_draws, at_least=1)
        risk("alpha", alpha)
        flag("simultaneous", simultaneous)
        kind("example", example, Example, "give a hybrid_rs.Example")
        forced = conditions(self.threat, example) if flag("masked", masked) else None
        batches = drawn([self], example, limit, seed, batch_draws, forced=forced)
        law: dict[str, Any] = {"sigma": self.sigma, "tau": threshold(tau, [(example.id, seed)]), "alpha": alpha}
        law |= {"d_max": self.threat.max_edits, "distance": distance(self, example)}
        if masked and forced is None:
            draws = ((verdicts[:, 0], replaced) for [(verdicts, replaced)] in batches)
            fronts = watch_sets(draws, self.kernel, length=example.token_ids.size, **law)
        else:
            law |= {"masked": masked, "simultaneous": simultaneous}
            fronts = watch((verdicts for [(verdicts, _)] in batches), self.kernel, **law)
        return (replace(front, example=example.id, threat=self.threat) for front in fronts)

    def verdicts(
        self, example: Example, n: int, *, seed: int = 0, batch_draws: int = 256
    ) -> Iterator[NDArray[np.bool_]]:
        """Yield verdicts of the first ``n`` draws of :meth:`sample`, batch by batch, shape ``(batch, classifiers)``.

        Args:
            example: the input.
            n: number of draws, at least 1.
            seed: seed of the draws.
            batch_draws: draws given to the guard at a time, rounded up to a multiple of 64.
        """
        batches = drawn([self], example, integer("n", n, at_least=1), seed, batch_draws, forced=None)
        return (verdicts for [(verdicts, _)] in batches)
