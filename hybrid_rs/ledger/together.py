"""Checks of certificates that combine evidence, each against a computation that does not share its code."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, product
from math import prod

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from hybrid_rs.certificates.commitment import p_adv_committed, radii_committed
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.rounding import floored
from hybrid_rs.certificates.several_texts import certified_radius_texts
from hybrid_rs.certificates.worst_case import certified_radius
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower
from hybrid_rs.evidence.subset_counts import SubsetCounts
from hybrid_rs.ledger.finding import Finding, shown
from hybrid_rs.ledger.theory import BETA


def adversary_commits() -> Finding:
    """The committed value compared with a knapsack over all noisy words, in fractions; and a radius that it gives."""
    rng, beta, worst, cases = np.random.default_rng(0), Fraction(1, 4), 0.0, 0
    for size, d in ((2, 2), (3, 2), (5, 2), (3, 3)):
        words = list(product(range(size), repeat=d))
        clean = [[_position(t, 0, size, beta, masked) for t in range(size)] for masked in (False, True)]
        laws = [[prod((law[t] for t in word), start=Fraction(1)) for word in words] for law in clean]
        for _ in range(10):
            p_a, p_s = 1 - 10 ** rng.uniform(-4, -0.3, 2)
            sides = []
            for e in range(d + 1):
                shown_by = [[_position(t, int(i < e), size, beta, False) for t in range(size)] for i in range(d)]
                attacked = [prod((shown_by[i][t] for i, t in enumerate(word)), start=Fraction(1)) for word in words]
                pairs = zip((p_a, p_s), laws, strict=True)
                sides.append(max(_least(Fraction(float(p)), law, attacked) for p, law in pairs))
            kernel = UniformKernel(float(beta), size)
            found = float(p_adv_committed({0: p_a, d: p_s}, kernel, d, 0.0, sigma=1.0))
            worst, cases = max(worst, abs(found / float(min(sides)) - 1)), cases + 1
    kernel, half = UniformKernel(BETA, 376), clopper_pearson_lower(10_000, 10_000, 0.005)
    alone = [certified_radius(half, kernel.likelihood_ratio(3, masked=m), sigma=1.0, tau=0.05) for m in (False, True)]
    radius = float(radii_committed({0: half, 3: half}, kernel, 3, sigma=1.0, tau=0.05)[0].min())
    text = (
        f"within 1e-9 of exact fractions in {cases} cases; at V = 376, d = 3, tau = 0.05 and 10,000 draws all flagged "
        f"{floored(radius, 2):.2f} sigma, where neither certifies alone"
    )
    return shown(worst < 1e-9 and bool(np.isnan(alone).all()) and radius > 0, text)


def _position(token: int, written: int, size: int, beta: Fraction, masked: bool) -> Fraction:
    """Return the probability that noise turns ``written`` into a token; ``masked``: given that it was replaced."""
    if masked:
        return Fraction(int(token != written), size - 1)
    return 1 - beta if token == written else beta / (size - 1)


def _least(p: Fraction, clean: list[Fraction], attacked: list[Fraction]) -> Fraction:
    """Return the least attacked mass of a test with clean mass p, by the knapsack."""
    left, value = p, Fraction(0)
    cells = [(a, b) for a, b in zip(clean, attacked, strict=True) if a]
    for a, b in sorted(cells, key=lambda cell: cell[1] / cell[0]):
        part = min(left, a)
        left, value = left - part, value + part * b / a
    return value


def worst_set() -> Finding:
    """How often the bound of the worst set is wrong, if one set is the worst and if all sets are alike."""
    rng, runs, n, length, beta, alpha, rates = np.random.default_rng(0), 600, 400, 6, 0.5, 0.1, []
    for extra in (0.0, 0.25):  # what replacing the first position adds to the chance of a failure
        wrong, least = 0, min(_p_s(extra, j, beta) for j in combinations(range(length), 1))
        for _ in range(runs):
            replaced = rng.random((n, length)) < beta
            failures = rng.random(n) < 0.05 + extra * replaced[:, 0]
            counts = SubsetCounts.from_failures(replaced[failures], n, 1, beta)
            wrong += bool(counts.p_s(alpha)[1] > least)
        rates.append(wrong / runs)
    rare, often = (f"{rate:.1%}" for rate in rates)
    text = f"at risk 5 %, wrong in {often} of {runs} runs where one set is the worst, in {rare} where all are alike"
    share = alpha / 2  # the other half is for p_A
    return shown(max(rates) <= share + 3 * (share * (1 - share) / runs) ** 0.5, text)


def _p_s(extra: float, positions: tuple[int, ...], beta: float) -> float:
    return 1 - 0.05 - extra * (1.0 if 0 in positions else beta)


def several_texts() -> Finding:
    """How the radius grows with the number of texts, against the closed form of its limit."""
    ratio, tau, r, p_s = UniformKernel(0.5, 32_000).likelihood_ratio(1, masked=True), 0.05, 1.0, 0.95
    nodes = np.linspace(-9, 9, 2001)
    weights = np.exp(-(nodes**2) / 2) / np.exp(-(nodes**2) / 2).sum()
    share = ndtr((ndtri(p_s) * np.sqrt(1 + r * r) - nodes) / r)  # of the texts flagged, by the image noise
    radii = []
    for m in (1, 16, 256):
        levels = np.minimum(binom.sf(np.arange(m)[:, None], m, share) @ weights, 1.0)
        radii.append(float(certified_radius_texts(levels, ratio, sigma=1.0, tau=tau)))
    limit = float((ndtri(p_s) - ndtri(tau / 0.5)) * np.sqrt(1 + r * r))
    text = (
        f"one text {floored(radii[0], 2):.2f} sigma, 16 texts {floored(radii[1], 2):.2f}, the limit "
        f"{floored(limit, 2):.2f}, where image and text noise decide alike"
    )
    return shown(radii[0] < radii[1] < radii[2] < limit and radii[2] > 0.95 * limit, text)


TOGETHER: dict[str, Callable[[], Finding]] = {
    "several-texts": several_texts,
    "adversary-commits": adversary_commits,
    "worst-set": worst_set,
}
