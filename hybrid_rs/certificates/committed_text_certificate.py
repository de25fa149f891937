"""A certificate from several texts for each image against an adversary who commits to a number of edits.

Against each number of edits, one row of levels is used: that of the clean law, or that of texts in which some positions
were replaced. These are the positions that the adversary may edit or, if those are unknown, any positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import kind, probability, require, risk
from hybrid_rs.certificates.commitment import TokenKernel, ratio_of, sizes_for
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel, text_budget
from hybrid_rs.certificates.target import Target, check_target, infinite, one_statement
from hybrid_rs.certificates.text_certificate import witnessing
from hybrid_rs.certificates.threshold import CalibratedThreshold, threshold
from hybrid_rs.evidence.counts import require_smoothing
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts
from hybrid_rs.evidence.text_counts import TextCounts


@dataclass(frozen=True)
class Witness:
    """For one number of edits, the row of levels that is used, and the witnesses.

    Args:
        size: names the row: the number of positions that were replaced in its texts; 0 for the clean law.
        image_log_t: the witnesses of the image tests, one per level; empty if the texts are pooled.
        log_t: the witness of the text channel.
    """

    size: int
    image_log_t: tuple[float, ...]
    log_t: float

    def __post_init__(self) -> None:
        require(type(self.size) is int, "size", self.size, "give a whole number", repr)
        numbers = (*self.image_log_t, self.log_t) if type(self.image_log_t) is tuple else (None,)
        real = all(isinstance(u, float) and u == u for u in numbers)
        require(real, "image_log_t, log_t", numbers, "give floats that are numbers", repr)


@dataclass(frozen=True)
class CommittedTextCertificate(Target):
    """One statement about one smoothed classifier, from several texts for each image.

    Args:
        levels: rows of lower bounds that all hold together at risk alpha. If the positions are known, the first row
            bounds P(K >= k) under the clean law, and the second given that all d positions were replaced. If they are
            unknown, there is a row for each size of sets, and it bounds the least P(K >= k) over all sets of that size.
        counts: the counts behind them: ``TextCounts`` if the positions are known, otherwise ``SubsetTextCounts``.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold.
        witnesses: one for each number of edits e = 0..d. By weak duality every number gives a valid bound.
        p_adv: the bound: no attack within the budgets moves the smoothed value below it.
        alpha: risk that a level is wrong.

    Example:
        >>> import hybrid_rs as hrs
        >>> from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts
        >>> counts = SubsetTextCounts(((1_000, 990), (640, 600)), n=1_000, texts=2, length=20, beta=0.9)
        >>> law = {"d": 1, "epsilon": 0.5, "sigma": 0.5, "tau": 0.05}
        >>> made = certify_committed_texts(counts, hrs.UniformKernel(beta=0.9, vocab_size=32_000), **law)
        >>> made.certified, CommittedTextCertificate.from_json(made.to_json()) == made
        (True, True)
    """

    levels: tuple[tuple[float, ...], ...]
    counts: TextCounts | SubsetTextCounts
    kernel: TokenKernel
    d: int
    epsilon: float
    sigma: float
    tau: float
    witnesses: tuple[Witness, ...]
    p_adv: float
    alpha: float

    def __post_init__(self) -> None:
        known = isinstance(self.counts, TextCounts | SubsetTextCounts)
        require(known, "counts", self.counts, "give TextCounts or SubsetTextCounts", repr)
        edits = check_target(self, "alpha")
        require(0 < self.alpha < 1, "alpha", self.alpha, "give a risk in (0, 1)")
        require(isinstance(self.kernel, UniformKernel | AbsorbingKernel), "kernel", self.kernel, "give a kernel", repr)
        _fits(self.counts, self.kernel, self.d, self.sigma)
        rows = type(self.levels) is tuple and all(type(row) is tuple for row in self.levels)
        shape = [len(self.counts.reached[size]) for size in self.sizes]
        require(rows and [*map(len, self.levels)] == shape, "levels", self.levels, f"give rows of {shape} levels", repr)
        real = all(isinstance(x, float) for row in self.levels for x in row)
        require(real, "levels", self.levels, "give floats", repr)
        probability("levels", [x for row in self.levels for x in row])
        good = type(self.witnesses) is tuple and all(isinstance(w, Witness) for w in self.witnesses)
        require(good and len(self.witnesses) == edits, "witnesses", self.witnesses, f"give {edits}, one per e", repr)
        for witness in self.witnesses:
            fits = witness.size in self.sizes
            fits = fits and len(witness.image_log_t) in (0, len(self.levels_of(witness.size)))
            require(fits, "witnesses", witness, "give the size of a row, and one image witness for each level", repr)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of positions that were replaced in the texts of each row of ``levels``."""
        return _sizes(self.counts, self.d)

    def levels_of(self, size: int) -> tuple[float, ...]:
        """Return the row of levels for texts in which ``size`` positions were replaced."""
        return self.levels[self.sizes.index(size)]

    @property
    def distance(self) -> float:  # type: ignore[override]
        """Total variation between the law of an image with its texts and that of the theorem."""
        return self.counts.distance

    @property
    def n(self) -> int:
        """The number of images drawn."""
        return self.counts.n

    @classmethod
    def _restore(cls, fields: dict[str, Any]) -> None:
        fields["levels"] = tuple(tuple(row) for row in fields["levels"])
        read = SubsetTextCounts if "length" in fields["counts"] else TextCounts
        fields["counts"] = read.from_dict(fields["counts"])
        fields["witnesses"] = tuple(_read(w) for w in fields["witnesses"])

    def __str__(self) -> str:
        where = "any positions" if isinstance(self.counts, SubsetTextCounts) else "known positions"
        drawn = self._drawn(self.alpha, f"{self.n} images")
        return f"{self._claim}; {self.counts.texts} texts for each image, {where}, {drawn})"


def certify_committed_texts(
    counts: TextCounts | SubsetTextCounts,
    kernel: TokenKernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = 0.01,
) -> CommittedTextCertificate:
    """Return the statement for one pair of budgets, certified or not, with its witnesses.

    Args:
        counts: the counts; ``alpha`` is the risk of all levels that are used. For ``TextCounts``, half of it goes to
            the row of the clean law and half to the row of d.
        kernel: the token kernel.
        d: text budget; at least 1 if the positions are known.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        alpha: risk, in (0, 1).

    Raises:
        ValueError: if an argument is outside its range, or contradicts the counts.
    """
    kind("counts", counts, (TextCounts, SubsetTextCounts), "give TextCounts or SubsetTextCounts")
    kind("kernel", kernel, (UniformKernel, AbsorbingKernel), "give the kernel of the draws, uniform or absorbing")
    budget, level = text_budget("d", d), threshold(tau, [(counts.example, counts.seed)])
    _fits(counts, kernel, budget, sigma)
    reach, deviation, at = one_statement(epsilon=epsilon, sigma=sigma, tau=level)
    levels, found = _levels(counts, budget, alpha), []
    tests = {size: witnessing(row, reach, deviation) for size, row in levels.items()}
    for e in range(budget + 1):
        speaking = sizes_for(e, [*levels], all_sets=isinstance(counts, SubsetTextCounts))
        each = [tests[j](ratio_of(kernel, j, e)) for j in speaking]
        best = int(np.argmax([value for value, _, _ in each]))
        found.append((each[best][0], Witness(speaking[best], *each[best][1:])))
    law = (kernel, budget, reach, deviation, at)
    value, witnesses = min(value for value, _ in found), tuple(witness for _, witness in found)
    return CommittedTextCertificate(
        tuple(tuple(row.tolist()) for row in levels.values()), counts, *law, witnesses, value, float(alpha)
    )


def _fits(counts: TextCounts | SubsetTextCounts, kernel: TokenKernel, d: int, sigma: float) -> None:
    """Refuse counts that do not cover d edits, or come from another smoothing."""
    require_smoothing(counts, kernel, sigma)
    if isinstance(counts, SubsetTextCounts):
        require(d <= counts.length, "d", d, f"give at most {counts.length}, the number of positions")
    else:
        largest = len(counts.reached) - 1
        require(1 <= d <= largest, "d", d, f"give 1 to {largest}, the largest budget sampled")


def _sizes(counts: TextCounts | SubsetTextCounts, d: int) -> tuple[int, ...]:
    """Return which rows of the counts are used: the numbers of positions that were replaced in their texts."""
    return tuple(range(len(counts.reached))) if isinstance(counts, SubsetTextCounts) else (0, d)


def _levels(counts: TextCounts | SubsetTextCounts, d: int, alpha: float) -> dict[int, NDArray[np.float64]]:
    """Return the levels that hold together at risk alpha, by the number of positions replaced."""
    each = counts.levels(alpha if isinstance(counts, SubsetTextCounts) else risk("alpha", alpha) / 2)
    return {size: each[size] for size in _sizes(counts, d)}


def _read(fields: dict[str, Any]) -> Witness:
    *image, log_t = map(infinite, (*fields.pop("image_log_t"), fields.pop("log_t")))
    return Witness(image_log_t=tuple(image), log_t=log_t, **fields)
