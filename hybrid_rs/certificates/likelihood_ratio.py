r"""The law of a discrete likelihood ratio, clean law P against adversarial law Q.

A certificate depends on a discrete channel only through the distributions of :math:`\gamma = dQ / dP` under P and Q.
:class:`LikelihoodRatio` stores them: atoms at finite non-zero ratios (in logarithms), the mass of P where :math:`\gamma
= 0` (outcomes that are impossible under attack) and the mass of Q where :math:`\gamma = \infty` (outcomes that are
impossible for the clean input). It also stores a bound on its own rounding error, so that results can be rounded to the
safe side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import integer, kind, nonnegative, require

FloatArray = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)
MAX_ATOMS = 200_000
MAX_COPIES = 512


@dataclass(frozen=True, eq=False)
class LikelihoodRatio:
    r"""Atoms of :math:`\log\gamma` under the clean law P and the adversarial law Q.

    Build one with a kernel's ``likelihood_ratio(d)``, with :meth:`from_masses`, or with :meth:`compose`.

    Args:
        log_gamma: shape ``(K,)``, strictly increasing, finite.
        log_p: shape ``(K,)``, log P-mass of each atom; finite.
        log_q: shape ``(K,)``, log Q-mass of each atom; equals ``log_p + log_gamma``.
        p: shape ``(K,)``, the P-masses themselves; masses below 1e-308 are 0.
        q: shape ``(K,)``, the Q-masses themselves.
        p_at_zero: P-mass in [0, 1] of the outcomes that Q excludes (ratio 0).
        q_at_infinity: Q-mass in [0, 1] of the outcomes that P excludes (ratio infinite).
        rounding: bound on the absolute error of every stored logarithm.
        mass_rounding: bound on the relative error of every stored mass.
        masked: True if P is the law *given that the edited positions were replaced*. Then the evidence is p_S, drawn
            under that condition, and not p_A.

    Example:
        >>> ratio = LikelihoodRatio.from_masses(p=[0.75, 0.25, 0.0], q=[0.25, 0.5, 0.25])
        >>> np.exp(ratio.log_gamma).round(12), ratio.q_at_infinity
        (array([0.33333333, 2.        ]), 0.25)
    """

    log_gamma: FloatArray
    log_p: FloatArray
    log_q: FloatArray
    p: FloatArray = field(repr=False)
    q: FloatArray = field(repr=False)
    p_at_zero: float = 0.0
    q_at_infinity: float = 0.0
    rounding: float = field(default=0.0, repr=False)
    mass_rounding: float = field(default=0.0, repr=False)
    masked: bool = False

    def __post_init__(self) -> None:
        for name in ("log_gamma", "log_p", "log_q", "p", "q"):
            array = np.array(getattr(self, name), dtype=np.float64)
            require(array.ndim == 1 and bool(np.all(np.isfinite(array))), name, array, "give finite values, shape (K,)")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        require(
            self.log_gamma.shape == self.log_p.shape == self.log_q.shape == self.p.shape == self.q.shape,
            "log_gamma, log_p, log_q, p, q",
            [self.log_gamma.shape, self.log_p.shape, self.log_q.shape, self.p.shape, self.q.shape],
            "give arrays of one length",
        )
        require(bool(np.all(np.diff(self.log_gamma) > 0)), "log_gamma", self.log_gamma, "sort it, and merge ties")
        for name in ("p_at_zero", "q_at_infinity"):
            value = getattr(self, name)
            require(0 <= value <= 1, name, value, "give a mass in [0, 1]")
        for name, total in (("p", self.p_finite + self.p_at_zero), ("q", self.q_finite + self.q_at_infinity)):
            near = abs(total - 1) <= 1e-9 + 4 * self.rounding
            require(bool(near), f"total mass of {name}", total, "give masses that add up to 1")

    @classmethod
    def identity(cls) -> LikelihoodRatio:
        """Return the ratio of a law to itself, for d = 0: one atom, no evidence."""
        zero = np.zeros(1)
        return cls(zero, zero, zero, p=np.ones(1), q=np.ones(1))

    @classmethod
    def from_masses(cls, p: ArrayLike, q: ArrayLike) -> LikelihoodRatio:
        """Return the ratio of two laws given on the same outcomes.

        Args:
            p: shape ``(outcomes,)``, the clean law; non-negative, sum 1.
            q: shape ``(outcomes,)``, the adversarial law; non-negative, sum 1.

        Raises:
            ValueError: if the shapes differ, a mass is negative or not finite, or a law does not add up to 1.
        """
        clean, adversarial = nonnegative("p", p), nonnegative("q", q)
        require(clean.ndim == 1 and clean.shape == adversarial.shape, "p, q", (clean.shape, adversarial.shape),
                "give two arrays of one shape (outcomes,)")  # fmt: skip
        both = (clean > 0) & (adversarial > 0)
        log_p, log_q = np.log(clean[both]), np.log(adversarial[both])
        largest = float(np.abs([log_p, log_q]).max(initial=0.0))
        return _merged(
            log_q - log_p,
            (log_p, log_q, clean[both], adversarial[both]),
            p_at_zero=min(1.0, float(clean[adversarial == 0].sum())),
            q_at_infinity=min(1.0, float(adversarial[clean == 0].sum())),
            rounding=0.0 if largest == 0 else EPS * (largest + 4),
            mass_rounding=0.0 if largest == 0 else EPS * clean.size,
        )

    @property
    def p_finite(self) -> float:
        """P-mass at finite non-zero ratios."""
        return float(self.p.sum())

    @property
    def q_finite(self) -> float:
        """Q-mass at finite non-zero ratios."""
        return float(self.q.sum())

    @property
    def is_identity(self) -> bool:
        """Whether P and Q are the same law: nothing is edited, or edits have no effect."""
        return self.p.size == 1 and self.log_gamma[0] == 0 and self.p_at_zero == 0 and self.q_at_infinity == 0

    def reversed(self) -> LikelihoodRatio:
        """Return the ratio with the roles of P and Q exchanged."""
        return LikelihoodRatio(
            -self.log_gamma[::-1],
            self.log_q[::-1],
            self.log_p[::-1],
            self.q[::-1],
            self.p[::-1],
            self.q_at_infinity,
            self.p_at_zero,
            self.rounding,
            self.mass_rounding,
            self.masked,
        )

    def compose(self, other: LikelihoodRatio) -> LikelihoodRatio:
        """Return the ratio of two independent channels observed together: the law of the product of their ratios.

        Raises:
            ValueError: if the product would have more than 200,000 atoms, or one channel is masked and the other not.

        Example:
            >>> import hybrid_rs as hrs
            >>> colour = hrs.UniformKernel(beta=0.25, vocab_size=3).likelihood_ratio(d=1)
            >>> size = hrs.UniformKernel(beta=0.25, vocab_size=5).likelihood_ratio(d=1)
            >>> colour.compose(size).log_p.size
            9
        """
        atoms = self.log_p.size * a_ratio(other, "other").log_p.size
        require(atoms <= MAX_ATOMS, "atoms of the product", atoms, f"compose channels of at most {MAX_ATOMS} pairs")
        log_gamma, log_p, log_q = (
            np.add.outer(getattr(self, name), getattr(other, name)).ravel() for name in ("log_gamma", "log_p", "log_q")
        )
        p, q = (np.multiply.outer(getattr(self, name), getattr(other, name)).ravel() for name in ("p", "q"))
        nothing = self.is_identity or other.is_identity
        require(
            nothing or self.masked == other.masked,
            "other.masked",
            other.masked,
            "compose channels of one reference law",
        )
        exact = self.rounding == 0 or other.rounding == 0  # one factor is the identity
        largest = float(np.abs([log_p, log_q]).max(initial=0.0))
        return _merged(
            log_gamma,
            (log_p, log_q, p, q),
            p_at_zero=_either(self.p_at_zero, other.p_at_zero),
            q_at_infinity=_either(self.q_at_infinity, other.q_at_infinity),
            rounding=self.rounding + other.rounding + (0.0 if exact else EPS * (largest + 4)),
            mass_rounding=self.mass_rounding + other.mass_rounding + (0.0 if exact else 4 * EPS),
            masked=self.masked or other.masked,
        )

    def power(self, d: int) -> LikelihoodRatio:
        """Return ``d`` independent copies of this channel, composed; ``power(0)`` is :meth:`identity`."""
        result, factor, left = LikelihoodRatio.identity(), self, integer("d", d, at_least=0, at_most=MAX_COPIES)
        while left:
            result = result.compose(factor) if left % 2 else result
            left //= 2
            factor = factor.compose(factor) if left else factor
        return result


def a_ratio(value: object, name: str = "ratio") -> LikelihoodRatio:
    """Check that the value is a ratio, and return it."""
    return cast(LikelihoodRatio, kind(name, value, LikelihoodRatio, "give a ratio, such as kernel.likelihood_ratio(d)"))


def _either(a: float, b: float) -> float:
    """Return the mass of the union of two independent events."""
    return a + b * (1 - a)


def _merged(
    log_gamma: FloatArray,
    columns: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    *,
    p_at_zero: float,
    q_at_infinity: float,
    rounding: float,
    mass_rounding: float,
    masked: bool = False,
) -> LikelihoodRatio:
    """Sort atoms by ratio and merge those that differ only by rounding; columns: log p, log q, p, q."""
    order = np.argsort(log_gamma, kind="stable")
    log_gamma = log_gamma[order]
    log_p, log_q, p, q = (column[order] for column in columns)
    gap = np.diff(log_gamma, prepend=-np.inf)
    starts = np.flatnonzero(gap > np.maximum(4 * EPS * np.abs(log_gamma), 2 * rounding))
    if starts.size < log_gamma.size:
        log_p, log_q = (np.logaddexp.reduceat(column, starts) for column in (log_p, log_q))
        p, q = np.add.reduceat(p, starts), np.add.reduceat(q, starts)
        merged = int(np.diff(starts, append=log_gamma.size).max())
        log_gamma = log_gamma[starts]
        rounding, mass_rounding = rounding + 4 * EPS * merged, mass_rounding + EPS * merged
    return LikelihoodRatio(log_gamma, log_p, log_q, p, q, p_at_zero, q_at_infinity, rounding, mass_rounding, masked)
