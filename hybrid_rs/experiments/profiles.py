"""The size of an experiment: one name for its numbers of examples and draws."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_rs._checks import require


@dataclass(frozen=True)
class Profile:
    """The size of an experiment.

    Args:
        n_unsafe: number of examples to certify (ground truth unsafe).
        n_safe: number of examples that measure false alarms (ground truth safe).
        n_calibration: number of further safe examples, on which a threshold may be chosen.
        n: number of noise draws per example.
    """

    n_unsafe: int
    n_safe: int
    n_calibration: int
    n: int


PROFILES = {
    "quick": Profile(n_unsafe=4, n_safe=4, n_calibration=4, n=500),  # seconds: the default of notebooks and tests
    "standard": Profile(n_unsafe=40, n_safe=40, n_calibration=40, n=10_000),  # minutes: the book
    "full": Profile(n_unsafe=400, n_safe=400, n_calibration=400, n=10_000),  # the size of the paper
}


def get_profile(name: str) -> Profile:
    """Return the profile of this name.

    Raises:
        ValueError: if there is no such profile.

    Example:
        >>> get_profile("quick").n
        500
    """
    require(name in PROFILES, "profile", name, f"give one of {', '.join(PROFILES)}", repr)
    return PROFILES[name]
