"""Checks of certificates that combine evidence, each against a computation that does not share its code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate, combinations, product
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
    """The bound from both probabilities, compared with the worst classifier of all noisy words in exact fractions."""
    rng, beta, worst, cases = np.random.default_rng(0), Fraction(1, 4), 0.0, 0
    for size, d in ((2, 2), (3, 2), (5, 2), (3, 3)):
        words = list(product(range(size), repeat=d))
        law = _law(words, (0,) * d, size, beta)
        for _ in range(10):
            p_a, p_s = 1 - 10 ** rng.uniform(-4, -0.3, 2)
            values = []
            for e in range(d + 1):
                attacked = _law(words, (1,) * e + (0,) * (d - e), size, beta)
                replaced = [0 not in word for word in words]
                values.append(_worst(Fraction(float(p_a)), Fraction(float(p_s)) * beta**d, law, attacked, replaced))
            kernel = UniformKernel(float(beta), size)
            found = float(p_adv_committed({0: p_a, d: p_s}, kernel, d, 0.0, sigma=1.0))
            worst, cases = max(worst, abs(found / float(min(values)) - 1)), cases + 1
    kernel, half = UniformKernel(BETA, 376), clopper_pearson_lower(10_000, 10_000, 0.005)
    alone = [certified_radius(half, kernel.likelihood_ratio(3, masked=m), sigma=1.0, tau=0.05) for m in (False, True)]
    radius = float(radii_committed({0: half, 3: half}, kernel, 3, sigma=1.0, tau=0.05)[0].min())
    text = (
        f"within 1e-9 of exact fractions in {cases} cases; at V = 376, d = 3, tau = 0.05 and 10,000 draws all flagged "
        f"{floored(radius, 2):.2f} sigma, where neither certifies alone"
    )
    return shown(worst < 1e-9 and bool(np.isnan(alone).all()) and radius > 0, text)


def _law(words: list[tuple[int, ...]], written: tuple[int, ...], size: int, beta: Fraction) -> list[Fraction]:
    """Return the probability of every noisy word."""
    shows = (1 - beta, beta / (size - 1))
    return [prod((shows[int(t != w)] for t, w in zip(word, written, strict=True)), start=Fraction(1)) for word in words]


def _worst(
    p_a: Fraction, p_inside: Fraction, clean: list[Fraction], attacked: list[Fraction], inside: list[bool]
) -> Fraction:
    """Return the least attacked mass of a classifier that flags clean mass p_a in all, at least p_inside of it inside.

    It flags clean mass x >= p_inside inside, and p_a - x outside. The attacked mass is convex and piecewise linear in
    x, so it is least at an end, or where one of the two knapsacks goes on to its next word.
    """
    parts = [[(a, b) for a, b, i in zip(clean, attacked, inside, strict=True) if i is side] for side in (True, False)]
    ordered = [sorted(part, key=lambda cell: cell[1] / cell[0]) for part in parts]
    (within, beyond), filled = parts, [list(accumulate((a for a, _ in part), initial=Fraction(0))) for part in ordered]
    ends = [p_inside, *filled[0], *(p_a - x for x in filled[1])]
    allowed = [x for x in ends if max(p_inside, p_a - filled[1][-1]) <= x <= filled[0][-1]]
    return min(_least(x, *zip(*within, strict=True)) + _least(p_a - x, *zip(*beyond, strict=True)) for x in allowed)


def _least(p: Fraction, clean: Sequence[Fraction], attacked: Sequence[Fraction]) -> Fraction:
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
