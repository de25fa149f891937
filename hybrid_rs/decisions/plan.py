"""Planning before drawing: what a target requires, how many draws it takes, and the most that draws can certify."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybrid_rs._checks import flag, nonnegative, nonnegative_or_infinite, one, probability
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.feature_kernel import worst_ratios
from hybrid_rs.certificates.frontier import Frontier
from hybrid_rs.certificates.frontier_of import frontier_of
from hybrid_rs.certificates.kernels import Kernel, text_budget
from hybrid_rs.certificates.rounding import floored
from hybrid_rs.certificates.worst_case import required_p_a
from hybrid_rs.decisions.decide import decision_draws, draws_floor
from hybrid_rs.decisions.sample_size import MAX_DRAWS, checked_aims, draws_needed, hopeless, least_draws
from hybrid_rs.evidence.counts import Counts, MaskedCounts

DECISION_DRAWS = 10_000  # the largest number of draws of a decision, as in SmoothedGuard.decide


@dataclass(frozen=True)
class Plan:
    """What it takes to certify one pair of budgets: the required probability, and the number of draws.

    Build one with :func:`plan`; print it to read it.

    Args:
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        required: p*, the smallest p_A (p_S if ``masked``) that certifies the target; nan if not even 1 does.
        draws: the smallest number of draws that certifies with probability at least ``power``; None if no number up to
            10^9 does.
        misses: how many of them may be safe verdicts; None if ``draws`` is None.
        chance: probability that these draws certify, if the true probability is ``p_a``; 0 without draws.
        p_a: the assumed true probability: p_A, or p_S if ``masked``.
        power: the requested probability of success.
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
        """Whether no number of draws can help, because ``p_a`` does not exceed the required probability."""
        return hopeless(self.required, self.p_a)

    @property
    def no_miss(self) -> int | None:
        """The smallest number of draws that certifies if all are unsafe; fewer draws cannot certify, for any model."""
        return None if math.isnan(self.required) else draws_needed(self.required, self.alpha)

    @property
    def floor(self) -> float:
        """A lower bound of the mean draws of any sequential test (Wald); inf if hopeless."""
        return math.inf if self.hopeless else float(draws_floor(self.p_a, self.required, self.alpha))

    @cached_property
    def decision(self) -> tuple[float, float]:
        """Exact median and mean of the draws of :meth:`hybrid_rs.SmoothedGuard.decide`, at most 10^4; or nan."""
        if math.isnan(self.required):
            return math.nan, math.nan
        return decision_draws(self.p_a, self.required, alpha=self.alpha, max_draws=DECISION_DRAWS)

    def __str__(self) -> str:
        name = "p_S" if self.masked else "p_A"
        target = f"d = {self.d}, epsilon = {self.epsilon:g} at tau = {self.tau:g}"
        noise = f"smoothed with {self.kernel} and sigma = {self.sigma:g}"
        if math.isnan(self.required):
            return f"Hopeless: {target} cannot be certified, even if every draw is unsafe ({noise})."
        if self.required == 0:
            return f"No draws needed: {target} is certified for any model."
        lines = [f"To certify {target}, {name} must be at least {_ceiled(self.required)} ({noise})."]
        if self.masked:
            lines.append(f"{name} is the probability of unsafe given that the {self.d} edited positions were replaced.")
        if self.hopeless:
            lines.append(f"Hopeless at {name} = {self.p_a:.12g}: it must exceed the required value.")
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
            median, mean = self.decision
            lines.append(
                f"A decision that stops early, or after {DECISION_DRAWS} draws, takes a median of {median:.0f}, and "
                f"{mean:.0f} on average; no rule of this risk that is sure to certify takes fewer than "
                f"{math.floor(self.floor)} on average."
            )
        if self.draws != self.no_miss and self.no_miss is not None:
            lines.append(f"Fewer than {self.no_miss} draws cannot certify it from {name}, for any model.")
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
    """Plan what it takes to certify d edits together with image budget epsilon.

    Args:
        d: text budget.
        epsilon: image budget, l2, in the units of ``sigma``.
        kernel: the token kernel.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1].
        alpha: risk of the confidence bound, in (0, 1).
        p_a: the probability of "unsafe" that you expect; 1 gives the smallest possible number of draws.
        power: probability with which the draws should certify in that case, in (alpha, 1).
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
    epsilon, tau = one("epsilon", nonnegative("epsilon", epsilon)), one("tau", probability("tau", tau))
    sigma = one("sigma", nonnegative_or_infinite("sigma", sigma))
    budget = text_budget("d", d)
    ratios = worst_ratios(kernel, budget, masked=masked)
    required = float(
        np.max([required_p_a(epsilon, ratio, sigma=sigma, tau=tau) for ratio in ratios])
    )  # nan if any is nan
    risk, true, chance = checked_aims(alpha, p_a, power)
    found = None if math.isnan(required) else least_draws(required, risk, true, chance)
    draws, misses, reached = found or (None, None, 0.0)
    return Plan(
        budget,
        epsilon,
        required,
        draws,
        misses,
        reached,
        true,
        chance,
        risk,
        kernel,
        sigma,
        tau,
        masked,
    )


def ceiling(
    n: int,
    kernel: Kernel | DeletionKernel,
    *,
    sigma: float,
    tau: float,
    alpha: float = 0.01,
    d_max: int = 8,
    masked: bool = False,
) -> Frontier:
    r"""Return the most that n draws can certify from one probability: the frontier if all of them are unsafe.

    After n unsafe verdicts, no deterministic rule of risk alpha may claim more than :math:`\alpha^{1/n}` for p_A (for
    p_S with ``masked``). So no model gets a better certificate from that probability alone. Print these radii rounded
    up, with :func:`hybrid_rs.ceiled`.

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
    budgets = text_budget("d_max", d_max)
    all_unsafe = MaskedCounts((n,) * (budgets + 1), n) if flag("masked", masked) else Counts((n,), n)
    return frontier_of(all_unsafe, kernel, sigma=sigma, tau=tau, d_max=budgets, alpha=alpha)


def _ceiled(p: float) -> str:
    """Format a probability, rounded up, with two significant digits of its distance to 1."""
    digits = 5 if p in (0.0, 1.0) else max(5, 2 + math.ceil(-math.log10(1 - p)))
    return f"{1 - floored(1 - p, digits):.{digits}f}"
