"""A certificate from several texts for each image: one statement, with a witness for every level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import flag, kind, probability, require
from hybrid_rs.certificates import neyman_pearson
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel, text_budget
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.certificates.several_texts import IMAGE_ALONE, attacked_share, straight
from hybrid_rs.certificates.target import Target, check_target, infinite, one_statement
from hybrid_rs.certificates.threshold import CalibratedThreshold, threshold
from hybrid_rs.certificates.worst_case import attack_shift
from hybrid_rs.evidence.counts import require_smoothing
from hybrid_rs.evidence.text_counts import TextCounts


@dataclass(frozen=True)
class TextCertificate(Target):
    """One statement about one smoothed classifier, from several texts for each image.

    Args:
        levels: lower bounds of P(K >= k), k = 1..m, that hold together; shape ``(m,)``.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold.
        image_log_t: the witnesses of the image tests, one per level. Empty if the texts are pooled: then the evidence
            is the mean of the levels, a bound of the smoothed value, and ``log_t`` is the witness of the joint
            certificate.
        log_t: the witness of the text channel. By weak duality every number gives a valid bound; the solver chose these
            witnesses because their bound is the largest that it found.
        p_adv: the bound: no attack within the budgets moves the smoothed value below it.
        masked: whether the texts were drawn given that the edited positions were replaced.
        reached: the counts behind the levels, as in :class:`TextCounts`; None if the levels were given as known.
        n: number of images drawn; None if the levels were given as known.
        alpha: risk that a level is wrong; None if the levels were given as known.
        distance: total variation between the law of a draw and that of the theorem; already taken off the levels.

    Example:
        >>> import hybrid_rs as hrs
        >>> counts = hrs.TextCounts(((1_000, 990, 940), (1_000, 980, 900)), n=1_000)
        >>> law = {"d": 1, "epsilon": 0.5, "sigma": 0.5, "tau": 0.05}
        >>> made = certify_texts(counts, hrs.UniformKernel(beta=0.25, vocab_size=32_000), **law)
        >>> made.certified, TextCertificate.from_json(made.to_json()) == made
        (True, True)
    """

    levels: tuple[float, ...]
    kernel: UniformKernel | AbsorbingKernel
    d: int
    epsilon: float
    sigma: float
    tau: float
    image_log_t: tuple[float, ...]
    log_t: float
    p_adv: float
    masked: bool = False
    reached: tuple[int, ...] | None = None
    n: int | None = None
    alpha: float | None = None
    distance: float = 0.0

    def __post_init__(self) -> None:
        for name in ("levels", "image_log_t"):
            numbers = getattr(self, name)
            real = type(numbers) is tuple and all(isinstance(x, float) and x == x for x in numbers)
            require(real, name, numbers, "give a tuple of floats that are numbers", repr)
        require(len(self.levels) > 0, "levels", self.levels, "give P(K >= k) for k = 1..m")
        fits = len(self.image_log_t) in (0, len(self.levels))
        require(fits, "image_log_t", self.image_log_t, "give one witness per level, or none")
        probability("levels", self.levels)
        check_target(self, "log_t")
        require(type(self.masked) is bool, "masked", self.masked, "give True or False", repr)
        require(isinstance(self.kernel, UniformKernel | AbsorbingKernel), "kernel", self.kernel, "give a kernel", repr)
        source = (self.reached, self.n, self.alpha)
        require(source.count(None) in (0, 3), "reached, n, alpha", source, "give what was drawn, or none")
        require(source != (None,) * 3 or self.distance == 0, "distance", self.distance, "give 0.0: nothing was drawn")
        if self.reached is not None and self.n is not None:
            exact = type(self.n) is int and type(self.reached) is tuple and all(type(x) is int for x in self.reached)
            require(exact, "reached, n", (self.reached, self.n), "give whole numbers")
            TextCounts((self.reached,), self.n)  # TextCounts checks the counts
            require(len(self.reached) == len(self.levels), "reached", self.reached, "give one count per level")
            good = isinstance(self.alpha, float) and 0 < self.alpha < 1
            require(good, "alpha", self.alpha, "give a risk in (0, 1)", repr)

    @property
    def texts(self) -> int:
        """m, the number of texts for each image."""
        return len(self.levels)

    @classmethod
    def _restore(cls, fields: dict[str, Any]) -> None:
        fields["levels"] = tuple(fields["levels"])
        fields["image_log_t"] = tuple(map(infinite, fields["image_log_t"]))
        fields["reached"] = None if fields["reached"] is None else tuple(fields["reached"])

    def __str__(self) -> str:
        source = "as given" if self.alpha is None else self._drawn(self.alpha, f"{self.n} images")
        given = "given that the edited positions were replaced, " if self.masked else ""
        return f"{self._claim}; {self.texts} texts for each image, {given}{source})"


def certify_texts(
    counts_or_levels: TextCounts | ArrayLike,
    kernel: UniformKernel | AbsorbingKernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = 0.01,
    masked: bool | None = None,
) -> TextCertificate:
    """Return the statement for one pair of budgets, certified or not, with its witnesses.

    Args:
        counts_or_levels: counts (then ``alpha`` is the risk of all their levels together), or known P(K >= k).
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        alpha: risk, in (0, 1); not used with known levels.
        masked: whether known levels are for texts drawn given that the edited positions were replaced (default: no).
            For counts it follows from their rows: yes if there is a row for each d, no if there is one row.

    Raises:
        ValueError: if an argument is outside its range, or contradicts the counts.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> law = {"d": 1, "sigma": 0.5, "tau": 0.05, "masked": True}
        >>> [certify_texts([0.999, 0.99, 0.9, 0.6], kernel, epsilon=e, **law).certified for e in (1.5, 1.52)]
        [True, False]
    """
    if masked is not None:
        flag("masked", masked)
    kind("kernel", kernel, (UniformKernel, AbsorbingKernel), "give the kernel of the draws, uniform or absorbing")
    budget, counts = text_budget("d", d), None
    evidence: tuple[tuple[int, ...] | None, int | None, float | None] = (None, None, None)
    if isinstance(counts_or_levels, TextCounts):
        counts, given = counts_or_levels, len(counts_or_levels.reached) > 1
        require_smoothing(counts, kernel, sigma)
        require(masked in (None, given), "masked", masked, "the counts come from the other law; leave it out")
        row = budget if given else 0  # a single row comes from the clean law, and serves every budget
        largest = len(counts.reached) - 1
        require(row <= largest, "d", d, f"give at most {largest}, the largest budget sampled")
        levels, evidence = counts.levels(alpha)[row], (counts.reached[row], counts.n, float(alpha))
    else:
        levels, given = probability("levels", counts_or_levels), bool(masked)
        require(levels.ndim == 1 and levels.size > 0, "levels", levels.shape, "give P(K >= k) for k = 1..m, shape (m,)")
    level = threshold(tau, [(counts.example, counts.seed)] if counts else [])
    reach, deviation, at = one_statement(epsilon=epsilon, sigma=sigma, tau=level)
    ratio = kernel.likelihood_ratio(budget, masked=given)
    value, image, log_t = witnessing(levels, reach, deviation)(ratio)
    law = (kernel, budget, reach, deviation, at)
    off = counts.distance if counts else 0.0
    return TextCertificate(tuple(levels.tolist()), *law, image, log_t, value, given, *evidence, off)


def witnessing(
    levels: NDArray[np.float64], epsilon: float, sigma: float
) -> Callable[[LikelihoodRatio], tuple[float, tuple[float, ...], float]]:
    """Return a function of the token ratio: the worst-case value, the image tests' witnesses, and the text's witness.

    The image tests are the same for every number of edits, so they are computed once. Their witnesses are none if the
    joint certificate of the pooled share is better.
    """
    shift = attack_shift(epsilon, sigma)
    image = tuple(neyman_pearson.log_threshold(levels, IMAGE_ALONE, shift).tolist())
    share, pooled = attacked_share(levels, epsilon, sigma=sigma), attacked_share(levels, 0.0, sigma=1.0)

    def against(ratio: LikelihoodRatio) -> tuple[float, tuple[float, ...], float]:
        value, log_t = _witnessed(share, ratio, np.zeros(()))
        if straight(ratio):
            return value, image, log_t
        joint = _witnessed(pooled, ratio, shift)
        return (joint[0], (), joint[1]) if joint[0] > value else (value, image, log_t)

    return against


def _witnessed(p: ArrayLike, ratio: LikelihoodRatio, shift: np.ndarray) -> tuple[float, float]:
    """Return the worst-case value and its witness."""
    at = np.asarray(p, dtype=np.float64)
    log_t = neyman_pearson.log_threshold(at, ratio, shift)
    return float(neyman_pearson.lower_bound(at, log_t, ratio, shift)), float(log_t)
