"""Certificates from several texts for each number of edits, of which fields were moved so that the claim is false.

What is false is decided without the package, as in :mod:`abuse.tampering`: the layered value of every number of edits
from its definition in 50 digits, and the binomial tail summed term by term. ``run(count, seed)`` gives the figures; so
does this file as a script, with ``tests`` on the path.
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace

import numpy as np
from abuse.tampering import ODD, enclosed, tail, tampered
from abuse.tampering_committed import law, number
from mpmath import mp, mpf

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.committed_text_certificate import CommittedTextCertificate, certify_committed_texts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts, images_of_size, texts_of_size

FIELDS = [field.name for field in fields(CommittedTextCertificate)]
ALONE = oracle.atoms([])  # the text as it is


def honest(rng):
    """A true certificate of small budgets."""
    beta = float(rng.choice([0.3, 0.6, 1.0]))
    kernel = hrs.UniformKernel(beta, int(rng.choice([2, 10, 32_000]))) if rng.random() < 0.7 else None
    kernel = kernel or hrs.AbsorbingKernel(beta)
    n, texts, rows, known = int(rng.choice([100, 500])), int(rng.integers(2, 5)), [], bool(rng.random() < 0.5)
    for size in range(3):
        m, images = (texts, n) if known else (texts_of_size(texts, beta, size), images_of_size(n, texts, beta, size))
        shares = np.sort(rng.choice([0.8, 0.95, 1.0], m))[::-1]
        rows.append(tuple(np.floor(images * shares).astype(int).tolist()))
    law_of = {"d": int(rng.integers(known, 3)), "epsilon": float(rng.choice([0.0, 0.3, 1.0])), "sigma": 1.0, "tau": 0.1}
    off = float(rng.choice([0.0, 1e-15, 1e-3]))
    if known:
        return certify_committed_texts(hrs.TextCounts(tuple(rows), n, distance=off), kernel, **law_of)
    return certify_committed_texts(SubsetTextCounts(tuple(rows), n, texts, 6, beta, distance=off), kernel, **law_of)


def moved(certificate, rng):
    """The fields of a certificate, one or two of them moved."""
    values = {name: getattr(certificate, name) for name in FIELDS}
    for name in rng.choice(FIELDS, int(rng.integers(1, 3)), replace=False):
        old = values[name]
        if rng.random() < 0.1:
            values[name] = ODD[rng.integers(len(ODD))]
        elif name == "kernel":
            values[name] = hrs.UniformKernel(old.beta, int(rng.choice([2, 3, 100])))
        elif name == "levels":
            values[name] = tuple(tuple(min(1.0, number(x, rng)) for x in row) for row in old)
        elif name == "counts":
            rows = tuple(tuple(max(0, k + int(rng.integers(-2, 2))) for k in row) for row in old.reached)
            changes = [{"reached": rows}, {"reached": rows}, {"n": old.n - 1}, {"distance": old.distance + 1e-6}]
            values[name] = replace(old, **changes[rng.integers(4)])
        elif name == "witnesses":
            values[name] = tuple(replace(w, log_t=number(w.log_t, rng)) for w in old)
        else:
            values[name] = number(old, rng)
    return values


@mp.workdps(50)
def false(c):
    """Whether the claim is false: a level is not what the counts give, or the value may be lower."""
    kernel, counts = c.kernel, c.counts
    known = isinstance(counts, hrs.TextCounts)
    rows = dict(zip((0, c.d) if known else range(len(counts.reached)), c.levels, strict=True))
    for size, levels in rows.items():
        reached, m, largest = counts.reached[size], len(levels), 1 if known else len(counts.reached) - 1
        images = counts.n if known else images_of_size(counts.n, counts.texts, counts.beta, size)
        risk = mpf(c.alpha) * (1 if largest == 0 else mpf(1) / 2 if size == 0 else mpf(1) / 2 / largest)
        shares = [risk / max(1, 2 * (m - 1))] * (m - 1) + [risk / 2 if m > 1 else risk]
        for k, level in enumerate(levels):
            support, at = list(zip(reached, shares, strict=True))[k:], mpf(level) + mpf(counts.distance)
            if level > 0 and not any(r > 0 and tail(r, images, at) <= share for r, share in support):
                return True
    if c.epsilon > 0 and c.sigma == 0:
        return c.p_adv > 0
    shift = mpf(0) if c.epsilon == 0 or c.sigma == float("inf") else mpf(c.epsilon) / mpf(c.sigma)
    claim = c.p_adv * (1 - mpf(10) ** -40)
    for edits, witness in enumerate(c.witnesses):
        levels, attacked = rows[witness.size], law(kernel, witness.size, edits)
        if witness.image_log_t:
            share = sum(oracle.value(p, shift, ALONE) for p in levels) / len(levels)
            value = oracle.value(min(share, mpf(1)), 0, attacked)
        else:
            value = enclosed(sum(map(mpf, levels)) / len(levels), shift, attacked)[0]
        if claim > value:
            return True
    return False


def run(count: int, seed: int = 0) -> dict:
    """Tamper until ``count`` false certificates were tried; the figures of :func:`abuse.tampering.run`."""
    return tampered(CommittedTextCertificate, honest, moved, false, small, count, seed, each=10)


def small(made: CommittedTextCertificate) -> bool:
    """Whether the oracle can tell in reasonable time."""
    return made.d <= 3


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 300, int(sys.argv[2]) if len(sys.argv) > 2 else 0))
