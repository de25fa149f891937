"""What every certificate claims, whatever it rests on: budgets, smoothing, threshold and value, checked alike."""

from __future__ import annotations

from typing import Any

from hybrid_rs._checks import nonnegative, probability, require
from hybrid_rs.certificates.kernels import text_budget


class Target:
    """A certificate with ``d``, ``epsilon``, ``sigma``, ``tau`` and ``p_adv``."""

    tau: float
    p_adv: float

    @property
    def certified(self) -> bool:
        """Whether the worst case stays at or above the threshold."""
        return self.p_adv >= self.tau


def check_target(certificate: Any, *more: str) -> int:
    """Refuse a certificate whose claim has a field of another type, or outside its range.

    Args:
        certificate: a :class:`Target`.
        more: names of further fields that must be floats.

    Returns:
        how many numbers of edits are within the text budget, 0 among them.

    Raises:
        ValueError: naming the field.
    """
    for name in ("epsilon", "sigma", "tau", "p_adv", *more):
        value = getattr(certificate, name)
        require(isinstance(value, float) and value == value, name, value, "give a float that is a number", repr)
    for name in ("tau", "p_adv"):
        probability(name, getattr(certificate, name))
    nonnegative("epsilon", certificate.epsilon)
    require(certificate.sigma >= 0, "sigma", certificate.sigma, "give a standard deviation")
    require(type(certificate.d) is int, "d", certificate.d, "give a whole number", repr)
    return text_budget("d", certificate.d) + 1
