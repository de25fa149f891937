"""Sequential decisions: draw until it is known whether a smoothed probability reaches the required one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr

from hybrid_rs._checks import integer, numbers, one, probability, require, risk as one_risk, risks
from hybrid_rs.certificates.rounding import floored
from hybrid_rs.evidence.confidence_sequences import log_evidence_above, log_evidence_below, mixture_lower, mixture_upper

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Verdict = Literal["certified", "not certifiable", "undecided"]
CHUNK = 256  # draws whose evidence is computed at a time; does not affect the result
STRIDE = 64  # a boundary is first searched at every 64th number of draws
NOTHING = 2.0**-80  # a smaller probability of being undecided is neglected


@dataclass(frozen=True)
class Decision:
    """Whether a smoothed probability reaches the required one, and the draws that this took.

    Args:
        verdict: ``certified`` (p >= p_star), ``not certifiable`` (p < p_star), or ``undecided``.
        draws: draws used, up to and including the one that decided.
        unsafe: unsafe verdicts among them; with several ``sets``, the draws that were unsafe or kept a position of the
            worst set.
        p_star: the clean probability that the target requires; nan if not even p = 1 is enough.
        alpha: the verdict is wrong with at most this probability, for every p.
        lower: lower confidence bound of p at the stopping draw, at risk alpha.
        upper: upper confidence bound of p, at risk alpha; not simultaneous with ``lower``.
        sets: number of sets of positions that the decision is about; with several, p is the least p_S of them.
    """

    verdict: Verdict
    draws: int
    unsafe: int
    p_star: float
    alpha: float
    lower: float
    upper: float
    sets: int = 1

    def __str__(self) -> str:
        if np.isnan(self.p_star):
            return "not certifiable: no clean probability reaches this target"
        upper = 1 - floored(1 - self.upper, 5)
        kept = f" or with a kept position, for the worst of {self.sets} sets" if self.sets > 1 else ""
        return (
            f"{self.verdict} after {self.draws} draws, {self.unsafe} of them unsafe{kept}: "
            f"p in [{floored(self.lower, 5):.5f}, {upper:.5f}], required {self.p_star:.5f} (risk {self.alpha:g})"
        )


def decide(
    verdicts: Iterable[ArrayLike],
    p_star: float,
    *,
    alpha: float = 0.01,
    max_draws: int = 10_000,
    distance: float = 0.0,
) -> Decision:
    """Draw until it is known whether p >= p_star.

    For every p, the verdict is wrong with probability at most alpha: ``certified`` although p < p_star, or
    ``not certifiable`` although p >= p_star. The verdict depends on the order of the draws, not on the batches.

    Args:
        verdicts: batches of unsafe verdicts, bool arrays of shape ``(batch,)``, independent draws. A batch is requested
            only while the decision is open, so a generator draws no more than needed. If they run out: undecided.
        p_star: the clean probability required, from :func:`hybrid_rs.required_p_a`; in [0, 1] or nan.
        alpha: risk, in (0, 1).
        max_draws: the largest number of draws.
        distance: total variation between the law of a draw and the law of p; p must pass p_star by this much.

    Raises:
        ValueError: if an argument is outside its range or a batch is not a row of bools.

    Example:
        >>> import hybrid_rs as hrs
        >>> ratio = hrs.UniformKernel(beta=0.25, vocab_size=32_000).likelihood_ratio(d=1)
        >>> p_star = hrs.required_p_a(1.0, ratio, sigma=1.0, tau=4.6e-5)
        >>> print(decide([np.ones(64, dtype=bool)], p_star))
        certified after 18 draws, 18 of them unsafe: p in [0.75392, 1.00000], required 0.75113 (risk 0.01)
    """
    risk, limit = one_risk("alpha", alpha), integer("max_draws", max_draws, at_least=0)
    p_star = one("p_star", numbers("p_star", p_star))
    off = one("distance", probability("distance", distance))
    if np.isnan(p_star):
        return _decision("not certifiable", 0, 0, p_star, risk, off)
    if probability("p_star", p_star) == 0:
        return _decision("certified", 0, 0, p_star, risk, off)
    high = min(float(np.nextafter(p_star + off, 2.0)), 1.0) if off else p_star
    low = max(float(np.nextafter(p_star - off, -1.0)), 0.0) if off else p_star
    draws = unsafe = 0
    for batch in verdicts if limit else ():
        row = _verdicts(batch)[: limit - draws]
        for start in range(0, row.size, CHUNK):
            k = unsafe + np.cumsum(row[start : start + CHUNK])
            n = draws + 1 + np.arange(k.size)
            # never both: evidence above p_star needs k / n > p_star, evidence below it k / n < p_star
            above = log_evidence_above(k, n, high) >= -np.log(risk)
            below = log_evidence_below(k, n, low) >= -np.log(risk)
            if (above | below).any():
                stop = int(np.argmax(above | below))
                verdict: Verdict = "certified" if above[stop] else "not certifiable"
                return _decision(verdict, int(n[stop]), int(k[stop]), p_star, risk, off)
            draws, unsafe = int(n[-1]), int(k[-1])
        if draws >= limit:
            break
    return _decision("undecided", draws, unsafe, p_star, risk, off)


def stopping_boundary(p_star: float, *, alpha: float = 0.01, max_draws: int = 10_000) -> tuple[IntArray, IntArray]:
    """Return the counts at which :func:`decide` stops: the smallest that certifies and the largest that refuses.

    Args:
        p_star: the clean probability required, in (0, 1).
        alpha: risk, in (0, 1).
        max_draws: the largest number of draws of interest.

    Returns:
        two int64 arrays of shape ``(max_draws + 1,)``, by number of draws: the smallest count that certifies (n + 1 if
        none does), and the largest that refuses (-1 if none does).

    Example:
        >>> certify, refuse = stopping_boundary(0.75, max_draws=40)
        >>> certify[[17, 18, 40]], refuse[[4, 5, 40]]
        (array([18, 18, 39]), array([-1,  0, 19]))
    """
    n = np.arange(integer("max_draws", max_draws, at_least=0) + 1)
    risk = one_risk("alpha", alpha)
    require(bool(probability("p_star", p_star) > 0), "p_star", p_star, "give more than 0: 0 needs no draws")
    certifies = _least(lambda k, n: log_evidence_above(k, n, p_star) >= -np.log(risk), n)
    refuses = _least(lambda k, n: log_evidence_below(k, n, p_star) < -np.log(risk), n) - 1
    return certifies, refuses


def stopping_law(p: ArrayLike, certify: IntArray, refuse: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the exact probabilities of certifying and of refusing at each number of draws; for planning.

    Args:
        p: true probability, in [0, 1]; or several, shape ``(...)``, which take hardly longer than one.
        certify: the first array of :func:`stopping_boundary`.
        refuse: the second array of :func:`stopping_boundary`.

    Returns:
        two float64 arrays of shape ``(..., max_draws + 1)``; 1 minus both sums is the probability of staying undecided.

    Example:
        >>> certified, refused = stopping_law(0.98, *stopping_boundary(0.75, max_draws=100))
        >>> certified[:51].sum().round(3), refused.sum() < 1e-3
        (np.float64(0.987), np.True_)
    """
    hit = probability("p", p)
    shape, chance = (*hit.shape, certify.size), hit.reshape(-1, 1)
    certified, refused = np.zeros((2, chance.size, certify.size))
    first, mass = 0, np.ones((chance.size, 1))  # mass[:, i]: first + i unsafe verdicts, undecided so far
    for n, (most, least) in enumerate(zip(refuse.tolist(), certify.tolist(), strict=True)):
        if n:
            before, mass = mass, np.zeros((chance.size, mass.shape[1] + 1))
            np.multiply(before, 1 - chance, out=mass[:, :-1])
            mass[:, 1:] += before * chance
        low, high = max(0, most + 1 - first), max(0, least - first)
        if low:
            refused[:, n] = mass[:, :low].sum(axis=1)
        if high < mass.shape[1]:
            certified[:, n] = mass[:, high:].sum(axis=1)
        first, mass = first + low, mass[:, low:high]
        if n % 64 == 0 and mass.sum() < NOTHING:
            break
    return certified.reshape(shape), refused.reshape(shape)


def decision_draws(p: float, p_star: float, *, alpha: float = 0.01, max_draws: int = 10_000) -> tuple[float, float]:
    """Return the exact median and mean of the number of draws of :func:`decide`, which stops after ``max_draws``.

    Args:
        p: the true probability, in [0, 1].
        p_star: the clean probability required, in [0, 1].
        alpha: risk, in (0, 1).
        max_draws: the largest number of draws, at least 1.

    Returns:
        median and mean; an undecided decision counts as ``max_draws``.

    Example:
        >>> median, mean = decision_draws(0.9, 0.75)
        >>> median, round(mean, 1)
        (71.0, 77.6)
    """
    if probability("p_star", p_star) == 0:  # certified without a draw
        return 0.0, 0.0
    true = one("p", probability("p", p))
    stopped = np.cumsum(sum(stopping_law(true, *stopping_boundary(p_star, alpha=alpha, max_draws=max_draws))))
    median = float(np.argmax(stopped >= 0.5)) if stopped[-1] >= 0.5 else float(max_draws)
    return median, float((1 - stopped[:-1]).sum())  # the mean is the sum over n of P(N > n)


def draws_floor(p: ArrayLike, p_star: ArrayLike, alpha: ArrayLike = 0.01) -> FloatArray:
    r"""Return a lower bound of the mean draws of any sequential test: :math:`\log(1/\alpha) / KL(p \| p^\star)`.

    It holds for every rule that certifies with certainty if the probability is p, and with probability at most alpha if
    it is p_star. A rule that may also err under p can be a few percent cheaper.

    Returns:
        float64 of the broadcast shape; inf where p = p_star.

    References:
        Wald (1945), the sequential probability ratio test.

    Example:
        >>> draws_floor([0.98, 1.0], 0.75).round(1)
        array([21.8, 16. ])
    """
    true, needed, risk = probability("p", p), probability("p_star", p_star), risks("alpha", alpha)
    divergence = rel_entr(true, needed) + rel_entr(1 - true, 1 - needed)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(risk) / np.maximum(divergence, 0.0))[()]


def _least(true_from: Callable[[IntArray, IntArray], NDArray[np.bool_]], n: IntArray) -> IntArray:
    """Return, for n = 0, 1, ..., the least k in 0..n from which on a condition holds, or n + 1; it never falls in n."""
    some = n[::STRIDE]
    found = _bisected(true_from, some, np.full_like(some, -1), some + 1)
    before = n // STRIDE
    return _bisected(true_from, n, found[before] - 1, np.minimum(np.append(found, n[-1] + 1)[before + 1], n + 1))


def _bisected(
    true_from: Callable[[IntArray, IntArray], NDArray[np.bool_]], n: IntArray, false: IntArray, true: IntArray
) -> IntArray:
    """Return, for each n, the least k above ``false`` where the condition holds; it is known to hold at ``true``."""
    while (left := np.flatnonzero(true - false > 1)).size:
        k = (false[left] + true[left]) // 2
        holds = true_from(k, n[left])
        true[left[holds]], false[left[~holds]] = k[holds], k[~holds]
    return true


def _decision(verdict: Verdict, draws: int, unsafe: int, p_star: float, risk: float, off: float) -> Decision:
    lower, upper = 0.0, 1.0
    if draws:
        lower, upper = float(mixture_lower(unsafe, draws, risk)), float(mixture_upper(unsafe, draws, risk))
        if off:
            lower, upper = max(float(np.nextafter(lower - off, 0)), 0.0), min(float(np.nextafter(upper + off, 2)), 1.0)
    if verdict == "certified":  # the same evidence as that of the bound, but without its rounding
        lower = max(lower, float(p_star))
    if verdict == "not certifiable" and draws:
        upper = min(upper, float(p_star))
    return Decision(verdict, draws, unsafe, float(p_star), risk, lower, upper)


def _verdicts(batch: ArrayLike) -> NDArray[np.bool_]:
    row = np.asarray(batch)
    fits = row.ndim == 1 and (row.dtype == bool or row.size == 0)
    require(fits, "verdicts", (str(row.dtype), row.shape), "give bool arrays of shape (batch,)")
    return row.astype(bool)
