"""Clopper-Pearson bounds by the million, each against the risk that SciPy's forward function gives it.

SciPy's forward function is independent of ours, and right to about 1e-11 up to ten million draws: this sweep would see
any larger fault, and ``bounds`` shows the last digits of fewer.
"""

import numpy as np
from scipy.special import betainc

import hybrid_rs as hrs

MOST = 10_000_000  # draws
DIGITS = 1e-9  # by which the forward function may be off, relative


def run(count, seed=0):
    """Compute as many bounds at random counts, numbers of draws and risks.

    Returns:
        ``bounds``; ``too bold``, those whose risk is above the one asked for by more than SciPy's error; ``too timid``,
        those that leave more than a thousandth of a per mille of it unused; and the ``largest excess``, relative.
    """
    rng = np.random.default_rng(seed)
    n = np.floor(np.exp(rng.uniform(0, np.log(MOST), count))) + 1
    near = np.floor(np.exp(rng.uniform(0, np.log(n)))) - 1  # many near 0 misses, many near 0 hits
    k = np.where(rng.random(count) < 0.5, n - near, near + 1)
    alpha = np.exp(rng.uniform(np.log(1e-12), np.log(0.3), count))
    lower = hrs.clopper_pearson_lower(k, n, alpha)
    excess = betainc(k, n - k + 1, lower) / alpha - 1
    return {
        "bounds": count,
        "too bold": int((excess > DIGITS).sum()),
        "too timid": int((excess < -1e-6).sum()),
        "largest excess": float(excess.max()),
    }
