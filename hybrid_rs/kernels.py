r"""The discrete smoothing kernels: how a token is noised, and the likelihood ratio that d edits leave behind.

Both kernels act on each position independently, and both are symmetric: the law of the ratio depends on the
number of edited positions alone, so one canonical adversary stands for all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from hybrid_rs._checks import integer, probability, require
from hybrid_rs.likelihood_ratio import EPS, LikelihoodRatio

MAX_EDITS = 4096


class Kernel(Protocol):
    """What smoothing and certificates need of a discrete kernel."""

    def likelihood_ratio(self, d: int) -> LikelihoodRatio:
        """Return the law of the ratio, clean to adversarial, when ``d`` positions are edited."""
        ...

    def sample(self, clean: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return ``n`` noised copies of a sequence of alphabet positions."""
        ...


@dataclass(frozen=True)
class UniformKernel:
    r"""Keep a token with probability 1 - beta, else put one of the *other* V - 1 members of the alphabet in its place.

    Args:
        beta: replacement probability, in [0, 1].
        vocab_size: V, the size of the replacement alphabet, at least 2.

    Raises:
        ValueError: if beta is not a probability or the alphabet has fewer than two members.

    Example:
        >>> kernel = UniformKernel(beta=0.25, vocab_size=32_000)
        >>> kernel.likelihood_ratio(d=3).log_p.size
        7
    """

    beta: float
    vocab_size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", _beta(self.beta))
        object.__setattr__(self, "vocab_size", integer("vocab_size", self.vocab_size, at_least=2))

    def likelihood_ratio(self, d: int) -> LikelihoodRatio:
        r"""Return the law of the ratio when ``d`` positions are edited.

        With i positions that show the clean token, j that show the adversary's and d - i - j that show another,
        :math:`\gamma = ((1-\beta)(V-1)/\beta)^{j-i}`: at most 2d + 1 values.

        Args:
            d: number of edited positions, 0 to 4096.

        Raises:
            ValueError: if d is negative, not whole, or above 4096.
        """
        return _uniform_ratio(self.beta, self.vocab_size, _edits(d))

    def sample(self, clean: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return ``n`` noised copies of one sequence.

        The stream of random numbers does not depend on beta: with one seed, a larger beta replaces a superset.

        Args:
            clean: shape ``(length,)``, positions in the alphabet, 0 to V - 1.
            n: number of copies.
            rng: the source of randomness; uses ``n * length`` uniforms, then as many integers.

        Returns:
            shape ``(n, length)``, positions in the alphabet.
        """
        replaced = rng.random((n, clean.size)) < self.beta
        other = rng.integers(0, self.vocab_size - 1, size=(n, clean.size))
        return np.where(replaced, other + (other >= clean), clean)


@dataclass(frozen=True)
class AbsorbingKernel:
    r"""Keep a token with probability 1 - beta, else put the mask, a symbol outside the alphabet, in its place.

    Args:
        beta: masking probability, in [0, 1].

    Example:
        >>> ratio = AbsorbingKernel(beta=0.5).likelihood_ratio(d=2)
        >>> ratio.p_at_zero, ratio.q_at_infinity
        (0.75, 0.75)
    """

    beta: float
    MASK: ClassVar[int] = -1

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", _beta(self.beta))

    def likelihood_ratio(self, d: int) -> LikelihoodRatio:
        r"""Return the law of the ratio when ``d`` positions are edited.

        The laws agree where all d are masked, mass :math:`\beta^d`, and exclude each other elsewhere.
        """
        return _absorbing_ratio(self.beta, _edits(d))

    def sample(self, clean: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return ``n`` noised copies, shape ``(n, length)``; masked positions hold ``AbsorbingKernel.MASK``."""
        masked = rng.random((n, clean.size)) < self.beta
        return np.where(masked, self.MASK, clean)


def _beta(value: float) -> float:
    array = probability("beta", value)
    require(array.ndim == 0, "beta", value, "give one number: a kernel has one replacement probability")
    return float(array)


def _edits(d: int) -> int:
    count = integer("d", d, at_least=0)
    require(count <= MAX_EDITS, "d", count, f"give at most {MAX_EDITS} edits")
    return count


@cache
def _uniform_ratio(beta: float, vocab_size: int, d: int) -> LikelihoodRatio:
    others = vocab_size - 1
    if d == 0:
        return LikelihoodRatio.identity()
    if beta == 0:  # no noise: one edit tells the laws apart for certain
        return _disjoint_but_for(-math.inf)
    if beta == 1:  # the clean token cannot show (ratio infinite there), nor the adversary's under attack (ratio 0)
        return _disjoint_but_for(d * math.log1p(-1 / others) if vocab_size > 2 else -math.inf)
    log_keep, log_hit = math.log1p(-beta), math.log(beta) - math.log(others)
    step = log_keep - log_hit
    j_minus_i = np.arange(-d, d + 1)
    if vocab_size == 2:
        j_minus_i = j_minus_i[::2]  # two symbols: every edited position shows the clean one or the adversary's
        log_other = 0.0
    else:
        log_other = math.log(beta) + math.log1p(-1 / others)
    log_p = np.array([_log_mass(d, int(m), log_keep, log_hit, log_other, vocab_size) for m in j_minus_i])
    if step == 0:  # beta = 1 - 1/V: the noised token is uniform, edits leave no trace
        return LikelihoodRatio.identity()
    log_q = log_p[::-1]  # exchanging the clean token and the adversary's exchanges i and j
    pieces = d * (abs(log_keep) + abs(log_hit) + abs(log_other)) + 2 * float(gammaln(d + 1))
    order = slice(None) if step > 0 else slice(None, None, -1)
    log_gamma = np.asarray(j_minus_i * step, dtype=np.float64)
    return LikelihoodRatio(log_gamma[order], log_p[order], log_q[order], rounding=2 * EPS * (pieces + 4))


def _log_mass(d: int, m: int, log_keep: float, log_hit: float, log_other: float, vocab_size: int) -> float:
    """Log-probability under the clean law that, of d edited positions, j - i = m."""
    both = d - abs(m)  # positions left once the surplus is placed: pairs (one i, one j), and others
    pairs = np.arange(both // 2, both // 2 + 1) if vocab_size == 2 else np.arange(both // 2 + 1)
    i, j = pairs + max(-m, 0), pairs + max(m, 0)
    rest = d - i - j
    ways = gammaln(d + 1) - gammaln(i + 1) - gammaln(j + 1) - gammaln(rest + 1)
    return float(logsumexp(ways + i * log_keep + j * log_hit + rest * log_other))


@cache
def _absorbing_ratio(beta: float, d: int) -> LikelihoodRatio:
    if d == 0:
        return LikelihoodRatio.identity()
    return _disjoint_but_for(d * math.log(beta) if beta > 0 else -math.inf)


def _disjoint_but_for(log_overlap: float) -> LikelihoodRatio:
    """Two laws that agree on an event of the given log-mass and exclude each other outside it."""
    if log_overlap == -math.inf:
        nothing = np.empty(0)
        return LikelihoodRatio(nothing, nothing, nothing, p_at_zero=1.0, q_at_infinity=1.0)
    if log_overlap == 0:
        return LikelihoodRatio.identity()
    outside = -math.expm1(log_overlap)
    mass = np.array([log_overlap])
    return LikelihoodRatio(np.zeros(1), mass, mass, outside, outside, rounding=2 * EPS * (abs(log_overlap) + 2))
