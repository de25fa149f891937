"""How often a guard is right under noise, with intervals: verdicts on many examples in few large batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs.estimation import bounded_mean_lower, clopper_pearson_lower, clopper_pearson_upper
from hybrid_rs.example import Example
from hybrid_rs.guards.protocol import Guard
from hybrid_rs.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.threats import Threat


@dataclass(frozen=True)
class Interval:
    """An estimate and a two-sided confidence interval around it."""

    low: float
    estimate: float
    high: float


@dataclass(frozen=True, eq=False)
class NoisyAccuracy:
    """Which noisy draws of which examples a guard got right.

    Args:
        right: shape ``(examples, draws)``, bool; the draws of one example share the example, so they are no
            independent trials, and the examples are.
    """

    right: NDArray[np.bool_]

    def single(self, alpha: float = 0.05) -> Interval:
        """Accuracy on a single noisy draw: the mean over examples of the share of right draws, bounded by betting."""
        return mean_interval(self.right.mean(axis=1), alpha)

    def smoothed(self, alpha: float = 0.05) -> Interval:
        """Accuracy of the majority of an example's draws, with the exact interval of Clopper and Pearson (1934)."""
        draws = self.right.shape[1]
        require(draws % 2 == 1, "draws", draws, "give an odd number of draws: a majority has no ties then")
        k, n = int((2 * self.right.sum(axis=1) > draws).sum()), len(self.right)
        low, high = clopper_pearson_lower(k, n, alpha / 2), clopper_pearson_upper(k, n, alpha / 2)
        return Interval(float(low), k / n, float(high))


def mean_interval(scores: NDArray[np.float64], alpha: float = 0.05, *, least: float = 0.0) -> Interval:
    """A two-sided interval of the mean of independent scores in [least, 1], each side at risk alpha / 2.

    Args:
        scores: shape ``(n,)``; differences of accuracies have ``least`` = -1.
        alpha: risk of both sides together.
        least: the smallest possible score.

    Example:
        >>> found = mean_interval(np.full(100, 0.75))
        >>> found.low < found.estimate == 0.75 < found.high
        True
    """
    width = 1 - least
    unit = (scores - least) / width
    low, high = bounded_mean_lower(unit, alpha / 2), 1 - bounded_mean_lower(1 - unit, alpha / 2)
    return Interval(least + width * low, float(scores.mean()), least + width * high)


def noisy_accuracy(
    guard: Guard,
    examples: Sequence[Example],
    kernel: UniformKernel | AbsorbingKernel,
    *,
    sigma: float,
    threat: Threat,
    draws: int,
    seed: int = 0,
) -> NoisyAccuracy:
    """Show every example to the guard under as many draws of noise, those of a threat with one smoothed classifier.

    The streams of example i depend on (seed, i) alone. So two calls with the same seed differ in nothing but what was
    asked to differ: a larger beta replaces a superset of the words, and the image noise is the same, scaled by sigma.

    Args:
        guard: the classifier.
        examples: with ground truth; every word in the guard's alphabet.
        kernel: how tokens are noised.
        sigma: standard deviation of the image noise, pixel units.
        threat: which tokens are noised, and how many pads follow the text.
        draws: per example.
        seed: of the noise.

    Raises:
        ValueError: if the threat has several classifiers, a ground truth is missing, or a word is not in the alphabet.
    """
    alphabet = guard.alphabet
    right = np.zeros((len(examples), draws), dtype=bool)
    lengths = np.array([example.token_ids.size for example in examples])
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        patterns = threat.noised(int(length))
        require(len(patterns) == 1, "threat", threat, "give one smoothed classifier: one_shot=True")
        where = patterns[0]
        texts, images = [], []
        for i in rows:
            example = examples[i]
            require(example.unsafe is not None, f"{example.id}: unsafe", None, "give examples with ground truth")
            text_rng, image_rng = (np.random.default_rng([seed, int(i), kind]) for kind in (0, 1))
            clean = np.append(example.token_ids, np.full(threat.slot, guard.pad_id))
            known = bool(np.isin(clean[where], alphabet).all())
            require(known, f"{example.id}: token_ids", example.text, "use words of the guard's alphabet")
            noised = np.tile(clean, (draws, 1))
            by = kernel.sample(np.searchsorted(alphabet, clean[where]), draws, text_rng)
            noised[:, where] = np.where(by == AbsorbingKernel.MASK, guard.mask_id or 0, alphabet[np.maximum(by, 0)])
            noise = image_rng.standard_normal((draws, *example.image.shape), dtype=np.float32)
            texts.append(noised)
            images.append(example.image + np.float32(sigma) * noise)
        verdicts = guard.unsafe(np.concatenate(texts), np.concatenate(images)).reshape(len(rows), draws)
        right[rows] = verdicts == np.array([[examples[i].unsafe] for i in rows])
    return NoisyAccuracy(right)
