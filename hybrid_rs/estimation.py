"""From draws to a bound on the smoothed probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from hybrid_rs._checks import integer, require

FloatArray = NDArray[np.float64]
SAFETY = 2.0**-46  # relative; scipy's inverse incomplete beta function is right to about 1e-15


def clopper_pearson_lower(k: ArrayLike, n: ArrayLike, alpha: ArrayLike = 0.01) -> FloatArray:
    r"""Return the exact one-sided lower confidence bound of a binomial probability.

    With probability at least 1 - alpha over n independent draws, the true probability is at least the bound. It is
    the p at which k or more successes have probability alpha; 0 for k = 0, and :math:`\alpha^{1/n}` for k = n.

    Args:
        k: number of successes, 0 to n.
        n: number of draws, at least 1.
        alpha: risk, in (0, 1).

    Returns:
        float64 of the broadcast shape, in [0, 1), rounded down.

    Raises:
        ValueError: if k is not in 0..n, a count is not whole, or alpha is not in (0, 1).

    References:
        Clopper and Pearson (1934).

    Example:
        >>> clopper_pearson_lower(10_000, 10_000, alpha=0.01).round(6)
        np.float64(0.99954)
    """
    successes, draws, risk = _checked(k, n, alpha)
    with np.errstate(invalid="ignore"):
        bound = betaincinv(successes, draws - successes + 1, risk)
    return np.where(successes > 0, bound * (1 - SAFETY), 0.0)[()]


def clopper_pearson_upper(k: ArrayLike, n: ArrayLike, alpha: ArrayLike = 0.01) -> FloatArray:
    """Return the exact one-sided upper confidence bound of a binomial probability, rounded up.

    Example:
        >>> clopper_pearson_upper(0, 100_000, alpha=0.01).round(7)
        np.float64(4.61e-05)
    """
    successes, draws, risk = _checked(k, n, alpha)
    with np.errstate(invalid="ignore"):
        bound = betaincinv(successes + 1, draws - successes, 1 - risk)
    return np.where(successes < draws, np.minimum(bound * (1 + SAFETY), 1.0), 1.0)[()]


def _checked(k: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    successes, draws, risk = (np.asarray(value, dtype=np.float64) for value in (k, n, alpha))
    require(bool(np.all((draws >= 1) & (draws == np.floor(draws)))), "n", n, "give whole numbers of draws, at least 1")
    whole = (successes >= 0) & (successes <= draws) & (successes == np.floor(successes))
    require(bool(np.all(whole)), "k", k, f"give whole numbers from 0 to n = {draws}")
    require(bool(np.all((risk > 0) & (risk < 1))), "alpha", alpha, "give a risk in (0, 1), such as 0.01")
    return successes, draws, risk


@dataclass(frozen=True)
class Counts:
    """How often the base classifier said unsafe, under the noise of each smoothed classifier.

    Args:
        unsafe: one count per smoothed classifier. One alone serves every text budget; otherwise entry d belongs to
            the classifier that is smoothed for text budget d.
        n: number of draws behind every count.
        example: the example's id.
        seed: the seed of the draws; None if unknown.

    Raises:
        ValueError: if a count is not in 0..n.

    Example:
        >>> Counts((10_000, 9_990), n=10_000).p_a(alpha=0.01).round(5)
        array([0.99954, 0.99799])
    """

    unsafe: tuple[int, ...]
    n: int
    example: str = field(default="", compare=False)
    seed: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        many = isinstance(self.unsafe, Sequence | np.ndarray)
        counts = tuple(integer("unsafe", k, at_least=0) for k in (self.unsafe if many else (self.unsafe,)))
        object.__setattr__(self, "unsafe", counts)
        object.__setattr__(self, "n", integer("n", self.n, at_least=1))
        require(len(counts) > 0, "unsafe", counts, "give one count per smoothed classifier")
        require(max(counts) <= self.n, "unsafe", max(counts), f"give counts from 0 to n = {self.n}")

    @property
    def one_classifier(self) -> bool:
        """Whether one smoothed classifier serves every text budget."""
        return len(self.unsafe) == 1

    def p_a(self, alpha: float = 0.01) -> FloatArray:
        """Lower confidence bounds of the smoothed probabilities, shape ``(classifiers,)``, each at risk alpha."""
        return np.asarray(clopper_pearson_lower(np.array(self.unsafe), self.n, alpha))

    def of_budget(self, d: int) -> Counts:
        """Return the counts of the classifier that serves text budget ``d``."""
        if self.one_classifier:
            return self
        budget = integer("d", d, at_least=0)
        require(budget < len(self.unsafe), "d", d, f"give at most {len(self.unsafe) - 1}, the largest budget sampled")
        return Counts((self.unsafe[budget],), self.n, self.example, self.seed)
