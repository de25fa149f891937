"""Evidence about the mean of scores in [0, 1], valid at any time: the p_A of a soft base classifier."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp

from hybrid_rs._checks import probability, require, risk

FloatArray = NDArray[np.float64]
RATES = np.exp(np.linspace(-8, 16, 49))  # the stakes of the gambler


@dataclass(frozen=True, eq=False)
class ScoreEvidence:
    r"""The evidence of independent scores in [0, 1] about their mean; its bounds are valid at any time.

    A score x multiplies the wealth against "the mean is at most m" by (1 + r x) / (1 + r m): a stake of
    r m / (1 + r m). The numerator does not depend on m. So it is enough to keep sums over a grid of r, and m can be
    chosen later.

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
        """Return the evidence after another batch of scores, shape ``(n,)``."""
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
            rounding = 2.0**-30 + (2.0**-48 + 2.0**-52 * self.draws) * (gains + stakes)  # one addition per score
            return float(logsumexp(gains - stakes - rounding) - least)

        if excess(0.0) < 0:
            return 0.0
        return max(0.0, float(brentq(excess, 0.0, 1.0, xtol=1e-15, rtol=1e-14)) - 4e-15)


def bounded_mean_lower(scores: ArrayLike, alpha: float = 0.01) -> float:
    r"""Return a lower confidence bound of the mean of independent scores in [0, 1]: p_A of a soft base classifier.

    It is :meth:`ScoreEvidence.lower` after these scores. It adapts to their variance, and is valid for every stopping
    rule that looks only at the past.

    Args:
        scores: outputs of the base classifier on independent draws, shape ``(n,)``, in [0, 1].
        alpha: risk, in (0, 1).

    Returns:
        the bound, in [0, 1), rounded down. For verdicts (zeros and ones) and a number of draws fixed in advance,
        :func:`hybrid_rs.clopper_pearson_lower` is tighter.

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
