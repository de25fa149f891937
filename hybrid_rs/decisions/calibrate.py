r"""Choosing the decision threshold on separate benign examples, with a guarantee.

A certificate says that the smoothed value g(x) of every input within the budgets is at least tau. But g is unknown: a
deployed guard draws, and *flags unless the upper confidence bound u(K) of its draws is below tau*
(:meth:`Calibration.flags`). Then an input with :math:`g \ge \tau` passes with probability at most alpha, and every
attack within certified budgets is flagged with probability at least 1 - alpha. Flagging where :math:`K / n \ge \tau`
would use a point estimate: about half of the inputs with g = tau would pass, and more if tau is below 1 / n.

The cost in false alarms depends on the benign population, of which m examples are known. Their bounds
:math:`u(K_1), \dots, u(K_m)` are independent and have the same law as u(K) for the next benign input. Let tau be just
above all but the r largest of them. Then, for every such law,

.. math:: P\bigl(P(u(K) \ge \tau) > b\bigr) \le P(\mathrm{Bin}(m, b) \le r),

as for order statistics. As :math:`P(u(K) \ge \tau \mid g \ge \tau) \ge 1 - \alpha`, the share of benign inputs with
:math:`g \ge \tau` is at most :math:`P(u(K) \ge \tau) / (1 - \alpha)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, kind, one, probability, require, risk, several
from hybrid_rs.certificates.threshold import Draws, threshold
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_upper
from hybrid_rs.evidence.counts import Counts


@dataclass(frozen=True)
class Calibration:
    """A threshold that was chosen on benign examples, with its guarantee and the draws that were used for it.

    Build one with :func:`calibrate`. If you give it as ``tau`` to certify, the draws that chose it are refused.

    Args:
        tau: the decision threshold.
        above: r, the number of benign examples whose upper bounds may be at or above it.
        benign: m, the number of benign examples.
        n: number of draws for each of them, and for the deployed guard.
        alpha: risk of each upper bound, and of passing an input whose smoothed value is tau or more.
        used: every (example id, seed) whose draws were used to choose tau.
        candidates: the number of classifiers that were calibrated on these examples, of which one is chosen.
        smoothing: the noise of the draws, as the counts name it; empty if unknown.
    """

    tau: float
    above: int
    benign: int
    n: int
    alpha: float
    used: frozenset[Draws]
    candidates: int = 1
    smoothing: str = ""

    def false_alarm_bound(self, confidence: float = 0.99) -> float:
        """Return an upper confidence bound of the share of the benign population that is flagged.

        The confidence is over the choice of the benign examples and all draws. For the next benign input, it bounds the
        probability that the deployed guard flags it, that its smoothed value is at least tau, and that its k / n is at
        least tau. With several classifiers, it holds for each of them separately. It assumes that the benign examples
        are independent draws from that population.

        Args:
            confidence: in (0, 1).

        References:
            Wilks (1941) for the tolerance limit; Clopper and Pearson (1934) for its inversion.
        """
        return float(_bounds([self.above], self.benign, self.alpha, confidence, self.candidates)[0])

    def tau_for(self, draws: Iterable[Draws]) -> float:
        """Return tau for certifying from these draws, or for measuring false alarms with them.

        Raises:
            ValueError: if one of them was used to choose tau, or it is not known which draws they are.
        """
        for pair in several("draws", draws, "give pairs (example id, seed)"):
            fits = isinstance(pair, tuple) and len(pair) == 2
            require(fits, "(example, seed)", pair, "give pairs (example id, seed)", repr)
            example, seed = pair
            known = example != "" and seed is not None
            require(known, "(example, seed)", pair, "give counts with their example and seed")
            remedy = "these draws helped to choose tau; take other examples, or draw again with another seed"
            require(pair not in self.used, "(example, seed)", pair, remedy)
        return self.tau

    def flags(self, counts: Counts) -> NDArray[np.bool_]:
        """Return the deployed verdicts, shape ``(classifiers,)``: True unless the upper bound is below tau.

        Raises:
            ValueError: if tau was calibrated for another number of draws, or under other noise.
        """
        kind("counts", counts, Counts, "give hybrid_rs.Counts")
        require(counts.n == self.n, "counts.n", counts.n, f"tau was calibrated for n = {self.n}")
        same = "" in (counts.smoothing, self.smoothing) or counts.smoothing == self.smoothing
        require(same, "counts", counts.smoothing, f"tau was calibrated with {self.smoothing}")
        return counts.p_a_upper(self.alpha) >= self.tau

    def __str__(self) -> str:
        bound = math.ceil(self.false_alarm_bound() * 1e3) / 1e3
        return (
            f"tau = {self.tau:.6g}: all but {self.above} of {self.benign} benign examples are shown to stay below it "
            f"({self.n} draws each, risk {self.alpha:g}). In the population that they come from, the share flagged is "
            f"at most {bound:.3f} with confidence 0.99."
        )


def calibrate(
    benign: Sequence[Counts],
    false_alarms: float = 0.05,
    *,
    alpha: float = 0.01,
    confidence: float | None = None,
    candidates: int = 1,
) -> Calibration:
    """Return the smallest threshold that is shown to be above all but a given share of benign inputs.

    An example counts as below the threshold if the upper confidence bound of its smoothed value is. So the threshold is
    never finer than the draws can resolve, even if no benign draw was unsafe.

    Args:
        benign: counts of one smoothed guard on benign examples, one per example, all with the same number of draws. If
            they have several smoothed classifiers, the threshold serves each of them.
        false_alarms: the share that may be above the threshold, in [0, 1).
        alpha: risk of each upper confidence bound, in (0, 1).
        confidence: None: the share is that of *these* examples. A number in (0, 1): the share is that of the
            population, in the sense of :meth:`Calibration.false_alarm_bound`, with this confidence; this needs more
            examples.
        candidates: the number of classifiers that are calibrated on these examples, of which one is chosen; they share
            the risk.

    Raises:
        ValueError: if an argument is out of range, or if examples are not distinct, have no id or seed, were drawn with
            different noise, are too few for the confidence, or are unsafe in all draws.

    References:
        Clopper and Pearson (1934) for the bounds; Wilks (1941) for the tolerance limit.

    Example:
        >>> counts = [Counts((k,), n=100, example=f"benign {k}", seed=0) for k in (0, 1, 2, 50)]
        >>> made = calibrate(counts, false_alarms=0.25)
        >>> round(made.tau, 3), flagged_share(counts, made.tau).tolist(), round(made.false_alarm_bound(), 3)
        (0.081, [0.25], 0.868)
        >>> calibrate(counts, false_alarms=0.25, confidence=0.9)
        Traceback (most recent call last):
        ValueError: false_alarms = 0.25: 4 examples show a share of 0.443 at best with confidence 0.9, and a \
share of 0.25 only with confidence 0.679; give 9 examples, a larger share, or less confidence
    """
    share = one("false_alarms", probability("false_alarms", false_alarms))
    risk("alpha", alpha)
    require(share < 1, "false_alarms", false_alarms, "give a share below 1")
    benign = several("benign", benign, "give a list of hybrid_rs.Counts", Counts)
    m, tried = len(benign), integer("candidates", candidates, at_least=1, at_most=10**9)
    require(m > 0, "benign", m, "give counts of at least one benign example")
    (n,) = _only({counts.n for counts in benign}, "n", "give counts of one number of draws")
    known_noise = {counts.smoothing for counts in benign if counts.smoothing}
    (noise,) = _only(known_noise or {""}, "smoothing", "give counts of one kernel and sigma")
    names = [(counts.example, counts.seed) for counts in benign]
    known = all(example != "" and seed is not None for example, seed in names)
    require(known, "benign", "counts without example or seed", "give counts with their example and seed")
    require(len({example for example, _ in names}) == m, "benign", f"{m} counts", "give one per example, none twice")
    above = math.floor(share * m + 1e-9) if confidence is None else most_above(m, share, alpha, confidence, tried)
    bounds = np.sort(_uppers(benign, alpha), axis=0)
    largest = float(bounds[m - 1 - above].max())
    require(largest < 1, "benign", "examples unsafe in all draws", f"no threshold is above all but {above} of them")
    return Calibration(float(np.nextafter(largest, 1.0)), above, m, n, float(alpha), frozenset(names), tried, noise)


def most_above(m: int, false_alarms: float, alpha: float, confidence: float, candidates: int = 1) -> int:
    """Return how many of m benign examples may be above the threshold; no draws are needed to know it.

    Args:
        m: number of benign examples.
        false_alarms: the share of the population that may be above the threshold, in [0, 1).
        alpha: risk of each upper confidence bound, in (0, 1).
        confidence: confidence in that share, in (0, 1).
        candidates: the number of classifiers of which one is chosen.

    Raises:
        ValueError: if m examples are too few to show that share, even with none above.

    Example:
        >>> most_above(91, 0.05, alpha=0.01, confidence=0.99)
        0
        >>> most_above(20, 0.05, alpha=0.01, confidence=0.99)
        Traceback (most recent call last):
        ValueError: false_alarms = 0.05: 20 examples show a share of 0.208 at best with confidence 0.99, and a share \
of 0.05 only with confidence 0.637; give 91 examples, a larger share, or less confidence
    """
    reached = _bounds(range(m), m, alpha, confidence, candidates)
    above = int(np.sum(reached <= false_alarms)) - 1
    if above < 0:
        short = _too_few(false_alarms, m, alpha, confidence, candidates, reached[0])
        require(False, "false_alarms", false_alarms, short)
    return above


def flagged_share(
    counts: Sequence[Counts], tau: float | Calibration, alpha: float | None = None
) -> NDArray[np.float64]:
    """Return the share of the examples that each smoothed classifier flags.

    Args:
        counts: of one smoothed guard, one per example.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        alpha: None: an example is flagged if k / n, the estimate of the smoothed value, is at least tau. A risk in
            (0, 1): an example is flagged if its upper confidence bound is at least tau, as in a deployed guard.

    Returns:
        shape ``(classifiers,)``; on benign examples these are the false-alarm rates.

    Example:
        >>> flagged_share([Counts((0, 3), n=100), Counts((1, 9), n=100)], tau=0.03)
        array([0., 1.])
        >>> flagged_share([Counts((0, 3), n=100), Counts((1, 9), n=100)], tau=0.05, alpha=0.01)
        array([0.5, 1. ])
    """
    level = float(probability("tau", threshold(tau, [(c.example, c.seed) for c in counts])))
    estimates = np.array([c.unsafe for c in counts]) / np.array([[c.n] for c in counts])
    return np.asarray(((estimates if alpha is None else _uppers(counts, alpha)) >= level).mean(axis=0))


def _uppers(counts: Sequence[Counts], alpha: float) -> NDArray[np.float64]:
    """Return upper confidence bounds, shape ``(examples, classifiers)``, as :meth:`Counts.p_a_upper` gives them."""
    unsafe, draws = np.array([c.unsafe for c in counts]), np.array([[c.n] for c in counts])
    bounds = clopper_pearson_upper(unsafe, draws, alpha)
    off = np.array([[c.distance] for c in counts])
    return np.where(off > 0, np.minimum(np.nextafter(bounds + off, 2.0), 1.0), bounds)


def _bounds(above: Iterable[int], m: int, alpha: float, confidence: float, candidates: int) -> NDArray[np.float64]:
    """Return upper bounds of the population's share, given the number of m examples above the threshold."""
    confidence = one("confidence", probability("confidence", confidence))
    require(0 < confidence < 1, "confidence", confidence, "give a number in (0, 1), such as 0.99")
    risk_left = min(1 - confidence, 1 - 2.0**-53)  # a confidence below 1e-16 leaves less than all of it
    share = clopper_pearson_upper(np.array(list(above)), m, risk_left / candidates)
    return np.minimum(np.nextafter(share / (1 - alpha), 2.0), 1.0)


def _too_few(share: float, m: int, alpha: float, confidence: float, candidates: int, best: float) -> str:
    pass_all = math.log1p(-share * (1 - alpha))  # log of the probability that an example stays below, at that share
    reach = 1 - candidates * math.exp(m * pass_all)
    needed = math.ceil(math.log((1 - confidence) / candidates) / pass_all) if share > 0 else 0
    there = f", and a share of {share:g} only with confidence {math.floor(reach * 1e3) / 1e3:.3f}" if reach > 0 else ""
    give = f"give {needed} examples, a larger share, or less confidence" if needed else "give a larger share"
    shown = math.ceil(best * 1e3) / 1e3
    return f"{m} examples show a share of {shown:.3f} at best with confidence {confidence:g}{there}; {give}"


def _only(values: set[Any], name: str, remedy: str) -> set[Any]:
    require(len(values) == 1, name, sorted(values), remedy)
    return values
