"""The decision threshold of a certificate: a number, or a threshold that was calibrated on other draws."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeAlias

from hybrid_rs._checks import one, probability

Draws: TypeAlias = tuple[str, int | None]  # an example's id and a seed: they determine the random draws


class CalibratedThreshold(Protocol):
    """What certifying needs to know of a :class:`hybrid_rs.decisions.calibrate.Calibration`."""

    def tau_for(self, draws: Iterable[Draws]) -> float:
        """Return tau for certifying from these draws; refuse draws that were used to choose it."""
        ...


def threshold(tau: float | CalibratedThreshold, draws: Iterable[Draws]) -> float:
    """Return the threshold to use with these draws; a calibrated one must not have been chosen from them.

    Args:
        tau: decision threshold, in [0, 1], or the calibration that chose it.
        draws: every (example id, seed) that the threshold will be used with.

    Raises:
        ValueError: if one of these draws was used to choose tau.

    Example:
        >>> threshold(0.05, [("a", 0)])
        0.05
    """
    # test for the method, not for the class: a reloaded module has a new class of the same name
    if hasattr(tau, "tau_for") and not isinstance(tau, type):
        return float(tau.tau_for(draws))
    return one("tau", probability("tau", tau))
