"""Certificates of which one field or more was moved, so that the claim is false: none of them may pass ``verify``.

What is false is decided without the package: the worst-case value from its definition in 50 digits, and the binomial
tail summed term by term in 50 digits. ``run(count, seed)`` gives the figures; so does this file as a script, with
``tests`` on the path: ``python tests/abuse/tampering.py 100000``.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
from mpmath import binomial, mp, mpf
from scipy.special import ndtr

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.certificate import certify  # of one probability

FIGURES = ["false", "refused by verify", "passed", "refused at reading", "true", "true and proved"]
FIGURES += ["honest", "honest refused", "too large for the oracle"]
FIELDS = [field.name for field in fields(hrs.Certificate)]
ODD = [
    0.0,
    -0.0,
    5e-324,
    1e-300,
    1.0,
    1 - 2.0**-53,
    math.inf,
    -math.inf,
    math.nan,
    1e308,
    -1e308,
    10**30,
    -1,
    True,
    None,
    "0.5",
]


def honest(rng):
    """A true certificate of small budgets, of a known probability or of draws."""
    beta = float(rng.choice([0.1, 0.25, 0.5, 0.9, 1.0]))
    uniform = rng.random() < 0.6
    kernel = hrs.UniformKernel(beta, int(rng.choice([2, 3, 10, 32_000]))) if uniform else hrs.AbsorbingKernel(beta)
    d, shift = int(rng.integers(0, 4)), float(rng.choice([0.0, 0.3, 1.0, 3.0]))
    law = {"d": d, "epsilon": shift, "sigma": 1.0, "tau": float(rng.choice([1e-4, 0.1, 0.5]))}
    masked, kind, n = bool(rng.random() < 0.3), rng.integers(3), int(rng.choice([10, 100, 1000]))
    if kind == 0:
        return certify(float(rng.choice([0.3, 0.9, 0.999, 1.0])), kernel, masked=masked, **law)
    hits = tuple(int(n * x) for x in rng.choice([0.5, 0.9, 0.99, 1.0], d + 1))
    off = {"distance": float(rng.choice([0.0, 1e-15, 1e-3]))}
    if kind == 1:
        return certify(hrs.MaskedCounts(hits, n, **off) if masked else hrs.Counts(hits[0], n, **off), kernel, **law)
    safe = tuple(sorted((n - k for k in hits), reverse=True))
    return certify(hrs.SubsetCounts(safe, n, 6, beta, **off), kernel, **law)


def moved(certificate, rng):
    """The fields of a certificate, one or two of them moved."""
    values = {name: getattr(certificate, name) for name in FIELDS}
    for name in rng.choice(FIELDS, int(rng.integers(1, 3)), replace=False):
        old = values[name]
        if rng.random() < 0.3:
            values[name] = ODD[rng.integers(len(ODD))]
        elif name == "kernel":
            beta = float(rng.choice([0.0, old.beta / 2, old.beta * (1 - 1e-9), 1.0]))
            size = int(rng.choice([2, 3, 100]))
            values[name] = hrs.UniformKernel(beta, size) if rng.random() < 0.7 else hrs.AbsorbingKernel(beta)
        elif name == "subsets":
            values[name] = None if rng.random() < 0.5 or old is None else replace(old, length=old.length + 1)
        elif isinstance(old, bool):
            values[name] = not old
        elif isinstance(old, int):
            values[name] = max(0, old + int(rng.choice([-3, -1, 1, 3])))
        elif isinstance(old, float):
            values[name] = old * float(rng.choice([1 - 1e-6, 1 + 1e-6, 0.5, 2.0, -1.0])) + float(
                rng.choice([0.0, 1e-6])
            )
    return values


@cache
@mp.workdps(50)
def tail(k, n, p):
    """P(K >= k) in n draws of probability p, summed term by term."""
    if p >= 1:
        return mpf(1)
    term = binomial(n, k) * p**k * (1 - p) ** (n - k)
    total = term
    for j in range(k, n):
        term *= mpf(n - j) / (j + 1) * p / (1 - p)
        total += term
        if j > n * p and term < total * mpf(10) ** -45:  # the rest falls faster than a geometric series
            break
    return total


def within(c):
    """Whether the oracle's numbers stay moderate."""
    return c.epsilon == 0 or c.sigma in (0, math.inf) or 1e-9 < c.epsilon / c.sigma < 40


SPREAD = {}


@mp.workdps(50)
def spread(law):
    """The clean mass at ratio 0, and the other atoms of finite ratio: log-ratio, clean and adversarial mass."""
    if id(law) not in SPREAD:  # the oracle keeps its laws
        finite = [(mp.log(ratio), p, q) for ratio, (p, q) in law.items() if ratio is not oracle.INFINITY and ratio != 0]
        SPREAD[id(law)] = sum((p for ratio, (p, _) in law.items() if ratio == 0), mpf(0)), finite
    return SPREAD[id(law)]


@mp.workdps(50)
def enclosed(p, shift, law):
    """Two numbers with the worst-case value between them, in 50 digits: of one test that rejects by the joint ratio.

    The threshold u of the test is found in float64; where its clean mass is at least p, its adversarial mass bounds the
    value from above (it is a classifier), and weak duality at u from below. So the search need not be believed.
    """
    at_zero, atoms = spread(law)
    if shift > 0 and at_zero < p < 1:
        logs, clean, _ = np.array([[float(x) for x in atom] for atom in atoms]).T
        s, low, high = float(shift), logs.min() - 60 * float(shift) - 1e3, logs.max() + 60 * float(shift) + 1e3
        missing = float(1 - mpf(p))
        for _ in range(80):
            u = (low + high) / 2
            z = (u - logs) / s + s / 2
            reached = (clean @ ndtr(-z) <= missing) if p > 0.5 else (float(at_zero) + clean @ ndtr(z) >= float(p))
            low, high = (low, u) if reached else (u, high)
        for slack in (1e-13, 1e-11, 1e-9, 1e-6):
            u = mpf(high) + slack * max(1, abs(high)) * min(1, s)
            kept = at_zero + sum(a * mp.ncdf((u - g) / shift + shift / 2) for g, a, _ in atoms)
            value = sum(b * mp.ncdf((u - g) / shift - shift / 2) for g, _, b in atoms)
            if kept >= p:
                return value + mp.exp(u) * (p - kept), value
    exact = oracle.value(p, shift, law)
    return exact, exact


@mp.workdps(50)
def false(c):
    """Whether the claim is false: the evidence is not what the draws give, or the value may be lower."""
    p, kernel = mpf(c.p), c.kernel
    if c.n is not None and p > 0:
        risk = mpf(c.alpha)
        if c.subsets is not None:
            size, largest = c.subsets.size, c.subsets.largest
            risk *= mpf(1) if largest == 0 else mpf(1) / 2 if size == 0 else mpf(1) / 2 / largest
            p = 1 - mpf(kernel.beta) ** c.d * (1 - p)
        p += mpf(c.distance)
        if c.k == 0 or tail(c.k, c.n, p) > risk:
            return True
    if c.epsilon > 0 and c.sigma == 0:
        return c.p_adv > 0
    shift = 0 if c.epsilon == 0 or math.isinf(c.sigma) else mpf(c.epsilon) / mpf(c.sigma)
    uniform = isinstance(kernel, hrs.UniformKernel)
    if not c.masked:
        law = (
            oracle.uniform_law(kernel.beta, kernel.vocab_size, c.d)
            if uniform
            else oracle.absorbing_law(kernel.beta, c.d)
        )
        laws = [law]
    elif uniform:
        laws = [oracle.masked_law(kernel.beta, kernel.vocab_size, e, c.d - e) for e in range(c.d + 1)]
    else:
        laws = [oracle.masked_law(kernel.beta, 2, 0, c.d)]  # seen through the mask, nobody edits
    for law in laws:
        low, high = enclosed(mpf(c.p), mpf(shift), law)
        claim = c.p_adv * (1 - mpf(10) ** -40)  # more than the 50 digits were rounded by
        if claim > high or (claim > low and claim > oracle.value(c.p, shift, law)):
            return True
    return False


def run(count: int, seed: int = 0) -> dict:
    """Tamper until ``count`` false certificates were tried.

    Returns:
        ``false``: how many; ``refused by verify``, all of them; ``passed``: must be 0; ``refused at reading``: tampered
        with until they were no certificates (types, ranges), not among the false; ``true``: moved, but still true;
        ``true and proved``: how many of those ``verify`` could prove; and ``honest refused``: must be 0.
    """
    return tampered(hrs.Certificate, honest, moved, false, small, count, seed)


def small(made: hrs.Certificate) -> bool:
    """Whether the oracle can tell in reasonable time."""
    return (made.n or 0) <= 2000 and made.d <= 6


def tampered(
    of: type,
    honest: Callable[[np.random.Generator], Any],
    moved: Callable[[Any, np.random.Generator], dict[str, Any]],
    false: Callable[[Any], bool],
    small: Callable[[Any], bool],
    count: int,
    seed: int,
    each: int = 20,
) -> dict:
    """Tamper with certificates of one kind until ``count`` false ones were tried; the figures of :func:`run`.

    Args:
        of: the class of the certificates.
        honest: makes one.
        moved: returns its fields, some of them moved.
        false: whether the claim of one is false.
        small: whether that can be told in reasonable time.
        count: how many false ones.
        seed: of the random choices.
        each: how often an honest one is moved.
    """
    rng, figures = np.random.default_rng(seed), Counter()
    while figures["false"] < count:
        certificate = honest(rng)
        figures["honest"] += 1
        try:
            hrs.verify(hrs.read_certificate(certificate.to_json()))
        except ValueError:
            figures["honest refused"] += 1
        for _ in range(each):
            if figures["false"] >= count:
                break
            try:
                made = hrs.read_certificate(of(**moved(certificate, rng)).to_json())
            except ValueError:
                figures["refused at reading"] += 1
                continue
            if made == certificate:
                continue
            try:
                hrs.verify(made)
                proved = True
            except hrs.VerificationError:
                proved = False
            if not small(made) or not within(made):
                figures["too large for the oracle"] += 1
                continue
            if false(made):
                figures["false"] += 1
                figures["passed" if proved else "refused by verify"] += 1
            else:
                figures["true"] += 1
                figures["true and proved"] += proved
    return {name: figures[name] for name in FIGURES}


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 0))
