"""Certificates from p_A and p_S of which one field or more was moved, so that the claim is false: none may pass.

What is false is decided without the package, as in :mod:`abuse.tampering`: the worst-case value of every number of
edits from its definition in 50 digits, and the binomial tail summed term by term. ``run(count, seed)`` gives the
figures; so does this file as a script, with ``tests`` on the path.
"""

from __future__ import annotations

import math
import sys
from dataclasses import fields, replace
from functools import cache

from abuse.tampering import ODD, enclosed, tail, tampered
from mpmath import mp, mpf

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.committed_certificate import Bound, CommittedCertificate, certify_committed

FIELDS = [field.name for field in fields(CommittedCertificate)]
BOUND = [field.name for field in fields(Bound)]


def honest(rng):
    """A true certificate of small budgets, of known positions or of any."""
    beta = float(rng.choice([0.1, 0.25, 0.5, 0.9, 1.0]))
    uniform = rng.random() < 0.7
    kernel = hrs.UniformKernel(beta, int(rng.choice([2, 3, 10, 32_000]))) if uniform else hrs.AbsorbingKernel(beta)
    d, shift, n = int(rng.integers(1, 4)), float(rng.choice([0.0, 0.3, 1.0])), int(rng.choice([100, 1000]))
    law = {"d": d, "epsilon": shift, "sigma": 1.0, "tau": float(rng.choice([1e-4, 0.1, 0.5]))}
    hits = tuple(int(n * x) for x in rng.choice([0.9, 0.99, 1.0], d + 1))
    off = {"distance": float(rng.choice([0.0, 1e-15, 1e-3]))}
    if rng.random() < 0.5:
        return certify_committed(hrs.MaskedCounts(hits, n, **off), kernel, **law)
    safe = tuple(sorted((n - k for k in hits), reverse=True))
    return certify_committed(hrs.SubsetCounts(safe, n, 6, beta, **off), kernel, **law)


def moved(certificate, rng):
    """The fields of a certificate, one or two of them moved."""
    values = {name: getattr(certificate, name) for name in FIELDS}
    for name in rng.choice(FIELDS, int(rng.integers(1, 3)), replace=False):
        old = values[name]
        if rng.random() < 0.2:
            values[name] = ODD[rng.integers(len(ODD))]
        elif name == "kernel":
            beta = float(rng.choice([old.beta / 2, old.beta * (1 - 1e-9), 1.0]))
            values[name] = hrs.UniformKernel(beta, int(rng.choice([2, 3, 100])))
        elif name in ("choices", "log_t", "log_t_outside"):
            values[name] = tuple(number(x, rng) if rng.random() < 0.7 else x for x in old)
        elif name == "bounds":
            values[name] = tuple(bound(x, rng) if rng.random() < 0.7 else x for x in old)
            if rng.random() < 0.2:
                values[name] = values[name][: int(rng.integers(0, len(old)))]
        else:
            values[name] = number(old, rng)
    return values


def number(old, rng):
    if isinstance(old, int):
        return max(0, old + int(rng.choice([-3, -1, 1, 3])))
    return old * float(rng.choice([1 - 1e-6, 1 + 1e-6, 0.5, 2.0])) + float(rng.choice([0.0, 1e-6]))


def bound(old, rng):
    name = BOUND[rng.integers(len(BOUND))]
    if name == "subsets":
        subsets = old.subsets
        other = None if subsets is None or rng.random() < 0.5 else replace(subsets, largest=subsets.largest + 1)
        return replace(old, subsets=other)
    return replace(old, **{name: number(getattr(old, name), rng)})


@mp.workdps(50)
def false(c):
    """Whether the claim is false: a bound is not what the draws give, or the value may be lower."""
    kernel, values = c.kernel, []
    counted = {None if b.subsets is None else (b.subsets.length, b.subsets.largest) for b in c.bounds}
    if len(counted) > 1 or len({b.replaced for b in c.bounds}) < len(c.bounds):
        return True  # they do not share one risk
    if None in counted and len(c.bounds) != 2:
        return True
    for b in c.bounds:
        p, risk = mpf(b.p), mpf(c.alpha)
        if b.subsets is None:
            risk /= 2
        else:
            size, largest = b.subsets.size, b.subsets.largest
            risk *= mpf(1) if largest == 0 else mpf(1) / 2 if size == 0 else mpf(1) / 2 / largest
            p = 1 - mpf(kernel.beta) ** b.replaced * (1 - p)
        if b.p > 0 and (b.k == 0 or tail(b.k, c.n, p + mpf(c.distance)) > risk):
            return True
    if c.epsilon > 0 and c.sigma == 0:
        return c.p_adv > 0
    shift = mpf(0) if c.epsilon == 0 or c.sigma == float("inf") else mpf(c.epsilon) / mpf(c.sigma)
    for edits, i in enumerate(c.choices):
        b = c.bounds[i]
        if c.log_t_outside[edits] > -math.inf and mpf(kernel.beta) ** b.replaced < 1:
            values.append(joint(mpf(c.bounds[0].p), mpf(b.p), shift, kernel, b.replaced, edits))
        else:
            values.append(enclosed(mpf(b.p), shift, law(kernel, b.replaced, edits))[0])
    claim = c.p_adv * (1 - mpf(10) ** -40)
    return any(claim > low for low in values)


def joint(p_a, p_s, shift, kernel, d, edits):
    """The least value of a classifier with both probabilities: how much is flagged where all d were replaced is free.

    The value is convex in it. So it is least at the left end, which p_S and p_A allow, or else where p_A alone has it.
    """
    b, plain = mpf(kernel.beta) ** d, enclosed(p_a, shift, law(kernel, 0, edits))[0]
    outside = oracle.outside_law(kernel.beta, kernel.vocab_size, edits, d - edits)

    def at(x):
        inner = enclosed(min(x / b, mpf(1)), shift, law(kernel, d, edits))[0]
        return inner + enclosed(min(max((p_a - x) / (1 - b), mpf(0)), mpf(1)), shift, outside)[0]

    first, step = max(b * p_s, p_a - (1 - b)), mpf(10) ** -9
    return at(first) if at(first + step) >= at(first) else plain


def law(kernel, replaced, edits):
    if not replaced:
        return (
            oracle.uniform_law(kernel.beta, kernel.vocab_size, edits)
            if isinstance(kernel, hrs.UniformKernel)
            else oracle.absorbing_law(kernel.beta, edits)
        )
    beyond = max(edits - replaced, 0)  # edits of clean text
    if isinstance(kernel, hrs.UniformKernel):
        return oracle.masked_law(kernel.beta, kernel.vocab_size, edits - beyond, max(replaced - edits, 0), beyond)
    return absorbing_law(kernel.beta, replaced, beyond)


@cache
def absorbing_law(beta, replaced, beyond):
    """Seen through the mask, nobody edits; what is shown beyond it excludes one of the two laws."""
    hidden = oracle.masked_position(beta, 2, edited=False)
    return oracle.atoms([hidden] * replaced + [oracle.absorbing_position(beta)] * beyond)


def run(count: int, seed: int = 0) -> dict:
    """Tamper until ``count`` false certificates were tried; the figures of :func:`abuse.tampering.run`."""
    return tampered(CommittedCertificate, honest, moved, false, small, count, seed)


def small(made: CommittedCertificate) -> bool:
    """Whether the oracle can tell in reasonable time."""
    return made.n <= 2000 and max(b.replaced for b in made.bounds) <= 6


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 0))
