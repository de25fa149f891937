"""The certificate from its definition, in 50-digit arithmetic: slow, simple, and independent of the package's solver.

The tests and the theory notebooks compare the package with it. Each float64 is taken as an exact number. The
computation starts from single positions: the law of a noised token, then the product over positions, then the
Neyman-Pearson lemma. It needs mpmath: ``pip install "hybrid_rs[verify]"``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any, TypeAlias

from hybrid_rs._extras import needs

with needs("verify"):
    from mpmath import mp, mpf

DIGITS = 50
INFINITY = "infinity"

Number: TypeAlias = float | Fraction | str
Masses: TypeAlias = tuple[Fraction, Fraction]  # of one outcome, under the clean law P and the adversary's Q
Law: TypeAlias = dict[Hashable, tuple[Any, Any]]  # ratio Q / P (mpf or INFINITY) to the masses (P, Q) of its atom


def uniform_position(beta: Number, vocab_size: int) -> list[Masses]:
    """Return (P, Q) at one edited position of the uniform kernel: of the clean token, the adversary's, all others.

    Example:
        >>> sum(p for p, _ in uniform_position(0.25, vocab_size=10))
        Fraction(1, 1)
    """
    beta, others = Fraction(beta), vocab_size - 1
    hit = beta / others
    return [(1 - beta, hit), (hit, 1 - beta), (hit * (others - 1), hit * (others - 1))]


def absorbing_position(beta: Number) -> list[Masses]:
    """Return (P, Q) at one edited position of the absorbing kernel: of the mask, the clean token, the adversary's.

    Example:
        >>> absorbing_position(0.25)[0]
        (Fraction(1, 4), Fraction(1, 4))
    """
    beta = Fraction(beta)
    return [(beta, beta), (1 - beta, Fraction(0)), (Fraction(0), 1 - beta)]


def masked_position(beta: Number, vocab_size: int, edited: bool) -> list[Masses]:
    """Return (P, Q) of each class of tokens at one position; P is given that the position was replaced, Q is not.

    Example:
        >>> masked_position(0.25, vocab_size=10, edited=False)
        [(Fraction(1, 1), Fraction(1, 4)), (Fraction(0, 1), Fraction(3, 4))]
    """
    beta, others = Fraction(beta), vocab_size - 1
    if edited:  # another token, the adversary's, the clean one
        return [(Fraction(others - 1, others), beta * Fraction(others - 1, others)), (Fraction(1, others), 1 - beta),
                (Fraction(0), beta / others)]  # fmt: skip
    return [(Fraction(1), beta), (Fraction(0), 1 - beta)]


def atoms(positions: Iterable[Sequence[Masses]]) -> Law:
    """Return the law of the ratio over independent positions, computed in rational arithmetic and rounded at the end.

    Ratios 0 and infinity are atoms, too.

    Example:
        >>> law = atoms([absorbing_position(0.25)])
        >>> [(float(p), float(q)) for p, q in law.values()]  # of ratio 1, 0 and infinity
        [(0.25, 0.25), (0.75, 0.0), (0.0, 0.75)]
    """
    law: dict[Any, Masses] = {Fraction(1): (Fraction(1), Fraction(1))}
    for position in positions:
        joined: dict[Any, Masses] = {}
        for ratio, (p, q) in law.items():
            for p_token, q_token in position:
                if (p == 0 or p_token == 0) and (q == 0 or q_token == 0):
                    continue
                key = INFINITY if ratio is INFINITY or p_token == 0 else ratio * q_token / p_token
                p_sum, q_sum = joined.get(key, (Fraction(0), Fraction(0)))
                joined[key] = (p_sum + p * p_token, q_sum + q * q_token)
        law = joined
    return {ratio if ratio is INFINITY else to_mpf(ratio): (to_mpf(p), to_mpf(q)) for ratio, (p, q) in law.items()}


def to_mpf(fraction: Number) -> Any:
    """Return the fraction as an mpmath number of 50 digits, for any current working precision.

    Example:
        >>> 1 - 3 * to_mpf(Fraction(1, 3)) < mpf("1e-49")
        True
    """
    fraction = Fraction(fraction)
    with mp.workdps(DIGITS):
        return mpf(fraction.numerator) / fraction.denominator


@mp.workdps(DIGITS)  # type: ignore[untyped-decorator]
def value(p_a: Any, shift: Any, law: Mapping[Hashable, tuple[Any, Any]]) -> Any:
    """Return V(p_A) at epsilon / sigma = shift: fill the rejection region in the order of the joint ratio.

    Args:
        p_a: the clean probability, in [0, 1]; a float or an mpmath number.
        shift: epsilon / sigma, not negative.
        law: of the token ratio, see :func:`atoms`.

    Returns:
        the least probability under attack, an mpmath number.

    Example:
        >>> float(value(0.75, 0, absorbing_law(0.5, d=1)))
        0.25
    """
    p_a, shift = mpf(p_a), mpf(shift)
    rows = [(ratio, p, q) for ratio, (p, q) in law.items() if ratio is not INFINITY and ratio != 0]
    finite: list[tuple[Any, Any, Any]] = sorted(rows)
    at_zero = sum((p for ratio, (p, q) in law.items() if ratio == 0), mpf(0))
    if p_a <= at_zero:
        return mpf(0)
    if p_a == 1:
        return sum((q for _, _, q in finite), mpf(0))
    if shift == 0:
        return _knapsack(p_a - at_zero, finite)
    with mp.workdps(DIGITS + max(0, -int(mp.floor(mp.log10(shift))))):  # u must be resolved in steps of the shift
        return _shifted(p_a, shift, at_zero, finite)


def _shifted(p_a: Any, shift: Any, at_zero: Any, finite: list[tuple[Any, Any, Any]]) -> Any:
    """Return the value for a positive shift, from the threshold u of the joint log-ratio at which F(u) = p_A."""
    cut = [(mp.log(ratio), p, q) for ratio, p, q in finite]

    def beyond(u: Any) -> tuple[Any, Any]:
        """Return F(u) - p_A and its slope in u."""
        at = [((u - g) / shift + shift / 2, p) for g, p, q in cut]
        slope = sum(p * mp.npdf(z) for z, p in at if abs(z) < 100) / shift
        if p_a < 0.5:
            return at_zero + sum(p * _ncdf(z) for z, p in at) - p_a, slope
        return (1 - p_a) - sum(p * _ncdf(-z) for z, p in at), slope  # keeps all digits where p_A is near one

    way, filled = 60 * shift + shift**2, at_zero
    for near, p, _ in cut:  # noqa: B007  the atom that fills p_A without the shift: with a small one, u is next to it
        filled += p
        if filled >= p_a:
            break
    low, high = near - way, near + way
    if beyond(low)[0] >= 0 or beyond(high)[0] < 0:
        low, high = cut[0][0] - way, cut[-1][0] + way
    u = _crossing(beyond, low, high, mpf(10) ** -35 * min(1, shift))
    return sum(q * _ncdf((u - g) / shift - shift / 2) for g, p, q in cut)


def _ncdf(z: Any) -> Any:
    """Return the normal distribution function at z, clamped to -10^9..10^9, beyond which mpmath overflows."""
    return mp.ncdf(min(max(z, -(10**9)), 10**9))


def _crossing(of: Callable[[Any], tuple[Any, Any]], low: Any, high: Any, width: Any) -> Any:
    """Find where a rising function changes sign, by Newton's method, with bisection where its steps do not shrink.

    Args:
        of: the function; returns its value and its slope at u.
        low: a u at which it is negative.
        high: a u at which it is not negative.
        width: the error allowed; relative to u where u is above 1.
    """
    u, last = (low + high) / 2, high - low
    while True:
        near, (at_u, slope) = width * max(1, abs(u)), of(u)
        low, high = (u, high) if at_u < 0 else (low, u)
        step = -at_u / slope if slope > 0 else mp.inf
        if abs(step) < near or high - low < near:
            break
        if abs(step) > last / 2 or not low < u + step < high:
            step = (low + high) / 2 - u
        u, last = u + step, abs(step)
    rounding = mpf(10) ** (5 - DIGITS)
    assert of(u - near)[0] <= rounding
    assert of(u + near)[0] >= -rounding
    return u


def _knapsack(capacity: Any, finite: list[tuple[Any, Any, Any]]) -> Any:
    total = mpf(0)
    for ratio, p, q in finite:
        if p >= capacity:
            return total + ratio * capacity
        capacity, total = capacity - p, total + q
    return total


@cache
def uniform_law(beta: Number, vocab_size: int, d: int) -> Law:
    """Return the law of the ratio at d edited positions of the uniform kernel; see :func:`atoms`."""
    return atoms([uniform_position(beta, vocab_size)] * d)


@cache
def absorbing_law(beta: Number, d: int) -> Law:
    """Return the law of the ratio at d edited positions of the absorbing kernel; see :func:`atoms`."""
    return atoms([absorbing_position(beta)] * d)


@cache
def masked_law(beta: Number, vocab_size: int, edited: int, unedited: int = 0, beyond: int = 0) -> Law:
    """Return the law of the ratio over edited and unedited positions, all replaced under P; see :func:`atoms`.

    ``beyond`` further positions are edited, too; P has no condition on them.
    """
    touched, untouched = (masked_position(beta, vocab_size, flag) for flag in (True, False))
    return atoms([touched] * edited + [untouched] * unedited + [uniform_position(beta, vocab_size)] * beyond)


@cache
def outside_law(beta: Number, vocab_size: int, edited: int, unedited: int = 0) -> Law:
    """Return the law of the ratio; P is given that not all positions were replaced, Q is restricted to these outcomes.

    All outcomes are listed, so this is for a few positions.

    Example:
        >>> law = outside_law(0.25, 4, edited=1)
        >>> [(float(p), round(float(q), 9)) for p, q in law.values()]  # only the clean token is left
        [(1.0, 0.083333333)]
    """
    clean, others = Fraction(beta), vocab_size - 1
    shown = [(1 - clean, clean / others), (clean / others, 1 - clean), (clean * (others - 1) / others,) * 2]
    ways = [*[shown] * edited, *[[(1 - clean, 1 - clean), (clean, clean)]] * unedited]
    law: dict[Any, Masses] = {}
    for outcome in product(*(range(len(way)) for way in ways)):
        if any(i == 0 for i in outcome):  # the first outcome of each position shows the clean token
            p, q = (math.prod(way[i][side] for way, i in zip(ways, outcome, strict=True)) for side in (0, 1))
            if p or q:
                key = q / p if p else INFINITY
                before = law.get(key, (Fraction(0), Fraction(0)))
                law[key] = before[0] + p, before[1] + q
    total = 1 - clean ** (edited + unedited)
    scaled = {key: (p / total, q) for key, (p, q) in law.items()}
    return {key if key is INFINITY else to_mpf(key * total): (to_mpf(p), to_mpf(q)) for key, (p, q) in scaled.items()}
