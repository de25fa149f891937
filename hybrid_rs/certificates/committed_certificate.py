"""A certificate from p_A and p_S: one statement, with a witness for every number of edits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_rs._checks import kind, probability, require
from hybrid_rs.certificates import neyman_pearson
from hybrid_rs.certificates.commitment import TokenKernel, joined, ratio_of, sizes_for
from hybrid_rs.certificates.joint_evidence import joint_bound
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel, text_budget
from hybrid_rs.certificates.target import Target, check_target, infinite, one_statement
from hybrid_rs.certificates.threshold import CalibratedThreshold, threshold
from hybrid_rs.certificates.worst_case import attack_shift
from hybrid_rs.evidence.clopper_pearson import MAX_COUNT
from hybrid_rs.evidence.counts import MaskedCounts, require_smoothing
from hybrid_rs.evidence.subset_counts import SubsetCounts, Subsets


@dataclass(frozen=True)
class Bound:
    """One of the probabilities behind a certificate, and the counts that bound it.

    Args:
        replaced: the number of positions replaced under its law: 0 for p_A, j for p_S of sets of j positions.
        p: the lower confidence bound.
        k: how many draws were unsafe given that the positions were replaced; with ``subsets``, how many were unsafe
            *or* kept a position of the worst of these sets.
        subsets: the sets that were counted, if p bounds the least p_S of all sets; else None.
    """

    replaced: int
    p: float
    k: int
    subsets: Subsets | None = None

    def __post_init__(self) -> None:
        require(type(self.replaced) is int, "replaced", self.replaced, "give a whole number", repr)
        text_budget("replaced", self.replaced)
        require(isinstance(self.p, float), "p", self.p, "give a float", repr)
        probability("p", self.p)
        require(type(self.k) is int and 0 <= self.k <= MAX_COUNT, "k", self.k, "give a number of draws", repr)
        if self.subsets is not None:
            require(isinstance(self.subsets, Subsets), "subsets", self.subsets, "give Subsets, or None", repr)
            fits = self.subsets.size <= self.replaced <= self.subsets.largest
            require(fits, "subsets", self.subsets, f"give sets of at most {self.replaced} positions")


@dataclass(frozen=True)
class CommittedCertificate(Target):
    """One statement about one smoothed classifier, against an adversary who commits to a number of edits.

    Args:
        bounds: the bounds behind it: of p_A and of p_S for the positions that the adversary may edit; or of p_A and of
            p_S for the worst sets of several sizes. They hold together at risk ``alpha``.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold.
        choices: for e = 0..d edits, the index in ``bounds`` of the bound that is used.
        log_t: for e = 0..d edits, the witness. By weak duality any numbers here give a valid bound.
        log_t_outside: for e = 0..d edits, the second witness where p_A is joined with the chosen p_S: the log-threshold
            for draws that did not replace all its positions. Minus infinity where one bound is used by itself.
        p_adv: the bound: no attack within the budgets moves the smoothed value below it.
        alpha: risk that one of the bounds is wrong.
        n: number of draws behind each bound.
        distance: total variation between the law of a draw and that of the theorem; already taken off the bounds.

    Example:
        >>> import hybrid_rs as hrs
        >>> counts, kernel = hrs.MaskedCounts((9_995, 9_990, 9_980, 9_970), n=10_000), hrs.UniformKernel(0.25, 376)
        >>> made = certify_committed(counts, kernel, d=3, epsilon=0.2, sigma=0.5, tau=0.05)
        >>> made.certified, made.choices, CommittedCertificate.from_json(made.to_json()) == made
        (True, (0, 1, 1, 1), True)
    """

    bounds: tuple[Bound, ...]
    kernel: TokenKernel
    d: int
    epsilon: float
    sigma: float
    tau: float
    choices: tuple[int, ...]
    log_t: tuple[float, ...]
    log_t_outside: tuple[float, ...]
    p_adv: float
    alpha: float
    n: int
    distance: float = 0.0

    def __post_init__(self) -> None:
        edits = check_target(self, "alpha")
        require(0 < self.alpha < 1, "alpha", self.alpha, "give a risk in (0, 1)")
        require(type(self.n) is int and 1 <= self.n <= MAX_COUNT, "n", self.n, "give a number of draws", repr)
        require(isinstance(self.kernel, UniformKernel | AbsorbingKernel), "kernel", self.kernel, "give a kernel", repr)
        for name in ("log_t", "log_t_outside"):
            given = getattr(self, name)
            real = type(given) is tuple and all(isinstance(u, float) and u == u for u in given)
            require(real and len(given) == edits, name, given, f"give {edits} witnesses, floats", repr)
        good = type(self.bounds) is tuple and all(isinstance(bound, Bound) for bound in self.bounds)
        require(good and len(self.bounds) > 0, "bounds", self.bounds, "give a tuple of Bound", repr)
        for bound in self.bounds:
            require(bound.k <= self.n, "k", bound.k, f"give a whole number from 0 to n = {self.n}")
        places = type(self.choices) is tuple and all(type(i) is int for i in self.choices)
        places = places and len(self.choices) == edits and all(0 <= i < len(self.bounds) for i in self.choices)
        require(
            places, "choices", self.choices, f"give the index of a bound for each of {edits} numbers of edits", repr
        )
        for e, i in enumerate(self.choices):
            bound = self.bounds[i]
            speaks = bound.replaced == 0 or bound.replaced >= self.d or bound.subsets is not None
            require(speaks, "choices", self.choices, f"bound {i} does not cover any {e} of {self.d} edits")
            joins = bound.replaced >= max(e, 1) and self.bounds[0].replaced == 0
            joins = joins and isinstance(self.kernel, UniformKernel)
            remedy = f"bound {i} cannot be joined with p_A against {e} edits: give -inf"
            require(self.log_t_outside[e] == -np.inf or joins, "log_t_outside", self.log_t_outside, remedy)

    @classmethod
    def _restore(cls, fields: dict[str, Any]) -> None:
        for name in ("log_t", "log_t_outside"):
            fields[name] = tuple(map(infinite, fields[name]))
        fields["choices"] = tuple(fields["choices"])
        fields["bounds"] = tuple(_bound(bound) for bound in fields["bounds"])

    def __str__(self) -> str:
        return f"{self._claim}; p_A and p_S {self._drawn(self.alpha, f'{self.n} draws')})"


def certify_committed(
    counts: MaskedCounts | SubsetCounts,
    kernel: TokenKernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = 0.01,
) -> CommittedCertificate:
    """Return the statement for one pair of budgets, certified or not, from p_A and p_S together.

    Args:
        counts: draws that bound both. For masked counts, the risk is split equally between p_A and p_S of d positions.
        kernel: the token kernel.
        d: text budget, at least 1.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        alpha: risk, in (0, 1), of all bounds together.

    Raises:
        ValueError: if an argument is outside its range, or contradicts the counts.
    """
    kind("counts", counts, (MaskedCounts, SubsetCounts), "give MaskedCounts or SubsetCounts")
    kind("kernel", kernel, (UniformKernel, AbsorbingKernel), "give the kernel of the draws, uniform or absorbing")
    require_smoothing(counts, kernel, sigma)
    budget, level = text_budget("d", d), threshold(tau, [(counts.example, counts.seed)])
    reach, deviation, at = one_statement(epsilon=epsilon, sigma=sigma, tau=level)
    bounds, shift = _bounds(counts, kernel, budget, alpha), attack_shift(epsilon, sigma)
    found = [max(_sides(bounds, kernel, e, shift)) for e in range(budget + 1)]
    value = min(value for value, *_ in found)
    places, inside, outside = zip(*(rest for _, *rest in found), strict=True)
    law = (kernel, budget, reach, deviation, at, tuple(-i for i in places), inside, outside)
    return CommittedCertificate(bounds, *law, value, float(alpha), counts.n, counts.distance)


def _bounds(counts: MaskedCounts | SubsetCounts, kernel: TokenKernel, d: int, alpha: float) -> tuple[Bound, ...]:
    """Return the bounds that hold together: of p_A and of p_S for d positions, or for all sizes counted."""
    largest = len(counts.drawn()["unsafe" if isinstance(counts, MaskedCounts) else "safe"]) - 1
    most = largest if isinstance(counts, MaskedCounts) else counts.length
    require(1 <= d <= most, "d", d, f"give 1 to {most}, the largest budget that the counts cover")
    if isinstance(counts, MaskedCounts):
        half = counts.p_s(alpha / 2)
        return tuple(Bound(j, float(half[j]), counts.unsafe[j]) for j in (0, d))
    sets = [counts.subsets(j, alpha) for j in range(largest + 1)]
    each = zip(counts.p_s(alpha).tolist(), sets, strict=True)
    return tuple(Bound(j, p, counts.n - counts.safe[s.size], s) for j, (p, s) in enumerate(each))


def _sides(
    bounds: tuple[Bound, ...], kernel: TokenKernel, edits: int, shift: np.ndarray
) -> list[tuple[float, int, float, float]]:
    """Return, for each bound that covers these edits: the worst-case value, minus its index, and two witnesses."""
    sides, all_sets = [], bounds[0].subsets is not None
    speaking = sizes_for(edits, [bound.replaced for bound in bounds], all_sets=all_sets)
    for i, bound in enumerate(bounds):
        if bound.replaced in speaking:
            ratio, at = ratio_of(kernel, bound.replaced, edits), np.array(bound.p)
            log_t = neyman_pearson.log_threshold(at, ratio, shift)
            sides.append((float(neyman_pearson.lower_bound(at, log_t, ratio, shift)), -i, float(log_t), -np.inf))
            if bound.replaced == joined(edits, speaking) and bound.replaced and isinstance(kernel, UniformKernel):
                p_a = np.array(bounds[0].p)
                value, inside, outside = joint_bound(p_a, at, kernel, bound.replaced, edits, shift)
                sides.append((float(value), -i, float(inside), float(outside)))
    return sides


def _bound(fields: dict[str, Any]) -> Bound:
    subsets = fields["subsets"]
    return Bound(**(fields | {"subsets": None if subsets is None else Subsets(**subsets)}))
