"""Speed and accuracy of the certificate, in one run: ``python benchmarks/certificate.py``.

Speed: p_adv and radii per second on one core, and what a d costs relative to d = 0.
Accuracy: random cases over the extreme ranges against 50-digit arithmetic; nothing may lie on the unsafe side.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from history import keep
from mpmath import mp, mpf

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.worst_case import log_p_adv


def rate(function, size: int) -> float:
    """Best of three, in items per second of one core."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return size / min(seconds)


def speed() -> dict[str, dict[str, float]]:
    """Print and return rates by d."""
    rng = np.random.default_rng(0)
    kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
    p, epsilon = rng.random(100_000), rng.uniform(0, 6, 100_000)
    share = 10 ** rng.uniform(-4, -0.01, 10_000)
    print(
        f"{'d':>4} {'p_adv/s':>12} {'radii/s':>12} {'p_adv, d = 0 over d':>20}  (0 radii/s: no float64 p_A certifies)"
    )
    first, kept = None, {}
    for d in (0, 1, 2, 4, 8, 64, 512):
        ratio = kernel.likelihood_ratio(d)
        size = 100_000 if d <= 8 else 2_000
        values = rate(lambda r=ratio, s=size: hrs.p_adv(p[:s], epsilon[:s], r, sigma=1.0), size)
        needed = hrs.required_p_a(0.0, ratio, sigma=1.0, tau=4.6e-5)  # above it, there is a radius to find
        certifying = 1 - (1 - needed) * share if needed < 1 else np.empty(0)
        radii = rate(lambda r=ratio, q=certifying: hrs.certified_radius(q, r, sigma=1.0, tau=4.6e-5), certifying.size)
        first = first or values
        kept[f"d = {d}"] = {"p_adv per second": values, "radii per second": radii}
        print(f"{d:>4} {values:>12,.0f} {radii:>12,.0f} {first / values:>20.1f}")
    return kept


def accuracy(cases: int, seed: int) -> dict[str, float]:
    """Print and return the largest relative error and the number of results on the unsafe side."""
    rng = np.random.default_rng(seed)
    errors, unsafe = [], 0
    for _ in range(cases):
        vocab_size = 2 if rng.random() < 0.15 else int(np.exp(rng.uniform(np.log(2), np.log(1e6))))
        d = int(rng.integers(0, 9) if rng.random() < 0.8 else rng.integers(9, 65))
        beta = rng.uniform(1e-3, 1) if rng.random() < 0.9 else 1.0
        p_a = 10 ** rng.uniform(-6, -0.3) if rng.random() < 0.4 else 1 - 10 ** rng.uniform(-9, -0.3)
        shift = rng.uniform(0, 12) if rng.random() < 0.7 else rng.choice([0.0, 10 ** rng.uniform(-9, 1)])
        if rng.random() < 0.8:
            kernel, law = hrs.UniformKernel(beta, vocab_size), oracle.uniform_law(beta, vocab_size, d)
        else:
            kernel, law = hrs.AbsorbingKernel(beta), oracle.absorbing_law(beta, d)
        exact = oracle.value(float(p_a), float(shift), law)
        value = hrs.p_adv(p_a, shift, kernel.likelihood_ratio(d), sigma=1.0)
        logarithm = log_p_adv(p_a, shift, kernel.likelihood_ratio(d), sigma=1.0)
        with mp.workdps(oracle.DIGITS):
            above = exact > 0 and mpf(float(logarithm)) > mp.log(exact)
            unsafe += bool(mpf(float(value)) > exact or above)
            if exact > 0:
                errors.append(float(mp.log(exact) - mpf(float(logarithm))))
        oracle.uniform_law.cache_clear()
    errors = np.array(errors)
    print(f"{cases} cases: largest relative error {errors.max():.1e}, median {np.median(errors):.1e}, "
          f"above 1e-10: {(errors > 1e-10).sum()}, on the unsafe side: {unsafe}")  # fmt: skip
    return {"largest relative error": float(errors.max()), "on the unsafe side": unsafe}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=int, nargs="?", default=500, help="random cases of the accuracy")
    parser.add_argument("--json", type=Path, help="file to append the figures to, with their provenance")
    asked = parser.parse_args()
    figures = {"speed": speed(), "accuracy": accuracy(asked.cases, seed=0)}
    if asked.json:
        keep(asked.json, "certificate", {"cases": asked.cases}, figures)
