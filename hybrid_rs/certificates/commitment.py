r"""The adversary commits to a number of edits: p_A and p_S together give more than the better of the two.

Take an adversary who edits exactly e positions of a set S with d members. The smoothed value under attack has two lower
bounds: :math:`V_e(p_A)`, from the clean law, and :math:`M_{d,e}(p_S)`, from the clean law given that all of S was
replaced. So

.. math:: g(x_{adv}) \ge \min_{e = 0..d} \max\big( V_e(p_A), M_{d,e}(p_S) \big).

The better of the plain and the masked certificate is :math:`\max(V_d(p_A), \min_e M_{d,e}(p_S))`. It is weaker, because
it lets the adversary choose e separately for each bound. Masked evidence is weakest against an adversary who edits
nothing, and p_A handles that case. The minimum must be taken over all e. Against each e, p_A and p_S also constrain the
same classifier, which can give a larger bound: see :mod:`hybrid_rs.certificates.joint_evidence`.

The evidence is written as a mapping from the number of replaced positions to the probability: ``p[0]`` is p_A, and
``p[j]`` is p_S of a set of j positions that holds all edited ones.

Where the positions are unknown, ``p[j]`` bounds p_S of *every* set of j positions. Then it can also be used
against more than j edits: any j of the edited positions are taken as replaced, and the other edits are edits of clean
text. This is done for more edits than the largest set counted has positions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from hybrid_rs._checks import integer, kind, probability, require
from hybrid_rs.certificates.joint_evidence import joint_bound, joint_radius
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel, masked_ratio, text_budget
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.certificates.several_texts import certified_radius_texts, p_adv_texts
from hybrid_rs.certificates.worst_case import attack_shift, certified_radius, p_adv
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower
from hybrid_rs.evidence.text_counts import level_bounds

FloatArray = NDArray[np.float64]
TokenKernel = UniformKernel | AbsorbingKernel
FAILURES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # the failure rates that :func:`pays` tries


def ratio_of(kernel: TokenKernel, replaced: int, edited: int) -> LikelihoodRatio:
    """Return the ratio of exactly ``edited`` edits to the clean law, given that ``replaced`` positions were replaced.

    The replaced positions include all edited ones or, if there are fewer of them, are among the edited ones.

    Args:
        kernel: the token kernel.
        replaced: number of replaced positions; 0 for the clean law without a condition.
        edited: number of edited positions.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> one_of_two = ratio_of(kernel, replaced=1, edited=2)  # given one of the two was replaced, p_S = 0.99
        >>> hrs.floored(hrs.p_adv(0.99, 0.0, one_of_two, sigma=1.0), 4)
        np.float64(0.06)
    """
    if replaced == 0:
        return kernel.likelihood_ratio(edited)
    within = masked_ratio(kernel, replaced, edited=min(edited, replaced))
    return within.compose(replace(kernel.likelihood_ratio(max(edited - replaced, 0)), masked=True))


def p_adv_committed(
    p: Mapping[int, ArrayLike],
    kernel: TokenKernel,
    d: int,
    epsilon: ArrayLike,
    *,
    sigma: ArrayLike,
    all_sets: bool = False,
) -> FloatArray:
    """Return the least value of the smoothed classifier under attack, from p_A and p_S.

    Args:
        p: the evidence, lower bounds that hold together: entry 0 is p_A, entry j is p_S of j positions, each in [0, 1].
            The j positions must be all those that the adversary may edit, so j >= d. With ``all_sets`` smaller j are
            allowed, too; the bounds with j >= e are then used against e edits.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of ``sigma``.
        sigma: standard deviation of the image noise; 0 to infinity.
        all_sets: True if each entry j holds for every set of j positions. Then the largest j is used against more
            edits than j, too.

    Returns:
        float64 in [0, 1], of the broadcast shape; never above the exact value.

    Raises:
        ValueError: if an argument is outside its range, or p_S of fewer than d positions is given without ``all_sets``.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=376)
        >>> both = p_adv_committed({0: 0.9995, 3: 0.999}, kernel, 3, 0.0, sigma=0.5)
        >>> plain = hrs.p_adv(0.9995, 0.0, kernel.likelihood_ratio(3), sigma=0.5)
        >>> masked = hrs.p_adv(0.999, 0.0, kernel.likelihood_ratio(3, masked=True), sigma=0.5)
        >>> hrs.floored([plain, masked, both], 3)
        array([0.015, 0.015, 0.138])
    """
    values, shift = [], attack_shift(epsilon, sigma)
    for e, sizes in enumerate(_speaking(p, kernel, d, all_sets)):
        sides = [p_adv(p[j], epsilon, ratio_of(kernel, j, e), sigma=sigma) for j in sizes]
        if isinstance(kernel, UniformKernel) and (j := joined(e, sizes)):
            sides.append(joint_bound(np.asarray(p[0]), np.asarray(p[j]), kernel, j, e, shift)[0])
        values.append(np.max(np.broadcast_arrays(*sides), axis=0))
    return np.asarray(np.min(np.broadcast_arrays(*values), axis=0))[()]


def radii_committed(
    p: Mapping[int, ArrayLike],
    kernel: TokenKernel,
    d: int,
    *,
    sigma: float,
    tau: float,
    texts: bool = False,
    all_sets: bool = False,
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the certified radius against exactly e edits, for e = 0..d, and the evidence that gives it.

    The radius at a text budget d is the least of these radii over e = 0..d. For one text per image and the uniform
    kernel, the joint bound of p_A and p_S is computed where it can raise this least radius: for the budget d, or with
    ``all_sets`` for all budgets up to d.

    Args:
        p: as in :func:`p_adv_committed`, each of shape ``(...)``.
        kernel: the token kernel.
        d: the largest number of edits.
        sigma: standard deviation of the image noise, finite.
        tau: decision threshold, in [0, 1].
        texts: True if the last axis of each ``p[j]`` holds the levels P(K >= k) of several texts for each image.
        all_sets: as in :func:`p_adv_committed`.

    Returns:
        two arrays of shape ``(d + 1, ...)``: the radii, nan where not even epsilon = 0 is certified; and the number of
        replaced positions j of the bound that gives each radius, 0 for p_A.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=376)
        >>> radii, evidence = radii_committed({0: 0.9995, 3: 0.999}, kernel, 3, sigma=0.5, tau=0.05)
        >>> hrs.floored(radii, 2), evidence
        (array([2.46, 1.91, 0.96, 0.92]), array([0, 0, 0, 3]))
    """
    radii, evidence, search = [], [], certified_radius_texts if texts else certified_radius
    speaking = _speaking(p, kernel, d, all_sets)
    for e, sizes in enumerate(speaking):
        each = np.stack([search(p[j], ratio_of(kernel, j, e), sigma=sigma, tau=tau) for j in sizes])
        best = np.argmax(np.nan_to_num(each, nan=-1.0), axis=0)
        radii.append(np.take_along_axis(each, best[None], axis=0)[0])
        evidence.append(np.array(sizes)[best])
    found = np.array(radii), np.array(evidence)
    if texts or not isinstance(kernel, UniformKernel):
        return found
    return _jointly(*found, p, kernel, speaking, range(1, d + 1) if all_sets else [d], sigma=sigma, tau=tau)


def joined(edits: int, sizes: Collection[int]) -> int:
    """Return the size whose p_S is joined with p_A: the smallest one of at least ``edits`` positions; 0 for none."""
    around = [j for j in sizes if j >= edits]
    return min(around) if edits and around and 0 in sizes else 0


def _jointly(
    radii: FloatArray,
    evidence: NDArray[np.int64],
    p: Mapping[int, ArrayLike],
    kernel: UniformKernel,
    speaking: list[list[int]],
    budgets: Iterable[int],
    *,
    sigma: float,
    tau: float,
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Replace each radius that is the least within one of the budgets by the radius of the joint bound."""
    shape = radii.shape
    radii, evidence = radii.reshape(shape[0], -1).copy(), evidence.reshape(shape[0], -1).copy()
    flat = {j: np.broadcast_to(np.asarray(x, dtype=np.float64), shape[1:]).ravel() for j, x in p.items()}
    done = np.array([np.full(radii.shape[1], not joined(e, sizes)) for e, sizes in enumerate(speaking)])
    for d in budgets:
        while True:
            worst = np.argmin(np.nan_to_num(radii[: d + 1], nan=-1.0), axis=0)
            left = ~np.take_along_axis(done, worst[None], axis=0)[0]
            if not left.any():
                break
            for e in np.unique(worst[left]).tolist():
                at, j = np.flatnonzero(left & (worst == e)), joined(e, speaking[e])
                before, done[e, at] = radii[e, at], True
                both = {"known": before, "sigma": sigma, "tau": tau}
                radii[e, at] = joint_radius(flat[0][at], flat[j][at], kernel, j, e, **both)
                evidence[e, at] = np.where(radii[e, at] == before, evidence[e, at], j)
    return radii.reshape(shape), evidence.reshape(shape)


@lru_cache(maxsize=4096)
def pays(kernel: TokenKernel, d: int, n: int, alpha: float, tau: float, texts: int = 1) -> bool:
    """Return whether splitting the risk alpha between p_A and p_S can be better than giving p_S all of it.

    The answer does not depend on the draws. It is computed for guards whose verdict does not depend on which positions
    were replaced, at several failure rates. With several texts for each image, the texts of an image all agree for one
    half of these guards, and are independent of each other for the other half. The answer is True if the split makes
    the radius larger by more than a thousandth for one of them. With a large alphabet it is False, and p_S keeps the
    whole risk. The joint bound is left out: with a very small alphabet the split may pay although the answer is False.

    Example:
        >>> import hybrid_rs as hrs
        >>> [pays(hrs.UniformKernel(0.25, size), 3, 10_000, 0.01, 0.05) for size in (376, 32_000)]
        [True, False]
        >>> [pays(hrs.UniformKernel(0.25, size), 3, 2_500, 0.01, 0.05, texts=4) for size in (376, 32_000)]
        [True, False]
    """
    if d == 0:
        return False
    rates = 1 - np.array(FAILURES)
    search: Callable[..., FloatArray] = certified_radius if texts == 1 else certified_radius_texts
    least: Callable[..., FloatArray] = p_adv if texts == 1 else p_adv_texts
    if texts == 1:
        half, whole = (clopper_pearson_lower(np.floor(n * rates), n, share) for share in (alpha / 2, alpha))
    else:
        k = np.arange(1, texts + 1)  # at least k of independent texts are flagged with the chance of a binomial tail
        alike, independent = np.repeat(rates[:, None], texts, axis=1), betainc(k, texts + 1 - k, rates[:, None])
        reached = np.floor(n * np.concatenate([alike, np.minimum(independent, 1.0)]))
        half, whole = (level_bounds(reached, n, share) for share in (alpha / 2, alpha))
    alone = search(whole, kernel.likelihood_ratio(d, masked=True), sigma=1.0, tau=tau)
    more = np.isfinite(np.nan_to_num(alone, nan=0.0))
    further = np.nan_to_num(alone, nan=0.0, posinf=0.0) * 1.001
    for e in range(d, -1, -1):  # the most edits first: with a large alphabet they already decide
        sides = [least(half, further, ratio_of(kernel, j, e), sigma=1.0) for j in (0, d)]
        more &= np.max(sides, axis=0) >= tau
        if not more.any():
            return False
    return True


def _speaking(p: Mapping[int, ArrayLike], kernel: TokenKernel, d: int, all_sets: bool) -> list[list[int]]:
    """Return, for e = 0..d, the numbers of replaced positions whose evidence can be used against e edits."""
    kind("kernel", kernel, (UniformKernel, AbsorbingKernel), "give the kernel of the draws, uniform or absorbing")
    kind("p", p, Mapping, "give {0: p_A, d: p_S}")
    for j, bound in p.items():
        integer("p", j, at_least=0)
        probability(f"p[{j}]", bound)
    most = text_budget("d", d)
    # p_S of fewer positions says nothing of edits elsewhere, unless it bounds p_S of every set of that size
    covers = len(p) > 0 and (all_sets or all(j == 0 or j >= most for j in p))
    require(covers, "p", sorted(p), f"give p_A, and p_S of at least {most} positions")
    return [sizes_for(e, p, all_sets=all_sets) for e in range(most + 1)]


def sizes_for(edits: int, sizes: Collection[int], *, all_sets: bool) -> list[int]:
    """Return the sizes that are used against this number of edits: 0, and those that are not below it.

    If all are below it, the largest is used with ``all_sets``, that is, if its bound holds for every set of that size.

    Example:
        >>> sizes_for(2, range(5), all_sets=True), sizes_for(7, range(5), all_sets=True)
        ([0, 2, 3, 4], [0, 4])
    """
    least = min(max(edits, 1), max(sizes)) if all_sets else max(edits, 1)
    return [j for j in sizes if j == 0 or j >= least]
