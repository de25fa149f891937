r"""Before drawing: how many draws a target takes, and what so many draws can certify at most.

A target (d, epsilon) requires a least probability p* of "unsafe" under the noise. It is certified when the
Clopper-Pearson bound of the draws reaches p*. With m misses it does so from some number of draws on, say
:math:`N_m`, and :math:`N_0 < N_1 < \dots`. So the chance of reaching p* is a saw in n: it jumps up at each
:math:`N_m`, where one more miss is forgiven, and falls in between, since more draws have more misses. The least number
of draws that has a given chance is therefore one of the :math:`N_m`; a few more draws may do *worse*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincc

from hybrid_rs._checks import integer, probability, require
from hybrid_rs.decisions import draws_floor
from hybrid_rs.estimation import clopper_pearson_lower
from hybrid_rs.evidence import Counts, MaskedCounts
from hybrid_rs.frontiers import Frontier, frontier_of
from hybrid_rs.kernels import Kernel
from hybrid_rs.worst_case import floored, required_p_a

FloatArray = NDArray[np.float64]
MAX_DRAWS = 10**9  # beyond it the safety margin of the confidence bound itself begins to cost draws


@dataclass(frozen=True)
class Plan:
    """What it takes to certify one pair of budgets: the probability required, and the draws that show it.

    Build one with :func:`plan`; print it to read it.

    Args:
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        required: p*, the least p_A that certifies the target, or p_S where ``masked``; nan if not even 1 does.
        draws: the least number of draws that certify with probability ``power`` at least; None if no number up to
            10^9 does.
        misses: how many of them may be safe verdicts; None likewise.
        chance: probability that these draws certify, if the true probability is ``p_a``; 0 without draws.
        p_a: the true probability planned for: p_A, or p_S where ``masked``.
        power: probability of success asked for.
        alpha: risk of the confidence bound.
        kernel: the token kernel.
        sigma: standard deviation of the image noise.
        tau: decision threshold.
        masked: whether the draws are made given that the edited positions were replaced.
    """

    d: int
    epsilon: float
    required: float
    draws: int | None
    misses: int | None
    chance: float
    p_a: float
    power: float
    alpha: float
    kernel: Kernel
    sigma: float
    tau: float
    masked: bool = False

    @property
    def hopeless(self) -> bool:
        """Whether no number of draws can help: the true probability does not exceed the required one."""
        return _hopeless(self.required, self.p_a)

    @property
    def no_miss(self) -> int | None:
        """The least number of draws that certify if all are unsafe: fewer cannot, whatever the model."""
        return None if math.isnan(self.required) else draws_needed(self.required, self.alpha)

    @property
    def sequential(self) -> float:
        """Draws that a test which stops when it knows cannot undercut on average (Wald); inf if hopeless."""
        return math.inf if self.hopeless else float(draws_floor(self.p_a, self.required, self.alpha))

    def __str__(self) -> str:
        name = "p_S" if self.masked else "p_A"
        target = f"d = {self.d}, epsilon = {self.epsilon:g} at tau = {self.tau:g}"
        noise = f"smoothed with {self.kernel} and sigma = {self.sigma:g}"
        if math.isnan(self.required):
            return f"Hopeless: {target} cannot be certified, even if every draw is unsafe ({noise})."
        lines = [f"To certify {target}, {name} must be at least {_ceiled(self.required)} ({noise})."]
        if self.masked:
            lines.append(f"{name} is the probability of unsafe given that the {self.d} edited positions were replaced.")
        if self.hopeless:
            lines.append(f"Hopeless at {name} = {self.p_a:.12g}: it must exceed what is required, whatever the draws.")
            return "\n".join(lines)
        if self.draws is None:
            lines.append(f"Out of reach at {name} = {self.p_a:.12g}: it takes more than {MAX_DRAWS} draws.")
        else:
            forgiven = f"with at most {self.misses} safe verdicts" if self.misses else "if all are unsafe"
            lines.append(
                f"Draw {self.draws} times: {forgiven}, the target is certified with "
                f"confidence {1 - self.alpha:g}. If {name} is {self.p_a:.12g}, that happens with probability "
                f"{floored(self.chance, 3):g}."
            )
            lines.append(
                f"A test that stops as soon as it knows takes {math.floor(self.sequential)} draws or more on average."
            )
        if self.draws != self.no_miss and self.no_miss is not None:
            lines.append(f"Fewer than {self.no_miss} draws cannot certify it, whatever the model.")
        return "\n".join(lines)


def plan(
    d: int,
    epsilon: float,
    kernel: Kernel,
    *,
    sigma: float,
    tau: float,
    alpha: float = 0.01,
    p_a: float = 1.0,
    power: float = 0.9,
    masked: bool = False,
) -> Plan:
    """Return what it takes to certify d edits together with image budget epsilon.

    Args:
        d: text budget.
        epsilon: image budget, l2, in the units of ``sigma``.
        kernel: the token kernel.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1].
        alpha: risk of the confidence bound, in (0, 1).
        p_a: the probability of "unsafe" that one hopes for; 1 plans for the fewest draws that there can be.
        power: probability with which the draws are to certify if so, in (alpha, 1).
        masked: plan draws given that d given positions are replaced (``MaskedCounts``); ``p_a`` is then p_S.

    Raises:
        ValueError: if an argument is outside its range, or not one number.

    References:
        Clopper and Pearson (1934), for the bound; Wald (1945), for the draws of a sequential test.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> made = plan(3, 1.0, kernel, sigma=1.0, tau=4.6e-5, p_a=0.995)
        >>> round(made.required, 4), made.draws, made.misses
        (0.985, 1336, 10)
        >>> plan(3, 1.0, kernel, sigma=1.0, tau=4.6e-5, p_a=0.98).hopeless
        True
    """
    for name, number in (("epsilon", epsilon), ("sigma", sigma), ("tau", tau)):
        require(np.ndim(number) == 0, name, number, "give one number: a plan has one target")
    budget = integer("d", d, at_least=0)
    required = float(required_p_a(epsilon, kernel.likelihood_ratio(budget, masked=masked), sigma=sigma, tau=tau))
    risk, true, chance = _checked(alpha, p_a, power)
    found = None if math.isnan(required) else _search(required, risk, true, chance)
    draws, misses, reached = found or (None, None, 0.0)
    return Plan(
        budget,
        float(epsilon),
        required,
        draws,
        misses,
        reached,
        true,
        chance,
        risk,
        kernel,
        float(sigma),
        float(tau),
        bool(masked),
    )


def ceiling(
    n: int,
    kernel: Kernel,
    *,
    sigma: float,
    tau: float,
    alpha: float = 0.01,
    d_max: int = 8,
    masked: bool = False,
) -> Frontier:
    r"""Return what n draws can certify at most: the frontier if all of them are unsafe.

    After n unsafe verdicts no rule of risk alpha may claim more than :math:`\alpha^{1/n}`, so no model does better.

    Args:
        n: number of draws, at least 1; with ``masked``, at every d.
        kernel: the token kernel.
        sigma: standard deviation of the image noise, finite.
        tau: decision threshold, in [0, 1].
        alpha: risk, in (0, 1).
        d_max: the largest text budget.
        masked: the draws are made given that d given positions were replaced.

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> [ceiling(n, kernel, sigma=1.0, tau=4.6e-5).edits(epsilon=1.0) for n in (100, 1_000, 10_000)]
        [2, 3, 5]
    """
    budgets = integer("d_max", d_max, at_least=0)
    all_unsafe = MaskedCounts((n,) * (budgets + 1), n) if masked else Counts((n,), n)
    return frontier_of(all_unsafe, kernel, sigma=sigma, tau=tau, d_max=budgets, alpha=alpha)


def draws_needed(required: float, alpha: float = 0.01, p_a: float = 1.0, power: float = 0.9) -> int | None:
    r"""Return the least n for which the Clopper-Pearson bound of n draws reaches a probability often enough.

    That is, the least n >= 1 with :math:`P(b(K) \ge p^\star) \ge w`, where K is binomial with n draws of probability
    ``p_a``, b the bound as this package computes it (a relative 1e-12 below the exact one), p* the required
    probability and w the power. A larger n need not do: the chance falls until the next miss is forgiven. For
    ``p_a = 1`` it is :math:`\lceil \ln\alpha / \ln p^\star \rceil`, whatever the power.

    Args:
        required: p*, in [0, 1], from :func:`hybrid_rs.required_p_a`.
        alpha: risk of the bound, in (0, 1).
        p_a: the true probability, in [0, 1].
        power: w, in (alpha, 1); a chance of alpha can be had by luck, of a bound that is wrong.

    Returns:
        int; None if no n up to 10^9 does: for ever if ``p_a <= required``, else because the two are too close.
            Close pairs, of some 10^8 draws, take seconds to compute.

    Raises:
        ValueError: if an argument is outside its range.

    References:
        Clopper and Pearson (1934).

    Example:
        >>> draws_needed(0.75), draws_needed(0.75, p_a=0.9), draws_needed(0.75, p_a=0.75)
        (17, 86, None)
    """
    target = probability("required", required)
    require(target.ndim == 0, "required", required, "give one number")
    found = _search(float(target), *_checked(alpha, p_a, power))
    return found[0] if found else None


def _search(required: float, alpha: float, p_a: float, power: float) -> tuple[int, int, float] | None:
    """Return the least n with the chance asked for, the misses that it forgives, and its chance."""
    if _hopeless(required, p_a):
        return None
    if required == 0:
        return 1, 1, 1.0
    low = 1
    while low <= MAX_DRAWS:
        high = min(2 * low - 1, MAX_DRAWS)
        n = _first_within(low, high, required, alpha, p_a, power)
        if n < math.inf:
            draws = np.array([n])
            hits = _hits_needed(draws, np.zeros(1), draws + 1, required, alpha)
            return int(n), int(n - hits[0]), float(_chance(draws - hits, draws, p_a)[0])
        low = high + 1
    return None


def _chance(misses: FloatArray, n: FloatArray, p: float) -> FloatArray:
    """Return the probability of at most so many misses in n draws of hit probability p; a negative number has none."""
    some = np.clip(misses, 0, n - 1)
    tail = betaincc(some + 1, n - some, 1 - p)  # SciPy's distributions say the same, but take seconds to import
    return np.where(misses < 0, 0.0, np.where(misses >= n, 1.0, tail))


def _first_within(low: int, high: int, required: float, alpha: float, p_a: float, power: float) -> float:
    """Return the least n in low..high with the chance asked for, or inf, by branch and bound.

    As n grows, so do (weakly) both the hits k(n) needed and the misses n - k(n) forgiven. Hence no n in [a, b] has a
    larger chance than k(a) hits or more in b draws, or than b - k(b) misses or fewer in a draws.
    """
    a, b = np.array([float(low)]), np.array([float(high)])
    k_a, k_b = (_hits_needed(n, np.zeros(1), n + 1, required, alpha) for n in (a, b))
    best = math.inf
    while a.size:
        for n, k in ((a, k_a), (b, k_b)):
            best = min(best, n[_chance(n - k, n, p_a) >= power].min(initial=math.inf))
        most = np.minimum(_chance(b - k_a, b, p_a), _chance(b - k_b, a, p_a))
        alive = (most >= power) & (a < best) & (b > a)
        a, b, k_a, k_b = a[alive], b[alive], k_a[alive], k_b[alive]
        left = np.floor((a + b) / 2)
        right = left + 1
        k_left, k_right = (_hits_needed(n, k_a - 1, k_b, required, alpha) for n in (left, right))
        a, b = np.append(a, right), np.append(left, b)
        k_a, k_b = np.append(k_a, k_right), np.append(k_left, k_b)
    return best


def _hits_needed(n: FloatArray, fails: FloatArray, does: FloatArray, required: float, alpha: float) -> FloatArray:
    """Return the least k in (fails, does] whose bound reaches the target, at n draws; n + 1 if not even n does."""
    while np.any(does - fails > 1):
        k = np.floor((fails + does) / 2)
        reached = (k > n) | (clopper_pearson_lower(np.minimum(k, n), n, alpha) >= required)
        fails, does = np.where(reached, fails, k), np.where(reached, k, does)
    return does


def _hopeless(required: float, p_a: float) -> bool:
    return not (required == 0 or p_a > required)  # nan is hopeless


def _checked(alpha: float, p_a: float, power: float) -> tuple[float, float, float]:
    for name, value in (("alpha", alpha), ("p_a", p_a), ("power", power)):
        require(probability(name, value).ndim == 0, name, value, "give one number")
    require(0 < alpha < 1, "alpha", alpha, "give a risk in (0, 1), such as 0.01")
    require(alpha < power < 1, "power", power, f"give a probability between alpha = {alpha} and 1, such as 0.9")
    return float(alpha), float(p_a), float(power)


def _ceiled(p: float) -> str:
    """A probability for people, rounded up, with two digits of what it lacks to 1."""
    digits = 5 if p in (0.0, 1.0) else max(5, 2 + math.ceil(-math.log10(1 - p)))
    return f"{1 - floored(1 - p, digits):.{digits}f}"
