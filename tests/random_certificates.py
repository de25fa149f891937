"""Random certificates of every kind over extreme ranges, made as users make them; shared by tests and a benchmark.

V is from 2 to 1e6, beta from 0 to 1, epsilon / sigma 0 or 1e-9 to 12, sigma also 0 and infinity, n from 1 to 1e6
(several texts: to 20,000), alpha from 1e-6 to 0.05, the text budget mostly up to 8 and at most 64.
"""

from itertools import count

import numpy as np

import hybrid_rs as hrs
from hybrid_rs.certificates.certificate import certify as certify_one_text
from hybrid_rs.certificates.committed_certificate import certify_committed
from hybrid_rs.certificates.committed_text_certificate import certify_committed_texts
from hybrid_rs.certificates.text_certificate import certify_texts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts, images_of_size, texts_of_size


def near_an_end(rng, *shape):
    """Probabilities, most of them near 0 or 1; some are exactly 0 or 1."""
    low, high = 10 ** rng.uniform(-6, -0.3, shape), 1 - 10 ** rng.uniform(-9, -0.3, shape)
    found, exact = np.where(rng.random(shape) < 0.4, low, high), rng.random(shape)
    return np.where(exact < 0.02, 1.0, np.where(exact < 0.04, 0.0, found))


def hits_of(rng, n, *shape):
    """Counts of n draws, as whole numbers in a list."""
    return np.floor(near_an_end(rng, *shape) * n).astype(int).tolist()


def draws_of(rng, digits):
    """A number of draws, from 1 to 10 to the power ``digits``."""
    return int(10 ** rng.uniform(0, digits))


def kernel_of(rng, *, ends=True):
    """A kernel; with ``ends``, a tenth of the betas are 0 or 1."""
    beta = float(rng.choice([0.0, 1.0]) if ends and rng.random() < 0.1 else rng.uniform(1e-3, 1))
    size = 2 if rng.random() < 0.15 else int(np.exp(rng.uniform(np.log(2), np.log(1e6))))
    return hrs.UniformKernel(beta, size) if rng.random() < 0.8 else hrs.AbsorbingKernel(beta)


def budget_of(rng, most=8, far=64):
    """A text budget; a tenth are beyond ``most``, up to ``far``."""
    return int(rng.integers(0, most + 1) if rng.random() < 0.9 else rng.integers(most + 1, far + 1))


def target_of(rng):
    """The image budget, sigma and tau."""
    shift = rng.uniform(0, 12) if rng.random() < 0.7 else rng.choice([0.0, 10 ** rng.uniform(-9, 1)])
    sigma = 1.0 if rng.random() < 0.95 else rng.choice([0.0, np.inf])
    return {"epsilon": float(shift), "sigma": float(sigma), "tau": 1e-5}


def source_of(rng):
    """The risk of the bounds, and the distance of the law of the draws from that of the theorem."""
    return {"alpha": float(rng.choice([0.01, 0.05, 1e-6]))}, {"distance": float(rng.choice([0.0, 1e-15, 1e-3]))}


def levels_of(rng, n, m):
    """In how many of n images at least k = 1..m texts were flagged."""
    return tuple(sorted(hits_of(rng, n, m), reverse=True))


def one_text(law, rng):
    """From p_A, as known or from counts."""
    kernel, to = kernel_of(law), {"d": budget_of(law)} | target_of(rng)
    if rng.random() < 0.5:
        return hrs.certify(float(near_an_end(rng)), kernel, **to)
    (risk, off), n = source_of(rng), draws_of(rng, 6)
    return hrs.certify(hrs.Counts(tuple(hits_of(rng, n, 1)), n, **off), kernel, **risk, **to)


def masked(law, rng):
    """From p_S of known positions, as known or from counts."""
    kernel, to = kernel_of(law), {"d": budget_of(law)} | target_of(rng)
    if rng.random() < 0.5:
        return hrs.certify(float(near_an_end(rng)), kernel, masked=True, **to)
    (risk, off), n = source_of(rng), draws_of(rng, 6)
    hits = hits_of(rng, n, to["d"] + 1)
    return certify_one_text(hrs.MaskedCounts(tuple(hits), n, **off), kernel, **risk, **to)


def several_texts(law, rng):
    """From several texts for each image, plain or with known positions replaced; levels as known or from counts."""
    kernel, to, texts = kernel_of(law), {"d": budget_of(law, far=24)} | target_of(rng), int(rng.integers(1, 17))
    if rng.random() < 0.5:
        return certify_texts(np.sort(near_an_end(rng, texts))[::-1], kernel, masked=bool(rng.random() < 0.6), **to)
    (risk, off), n = source_of(rng), draws_of(rng, 4.3)
    rows = (levels_of(rng, n, texts),) * (to["d"] + 1 if rng.random() < 0.7 else 1)
    return certify_texts(hrs.TextCounts(rows, n, **off), kernel, **risk, **to)


def committed_texts(law, rng):
    """From several texts for each image, with and without known positions replaced."""
    kernel, to, texts = kernel_of(law), {"d": max(1, budget_of(law, far=16))} | target_of(rng), int(rng.integers(1, 17))
    (risk, off), n = source_of(rng), draws_of(rng, 4.3)
    rows = tuple(levels_of(rng, n, texts) for _ in range(to["d"] + 1))
    return certify_committed_texts(hrs.TextCounts(rows, n, **off), kernel, **risk, **to)


def committed(law, rng):
    """From p_A and p_S of known positions."""
    kernel, to = kernel_of(law), {"d": max(1, budget_of(law, far=16))} | target_of(rng)
    (risk, off), n = source_of(rng), draws_of(rng, 6)
    hits = hits_of(rng, n, to["d"] + 1)
    return certify_committed(hrs.MaskedCounts(tuple(hits), n, **off), kernel, **risk, **to)


def joint(law, rng):
    """As :func:`committed`, and p_A is joined with p_S: the alphabet is small, and both are near 1."""
    kernel = hrs.UniformKernel(float(law.uniform(0.01, 0.95)), int(np.exp(law.uniform(np.log(2), np.log(400)))))
    d = int(law.integers(1, 7))
    for tried in count():
        (risk, off), n = source_of(rng), draws_of(rng, 6) + 100
        hits = np.floor((1 - 10 ** rng.uniform(-6, -0.2, d + 1)) * n).astype(int).tolist()
        to = {"d": d, "sigma": 1.0, "epsilon": float(rng.choice([0.0, rng.uniform(0, 5)])), "tau": 1e-5}
        made = certify_committed(hrs.MaskedCounts(tuple(hits), n, **off), kernel, **risk, **to)
        if max(made.log_t_outside) > -np.inf:
            return made
        if tried == 20:  # for this kernel it may never be joined
            return joint(np.random.default_rng(int(law.integers(2**32))), rng)
    raise AssertionError


def any_positions(law, rng):
    """From p_A and p_S of every set of positions, one text for each image."""
    kernel, d, length, most = (
        kernel_of(law, ends=False),
        budget_of(law, 4, 12),
        *(int(law.integers(1, x)) for x in (200, 5)),
    )
    (risk, off), n, d = source_of(rng), draws_of(rng, 6), max(1, d)
    safe = sorted(hits_of(rng, n, min(most, max(d, length)) + 1), reverse=True)
    counts = hrs.SubsetCounts(tuple(safe), n, max(d, length), kernel.beta, **off)
    return hrs.certify(counts, kernel, d=d, **risk, **target_of(rng))


def any_positions_texts(law, rng):
    """From several texts for each image and every set of positions."""
    kernel, d, length, most = (
        kernel_of(law, ends=False),
        budget_of(law, 4, 12),
        *(int(law.integers(1, x)) for x in (200, 5)),
    )
    (risk, off), n, texts = source_of(rng), draws_of(rng, 4.3), int(rng.integers(1, 17))
    rows = tuple(
        levels_of(rng, images_of_size(n, texts, kernel.beta, size), texts_of_size(texts, kernel.beta, size))
        for size in range(min(most, max(d, length)) + 1)
    )
    counts = SubsetTextCounts(rows, n, texts, max(d, length), kernel.beta, **off)
    return hrs.certify(counts, kernel, d=d, **risk, **target_of(rng))


KINDS = {
    "one text": one_text,
    "masked": masked,
    "several texts": several_texts,
    "committed": committed,
    "joint": joint,
    "any positions": any_positions,
    "any positions, several texts": any_positions_texts,
    "committed, several texts": committed_texts,
}


def random_certificates(kind, cases, seed, *, of_a_law=1):
    """Yield certificates of one kind; as many as ``of_a_law`` in a row have the same kernel and text budget."""
    place = list(KINDS).index(kind)
    rng = np.random.default_rng([seed, place])
    for i in range(cases):
        yield KINDS[kind](np.random.default_rng([seed, place, i // of_a_law]), rng)
