"""How large an experiment is: one name stands for its numbers of examples and draws."""

from __future__ import annotations

from dataclasses import dataclass

from hybrid_rs._checks import require


@dataclass(frozen=True)
class Profile:
    """The size of an experiment.

    Args:
        n_unsafe: examples that are certified (ground truth unsafe).
        n_safe: examples on which false alarms are counted (ground truth safe).
        n_calibration: examples on which a threshold may be chosen; none of them is certified.
        n: noise draws per example.
    """

    n_unsafe: int
    n_safe: int
    n_calibration: int
    n: int


PROFILES = {
    "quick": Profile(n_unsafe=4, n_safe=4, n_calibration=4, n=500),  # seconds: the notebooks' default, and the tests'
    "standard": Profile(n_unsafe=40, n_safe=40, n_calibration=40, n=10_000),  # minutes: the book
    "full": Profile(n_unsafe=400, n_safe=400, n_calibration=400, n=10_000),  # the size of the paper
}


def get_profile(name: str) -> Profile:
    """The profile of this name.

    Raises:
        ValueError: if there is none.

    Example:
        >>> get_profile("quick").n
        500
    """
    require(name in PROFILES, "profile", repr(name), f"give one of {', '.join(PROFILES)}")
    return PROFILES[name]
