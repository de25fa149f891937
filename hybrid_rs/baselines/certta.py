r"""The joint certificate of CertTA: a random selection of elements, and exponential noise on what they carry.

From a sequence of n elements (packets; here tokens) exactly k are kept. Independently, one-sided exponential noise of
scale :math:`\lambda` is added to continuous features, which the adversary can only raise, by r in l1 in all. The
adversary also deletes, inserts and substitutes elements: a are lost, b gained, :math:`n' = n - a + b`. With
:math:`v = \binom{n-a}{k} / \binom{n}{k}` and :math:`w = \binom{n-a}{k} / \binom{n'}{k}`, the published region is

.. math:: e^{r / \lambda} (2 - p_A - v) \le 1 - \tau\, v / w, \qquad \tau = 1/2.

Given that no lost element was kept, the clean law is the attacked law given that no gained one was (as in
:mod:`hybrid_rs.certificates.deletion`, with another selection). A raise by r lowers a value q to no less than
:math:`1 - e^{r/\lambda} (1 - q)`. So

.. math:: g \ge w \big(1 - e^{r / \lambda} (1 - p_A) / v\big),

which is at least tau on a region that contains the published one: the two agree at r = 0, and for r > 0 the published
condition asks for :math:`(e^{r/\lambda} - 1)(1 - v)` more. Both are about one-sided l1 changes, not about an image in
l2.

References:
    Yan et al. (2025), CertTA, USENIX Security.
"""

from __future__ import annotations

import math
from fractions import Fraction

from hybrid_rs._checks import integer, nonnegative, one, positive, probability, require


def selection_masses(n: int, k: int, lost: int, gained: int) -> tuple[Fraction, Fraction]:
    """Return (v, w): the probabilities that no lost element is kept, and that no gained one is.

    Args:
        n: elements of the clean sequence.
        k: how many are kept.
        lost: a, the number of elements that only the clean sequence has.
        gained: b, the number of elements that only the attacked sequence has.

    Example:
        >>> selection_masses(10, 2, lost=1, gained=1)
        (Fraction(4, 5), Fraction(4, 5))
    """
    kept = integer("k", k, at_least=1)
    size, a, b = (integer(name, x, at_least=0) for name, x in (("n", n), ("lost", lost), ("gained", gained)))
    require(kept <= size and a <= size, "n", n, f"give at least k = {k} and lost = {lost} elements")
    require(size - a + b >= kept, "lost", lost, f"the attacked sequence has fewer than k = {k} elements")
    common = math.comb(size - a, kept)
    return Fraction(common, math.comb(size, kept)), Fraction(common, math.comb(size - a + b, kept))


def raised_radius(p_a: float, *, n: int, k: int, lost: int, gained: int, scale: float, tau: float = 0.5) -> float:
    """Return the largest raise r in l1 certified together with these edits by this module's bound, rounded down.

    Args:
        p_a: clean smoothed probability or its lower bound; in [0, 1].
        n: elements of the clean sequence.
        k: how many are kept.
        lost: number of elements that only the clean sequence has.
        gained: number of elements that only the attacked sequence has.
        scale: of the exponential noise.
        tau: decision threshold, in (0, 1].

    Returns:
        nan where not even r = 0 is certified; infinity where p_a is 1 and r = 0 is certified.

    Example:
        >>> round(raised_radius(0.99, n=100, k=10, lost=1, gained=1, scale=200.0), 3)
        737.776
        >>> round(published_radius(0.99, n=100, k=10, lost=1, gained=1, scale=200.0), 3)
        302.826
    """
    v, w = selection_masses(n, k, lost, gained)
    return _radius(1 - _exact(p_a), v - _level(tau) * v / w if w else Fraction(-1), scale)


def published_radius(p_a: float, *, n: int, k: int, lost: int, gained: int, scale: float, tau: float = 0.5) -> float:
    """Return the largest raise of the published region; arguments as in :func:`raised_radius`."""
    v, w = selection_masses(n, k, lost, gained)
    return _radius(2 - _exact(p_a) - v, 1 - _level(tau) * v / w if w else Fraction(-1), scale)


def _radius(fault: Fraction, room: Fraction, scale: float) -> float:
    """Return the largest r with exp(r / scale) * fault <= room, rounded down."""
    unit = one("scale", positive("scale", scale))
    if room <= 0 or fault > room:
        return math.nan
    if fault == 0:
        return math.inf
    log = math.log(room / fault)
    return max(0.0, unit * (log - 2.0**-50 * (1 + log)))  # more than the rounding of quotient, logarithm and product


def _exact(p_a: float) -> Fraction:
    return Fraction(one("p_a", probability("p_a", p_a)))


def _level(tau: float) -> Fraction:
    level = one("tau", nonnegative("tau", tau))
    require(0 < level <= 1, "tau", tau, "give a threshold in (0, 1]")
    return Fraction(level)
