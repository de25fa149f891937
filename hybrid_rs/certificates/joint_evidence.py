r"""p_A and p_S constrain the same classifier: used jointly, they certify more than the better of the two.

Let R be the event that the d positions of a set were all replaced; under the clean law it has probability
:math:`b = \beta^d`. Let the adversary edit e of them. The probability that the noisy clean text is flagged *and* R
happens is at least :math:`b\,p_S`. If it is exactly that, the text is flagged outside R with probability at least
:math:`p_A - b\,p_S`. Then there are two Neyman-Pearson problems, one inside R and one outside, with thresholds
:math:`t_R` and :math:`t_O`, and

.. math:: g(x_{adv}) \ge M_{d,e}(p_S) + O_{d,e}\Big(\frac{p_A - b\,p_S}{1 - b}\Big) \quad\text{if } t_R \ge t_O .

M is the masked bound; O is that of the clean law given that R did *not* happen. The condition says that a classifier
which flags more inside R and less outside has no smaller attacked value. If it fails, p_S adds nothing to p_A, and the
plain bound is exact. With large alphabets O is nearly 0, and so is the gain.

The two thresholds are the multipliers of the generalised Neyman-Pearson lemma (Dantzig and Wald, 1951): for any
:math:`t_R \ge t_O \ge 0`, both as ratios to the clean law without a condition, the sum of the dual bounds is valid.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from hybrid_rs._checks import integer, require
from hybrid_rs._roots import newton_root
from hybrid_rs.certificates.kernels import DIGITS, UniformKernel, masked_ratio, ratio_of_decimals, text_budget
from hybrid_rs.certificates.likelihood_ratio import EPS, LikelihoodRatio
from hybrid_rs.certificates.neyman_pearson import adversarial_density, log_threshold, lower_bound
from hybrid_rs.certificates.worst_case import attack_shift

FloatArray = NDArray[np.float64]
ORDER = 1e-9  # least excess of the inner log-threshold over the outer one, so that their order can be proved
LEAST_OUTSIDE = 1e-6  # where R fails with a smaller probability, the part outside R is not used


def outside_ratio(kernel: UniformKernel, d: int, *, edited: int) -> LikelihoodRatio:
    """Return the ratio of exactly ``edited`` edits to the clean law, given that not all of d positions were replaced.

    The adversary's law is restricted to the same event but not rescaled: its mass on R counts as ratio infinity.

    Args:
        kernel: the token kernel, with beta in (0, 1): otherwise the event is impossible or certain.
        d: number of positions, 1 to 512.
        edited: how many of these the adversary edits, 0 to d.

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> ratio = outside_ratio(UniformKernel(beta=0.25, vocab_size=4), d=1, edited=1)
        >>> ratio.p.round(9), ratio.q.round(9)  # only the clean token is left
        (array([1.]), array([0.08333333]))
    """
    part = integer("edited", edited, at_least=0, at_most=text_budget("d", integer("d", d, at_least=1)))
    require(0 < kernel.beta < 1, "beta", kernel.beta, "give beta in (0, 1)")
    return _outside(kernel.beta, kernel.vocab_size, d, part)


def joint_bound(
    p_a: FloatArray, p_s: FloatArray, kernel: UniformKernel, d: int, edited: int, shift: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the bound from both probabilities, and its witnesses: the log-thresholds inside R and outside.

    Args:
        p_a: lower bounds of p_A, in [0, 1].
        p_s: lower bounds of p_S of the d positions that hold together with those of p_A.
        kernel: the token kernel.
        d: number of positions, at least 1.
        edited: how many of these the adversary edits.
        shift: epsilon / sigma, as from :func:`hybrid_rs.certificates.worst_case.attack_shift`.

    Returns:
        three arrays of the broadcast shape. Where the thresholds are in the wrong order, or nothing is outside R, the
        bound is that of p_S alone, and the outer log-threshold is minus infinity.

    Example:
        >>> kernel = UniformKernel(beta=0.25, vocab_size=376)
        >>> both, *_ = joint_bound(np.array(0.9995), np.array(0.999), kernel, 3, 3, np.array(0.4))
        >>> alone = lower_bound(np.array(0.999), _[0], masked_ratio(kernel, 3, edited=3), np.array(0.4))
        >>> both > alone
        np.True_
    """
    p_a, p_s, shift = np.broadcast_arrays(p_a, p_s, shift)
    inside = masked_ratio(kernel, d, edited=edited)
    log_t = log_threshold(p_s, inside, shift)
    value = lower_bound(p_s, log_t, inside, shift)
    log_t_outside, log_b = np.full(value.shape, -np.inf), d * math.log(kernel.beta) if kernel.beta else -math.inf
    b = math.exp(log_b)
    if not 0 < b < 1 - LEAST_OUTSIDE:
        return value, log_t, log_t_outside
    rest = np.clip((p_a - b * p_s) / (1 - b) - 8 * EPS / (1 - b), 0.0, 1.0)
    outside = outside_ratio(kernel, d, edited=edited)
    found = log_threshold(rest, outside, shift)
    ordered = (log_t - log_b >= found - math.log1p(-b) + ORDER) & np.isfinite(log_t) & (found < np.inf)
    more = lower_bound(rest, np.where(ordered, found, -np.inf), outside, shift)
    return np.where(ordered, (value + more) * (1 - 2 * EPS), value), log_t, np.where(ordered, found, -np.inf)


def joint_radius(
    p_a: FloatArray,
    p_s: FloatArray,
    kernel: UniformKernel,
    d: int,
    edited: int,
    *,
    known: FloatArray,
    sigma: float,
    tau: float,
) -> FloatArray:
    """Return the radius that both probabilities certify together; never below the known one.

    Args:
        p_a: lower bounds of p_A, shape ``(n,)``.
        p_s: lower bounds of p_S, shape ``(n,)``.
        kernel: the token kernel.
        d: number of positions.
        edited: how many of these the adversary edits.
        known: a radius certified by another bound, shape ``(n,)``; nan where there is none.
        sigma: standard deviation of the image noise, finite.
        tau: decision threshold.

    Example:
        >>> kernel = UniformKernel(beta=0.25, vocab_size=376)
        >>> law = {"known": np.array([np.nan]), "sigma": 1.0, "tau": 0.05}
        >>> joint_radius(np.array([0.9995]), np.array([0.9995]), kernel, 3, 3, **law).round(2)
        array([2.24])
    """
    radius = known.copy()
    start = np.nan_to_num(known, nan=0.0)

    def holds(at: NDArray[np.intp], reach: FloatArray) -> NDArray[np.bool_]:
        return joint_bound(p_a[at], p_s[at], kernel, d, edited, attack_shift(reach, sigma))[0] >= tau

    everyone = np.flatnonzero(np.isfinite(start))
    at = everyone[holds(everyone, start[everyone])]
    radius[at] = start[at]
    with np.errstate(invalid="ignore"):  # infinite or nan where a probability is 1: no search there
        most = (ndtri(np.maximum(p_a, p_s)) - ndtri(tau)) * sigma  # attained by a test of the image alone
    at = at[(most[at] > start[at]) & np.isfinite(most[at])]
    if sigma == 0 or not at.size:
        return radius

    inside = masked_ratio(kernel, d, edited=edited)
    asked = 0 < kernel.beta**d < 1 - LEAST_OUTSIDE
    outside = outside_ratio(kernel, d, edited=edited) if asked else inside  # a stand-in where no bound uses it

    def shortfall(reach: FloatArray, p_a: FloatArray, p_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        shift = attack_shift(reach, sigma)
        value, log_t, log_t_outside = joint_bound(p_a, p_s, kernel, d, edited, shift)
        falls = adversarial_density(log_t, inside, shift) + adversarial_density(log_t_outside, outside, shift)
        quantile = np.clip(ndtri(value), -1e3, 1e3)
        return ndtri(tau) - quantile, falls / sigma * np.exp(quantile**2 / 2)

    found = newton_root(shortfall, start[at], start[at], most[at], (p_a[at], p_s[at]), xatol=1e-12 * sigma)
    step = 2.0**-46
    while (over := ~holds(at, found)).any():  # the search may stop slightly above the root
        found[over] = np.maximum(found[over] * (1 - step), start[at][over]) if step < 0.5 else start[at][over]
        step *= 4
    radius[at] = found
    return radius


@cache
def _outside(beta: float, vocab_size: int, d: int, edited: int) -> LikelihoodRatio:
    """Return atoms by the surplus of the adversary's tokens over clean ones, as in the plain ratio.

    An outcome without a clean token at the edited positions is outside R only if an unedited one was not replaced.
    """
    with localcontext(prec=DIGITS):
        keep, hit = 1 - Decimal(beta), Decimal(beta) / (vocab_size - 1)
        other, kept = hit * (vocab_size - 2), 1 - Decimal(beta) ** (d - edited)
        total = 1 - Decimal(beta) ** d
        masses: dict[Decimal, list[Decimal]] = {}
        step = (keep / hit).ln() if keep and keep != hit else Decimal(0)
        for ours in range(edited + 1):
            for theirs in range(edited - ours + 1):
                rest = edited - ours - theirs
                ways = math.comb(edited, ours) * math.comb(edited - ours, theirs) * _power(other, rest)
                ways *= Decimal(1) if ours else kept
                atom = masses.setdefault(step * (theirs - ours) + total.ln(), [Decimal(0), Decimal(0)])
                atom[0] += ways * _power(keep, ours) * _power(hit, theirs) / total
                atom[1] += ways * _power(hit, ours) * _power(keep, theirs)
        log_gamma = list(masses)
        p, q = ([atom[side] for atom in masses.values()] for side in (0, 1))
        inside = 1 - sum(q, Decimal(0))
        return ratio_of_decimals([*log_gamma, Decimal(0)], [*p, Decimal(0)], [*q, inside], masked=True)


def _power(base: Decimal, exponent: int) -> Decimal:
    return base**exponent if exponent else Decimal(1)
