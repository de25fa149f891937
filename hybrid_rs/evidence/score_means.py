"""Evidence about the mean of scores in [0, 1], valid whenever one looks: p_A of a soft base classifier."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp

from hybrid_rs._checks import probability, require, risk

FloatArray = NDArray[np.float64]
RATES = np.exp(np.linspace(-8, 16, 49))  # at which the gambler stakes


@dataclass(frozen=True, eq=False)
class ScoreEvidence:
    r"""What independent scores in [0, 1] have told about their mean so far; bounds hold whenever one looks.

    A score x multiplies the wealth against "the mean is at most m" by (1 + r x) / (1 + r m): a stake of
    r m / (1 + r m). The numerator does not know m, so sums over a grid of r are all there is to keep, and any m can be
    asked about later.

    Args:
        draws: number of scores seen.
        above: sums of log(1 + r x), one per rate r.
        below: sums of log(1 + r (1 - x)).

    References:
        Waudby-Smith and Ramdas (2024), section 4.

    Example:
        >>> scores = np.random.default_rng(0).beta(20, 1, size=1000)
        >>> evidence = ScoreEvidence().add(scores[:500]).add(scores[500:])
        >>> evidence.draws, round(evidence.lower(0.01), 3), round(evidence.upper(0.01), 3)
        (1000, 0.947, 0.958)
    """

    draws: int = 0
    above: FloatArray = field(default_factory=lambda: np.zeros(RATES.size))
    below: FloatArray = field(default_factory=lambda: np.zeros(RATES.size))

    def add(self, scores: ArrayLike) -> ScoreEvidence:
        """Return the evidence after a batch more of scores, shape ``(n,)``."""
        x = probability("scores", scores)
        require(x.ndim == 1, "scores", x.shape, "give one score per draw, shape (n,)")
        above, below = (np.log1p(np.multiply.outer(RATES, side)).sum(axis=1) for side in (x, 1 - x))
        return ScoreEvidence(self.draws + x.size, self.above + above, self.below + below)

    def lower(self, alpha: float = 0.01) -> float:
        """Return a lower confidence bound of the mean, at risk alpha at all times together, rounded down."""
        return self._lower(self.above, alpha)

    def upper(self, alpha: float = 0.01) -> float:
        """Return an upper confidence bound of the mean, at risk alpha at all times together, rounded up."""
        return 1.0 - self._lower(self.below, alpha)

    def _lower(self, gains: FloatArray, alpha: float) -> float:
        least = np.log(RATES.size) - np.log(risk("alpha", alpha))

        def excess(m: float) -> float:
            stakes = self.draws * np.log1p(RATES * m)
            rounding = 2.0**-30 + (2.0**-48 + 2.0**-52 * self.draws) * (gains + stakes)  # one sum for each score
            return float(logsumexp(gains - stakes - rounding) - least)

        if excess(0.0) < 0:
            return 0.0
        return max(0.0, float(brentq(excess, 0.0, 1.0, xtol=1e-15, rtol=1e-14)) - 4e-15)


def bounded_mean_lower(scores: ArrayLike, alpha: float = 0.01) -> float:
    r"""Return a lower confidence bound of the mean of independent scores in [0, 1]: p_A of a soft base classifier.

    It is :meth:`ScoreEvidence.lower` after these scores. It adapts to their variance and holds wherever one stops, if
    the rule looks only at the past.

    Args:
        scores: outputs of the base classifier on independent draws, shape ``(n,)``, in [0, 1].
        alpha: risk, in (0, 1).

    Returns:
        the bound, in [0, 1), rounded down. Verdicts (zeros and ones) have tighter bounds of their own in
        :func:`hybrid_rs.clopper_pearson_lower`, for a number of draws fixed beforehand.

    Raises:
        ValueError: if there is no score, a score is not in [0, 1], or alpha is not in (0, 1).

    References:
        Ville (1939); Waudby-Smith and Ramdas (2024), section 4.

    Example:
        >>> scores = np.random.default_rng(0).beta(20, 1, size=1000)
        >>> round(bounded_mean_lower(scores), 2), round(float(scores.mean()), 2)
        (0.95, 0.95)
    """
    evidence = ScoreEvidence().add(scores)
    require(evidence.draws > 0, "scores", scores, "give one score per draw, shape (n,)")
    return evidence.lower(alpha)
