"""The costs and benefits of a threshold, a margin or a beta, and a choice among them that keeps certificates valid.

A choice that maximises what some draws certify is biased by chance in these draws. So the choice is made on separate
selection draws. It remembers them, and refuses to be the threshold of a certificate from any of them. An (example,
seed) is refused for every smoothing, because the same seed gives the same noise to every guard and sigma.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import numpy as np

from hybrid_rs._checks import integer, kind, nonnegative, one, require, several
from hybrid_rs.certificates.frontier import Frontier
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.kernels import Kernel, text_budget
from hybrid_rs.decisions.calibrate import Calibration, calibrate, flagged_share
from hybrid_rs.evidence.counts import Counts, MaskedCounts, require_smoothing
from hybrid_rs.evidence.kinds import KINDS
from hybrid_rs.evidence.subset_counts import SubsetCounts

if TYPE_CHECKING:
    import pandas as pd

MOST = 10_000  # largest number of thresholds in a curve
Name = TypeVar("Name")
Evidence: TypeAlias = Counts | MaskedCounts | SubsetCounts


@dataclass(frozen=True)
class Candidate:
    """One smoothed guard that might be deployed, with counts by which it is judged.

    Args:
        benign: counts on benign examples, one per example.
        unsafe: counts on unsafe examples, one per example; they bound p_A or p_S.
        kernel: the token kernel of the draws.
        sigma: standard deviation of the image noise of the draws.
    """

    benign: Sequence[Counts]
    unsafe: Sequence[Evidence]
    kernel: Kernel
    sigma: float

    def __post_init__(self) -> None:
        one("sigma", nonnegative("sigma", self.sigma))
        for name, of in (("benign", (Counts,)), ("unsafe", KINDS)):
            for counts in several(name, getattr(self, name), "give counts, one per example", of):
                require_smoothing(counts, self.kernel, self.sigma)

    def frontiers(self, tau: float | Calibration, *, d_max: int, alpha: float = 0.01) -> list[Frontier]:
        """Return the frontier of every unsafe example."""
        return frontiers_of(self.unsafe, self.kernel, sigma=self.sigma, tau=tau, d_max=d_max, alpha=alpha)


@dataclass(frozen=True)
class Choice(Generic[Name]):
    """The chosen candidate, its threshold, and the scores of all candidates.

    Args:
        name: the name of the chosen candidate.
        calibration: its threshold; it refuses the draws of every candidate, benign and unsafe.
        scores: the score of each candidate, by name.
    """

    name: Name
    calibration: Calibration
    scores: Mapping[Name, float]


def choose(
    candidates: Mapping[Name, Candidate],
    score: Callable[[list[Frontier]], float],
    *,
    false_alarms: float = 0.05,
    d_max: int = 8,
    alpha: float = 0.01,
    confidence: float | None = None,
) -> Choice[Name]:
    """Calibrate every candidate to one share of false alarms, and return the one whose frontiers score best.

    Certify with ``tau=choice.calibration``, on other draws than these; ``choice.scores`` is optimistic. If a confidence
    is requested, the candidates share its risk, because one of them is chosen after looking at all (Bonferroni).

    Args:
        candidates: by name. Their unsafe counts come from selection draws, not from the draws that will certify.
        score: function of the frontiers of a candidate's unsafe examples; larger is better, and the first of equals
            wins.
        false_alarms: see :func:`hybrid_rs.calibrate`, also for alpha and confidence.
        d_max: the largest text budget of the frontiers.
        alpha: risk of each confidence bound.
        confidence: confidence for the share of false alarms in the population; None: the share among the examples.

    Raises:
        ValueError: if there is no candidate, or one of them cannot be calibrated.

    Example:
        >>> from hybrid_rs import UniformKernel
        >>> def counts(name, *ks):
        ...     return [Counts((k,), n=1000, example=f"{name} {i}", seed=0) for i, k in enumerate(ks)]
        >>> kernel = UniformKernel(beta=0.25, vocab_size=1000)
        >>> strict = Candidate(counts("safe", 0, 0), counts("unsafe", 900, 950), kernel, sigma=1.0)
        >>> lax = Candidate(counts("safe", 300, 400), counts("unsafe", 990, 1000), kernel, sigma=1.0)
        >>> made = choose({"strict": strict, "lax": lax}, lambda found: mean_radius(found, d=1), false_alarms=0)
        >>> made.name, strict.frontiers(made.calibration, d_max=1)
        Traceback (most recent call last):
        ValueError: (example, seed) = ('unsafe 0', 0): these draws helped to choose tau; take other examples, or draw \
again with another seed
    """
    kind("candidates", candidates, Mapping, "give a mapping of names to hybrid_rs.Candidate")
    for each in candidates.values():
        kind("candidates", each, Candidate, "give a mapping of names to hybrid_rs.Candidate")
    require(callable(score), "score", score, "give a function of a list of frontiers", repr)
    require(len(candidates) > 0, "candidates", len(candidates), "give at least one")
    made, scores = {}, {}
    for name, candidate in candidates.items():
        made[name] = calibrate(
            candidate.benign, false_alarms, alpha=alpha, confidence=confidence, candidates=len(candidates)
        )
        scores[name] = float(score(candidate.frontiers(made[name], d_max=d_max, alpha=alpha)))
    best = max(scores, key=lambda name: scores[name])
    seen = {(c.example, c.seed) for given in candidates.values() for c in (*given.benign, *given.unsafe)}
    return Choice(best, replace(made[best], used=frozenset(seen)), scores)


def robustness_curve(
    candidate: Candidate,
    taus: Iterable[float | Calibration],
    *,
    d: int,
    epsilon: float,
    d_max: int = 8,
    alpha: float = 0.01,
) -> pd.DataFrame:
    """Return what each threshold certifies, and the false alarms that it costs.

    Args:
        candidate: a smoothed guard with its counts; draws that chose one of the thresholds are refused.
        taus: thresholds, or the calibrations that chose them.
        d: text budget at which examples are counted.
        epsilon: image budget, l2, at which examples are counted.
        d_max: the largest text budget for the mean d.
        alpha: risk of each confidence bound.

    Returns:
        a row per threshold: ``tau``; ``estimated alarms``, the share of benign examples with k / n >= tau; ``deployed
        alarms``, the share not shown to be below tau at risk alpha; ``certified``, the share of unsafe examples
        certified at (d, epsilon); ``mean radius`` at d and ``mean d``, see :func:`mean_radius` and :func:`mean_edits`.
    """
    import pandas as pd

    kind("candidate", candidate, Candidate, "give a hybrid_rs.Candidate")
    rows, budget = [], integer("d", d, at_least=0)
    text_budget("d_max", d_max)
    benign = [counts.of_budget(budget) for counts in candidate.benign]
    levels = several("taus", taus, "give a list of thresholds")
    require(len(levels) <= MOST, "taus", levels, f"give at most {MOST} thresholds")
    for tau in levels:
        found = candidate.frontiers(tau, d_max=max(d_max, budget), alpha=alpha)
        rows.append(
            {
                "tau": found[0].tau,
                "estimated alarms": float(flagged_share(benign, tau)[0]),
                "deployed alarms": float(flagged_share(benign, tau, alpha)[0]),
                "certified": share_certified(found, budget, epsilon),
                "mean radius": mean_radius(found, budget),
                "mean d": mean_edits(found),
            }
        )
    return pd.DataFrame(rows)


def share_certified(frontiers: Sequence[Frontier], d: int, epsilon: float) -> float:
    """Return the share of examples that are certified at one pair of budgets."""
    budget = one("epsilon", nonnegative("epsilon", epsilon))
    return float(np.mean([front.radius(d) >= budget for front in frontiers]))


def mean_radius(frontiers: Sequence[Frontier], d: int) -> float:
    """Return the mean certified image radius at d over *all* examples; one that is not certified counts as 0."""
    return float(np.mean(np.nan_to_num([front.radius(d) for front in frontiers])))


def mean_edits(frontiers: Sequence[Frontier], epsilon: float = 0.0) -> float:
    """Return the mean over all examples of the largest certified d; one that is not certified counts as 0."""
    return float(np.mean([max(front.edits(epsilon), 0) for front in frontiers]))
