"""Checks of the paper's theorems and of its arithmetic, each against a computation that does not share its code."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from hybrid_rs._extras import needs
from hybrid_rs.certificates.frontier import frontier
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.certificates.neyman_pearson import log_threshold
from hybrid_rs.certificates.rounding import ceiled, floored
from hybrid_rs.certificates.worst_case import certified_radius, p_adv, required_p_a
from hybrid_rs.checkout import TREE
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper
from hybrid_rs.ledger.finding import Finding, holds, refuted, shown

REFERENCE = TREE / "tests" / "reference"
TAU, ALPHA, DRAWS, BETA, WORDS = 4.6e-5, 0.01, 10_000, 0.25, 32_000  # the paper's setting
P_MAX = float(clopper_pearson_lower(DRAWS, DRAWS, ALPHA))


def hybrid_ratio() -> Finding:
    """The ratio of the joint densities at a shifted image is the product of a token and a Gaussian factor."""
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(200):
        sigma, shift, edited = rng.uniform(0.2, 3), rng.normal(size=3), rng.random() < 0.5
        x = rng.normal(size=3)
        z = x + sigma * rng.normal(size=3)
        token = (1 - BETA) * 9 / BETA if edited else 1.0  # one of ten words, where the adversary's shows
        joint = np.log(token) + norm.logpdf(z, x + shift, sigma).sum() - norm.logpdf(z, x, sigma).sum()
        r = np.linalg.norm(shift)
        along = (z - x) @ shift / r
        worst = max(worst, abs(joint - (np.log(token) + (r * along - r**2 / 2) / sigma**2)))
    return holds(worst < 1e-12, "log gamma agrees within 1e-12 in 200 random cases")


def one_root() -> Finding:
    """F(t) rises strictly and its root is found; in 120 digits, as float64 cannot resolve the rise between atoms."""
    with needs("test"):
        from mpmath import mp, mpf, ncdf

    worst, rises = mpf(0), True
    with mp.workdps(120):
        for d, shift in product((1, 3), (0.3, 1.0, 4.0)):
            ratio = UniformKernel(BETA, WORDS).likelihood_ratio(d)
            atoms = list(zip(map(mpf, ratio.p), map(mpf, ratio.log_gamma), strict=True))

            def clean(u: float, atoms: list[Any] = atoms, s: float = shift) -> Any:
                return sum(p * ncdf((u - log_gamma) / s + s / 2) for p, log_gamma in atoms)

            values = [clean(u) for u in np.linspace(ratio.log_gamma.min(), ratio.log_gamma.max(), 60).tolist()]
            rises &= all(low < high for low, high in pairwise(values))
            for p_a in (1e-3, 0.5, P_MAX):
                root = log_threshold(np.array(p_a), ratio, np.array(shift))
                worst = max(worst, abs(clean(float(root)) - p_a))
    return holds(rises and worst < 1e-9, "strictly increasing in 120 digits; |F(t*) - p_A| below 1e-9")


def worst_shift() -> Finding:
    """V falls with the shift and with every edit, so the worst case uses both budgets fully."""
    p, shifts = np.array([[0.3], [0.9], [P_MAX]]), np.linspace(0, 6, 61)
    values = np.array([p_adv(p, shifts, UniformKernel(BETA, WORDS).likelihood_ratio(d), sigma=1.0) for d in range(9)])
    rise = max(float(np.diff(values, axis=0).max()), float(np.diff(values, axis=2).max()))
    return holds(rise <= 1e-15, "no rise over d = 0 to 8 and epsilon / sigma = 0 to 6")


def no_product() -> Finding:
    """The best product of a token region and an image region stays above the joint worst case."""
    beta, p, s = 0.25, 0.6, 1.1  # two words
    joint = float(p_adv(p, s, UniformKernel(beta, 2).likelihood_ratio(1), sigma=1.0))
    masses = ((1 - beta, beta), (beta, 1 - beta), (1.0, 1.0))  # of the token sets, clean and attacked
    best = min(q * ndtr(ndtri(p / m) - s) for m, q in masses if m >= p)
    return holds(joint < best, f"joint {floored(joint, 4):.4f}, best product of sets {best:.4f}")


def cohen() -> Finding:
    """Without edits the radius is that of Cohen et al."""
    p, sigma = np.array([0.1, 0.6, 0.9, P_MAX]), np.array([[0.25], [1.0], [3.0]])
    exact = sigma * (ndtri(p) - ndtri(TAU))
    found = np.array([certified_radius(p, LikelihoodRatio.identity(), sigma=float(s), tau=TAU) for s in sigma[:, 0]])
    worst = float(np.abs(found / exact - 1).max())
    return holds(worst < 1e-9, "relative deviation below 1e-9")


def knapsack_limit() -> Finding:
    """As sigma grows, the certificate tends to the fractional knapsack of the tokens alone."""
    worst = 0.0
    for d, p in product((1, 2, 5), (0.3, 0.9, P_MAX)):
        ratio = UniformKernel(BETA, 50).likelihood_ratio(d)
        clean, attacked = np.append(0.0, ratio.p.cumsum()), np.append(0.0, ratio.q.cumsum())
        knapsack = np.interp(p, clean, attacked)  # the greedy rule, ratios in ascending order
        for sigma in (1e2, 1e4, 1e6):
            gap = knapsack - float(p_adv(p, 1.0, ratio, sigma=sigma))
            worst = max(worst, gap / (2 * ndtr(0.5 / sigma) - 1 + 1e-12))
    return holds(worst <= 1, "the gap stays within 2 Phi(epsilon / 2 sigma) - 1")


def symmetry() -> Finding:
    """The law of the uniform kernel's ratio depends only on d, and the ratio takes at most 2 d + 1 values."""
    words, worst, fits = 4, 0.0, True
    for d in (1, 2, 3):
        ratio = UniformKernel(0.3, words).likelihood_ratio(d)
        fits &= ratio.log_gamma.size <= 2 * d + 1
        for adversary in product(range(1, words), repeat=d):  # against the clean text (0, ..., 0), edited throughout
            law: dict[float, float] = {}
            for tokens in product(range(words), repeat=d):
                p = np.prod([0.7 if z == 0 else 0.1 for z in tokens])
                q = np.prod([0.7 if z == x else 0.1 for z, x in zip(tokens, adversary, strict=True)])
                key = round(float(np.log(q / p)), 9)
                law[key] = law.get(key, 0.0) + float(p)
            masses = np.array([law[key] for key in sorted(law)])
            worst = max(worst, float(np.abs(masses - ratio.p).max()))
    return holds(fits and worst < 1e-12, "2 d + 1 values, of the same masses for every adversary")


def absorbing() -> Finding:
    """The absorbing kernel's closed form."""
    worst = 0.0
    for d, p, s in product((1, 2, 4), (0.8, 0.99, P_MAX), (0.0, 0.5, 2.0)):
        v = BETA**d
        exact = v * ndtr(ndtri((p - 1 + v) / v) - s) if p > 1 - v else 0.0
        found = float(p_adv(p, s, AbsorbingKernel(BETA).likelihood_ratio(d), sigma=1.0))
        worst = max(worst, abs(found - exact) / exact if exact else found)
    return holds(worst < 1e-9, "relative deviation below 1e-9")


def degeneracy() -> Finding:
    """How far below the least p_A of the absorbing kernel does the uniform kernel certify?"""
    least = [
        float(required_p_a(0.0, kernel.likelihood_ratio(1), sigma=1.0, tau=TAU))
        for kernel in (UniformKernel(BETA, 30_000), AbsorbingKernel(BETA))
    ]
    uniform, absorbing = ceiled(least, 5)
    text = f"least certifiable p_A at d = 1, V = 30 000: uniform {uniform:.5f}, absorbing {absorbing:.5f}"
    return refuted(least[1] - least[0] < 1e-4, text)


def released_solver() -> Finding:
    """The radii of the released solver compared with exact ones, with and without an atom of ratio infinity."""
    import pandas as pd

    grid = pd.read_csv(REFERENCE / "authors_released_solver_radius.csv")
    grid["exact"] = 0.0
    for (kernel, d, beta, words), rows in grid.groupby(["kernel", "d", "beta", "V"]):
        law = UniformKernel(beta, int(words)) if kernel == "uniform" else AbsorbingKernel(beta)
        p, sigma, tau = rows[["pA", "sigma", "tau"]].to_numpy().T
        radii = certified_radius(p, law.likelihood_ratio(int(d)), sigma=sigma, tau=tau)
        grid.loc[rows.index, "exact"] = np.nan_to_num(radii)
    excess = grid["r_repo"] - grid["exact"]
    at_one = (grid["beta"] == 1) & (grid["kernel"] == "uniform")
    fine = int((excess[~at_one].abs() <= 1e-8).sum())
    over = int((excess[at_one] > 1e-8).sum())
    share = 100 * (excess / grid["exact"])[at_one & (grid["V"] == 30_000)]
    majority, small = (share[grid["tau"] == tau] for tau in (0.5, TAU))
    text = (
        f"released solver: {fine} of {(~at_one).sum()} radii agree where no ratio is infinite; "
        f"{over} of {at_one.sum()} are too large at beta = 1: at V = 30 000 "
        f"by {ceiled(majority.max(), 2):.2f} % at most at tau = 0.5, "
        f"by {floored(small.min(), 1):.1f} to {ceiled(small.max(), 1):.1f} % at tau = 4.6e-5"
    )
    return refuted(over > 0, text)


def paper_tau() -> Finding:
    """The value tau = 4.6e-5 as the upper bound for 0 false alarms in 10^5 draws."""
    bound = float(clopper_pearson_upper(0, 100_000, ALPHA))
    return holds(abs(bound - TAU) < 0.05e-5, f"{bound:.4e}; the paper rounds it down")


def ceiling_of_edits() -> Finding:
    """The most that a deterministic bound of p_A from 10^4 draws can certify, at the default beta."""
    best = frontier(P_MAX, UniformKernel(BETA, WORDS), sigma=1.0, tau=TAU, d_max=12)
    most, third = ceiled(best.radius(0), 2), ceiled(best.radius(3), 2)
    found = f"d at most {best.edits()}; radius at most {most:.2f} sigma at d = 0, {third:.2f} sigma at d = 3"
    return shown(best.edits() == 5, found)


def sigma_of_table_3() -> Finding:
    """The least sigma at which the row beta = 0.1 of Table 3 is possible: mean d 2.29 and mean radius 4.99 there."""
    best = frontier(P_MAX, UniformKernel(0.1, WORDS), sigma=1.0, tau=TAU, d_max=8)
    reach = np.nan_to_num(best.radii)
    mixtures = [
        reach[a] + (reach[b] - reach[a]) * (2.29 - a) / (b - a) for a in (1, 2) for b in range(3, best.edits() + 1)
    ]
    least = 4.99 / max(mixtures)
    return refuted(least > 1, f"needs sigma of {floored(least, 2):.2f} at least; the paper's are 0.5 and 1")


def seventeenths() -> Finding:
    """The shares of Table 3 are multiples of 1/17, for 400 examples."""
    shares = np.array([82.35, 70.59, 58.82, 41.18])
    times = shares * 17 / 100
    off = float(np.abs(np.round(times) * 100 / 17 - shares).max())
    counts = ", ".join(f"{round(t)}/17" for t in times)
    return refuted(off < 0.005, f"{counts}: shares of 17 examples, or of a multiple of 17; 400 is none")


THEORY: dict[str, Callable[[], Finding]] = {
    "hybrid-ratio": hybrid_ratio,
    "one-root": one_root,
    "worst-shift": worst_shift,
    "no-product": no_product,
    "cohen": cohen,
    "knapsack-limit": knapsack_limit,
    "symmetry": symmetry,
    "absorbing": absorbing,
    "degeneracy": degeneracy,
    "released-solver": released_solver,
    "tau": paper_tau,
    "ceiling": ceiling_of_edits,
    "T3.sigma": sigma_of_table_3,
    "T3.seventeenths": seventeenths,
}
