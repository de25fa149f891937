"""A certificate from several texts for each image if the edited positions are unknown, with witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_rs._checks import kind, probability, require
from hybrid_rs.certificates.commitment import TokenKernel, ratio_of, sizes_for
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel, text_budget
from hybrid_rs.certificates.target import Target, check_target, infinite
from hybrid_rs.certificates.text_certificate import witnessed
from hybrid_rs.certificates.threshold import CalibratedThreshold, threshold
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts


@dataclass(frozen=True)
class Witness:
    """For one number of edits, the row of levels that is used, and the witnesses.

    Args:
        size: the row: the number of positions that were replaced in its texts.
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
class SubsetTextCertificate(Target):
    """One statement about one smoothed classifier, from several texts for each image; the edited positions are unknown.

    Args:
        levels: by size of sets, lower bounds of the least P(K >= k) over all sets; they hold together at risk alpha.
        counts: the counts behind them.
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
        >>> made = certify_subset_texts(counts, hrs.UniformKernel(beta=0.9, vocab_size=32_000), **law)
        >>> made.certified, SubsetTextCertificate.from_json(made.to_json()) == made
        (True, True)
    """

    levels: tuple[tuple[float, ...], ...]
    counts: SubsetTextCounts
    kernel: TokenKernel
    d: int
    epsilon: float
    sigma: float
    tau: float
    witnesses: tuple[Witness, ...]
    p_adv: float
    alpha: float

    def __post_init__(self) -> None:
        require(isinstance(self.counts, SubsetTextCounts), "counts", self.counts, "give SubsetTextCounts", repr)
        edits = check_target(self, "alpha")
        require(0 < self.alpha < 1, "alpha", self.alpha, "give a risk in (0, 1)")
        require(isinstance(self.kernel, UniformKernel | AbsorbingKernel), "kernel", self.kernel, "give a kernel", repr)
        same = self.counts.beta == self.kernel.beta
        require(same, "kernel", self.kernel, f"give the kernel of the draws, with beta = {self.counts.beta}", repr)
        rows = type(self.levels) is tuple and all(type(row) is tuple for row in self.levels)
        shape = [len(row) for row in self.counts.reached]
        require(rows and [*map(len, self.levels)] == shape, "levels", self.levels, f"give rows of {shape} levels", repr)
        real = all(isinstance(x, float) for row in self.levels for x in row)
        require(real, "levels", self.levels, "give floats", repr)
        probability("levels", [x for row in self.levels for x in row])
        good = type(self.witnesses) is tuple and all(isinstance(w, Witness) for w in self.witnesses)
        require(good and len(self.witnesses) == edits, "witnesses", self.witnesses, f"give {edits}, one per e", repr)
        for witness in self.witnesses:
            fits = 0 <= witness.size < len(shape) and len(witness.image_log_t) in (0, shape[witness.size])
            require(fits, "witnesses", witness, "give the size of a row, and one image witness for each level", repr)

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
        fields["counts"] = SubsetTextCounts.from_dict(fields["counts"])
        fields["witnesses"] = tuple(_read(w) for w in fields["witnesses"])

    def __str__(self) -> str:
        verdict = "certified" if self.certified else "not certified"
        return (
            f"{verdict} at d = {self.d}, epsilon = {self.epsilon:g}: p_adv >= {self.p_adv:.6g} against "
            f"tau = {self.tau:g} (smoothed with {self.kernel} and sigma = {self.sigma:g}; {self.counts.texts} texts "
            f"for each image, any positions, with confidence {1 - self.alpha:g}, {self.n} images{self._law})"
        )


def certify_subset_texts(
    counts: SubsetTextCounts,
    kernel: TokenKernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = 0.01,
) -> SubsetTextCertificate:
    """Return the statement for one pair of budgets, certified or not, with its witnesses.

    Args:
        counts: the counts; ``alpha`` is the risk of all their levels together.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        alpha: risk, in (0, 1).

    Raises:
        ValueError: if an argument is outside its range, or d is above the number of positions.
    """
    kind("counts", counts, SubsetTextCounts, "give SubsetTextCounts")
    kind("kernel", kernel, (UniformKernel, AbsorbingKernel), "give the kernel of the draws, uniform or absorbing")
    budget, level = text_budget("d", d), threshold(tau, [(counts.example, counts.seed)])
    require(budget <= counts.length, "d", d, f"give at most {counts.length}, the number of positions")
    for name, number in (("epsilon", epsilon), ("sigma", sigma), ("tau", level)):
        require(np.ndim(number) == 0, name, number, "give one number: a certificate is one statement")
    levels, found = counts.levels(alpha), []
    for e in range(budget + 1):
        sizes = sizes_for(e, range(len(counts.reached)), all_sets=True)
        each = [witnessed(levels[j], ratio_of(kernel, j, e), float(epsilon), float(sigma)) for j in sizes]
        best = int(np.argmax([value for value, _, _ in each]))
        found.append((each[best][0], Witness(sizes[best], *each[best][1:])))
    law = (kernel, budget, float(epsilon), float(sigma), float(level))
    value, witnesses = min(value for value, _ in found), tuple(witness for _, witness in found)
    return SubsetTextCertificate(
        tuple(tuple(row.tolist()) for row in levels), counts, *law, witnesses, value, float(alpha)
    )


def _read(fields: dict[str, Any]) -> Witness:
    *image, log_t = map(infinite, (*fields.pop("image_log_t"), fields.pop("log_t")))
    return Witness(image_log_t=tuple(image), log_t=log_t, **fields)
