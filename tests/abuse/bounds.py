"""Clopper-Pearson bounds over counts, draws and risks, each against its exact risk in interval arithmetic."""

import flint
from test_binomial import exact_risk, risky

import hybrid_rs as hrs

BITS = 420


def run(count, seed=0):
    """Compute as many lower and as many upper bounds, at hard places and elsewhere.

    Returns:
        ``bounds``: of both sides, and ``too bold``: those whose exact risk is above the risk asked for; must be 0.
    """
    before, flint.ctx.prec = flint.ctx.prec, BITS
    try:
        k, n, alpha = risky(count, seed=seed)
        lower, upper = hrs.clopper_pearson_lower(k, n, alpha), hrs.clopper_pearson_upper(n - k, n, alpha)
        bold = sum(
            (not exact_risk(hits, draws, low) <= risk)  # an interval that is not surely below counts against it
            + (high < 1 and not 1 - exact_risk(draws - hits + 1, draws, high) <= risk)
            for hits, draws, risk, low, high in zip(k, n, alpha, lower, upper, strict=True)
        )
    finally:
        flint.ctx.prec = before
    return {"bounds": 2 * count, "too bold": int(bold)}
