"""Checks of statements that go beyond the paper, each against a computation that does not share its code."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
from scipy.special import ndtr, ndtri

from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.certificates.frontier import frontier
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.certificates.neyman_pearson import log_threshold
from hybrid_rs.certificates.rounding import floored
from hybrid_rs.certificates.worst_case import certified_radius, p_adv
from hybrid_rs.ledger.finding import Finding, shown
from hybrid_rs.ledger.theory import BETA, P_MAX, TAU, WORDS


def weak_duality() -> Finding:
    """The bound Q(gamma <= t) + t (p_A - P(gamma <= t)) at random t and at the solver's t, and the worst case."""
    rng, above, gap, cases, thresholds = np.random.default_rng(0), 0.0, 0.0, 300, 20
    for _ in range(cases):
        kernel = UniformKernel(rng.uniform(0.05, 0.95), int(rng.integers(2, 1000)))
        ratio = kernel.likelihood_ratio(int(rng.integers(5)))
        p, s = rng.uniform(0.05, P_MAX), rng.uniform(0.2, 4)

        def bound(u: float, ratio: LikelihoodRatio = ratio, p: float = p, s: float = s) -> float:
            z = (u - ratio.log_gamma) / s + s / 2
            return float(ratio.q @ ndtr(z - s) + np.exp(u) * (p - ratio.p @ ndtr(z)))

        worst = float(p_adv(p, s, ratio, sigma=1.0))
        above = max(above, *(bound(u) - worst for u in rng.normal(0, 6, size=thresholds)))
        gap = max(gap, abs(bound(float(log_threshold(np.array(p), ratio, np.array(s)))) / worst - 1))
    text = f"no t of {cases * thresholds} gives more than the worst case, and the solver's gives it, within 1e-9"
    return shown(above < 1e-9 and gap < 1e-9, text)


def masked() -> Finding:
    """The masked certificate: its closed form, and the d that it certifies at p = 0.9, where the paper's fails."""
    worst = 0.0
    for beta, d, p, s in (
        (b, d, p, s) for b in (0.1, BETA, 0.5) for d in (1, 3, 7) for p in (0.3, 0.9) for s in (0, 1, 3)
    ):
        exact = beta**d * ndtr(ndtri(p) - s)
        found = float(p_adv(p, s, UniformKernel(beta, WORDS).likelihood_ratio(d, masked=True), sigma=1.0))
        worst = max(worst, abs(found / exact - 1))
    kernel = UniformKernel(BETA, WORDS)
    plain = frontier(0.9, kernel, sigma=1.0, tau=TAU, d_max=8).edits()
    ratios = [kernel.likelihood_ratio(d, masked=True) for d in range(9)]
    radii = [float(certified_radius(0.9, ratio, sigma=1.0, tau=TAU)) for ratio in ratios]
    most = max(d for d, radius in enumerate(radii) if radius >= 0)
    return shown(
        worst < 1e-9 and most > plain,
        f"beta^d Phi(Phi^-1(p_S) - epsilon / sigma) within 1e-9; at p = 0.9 d at most {most}, from p_A at most {plain}",
    )


def largest_arity() -> Finding:
    """Whether the larger of two arities is worse at every p, in exact fractions, against the condition."""
    rng, agree, larger, cases = np.random.default_rng(0), 0, 0, 300
    for _ in range(cases):
        small = int(rng.integers(2, 6))
        large = small + int(rng.integers(1, 40))
        means = (Fraction(1, small - 1) + Fraction(1, large - 1)) / 2
        beta = 1 / (1 + means * Fraction(int(rng.integers(10, 31)), 20))  # around the edge, at 20 / 20
        is_worse = all(_at(_knapsack(beta, large), x) <= y for x, y in _knapsack(beta, small))
        agree += is_worse == ((1 - beta) / beta >= means)
        larger += is_worse
    arities, kernel = (5, 3, 3, 2, 2), FeatureKernel(0.5, (5, 3, 3, 2, 2))
    p, least = np.linspace(0.05, 0.95, 19), kernel.likelihood_ratio(2)
    for pair in combinations(arities, 2):
        ratio = UniformKernel(0.5, pair[0]).likelihood_ratio(1).compose(UniformKernel(0.5, pair[1]).likelihood_ratio(1))
        agree -= int(np.any(p_adv(p, 0.5, least, sigma=1.0) > p_adv(p, 0.5, ratio, sigma=1.0) * (1 + 1e-9)))
    return shown(agree == cases, f"the condition decides all of {cases} cases near its edge; {larger} are on its side")


def _knapsack(beta: Fraction, arity: int) -> list[tuple[Fraction, Fraction]]:
    """Return the vertices (clean, attacked) of the least attacked mass by clean mass, for one edited feature."""
    keep, other = 1 - beta, beta / (arity - 1)
    law = [(keep, other), (other, keep), (beta - other, beta - other)]
    points = [(Fraction(0), Fraction(0))]
    for p, q in sorted((each for each in law if each[0] > 0), key=lambda each: each[1] / each[0]):
        points.append((points[-1][0] + p, points[-1][1] + q))
    return points


def _at(points: list[tuple[Fraction, Fraction]], x: Fraction) -> Fraction:
    """Return the value of a polygonal curve at x."""
    return next(a + (b - a) * (x - low) / (high - low) for (low, a), (high, b) in pairwise(points) if low <= x <= high)


def in_sequence() -> Finding:
    """The radius at d = 3 of the joint certificate, and of a text certificate put through Cohen's."""
    ratio = UniformKernel(BETA, WORDS).likelihood_ratio(3)
    joint = float(certified_radius(0.99954, ratio, sigma=1.0, tau=TAU))
    clean, attacked = np.append(0.0, ratio.p.cumsum()), np.append(0.0, ratio.q.cumsum())
    sequence = float(ndtri(np.interp(0.99954, clean, attacked)) - ndtri(TAU))
    text = (
        f"at d = 3, p_A = 0.99954: {floored(joint, 2):.2f} sigma jointly, {floored(sequence, 2):.2f} sigma in sequence"
    )
    return shown(joint > sequence, text)


EXTENSIONS: dict[str, Callable[[], Finding]] = {
    "weak-duality": weak_duality,
    "masked": masked,
    "largest-arity": largest_arity,
    "in-sequence": in_sequence,
}
