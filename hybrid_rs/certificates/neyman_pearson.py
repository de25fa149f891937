r"""The Neyman-Pearson problem of one discrete channel and one Gaussian shift, with results on the safe side.

Let s = epsilon / sigma, let :math:`\gamma` be the ratio of the discrete channel, and :math:`u = \log t`. Write

.. math::
    z_k(u) = (u - \log\gamma_k) / s + s / 2, \qquad
    F(u) = p_0 + \sum_k p_k \Phi(z_k), \qquad
    V(u) = \sum_k q_k \Phi(z_k - s).

F is the clean and V the adversarial probability that the joint ratio is at most t. For :math:`s = 0` the same formulas
hold if :math:`\Phi(z_k)` is the indicator of :math:`\log\gamma_k < u`; this is the fractional knapsack.

:func:`log_threshold` proposes u with F(u) = p_A. :func:`lower_bound` turns *any* u into a bound, by weak duality,

.. math:: V^\star(p_A) \ge V(u) + e^u (p_A - F(u)),

and subtracts its own rounding error. So a result is valid even if the solver did not converge.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from hybrid_rs._roots import newton_root
from hybrid_rs.certificates.likelihood_ratio import EPS, LikelihoodRatio

FloatArray = NDArray[np.float64]
LEAST_VALUE = 1e-300  # smaller float64 numbers are too far apart for bounds on relative errors
LEAST_P_A = 1e-280  # for a smaller p_A, terms that underflow could matter; such a p_A certifies nothing
NEWTON = 20  # rounds of Newton's method; it needs about five where it converges
BLOCK = 1 << 16  # numbers in one temporary array: a block stays in the processor's cache


def clean_cdf(log_t: FloatArray, ratio: LikelihoodRatio, shift: FloatArray) -> FloatArray:
    """Return F: the clean probability that the joint log-ratio is at most ``log_t`` (for shift 0: less than it).

    Args:
        log_t: threshold, any shape that broadcasts with ``shift``; may be infinite.
        ratio: law of the discrete ratio.
        shift: epsilon / sigma, non-negative.
    """
    return _blockwise(lambda u, s: np.minimum(_clean_tails(u, ratio, s)[0], 1.0), ratio, log_t, shift)


def adversarial_cdf(log_t: FloatArray, ratio: LikelihoodRatio, shift: FloatArray) -> FloatArray:
    """Return V: the adversarial probability of the same event; the arguments are those of :func:`clean_cdf`."""
    return _blockwise(lambda u, s: np.exp(_log_adversarial(u, ratio, s)), ratio, log_t, shift)


def adversarial_density(log_t: FloatArray, ratio: LikelihoodRatio, shift: FloatArray) -> FloatArray:
    r"""Return :math:`\sqrt{2\pi} \sum_k q_k \varphi(z_k - s)`; the arguments are those of :func:`clean_cdf`, shift > 0.

    The sum is how fast the worst-case value falls as the shift grows, if ``log_t`` is its threshold.
    """

    def density(u: FloatArray, s: FloatArray) -> FloatArray:
        return np.exp(-((_z(u, ratio, s) - s[:, None]) ** 2) / 2) @ ratio.q

    return _blockwise(density, ratio, log_t, shift)


def log_threshold(p_a: FloatArray, ratio: LikelihoodRatio, shift: FloatArray) -> FloatArray:
    """Return log t with F(log t) = p_a (paper, section on the one-dimensional CDF).

    Args:
        p_a: clean probability in [0, 1].
        ratio: law of the discrete ratio.
        shift: epsilon / sigma, non-negative.

    Returns:
        the threshold: minus infinity where p_a is at most the mass at ratio zero, infinity where p_a = 1. At shift 0,
        the log-ratio of the atom that the knapsack fills in part, minus its rounding error.
    """
    return _blockwise(lambda p, s: _solve(p, ratio, s), ratio, p_a, shift)


def lower_bound(p_a: FloatArray, log_t: FloatArray, ratio: LikelihoodRatio, shift: FloatArray) -> FloatArray:
    """Return a lower bound of the worst-case value, valid for every ``log_t`` and in spite of rounding.

    It is at least 0. A bound below 1e-300 is returned as 0; :func:`log_lower_bound` gives its logarithm.
    """

    def bound(p: FloatArray, u: FloatArray, s: FloatArray) -> FloatArray:
        log_scale, value = _dual(p, u, ratio, s)
        bound = value * np.exp(log_scale) * (1 - 4 * EPS * np.abs(log_scale))
        return np.where(bound < LEAST_VALUE, 0.0, bound)

    return _blockwise(bound, ratio, p_a, log_t, shift)


def log_lower_bound(p_a: FloatArray, log_t: FloatArray, ratio: LikelihoodRatio, shift: FloatArray) -> FloatArray:
    """Return the logarithm of :func:`lower_bound`, also where the bound itself would underflow."""

    def bound(p: FloatArray, u: FloatArray, s: FloatArray) -> FloatArray:
        log_scale, value = _dual(p, u, ratio, s)
        with np.errstate(divide="ignore"):
            log_value = log_scale + np.log(value)
        # if nothing is edited and nothing shifted, the value is exactly p_A; its logarithm is rounded down
        return np.where(value > 0, np.nextafter(log_value - 4 * EPS * np.abs(log_scale), -np.inf), -np.inf)

    return _blockwise(bound, ratio, p_a, log_t, shift)


def crossing(p_a: FloatArray, tau: FloatArray, ratio: LikelihoodRatio, most: FloatArray) -> FloatArray:
    r"""Return the shift at which the worst-case value has fallen to tau: Newton's method for F = p_A and V = tau.

    The unknowns are the cut c = (u - log gamma_a) / s + s / 2 at the atom a that the knapsack fills in part, and s. On
    the scale of normal quantiles both equations are straight lines if a is the only atom, and nearly so if the others
    are far away. Otherwise Newton's method may not converge.

    Args:
        p_a: clean probability, shape ``(n,)``, in (0, 1).
        tau: the value to fall to, shape ``(n,)``, in (0, 1).
        ratio: law of the discrete ratio.
        most: a shift at which the value is below tau, shape ``(n,)``.

    Returns:
        shape ``(n,)``, a proposal without a guarantee; nan where the method does not converge.
    """
    return _blockwise(lambda p, t, most: _newton(p, t, ratio, most), ratio, p_a, tau, most)


def _blockwise(function: Callable[..., FloatArray], ratio: LikelihoodRatio, *arrays: FloatArray) -> FloatArray:
    """Apply a function of flat arrays to broadcast arrays, block by block."""
    broadcast = np.broadcast_arrays(*(np.asarray(array, dtype=np.float64) for array in arrays))
    flat = [array.ravel() for array in broadcast]
    size = max(1, BLOCK // max(1, ratio.log_p.size))
    result = np.empty(flat[0].size)
    for start in range(0, result.size, size):
        block = slice(start, start + size)
        result[block] = function(*(array[block] for array in flat))
    return result.reshape(broadcast[0].shape)


def _z(u: FloatArray, ratio: LikelihoodRatio, s: FloatArray) -> FloatArray:
    """Return where the joint threshold cuts the Gaussian at each atom, shape ``(n, K)``, in standard deviations."""
    gap = u[:, None] - ratio.log_gamma
    shift = s[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(shift > 0, gap / shift + shift / 2, np.where(gap > 0, np.inf, -np.inf))


def _clean_tails(u: FloatArray, ratio: LikelihoodRatio, s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return F and 1 - F, each computed as its own sum."""
    z = _z(u, ratio, s)  # sums are pairwise, so their rounding error grows only with the logarithm of K
    return ratio.p_at_zero + (ndtr(z) * ratio.p).sum(axis=1), (ndtr(-z) * ratio.p).sum(axis=1)


def _log_adversarial(u: FloatArray, ratio: LikelihoodRatio, s: FloatArray) -> FloatArray:
    terms = ratio.log_q + log_ndtr(_z(u, ratio, s) - s[:, None])
    top = terms.max(axis=1, initial=-np.inf)
    with np.errstate(divide="ignore"):
        return np.where(
            top == -np.inf, -np.inf, top + np.log(np.exp(terms - np.maximum(top, -1e300)[:, None]).sum(axis=1))
        )


def _newton(p: FloatArray, tau: FloatArray, ratio: LikelihoodRatio, most: FloatArray) -> FloatArray:
    if ratio.log_p.size == 0:
        return np.full(p.shape, np.nan)
    atom, upper = _filled(p, ratio), p >= 0.5
    side, target_p, target_v = np.where(upper, -1.0, 1.0), ndtri(np.where(upper, 1 - p, p)), ndtri(tau)
    gaps, floor = ratio.log_gamma - ratio.log_gamma[atom, None], np.where(upper, 0.0, ratio.p_at_zero)
    with np.errstate(all="ignore"):  # overflow and division by zero give nan or infinity: not converged
        c = _share_quantile(p, ratio, atom)
        s = c - ndtri((tau - np.cumsum(ratio.q)[atom] + ratio.q[atom]) / ratio.q[atom])
        s = np.where((s > 0) & (s < most), s, most / 2)
        for _ in range(NEWTON):
            steep = gaps / s[:, None]
            z = c[:, None] - steep
            clean = ratio.p * np.exp(-z * z / 2)
            found_p = ndtri(floor + (ndtr(side[:, None] * z) * ratio.p).sum(axis=1))
            scale = np.exp(found_p**2 / 2)
            f, f_c = side * (found_p - target_p), scale * clean.sum(axis=1)
            f_s = scale * (clean * steep).sum(axis=1) / s
            y = z - s[:, None]
            attacked = ratio.q * np.exp(-y * y / 2)
            found_v = ndtri((ndtr(y) * ratio.q).sum(axis=1))
            scale = np.exp(found_v**2 / 2)
            g, g_c = found_v - target_v, scale * attacked.sum(axis=1)
            g_s = scale * (attacked * (steep / s[:, None] - 1)).sum(axis=1)
            det = f_c * g_s - f_s * g_c
            d_c, d_s = (f_s * g - g_s * f) / det, (f * g_c - f_c * g) / det
            c, s = c + d_c, np.clip(s + d_s, s / 8, most)
            arrived = (np.abs(d_s) <= 1e-13 * s) & (np.abs(d_c) <= 1e-13 * (1 + np.abs(c)))
            if (arrived | np.isnan(d_s)).all():
                break
    return np.where(arrived, s * (1 - 2.0**-45), np.nan)


def _filled(p: FloatArray, ratio: LikelihoodRatio) -> NDArray[np.intp]:
    """Return the atom that the knapsack fills in part: the first whose cumulative clean mass reaches p."""
    below = ratio.p_at_zero + np.cumsum(ratio.p)
    above = np.append(np.cumsum(ratio.p[:0:-1])[::-1], 0.0)  # upper tails, summed separately: exact enough for p near 1
    last = ratio.log_p.size - 1
    from_below = np.searchsorted(below, p)
    from_above = last + 1 - np.searchsorted(above[::-1], 1 - p, side="right")
    return np.clip(np.where(p < 0.5, from_below, from_above), 0, last)


def _share_quantile(p: FloatArray, ratio: LikelihoodRatio, atom: NDArray[np.intp]) -> FloatArray:
    """Return the normal quantile of the filled share of the knapsack's atom, clipped to [-8, 8]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (p - ratio.p_at_zero - np.cumsum(ratio.p)[atom]) / ratio.p[atom] + 1
        return np.clip(np.nan_to_num(ndtri(share)), -8.0, 8.0)


def _solve(p: FloatArray, ratio: LikelihoodRatio, s: FloatArray) -> FloatArray:
    u = np.full(p.shape, -np.inf)
    u[p == 1] = np.inf
    inside = (p > max(ratio.p_at_zero, LEAST_P_A)) & (p < 1) & (ratio.log_p.size > 0) & (s < np.inf)
    p, s = p[inside], s[inside]
    atom = _filled(p, ratio)
    answer = ratio.log_gamma[atom]
    shifted = s > 0
    if shifted.any():
        answer[shifted] = _root(p[shifted], ratio, s[shifted], atom[shifted])
    # slightly below the atom, so that the atom is outside for certain; this costs only a part of its filled share
    answer[~shifted] -= 4 * EPS * np.abs(answer[~shifted]) + 2 * ratio.rounding
    u[inside] = answer
    return u


def _root(p: FloatArray, ratio: LikelihoodRatio, s: FloatArray, atom: NDArray[np.intp]) -> FloatArray:
    """Solve F(log gamma_atom + s w) = p for w, on the scale of normal quantiles: linear for one atom."""
    upper, near = p >= 0.5, ratio.log_gamma[atom]
    tail = np.where(upper, 1 - p, p)
    target = ndtri(tail)
    # if all finite mass were at one atom, this would be its quantile
    finite = ratio.p_finite
    share = np.where(upper, tail, p - ratio.p_at_zero) / finite
    side = np.where(upper, -1.0, 1.0)
    quantile = np.clip(side * ndtri(np.clip(share, 0.0, 1.0)), -38.0, 38.0)
    low = (ratio.log_gamma[0] - near) / s + quantile - s / 2 - 1e-6
    high = (ratio.log_gamma[-1] - near) / s + quantile - s / 2 + 1e-6

    def excess(
        w: FloatArray, tail: FloatArray, target: FloatArray, side: FloatArray, s: FloatArray, near: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        z = (near + s * w)[:, None] - ratio.log_gamma
        z /= s[:, None]
        z += s[:, None] / 2
        z *= side[:, None]
        mass = (ndtr(z) * ratio.p).sum(axis=1)  # not a matrix product: its last digits depend on the number of rows
        found = ndtri(np.minimum(mass + np.where(side < 0, 0.0, ratio.p_at_zero), 1.0))
        z *= z
        z -= found[:, None] ** 2  # one exponential for both densities does not underflow where it matters
        z *= -0.5
        return side * (np.clip(found, -40.0, 40.0) - target), np.exp(z, out=z) @ ratio.p

    guess = _share_quantile(p, ratio, atom) - s / 2
    w = newton_root(excess, guess, low, high, (tail, target, side, s, near), xatol=1e-9)
    with np.errstate(over="ignore"):  # a threshold too large for a float64 becomes infinite: nothing is certified
        return near + s * w


def _dual(p: FloatArray, u: FloatArray, ratio: LikelihoodRatio, s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the weak-duality bound minus its rounding error as (log_scale, value): it is value * exp(log_scale)."""
    finite = np.isfinite(u) & np.isfinite(s)
    scale, value = np.zeros(p.shape), np.zeros(p.shape)
    everything = (p == 1) & np.isfinite(s)  # if p_A = 1, only outcomes with ratio infinity are lost
    value[everything] = 1.0 if ratio.q_at_infinity == 0 else ratio.q_finite * (1 - ratio.mass_rounding - 24 * EPS)
    use = finite & ~everything
    if not use.any():
        return scale, value
    p, u, s = p[use], u[use], s[use]
    log_v = _log_adversarial(u, ratio, s)
    lower, upper = _clean_tails(u, ratio, s)
    tail = np.where(p < 0.5, lower, upper)
    residual = np.where(p < 0.5, p - lower, upper - (1 - p))  # p_A - F: 1 - p is exact here, and so is p
    # relative error of a sum of positive terms: of the stored numbers, of the sum, and of the exponential
    exact = (s == 0) & (ratio.mass_rounding == 0)  # nothing edited, nothing shifted: V is p_A itself
    smooth = np.where(exact, 0.0, 32 * EPS)
    with np.errstate(divide="ignore", invalid="ignore"):
        error_v = ratio.rounding + smooth + 8 * EPS * np.where(log_v > -np.inf, np.abs(log_v), 0.0)
        error_f = ratio.mass_rounding + smooth + 8 * EPS * np.where(tail > 0, np.abs(np.log(tail)), 0.0)
        # if ratios are wrong by a factor of exp(slip), the bound loses at most slip times the clean mass between the
        # true and the used threshold. With a Gaussian that mass is at most the density times slip / s, and the density
        # is at most 41 times the smaller tail, out to 40 sigma. Without one it is the mass of the atom at the threshold
        slip = ratio.rounding + 8 * EPS * (np.abs(u) + 40 * s)
        way = slip / s
        between = np.where(way < 0.01, 100 * way * np.minimum(lower, upper), np.minimum(way, 1.0))
        least = ratio.rounding + EPS * np.abs(u)
        on_the_cut = (np.abs(u[:, None] - ratio.log_gamma) <= least[:, None]) @ ratio.p
        crooked = np.where(s > 0, slip * between, least * on_the_cut)
    top = np.maximum(log_v, u)
    margin = np.abs(residual) * (4 * EPS * np.abs(u) + smooth) + tail * error_f + crooked
    total = np.maximum(np.exp(log_v - top) * (1 - error_v) + np.exp(u - top) * (residual - margin), 0.0)
    scale[use], value[use] = top, total
    return scale, value
