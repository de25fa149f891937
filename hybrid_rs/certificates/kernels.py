r"""The discrete smoothing kernels: how a token is noised, and the likelihood ratio of d edits.

Both kernels act on each position independently, and both are symmetric: the law of the ratio depends only on the
number of edited positions. So it is enough to consider one adversary for each number of edits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from itertools import accumulate
from operator import mul
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import flag, integer, kind, probability, require
from hybrid_rs.certificates.likelihood_ratio import EPS, LikelihoodRatio

MAX_EDITS = 512
MOST = 2**28  # tokens drawn by one call
DIGITS = 40  # masses are computed with this many digits, and then rounded once


@runtime_checkable
class Kernel(Protocol):
    """What smoothing and certificates need of a discrete kernel."""

    @property
    def beta(self) -> float:
        """Replacement probability."""
        ...

    def likelihood_ratio(self, d: int, *, masked: bool = False) -> LikelihoodRatio:
        """Return the law of the ratio, clean to adversarial, when ``d`` positions are edited.

        With ``masked``, the clean law is taken given that a set of d positions was replaced, and the ratio is that of
        the worst adversary who edits some or all of that set.
        """
        ...

    def sample(self, clean: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return ``n`` noised copies of a sequence of alphabet positions."""
        ...

    def replacements(
        self, clean: NDArray[np.int64], n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return where ``n`` copies are replaced, and the replacements: two arrays of shape ``(n, length)``."""
        ...


@dataclass(frozen=True)
class UniformKernel:
    r"""Keep a token with probability 1 - beta, otherwise replace it by one of the V - 1 *other* alphabet members.

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

    def likelihood_ratio(self, d: int, *, masked: bool = False) -> LikelihoodRatio:
        r"""Return the law of the ratio when ``d`` positions are edited.

        Let i of the d noised positions show the clean token, j the adversary's token, and d - i - j another one. Then
        :math:`\gamma = ((1-\beta)(V-1)/\beta)^{j-i}`, which takes at most 2d + 1 values.

        Args:
            d: number of edited positions, 0 to 512.
            masked: take the clean law given that the d positions were replaced, and the worst adversary who edits some
                or all of them. For :math:`\beta \le 1 - 1/V` the worst one edits none of them: the ratio is
                :math:`\beta^d` on every outcome that the condition allows. The evidence is p_S.

        Raises:
            ValueError: if d is negative, not whole, or above 512.
        """
        if flag("masked", masked):
            # for beta <= 1 - 1/V the worst adversary edits nothing: an edit makes no ratio smaller than beta^d
            shy = 1 - Fraction(self.beta) >= Fraction(self.beta) / (self.vocab_size - 1)
            return masked_ratio(self, d, edited=0 if shy else d)
        return _uniform_ratio(self.beta, self.vocab_size, _edits(d))

    def sample(self, clean: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return ``n`` noised copies of one sequence.

        The random numbers do not depend on beta: with the same seed, a larger beta replaces a superset of positions.

        Args:
            clean: shape ``(length,)``, positions in the alphabet, 0 to V - 1.
            n: number of copies.
            rng: the source of randomness; uses ``n * length`` uniforms, then as many integers.

        Returns:
            shape ``(n, length)``, positions in the alphabet.
        """
        replaced, by = self.replacements(clean, n, rng)
        return np.where(replaced, by, clean)

    def replacements(
        self, clean: NDArray[np.int64], n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return the same draws as :meth:`sample` in two parts: where tokens are replaced, and the replacements.

        The two parts are independent. So replacing further positions as well gives a draw from the law given that
        these were replaced.
        """
        shape = _copies(clean, n, rng)
        replaced = rng.random(shape) < self.beta
        other = rng.integers(0, self.vocab_size - 1, size=shape)
        return replaced, other + (other >= clean)


@dataclass(frozen=True)
class AbsorbingKernel:
    r"""Keep a token with probability 1 - beta, otherwise replace it by the mask, a symbol outside the alphabet.

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

    def likelihood_ratio(self, d: int, *, masked: bool = False) -> LikelihoodRatio:
        r"""Return the law of the ratio when ``d`` positions are edited.

        If all d positions are masked, which has probability :math:`\beta^d`, both laws agree; any other outcome is
        impossible under one of them. With ``masked``, the clean law is taken given that all d are masked: the ratio is
        :math:`\beta^d` everywhere, and the evidence is p_S.
        """
        return _masked_ratio(self.beta, _edits(d)) if flag("masked", masked) else _absorbing_ratio(self.beta, _edits(d))

    def sample(self, clean: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return ``n`` noised copies, shape ``(n, length)``; masked positions hold ``AbsorbingKernel.MASK``."""
        replaced, by = self.replacements(clean, n, rng)
        return np.where(replaced, by, clean)

    def replacements(
        self, clean: NDArray[np.int64], n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return where ``n`` copies are masked, and the mask: two arrays of shape ``(n, length)``."""
        shape = _copies(clean, n, rng)
        replaced = rng.random(shape) < self.beta
        return replaced, np.full(replaced.shape, self.MASK)


def masked_ratio(kernel: UniformKernel | AbsorbingKernel, d: int, *, edited: int) -> LikelihoodRatio:
    r"""Return the law of the ratio when exactly ``edited`` of ``d`` positions are edited; under P all d are replaced.

    P is the clean law given that the d positions were replaced. Under the uniform kernel, an edited position shows the
    adversary's token with probability 1/(V-1) under P and :math:`1-\beta` under Q. Any other outcome of a position,
    edited or not, is :math:`\beta` times as likely under Q as under P. If j positions show the adversary's token, the
    ratio is :math:`\beta^{d-j} ((1-\beta)(V-1))^j`, j = 0..edited. Under the absorbing kernel, P shows only masks, and
    the ratio is :math:`\beta^d` for every number of edits.

    Args:
        kernel: the token kernel.
        d: number of positions that were replaced, 0 to 512.
        edited: how many of these the adversary edits, 0 to d.

    Raises:
        ValueError: if either is out of range.

    Example:
        >>> ratio = masked_ratio(UniformKernel(beta=0.25, vocab_size=4), d=2, edited=1)
        >>> np.exp(ratio.log_gamma).round(9), ratio.p.round(9)
        (array([0.0625, 0.5625]), array([0.66666667, 0.33333333]))
    """
    part = integer("edited", edited, at_least=0, at_most=_edits(d))
    if isinstance(kernel, AbsorbingKernel):
        return _masked_ratio(kernel.beta, d)
    return _masked_uniform_ratio(kernel.beta, kernel.vocab_size, d, part)


def _copies(clean: NDArray[np.int64], n: int, rng: np.random.Generator) -> tuple[int, int]:
    """Check that n copies of a sequence can be drawn, and return their shape."""
    flat = isinstance(clean, np.ndarray) and clean.ndim == 1 and clean.dtype.kind in "iu"
    require(flat, "clean", clean, "give positions in the alphabet, int64 of shape (length,)", repr)
    kind("rng", rng, np.random.Generator, "give a generator, such as numpy.random.default_rng(0)")
    return integer("n", n, at_least=0, at_most=MOST // max(1, clean.size)), clean.size


def _beta(value: float) -> float:
    array = probability("beta", value)
    require(array.ndim == 0, "beta", value, "give one number: a kernel has one replacement probability")
    return float(array)


def text_budget(name: str, d: int) -> int:
    """Return the number of edits, after checking that it is within the limit."""
    count = integer(name, d, at_least=0)
    require(count <= MAX_EDITS, name, count, f"give at most {MAX_EDITS} edits")
    return count


def _edits(d: int) -> int:
    return text_budget("d", d)


@cache
def _uniform_ratio(beta: float, vocab_size: int, d: int) -> LikelihoodRatio:
    if d == 0:
        return LikelihoodRatio.identity()
    with localcontext(prec=DIGITS):
        keep, hit = 1 - Decimal(beta), Decimal(beta) / (vocab_size - 1)
        if keep == hit:  # beta = 1 - 1/V: the noised token is uniform, so edits have no effect
            return LikelihoodRatio.identity()
        other = hit * (vocab_size - 2)
        keeps, hits, others = (_powers(base, d) for base in (keep, hit, other))
        clean = []
        for surplus in range(-d, d + 1):  # j - i
            ways, terms = math.comb(d, abs(surplus)), []  # orders of i clean tokens, j of the adversary's, and the rest
            for i in range(max(0, -surplus), (d - surplus) // 2 + 1):
                j, rest = i + surplus, d - 2 * i - surplus
                terms.append(ways * keeps[i] * hits[j] * others[rest])
                ways = ways * rest * (rest - 1) // ((i + 1) * (j + 1))
            clean.append(sum(terms, Decimal(0)))
        adversarial = clean[::-1]  # exchanging the clean token and the adversary's exchanges i and j
        step = (keep / hit).ln() if keep and hit else Decimal(0)
        return ratio_of_decimals([step * surplus for surplus in range(-d, d + 1)], clean, adversarial)


def _powers(base: Decimal, d: int) -> list[Decimal]:
    return list(accumulate([base] * d, mul, initial=Decimal(1)))


@cache
def _absorbing_ratio(beta: float, d: int) -> LikelihoodRatio:
    if d == 0:
        return LikelihoodRatio.identity()
    with localcontext(prec=DIGITS):
        masked = _powers(Decimal(beta), d)[d]
        return ratio_of_decimals([Decimal(0)] * 3, [masked, 1 - masked, Decimal(0)], [masked, Decimal(0), 1 - masked])


@cache
def _masked_ratio(beta: float, d: int) -> LikelihoodRatio:
    """Return one atom at ratio beta^d: under P no position of the set is kept."""
    if d == 0:
        return replace(LikelihoodRatio.identity(), masked=True)
    with localcontext(prec=DIGITS):
        q = _powers(Decimal(beta), d)[d]
        log_q = q.ln() if q else Decimal(0)
        return ratio_of_decimals([log_q, Decimal(0)], [Decimal(1), Decimal(0)], [q, 1 - q], masked=True)


@cache
def _masked_uniform_ratio(beta: float, vocab_size: int, d: int, edited: int) -> LikelihoodRatio:
    """Return atoms by j, the number of the adversary's tokens; under P no edited position shows the clean token."""
    if edited == 0:
        return _masked_ratio(beta, d)
    with localcontext(prec=DIGITS):
        keep, hit = 1 - Decimal(beta), Decimal(beta) / (vocab_size - 1)
        theirs, other = 1 / Decimal(vocab_size - 1), Decimal(vocab_size - 2) / (vocab_size - 1)
        p, q = (
            [
                math.comb(edited, j) * _powers(shown, edited)[j] * _powers(rest, edited)[edited - j]
                for j in range(edited + 1)
            ]
            for shown, rest in ((theirs, other), (keep, hit * (vocab_size - 2)))
        )
        unedited = _powers(Decimal(beta), d - edited)[-1]  # probability under Q that unedited positions are replaced
        q = [mass * unedited for mass in q]
        log_gamma = [(b / a).ln() if a and b else Decimal(0) for a, b in zip(p, q, strict=True)]
        return ratio_of_decimals([*log_gamma, Decimal(0)], [*p, Decimal(0)], [*q, 1 - sum(q, Decimal(0))], masked=True)


def ratio_of_decimals(
    log_gamma: list[Decimal], p: list[Decimal], q: list[Decimal], *, masked: bool = False
) -> LikelihoodRatio:
    """Round masses of many digits, each once, and return the ratio; the atoms may be in any order.

    Atoms are merged if their log-ratios round to the same float64, as where beta is close to 1 - 1/V.
    """
    atoms: dict[float, tuple[Decimal, Decimal]] = {}
    for g, a, b in zip(log_gamma, p, q, strict=True):
        if a and b:
            clean, attacked = atoms.get(float(g), (Decimal(0), Decimal(0)))
            atoms[float(g)] = (clean + a, attacked + b)
    log_ratios = sorted(atoms)
    clean_masses, attacked_masses = ([atoms[g][side] for g in log_ratios] for side in (0, 1))
    log_p, log_q = (np.array([float(mass.ln()) for mass in masses]) for masses in (clean_masses, attacked_masses))
    return LikelihoodRatio(
        np.array(log_ratios),
        log_p,
        log_q,
        np.array([float(mass) for mass in clean_masses]),
        np.array([float(mass) for mass in attacked_masses]),
        p_at_zero=float(sum((a for a, b in zip(p, q, strict=True) if not b), Decimal(0))),
        q_at_infinity=float(sum((b for a, b in zip(p, q, strict=True) if not a), Decimal(0))),
        rounding=EPS * float(np.abs([log_p, log_q]).max(initial=0.0)),
        mass_rounding=0.0 if np.all(log_p == 0) and np.all(log_q == 0) else EPS,
        masked=masked,
    )
