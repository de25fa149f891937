"""Clopper-Pearson bounds over counts, draws and risks, each against its exact risk in interval arithmetic."""

import flint
from evidence.test_binomial import exact_risk, risky

import hybrid_rs as hrs

BITS = 420


def at_most(k, n, p, risk, misses=False):
    """Whether P(K >= k), or 1 - P(K >= k), is at most the risk, in balls narrow enough to tell."""
    before = flint.ctx.prec
    try:
        while flint.ctx.prec < 1 << 14:
            ball = 1 - exact_risk(k, n, p) if misses else exact_risk(k, n, p)
            if ball <= risk or ball > risk:
                return bool(ball <= risk)
            flint.ctx.prec *= 2
        return False  # undecided counts against it
    finally:
        flint.ctx.prec = before


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
            (not at_most(hits, draws, low, risk))
            + (high < 1 and not at_most(draws - hits + 1, draws, high, risk, misses=True))
            for hits, draws, risk, low, high in zip(k, n, alpha, lower, upper, strict=True)
        )
    finally:
        flint.ctx.prec = before
    return {"bounds": 2 * count, "too bold": int(bold)}
