"""Accuracy of a guard under noise, with confidence intervals over the examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper
from hybrid_rs.evidence.score_means import bounded_mean_lower
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
from hybrid_rs.smoothing.together import sample_together


@dataclass(frozen=True)
class Interval:
    """An estimate and a two-sided confidence interval around it."""

    low: float
    estimate: float
    high: float


@dataclass(frozen=True, eq=False)
class NoisyAccuracy:
    """How many noisy draws of each example a guard got right.

    Args:
        right: shape ``(examples,)``, from 0 to ``draws``. Draws of the same example are not independent trials; the
            examples are.
        draws: number of draws per example.
    """

    right: NDArray[np.int64]
    draws: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of each example's draws that are right, shape ``(examples,)``."""
        return self.right / self.draws

    def single(self, alpha: float = 0.05) -> Interval:
        """Return the accuracy on a single noisy draw: the mean share of right draws, bounded by betting."""
        return mean_interval(self.shares, alpha)

    def majority(self, alpha: float = 0.05) -> Interval:
        """Return the accuracy of the majority of an example's draws, with the interval of Clopper and Pearson (1934).

        Raises:
            ValueError: if the number of draws is even, so that there may be ties.
        """
        require(self.draws % 2 == 1, "draws", self.draws, "give an odd number of draws, so that there are no ties")
        k, n = int((2 * self.right > self.draws).sum()), len(self.right)
        low, high = clopper_pearson_lower(k, n, alpha / 2), clopper_pearson_upper(k, n, alpha / 2)
        return Interval(float(low), k / n, float(high))


def mean_interval(scores: NDArray[np.float64], alpha: float = 0.05, *, least: float = 0.0) -> Interval:
    """Return a two-sided interval of the mean of independent scores in [least, 1], each side at risk alpha / 2.

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
    smoothed: Sequence[SmoothedGuard], examples: Sequence[Example], *, draws: int, seed: int = 0
) -> list[NoisyAccuracy]:
    """Count how many draws of every example each of several smoothed guards gets right, all with the same noise.

    The draws are those of :func:`hybrid_rs.smoothing.together.sample_together`: the smoothed guards may differ only in
    kernel. They see the same image noise, and a larger beta replaces a superset of the words.

    Args:
        smoothed: the smoothed guards, each with one classifier: ``one_shot=True`` for suffixes.
        examples: with ground truth.
        draws: number of draws per example.
        seed: seed of the noise.

    Returns:
        the accuracy of each smoothed guard.

    Raises:
        ValueError: if a threat has several classifiers, or a ground truth is missing.
    """
    right = np.zeros((len(smoothed), len(examples)), dtype=np.int64)
    for column, example in enumerate(examples):
        require(example.unsafe is not None, f"{example.id}: unsafe", None, "give examples with ground truth")
        for row, counts in enumerate(sample_together(smoothed, example, draws, seed=seed)):
            require(len(counts.unsafe) == 1, "threat", smoothed[0].threat, "give one classifier: one_shot=True")
            right[row, column] = counts.unsafe[0] if example.unsafe else draws - counts.unsafe[0]
    return [NoisyAccuracy(each, draws) for each in right]
