"""The certified frontier of one input: the image radius at every text budget, and the claim that it supports.

The radius at one budget is found in :mod:`hybrid_rs.certificates.worst_case`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import flag, integer, kind, nonnegative, one, probability, require
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.feature_kernel import worst_ratios
from hybrid_rs.certificates.kernels import Kernel, text_budget
from hybrid_rs.certificates.rounding import confidence_text, floored, floored_text
from hybrid_rs.certificates.several_texts import attacked_share, certified_radius_texts
from hybrid_rs.certificates.threats import Threat
from hybrid_rs.certificates.worst_case import certified_radius

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Frontier:
    """Certified image radii over text budgets d = 0, 1, ..., with the claim that they support.

    Build one with :func:`frontier` or ``SmoothedGuard.certify``.

    Args:
        radii: shape ``(d_max + 1,)``, in the units of sigma; nan where d is not certified even at epsilon = 0.
        p: shape ``(d_max + 1,)``, the probability for each radius: p_A, or p_S where ``masked``.
        masked: shape ``(d_max + 1,)``, True where the point uses p_S, drawn given that positions were replaced. Such a
            point may use p_A as well: see :func:`hybrid_rs.frontier_of`.
        kernel: the token kernel.
        sigma: standard deviation of the image noise.
        tau: decision threshold.
        one_classifier: True if all points hold for one smoothed classifier; False if each d has its own.
        simultaneous: True if the confidence covers all points at once; False if it holds for each point by itself.
        alpha: risk that a bound ``p`` is wrong; None if it was given as a known probability.
        n: number of draws for each ``p``, or of images if there are several texts per image; None if there are none.
        anytime: True if the confidence covers all numbers of draws at once, so that you may stop after looking; False
            if it holds for ``n`` draws, fixed in advance.
        example: the id of the input; empty if it is not known.
        threat: what is noised, and what the adversary may touch; None if it is not known.
        texts: number of noisy texts for each noisy image. If there are several, ``p`` is the mean of their levels
            P(K >= k), and each radius uses all the levels (see :func:`certified_radius_texts`).
    """

    radii: NDArray[np.float64]
    p: NDArray[np.float64]
    masked: NDArray[np.bool_]
    kernel: Kernel | DeletionKernel
    sigma: float
    tau: float
    one_classifier: bool = True
    simultaneous: bool = True
    alpha: float | None = None
    n: int | None = None
    anytime: bool = False
    example: str = ""
    threat: Threat | None = None
    texts: int = 1

    @property
    def d_max(self) -> int:
        """The largest text budget."""
        return len(self.radii) - 1

    @property
    def certified(self) -> bool:
        """Whether anything is certified at all."""
        return bool(np.any(~np.isnan(self.radii)))

    def radius(self, d: int) -> float:
        """Return the certified image radius at text budget ``d``; nan if d is not certified."""
        budget = integer("d", d, at_least=0)
        require(budget <= self.d_max, "d", d, f"give at most d_max = {self.d_max}")
        return float(self.radii[budget])

    def edits(self, epsilon: float = 0.0) -> int:
        """Return the largest D such that every d = 0..D is certified with image budget ``epsilon``; -1 if none.

        The budgets are taken in order, and the first that is not certified ends the search. If each d has its own
        classifier, this is a fixed-sequence test: the answer has the confidence of a single point, although it was
        chosen after looking at the results.
        """
        budget = one("epsilon", nonnegative("epsilon", epsilon))
        return int(np.argmin(np.append(self.radii >= budget, False))) - 1

    @property
    def claim(self) -> str:
        """The claim of the frontier in words: classifier and confidence."""
        if self.one_classifier:
            whom = "All points hold for one smoothed classifier"
        else:
            whom = "Each d has a smoothed classifier of its own; no single deployed classifier has this curve"
        if self.alpha is None:
            confidence = "given that the probability is as stated"
        else:
            stop, draws = (", whenever one stops", "draws so far") if self.anytime else ("", "draws")
            draws = f"images with {self.texts} texts each" if self.texts > 1 else draws
            if self.simultaneous:
                confidence = f"simultaneously{stop}, with confidence {confidence_text(self.alpha)} ({self.n} {draws})"
            else:
                each = f"each with confidence {confidence_text(self.alpha)} by itself{stop}"
                confidence = f"{each} ({self.n} {draws}); not simultaneously"
        return f"{whom}; {confidence}."

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per d: d, p, evidence ("p_A" or "p_S") and radius (not rounded).

        The columns one_classifier, simultaneous and alpha repeat the fields of the frontier; ``attrs["claim"]`` is
        :attr:`claim`.
        """
        import pandas as pd

        evidence = np.where(self.masked, "p_S", "p_A")
        columns = {"d": np.arange(len(self.radii)), "p": self.p, "evidence": evidence, "radius": self.radii}
        worth = {"one_classifier": self.one_classifier, "simultaneous": self.simultaneous, "alpha": self.alpha}
        table = pd.DataFrame(columns | worth)
        table.attrs["claim"] = self.claim
        return table

    def best(self, other: Frontier) -> Frontier:
        """Return, at every d, the better of two certificates of one input and smoothed classifier; their risks add up.

        Make sure that both have the same base classifier, since a frontier does not know it; and the same input, if
        they have no ids.

        Raises:
            ValueError: if the two are not of one input, classifier, threshold, length and number of draws, or their
                risks add up to 1 or more.
        """
        kind("other", other, Frontier, "give a frontier of the same input and smoothed classifier")
        for name in ("example", "kernel", "sigma", "threat", "tau", "d_max", "texts"):
            mine, its = getattr(self, name), getattr(other, name)
            require(mine == its, f"other.{name}", its, f"give a frontier of the same, {mine!r}", repr)
        one = self.one_classifier and other.one_classifier
        require(one, "other", other.claim, "the better of two is defined only if all points hold for one classifier")
        draws = {front.n for front in (self, other) if front.n is not None}
        require(len(draws) < 2, "other.n", other.n, f"give a frontier of as many draws, {self.n}")
        stated = self.alpha is None and other.alpha is None
        alpha = None if stated else (self.alpha or 0.0) + (other.alpha or 0.0)
        require(alpha is None or alpha < 1, "alpha", alpha, "the two risks add up to 1 or more: give smaller ones")
        first = np.nan_to_num(self.radii, nan=-1.0) >= np.nan_to_num(other.radii, nan=-1.0)
        return replace(
            self,
            radii=np.where(first, self.radii, other.radii),
            p=np.where(first, self.p, other.p),
            masked=np.where(first, self.masked, other.masked),
            simultaneous=self.simultaneous and other.simultaneous,
            anytime=self.anytime and other.anytime,
            alpha=alpha,
            n=max(draws, default=None),
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the certified region over d with the claim below it, and return the matplotlib axes."""
        from hybrid_rs.certificates.plot import plot_frontier

        return plot_frontier(self.radii, self.claim, ax)

    def __str__(self) -> str:
        rows = [
            f"  d = {d}: " + ("not certified" if np.isnan(radius) else f"epsilon <= {floored(radius, 3):.3f}")
            for d, radius in enumerate(self.radii)
        ]
        return "\n".join([f"Certified at tau = {floored_text(self.tau)}, sigma = {self.sigma:g}:", *rows, self.claim])


def frontier(
    p_a: ArrayLike,
    kernel: Kernel | DeletionKernel,
    *,
    sigma: float,
    tau: float,
    d_max: int = 8,
    masked: bool = False,
) -> Frontier:
    """Return the certified radius at every text budget up to ``d_max``.

    Args:
        p_a: one clean probability (or lower bound) for every d; or one per d, shape ``(d_max + 1,)``.
        kernel: the token kernel.
        sigma: standard deviation of the image noise, finite; 0 for text-only smoothing.
        tau: decision threshold, in [0, 1].
        d_max: the largest text budget.
        masked: True if ``p_a`` holds p_S, the probability given that the d edited positions were replaced, one per d.

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> front = hrs.frontier(0.99954, kernel, sigma=1.0, tau=4.6e-5, d_max=8)
        >>> front.edits(epsilon=1.0), hrs.floored(front.radius(1), 2)
        (5, np.float64(6.46))
    """
    budgets = text_budget("d_max", d_max) + 1
    given = probability("p_a", p_a)
    require(given.ndim == 0 or given.shape == (budgets,), "p_a", given.shape, f"give one number, or shape ({budgets},)")
    each = np.broadcast_to(given, (1, budgets))
    alone, masked = given.ndim == 0, flag("masked", masked)
    return frontiers(each, kernel, sigma, tau, masked=masked, single=alone or masked, all_at_once=alone)[0]


def certified_share(frontiers: Sequence[Frontier], epsilon: ArrayLike) -> NDArray[np.float64]:
    """Return the share of certified inputs: the certified accuracy, if all of them are truly unsafe.

    Args:
        frontiers: one per input, with the same text budgets.
        epsilon: image budgets, shape ``(budgets,)``, in the units of sigma.

    Returns:
        float64 of shape ``(d_max + 1, budgets)``; it falls along both axes.

    References:
        Cohen et al. (2019) plot this curve for d = 0.

    Example:
        >>> from hybrid_rs import UniformKernel
        >>> law = {"kernel": UniformKernel(0.25, 376), "sigma": 1.0, "tau": 4.6e-5, "d_max": 1}
        >>> certified_share([frontier(0.999, **law), frontier(0.7, **law)], [0.0, 4.0, 8.0])
        array([[1. , 1. , 0. ],
               [1. , 0.5, 0. ]])
    """
    require(len(frontiers) > 0, "frontiers", len(frontiers), "give the frontier of at least one input")
    budgets = nonnegative("epsilon", epsilon)
    require(budgets.ndim == 1, "epsilon", budgets.shape, "give budgets of shape (budgets,)")
    radii = np.array([front.radii for front in frontiers])
    return (radii[:, :, None] >= budgets).mean(axis=0)


def frontiers(
    p: NDArray[np.float64],
    kernel: Kernel | DeletionKernel,
    sigma: float,
    tau: float,
    *,
    masked: bool,
    single: bool,
    all_at_once: bool,
) -> list[Frontier]:
    """Return a frontier for each row of p, shape ``(examples, d_max + 1)``, or ``(..., m)`` for m texts per image."""
    sigma, tau = one("sigma", nonnegative("sigma", sigma)), one("tau", probability("tau", tau))
    shown = p if p.ndim == 2 else attacked_share(p, 0.0, sigma=1.0)
    search = certified_radius if p.ndim == 2 else certified_radius_texts
    last_first = range(p.shape[1])[::-1]  # so that a d that is too large fails before the work is done
    choices = [worst_ratios(kernel, d, masked=masked) for d in last_first][::-1]
    radii = np.stack(
        [
            np.min([search(p[:, d], ratio, sigma=sigma, tau=tau) for ratio in ratios], axis=0)  # nan if any is
            for d, ratios in enumerate(choices)
        ],
        axis=1,
    )
    return [
        Frontier(r.copy(), row.copy(), np.full(row.size, masked), kernel, sigma, tau, single, all_at_once)
        for r, row in zip(radii, shown, strict=True)
    ]
