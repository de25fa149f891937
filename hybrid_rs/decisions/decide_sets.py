r"""Sequential decisions from p_S where the edited positions are unknown: one process decides for all sets.

Let S be a set of j positions. A draw is a *miss* of S if the guard did not flag and all of S was replaced. This has
probability :math:`\beta^j (1 - p_S)`. So :math:`p_S \ge p^\star` if and only if a draw is no miss of S with probability
at least :math:`1 - \beta^j (1 - p^\star)`. The wealth that is evidence for this ("above") or against it ("below") is
that of :mod:`hybrid_rs.evidence.confidence_sequences`. At every draw, only the set with the most misses so far is used.

- *Certified*, if its wealth for "above" reaches 1 / alpha. There is no union over sets: suppose that some set S has
  :math:`p_S < p^\star`. The wealth of S is a supermartingale, and the wealth of the set with the most misses is never
  larger.
- *Not certifiable*, if its wealth for "below" reaches the number of sets divided by alpha. If all sets have
  :math:`p_S \ge p^\star`, all these wealths are supermartingales, and so is their mean. The largest of them is at most
  their mean times the number of sets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import integer, numbers, one, probability, require, risk as one_risk
from hybrid_rs.decisions.decide import CHUNK, Decision, Verdict
from hybrid_rs.evidence.confidence_sequences import log_evidence_above, log_evidence_below, mixture_lower, mixture_upper
from hybrid_rs.evidence.subset_text_counts import MAX_SETS


def decide_sets(
    draws: Iterable[tuple[ArrayLike, ArrayLike]],
    p_star: float,
    *,
    length: int,
    size: int,
    beta: float,
    alpha: float = 0.01,
    max_draws: int = 10_000,
    distance: float = 0.0,
) -> Decision:
    """Draw until it is known whether p_S >= p_star for every set S of ``size`` positions.

    The verdict is wrong with probability at most alpha: ``certified`` although some set has p_S < p_star, or ``not
    certifiable`` although none has. The verdict depends on the order of the draws, not on the batches.

    Args:
        draws: batches of independent draws: the unsafe verdicts, bool of shape ``(batch,)``, and which positions were
            replaced, bool of shape ``(batch, length)``. A batch is requested only while the decision is open.
        p_star: the required p_S, in [0, 1] or nan.
        length: L, the number of positions that are noised.
        size: number of positions in each set, 0 to ``length``; at most 20,000 sets.
        beta: replacement probability of the kernel, above 0.
        alpha: risk, in (0, 1).
        max_draws: the largest number of draws.
        distance: total variation between the law of a draw and that of the theorem.

    Returns:
        the decision. Its ``unsafe`` is the number of draws that are no miss of the set with the most misses; ``lower``
        and ``upper`` bound the least p_S.

    Raises:
        ValueError: if an argument is outside its range, or a batch has another shape.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> batches = ((np.ones(64, bool), rng.random((64, 20)) < 0.25) for _ in range(10))
        >>> made = decide_sets(batches, 0.75, length=20, size=1, beta=0.25)
        >>> made.verdict, made.draws, made.sets
        ('certified', 80, 20)
    """
    risk, limit = one_risk("alpha", alpha), integer("max_draws", max_draws, at_least=0)
    p_star, off = one("p_star", numbers("p_star", p_star)), one("distance", probability("distance", distance))
    positions = integer("length", length, at_least=0)
    j = integer("size", size, at_least=0, at_most=positions)
    rate = one("beta", probability("beta", beta))
    require(rate > 0, "beta", beta, "nothing is ever replaced; give beta > 0")
    worst = WorstSet(positions, j)
    if np.isnan(p_star):
        return Decision("not certifiable", 0, 0, p_star, risk, 0.0, 1.0, worst.count)
    if probability("p_star", p_star) == 0:
        return Decision("certified", 0, 0, p_star, risk, 0.0, 1.0, worst.count)
    required, slack = 1 - rate**j * (1 - p_star), off + 2.0**-50
    exact = off == 0 and j == 0  # then ``required`` is p_star itself
    high, low = (p_star, p_star) if exact else (min(required + slack, 1.0), max(required - slack, 0.0))
    seen, kept = 0, 0
    verdict: Verdict = "undecided"
    for verdicts, replaced in draws if limit else ():
        flagged, where = batch_of(verdicts, replaced, positions, limit - seen)
        for start in range(0, len(flagged), CHUNK):
            k, n = worst.add(flagged[start : start + CHUNK], where[start : start + CHUNK])
            above = log_evidence_above(k, n, high) >= -np.log(risk)
            below = log_evidence_below(k, n, low) >= np.log(worst.count) - np.log(risk)
            stop = int(np.argmax(above | below)) if (above | below).any() else k.size - 1
            seen, kept = int(n[stop]), int(k[stop])
            if above[stop] or below[stop]:
                verdict = "certified" if above[stop] else "not certifiable"
                return _decision(verdict, seen, kept, p_star, risk, off, rate**j, worst.count)
        if seen >= limit:
            break
    return _decision(verdict, seen, kept, p_star, risk, off, rate**j, worst.count)


class WorstSet:
    """Counts, draw by draw, the draws that are no miss of the set of positions with the most misses so far.

    Args:
        length: L, the number of positions that are noised.
        size: number of positions in each set, 0 to ``length``; at most 20,000 sets.
    """

    def __init__(self, length: int, size: int) -> None:
        self.count = math.comb(length, size)
        remedy = f"{length} positions have over {MAX_SETS} sets of this size; give a smaller size"
        require(self.count <= MAX_SETS, "size", size, remedy)
        self._sets = np.array([*combinations(range(length), size)], dtype=np.intp).reshape(self.count, size)
        self._misses = np.zeros(self.count, dtype=np.int64)
        self._draws = 0

    def add(
        self, flagged: NDArray[np.bool_], replaced: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return, after each further draw, the number of draws that are no miss of the worst set, and of all draws.

        Args:
            flagged: the verdicts, shape ``(batch,)``.
            replaced: which positions were replaced, shape ``(batch, length)``.
        """
        n = self._draws + 1 + np.arange(flagged.size)
        most = np.full(flagged.size, self._misses.max())
        for i in np.flatnonzero(~flagged):
            self._misses += replaced[i][self._sets].all(axis=1)
            most[i:] = self._misses.max()
        self._draws += flagged.size
        return n - most, n


def batch_of(
    verdicts: ArrayLike, replaced: ArrayLike, length: int, left: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Check the shapes of a batch, and cut it to the draws that are left, if there is a limit."""
    flagged, where = np.asarray(verdicts), np.asarray(replaced)
    fits = flagged.dtype == bool and flagged.ndim == 1
    require(fits, "verdicts", (str(flagged.dtype), flagged.shape), "give bool arrays of shape (batch,)")
    fits = where.dtype == bool and where.shape == (flagged.size, length)
    remedy = f"give bool arrays of shape ({flagged.size}, {length})"
    require(fits, "replaced", (str(where.dtype), where.shape), remedy)
    return flagged[:left], where[:left]


def _decision(
    verdict: Verdict, draws: int, kept: int, p_star: float, risk: float, off: float, share: float, count: int
) -> Decision:
    lower, upper = 0.0, 1.0
    if draws:
        low = float(mixture_lower(kept, draws, risk)) - off
        high = float(mixture_upper(kept, draws, risk / count)) + off
        wide = 1 + 2.0**-48  # more than all rounding
        lower, upper = max(0.0, 1 - (1 - low) / share * wide), min(1.0, 1 - max(0.0, 1 - high) / share / wide)
    if verdict == "certified":  # the same evidence as that of the bound, but without its rounding
        lower = max(lower, float(p_star))
    if verdict == "not certifiable":
        upper = min(upper, float(p_star))
    return Decision(verdict, draws, kept, float(p_star), risk, lower, upper, count)
