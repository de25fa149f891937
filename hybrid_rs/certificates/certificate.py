"""A certificate: one statement about one smoothed classifier, with a witness that lets anyone check it.

The caller gives the budgets. :mod:`hybrid_rs.certificates.worst_case` finds the largest ones, the radii.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hybrid_rs._checks import flag, probability, require, risk
from hybrid_rs.certificates import neyman_pearson
from hybrid_rs.certificates.feature_kernel import worst_ratios
from hybrid_rs.certificates.kernels import Kernel, text_budget
from hybrid_rs.certificates.target import Target, check_target, one_statement
from hybrid_rs.certificates.threshold import CalibratedThreshold, threshold
from hybrid_rs.certificates.worst_case import attack_shift
from hybrid_rs.evidence.clopper_pearson import MAX_COUNT
from hybrid_rs.evidence.counts import Counts, MaskedCounts, require_smoothing
from hybrid_rs.evidence.subset_counts import SubsetCounts, Subsets


@dataclass(frozen=True)
class Certificate(Target):
    """One statement about one smoothed classifier, with a witness that lets anyone check it.

    Args:
        p: the evidence: p_A, the clean smoothed probability, or a lower confidence bound of it. If ``masked``, the
            same for p_S, the probability given that the edited positions were replaced.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold.
        log_t: the witness. By weak duality every number gives a valid bound; the solver chose this one because its
            bound is the largest that it found.
        p_adv: the bound: no attack within the budgets moves the smoothed value below it.
        masked: whether the evidence is p_S.
        alpha: risk that ``p`` is wrong; None if it was given as a known probability, without draws.
        n: number of draws for ``p``; None if there are none.
        k: how many of them were unsafe (if ``masked``, given that the edited positions were replaced); None if there
            are no draws.
        subsets: the sets of positions that were counted, if ``p`` bounds p_S for every set at once; else None. ``k``
            is then the number of draws that were unsafe *or* kept a position of the worst of these sets.
        distance: total variation between the law of a draw and that of the theorem; already taken off ``p``.

    Raises:
        ValueError: if a field has another type or lies outside its range.
    """

    p: float
    kernel: Kernel
    d: int
    epsilon: float
    sigma: float
    tau: float
    log_t: float
    p_adv: float
    masked: bool = False
    alpha: float | None = None
    n: int | None = None
    k: int | None = None
    subsets: Subsets | None = None
    distance: float = 0.0

    def __post_init__(self) -> None:
        check_target(self, "p", "log_t")
        probability("p", self.p)
        require(type(self.masked) is bool, "masked", self.masked, "give True or False", repr)
        drawn = [name for name in ("alpha", "n", "k") if getattr(self, name) is not None]
        together = len(drawn) in (0, 3) and (self.subsets is None or (len(drawn) == 3 and self.masked))
        require(
            together, "alpha, n, k, subsets", (self.alpha, self.n, self.k, self.subsets), "give what was drawn, or none"
        )
        require(bool(drawn) or self.distance == 0, "distance", self.distance, "give 0.0: nothing was drawn")
        if drawn:
            risk_of, n, k = self.alpha, self.n, self.k
            require(isinstance(risk_of, float) and 0 < risk_of < 1, "alpha", risk_of, "give a risk in (0, 1)", repr)
            require(
                type(n) is int and 1 <= n <= MAX_COUNT, "n", n, f"give a number of draws, at most {MAX_COUNT}", repr
            )
            require(type(k) is int and 0 <= k <= (n or 0), "k", k, f"give a whole number from 0 to n = {n}", repr)
        require(hasattr(self.kernel, "likelihood_ratio"), "kernel", self.kernel, "give a kernel", repr)
        if self.subsets is not None:
            require(isinstance(self.subsets, Subsets), "subsets", self.subsets, "give Subsets, or None", repr)
            fits = self.subsets.size <= self.d
            require(fits, "subsets", self.subsets, f"give sets of at most d = {self.d} positions")

    @classmethod
    def _restore(cls, fields: dict[str, Any]) -> None:
        if fields["subsets"] is not None:
            fields["subsets"] = Subsets(**fields["subsets"])

    def __str__(self) -> str:
        evidence = "p_S" if self.masked else "p_A"
        source = "as given" if self.alpha is None else self._drawn(self.alpha, f"{self.n} draws")
        return f"{self._claim}; {evidence} {source})"


def certify(
    counts_or_p_a: Counts | MaskedCounts | SubsetCounts | float,
    kernel: Kernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = 0.01,
    masked: bool | None = None,
) -> Certificate:
    """Return the statement for one pair of budgets, certified or not, with its witness.

    Args:
        counts_or_p_a: counts of draws (then ``alpha`` is the risk of their bound), or a known probability.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        alpha: risk, in (0, 1); not used with a known probability.
        masked: whether a known probability is p_S (default: p_A). For counts, their type says which of the two it is.

    Raises:
        ValueError: if an argument is outside its range, or contradicts the draws.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> law = {"d": 2, "epsilon": 1.0, "sigma": 0.5, "tau": 4.6e-5}
        >>> hrs.certify(hrs.Counts((9_300,), n=10_000), kernel, **law).certified
        False
        >>> hrs.certify(hrs.MaskedCounts((9_300, 8_000, 7_000), n=10_000), kernel, **law).certified
        True
    """
    counts = counts_or_p_a if isinstance(counts_or_p_a, Counts | MaskedCounts | SubsetCounts) else None
    if masked is not None:
        flag("masked", masked)
    budget, risk_of_draws = text_budget("d", d), risk("alpha", alpha)
    evidence = bool(masked) if counts is None else not isinstance(counts, Counts)
    require(masked in (None, evidence), "masked", masked, "the draws come from the other law; leave it out")
    subsets, k = None, None
    if counts is not None:
        require_smoothing(counts, kernel, sigma)
    if counts is None:
        given = probability("counts_or_p_a", counts_or_p_a)
    elif isinstance(counts, Counts):
        own = counts.of_budget(budget)
        given, k = own.p_a(alpha)[0], own.unsafe[0]
    else:
        bounds = counts.p_s(alpha)
        require(budget < len(bounds), "d", d, f"give at most {len(bounds) - 1}, the largest budget sampled")
        given = bounds[budget]
        if isinstance(counts, SubsetCounts):
            subsets = counts.subsets(budget, alpha)
            k = counts.n - counts.safe[subsets.size]
        else:
            k = counts.unsafe[budget]
    level = threshold(tau, [(counts.example, counts.seed)] if counts else [])
    p, reach, deviation, least = one_statement(counts_or_p_a=given, epsilon=epsilon, sigma=sigma, tau=level)
    shift, ratios = attack_shift(epsilon, sigma), worst_ratios(kernel, budget, masked=evidence)
    at = np.array(p)
    value, log_t = max(  # one witness must serve all candidate laws; it is nearly always the witness of the worst law
        (min(float(neyman_pearson.lower_bound(at, u, law, shift)) for law in ratios), float(u))
        for u in (neyman_pearson.log_threshold(at, ratio, shift) for ratio in ratios)
    )
    known = Certificate(p, kernel, budget, reach, deviation, least, log_t, value, evidence)
    if counts is None:
        return known
    return replace(known, alpha=risk_of_draws, n=counts.n, k=k, subsets=subsets, distance=counts.distance)
