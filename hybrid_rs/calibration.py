"""Choosing the decision threshold on benign examples that are used for nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybrid_rs._checks import probability, require
from hybrid_rs.estimation import Counts


def flagged_share(counts: Sequence[Counts], tau: float) -> np.ndarray:
    """Return which share of the examples each smoothed classifier flags: those with k / n at or above the threshold.

    Args:
        counts: of one smoothed guard, one per example.
        tau: decision threshold, in [0, 1].

    Returns:
        shape ``(classifiers,)``; on benign examples these are the false-alarm rates.

    Example:
        >>> flagged_share([Counts((0, 3), n=100), Counts((1, 9), n=100)], tau=0.03)
        array([0., 1.])
    """
    return (_shares(counts) >= float(probability("tau", tau))).mean(axis=0)


def calibrated_tau(benign: Sequence[Counts], false_alarms: float) -> float:
    """Return the least threshold at which no smoothed classifier flags more than a share of the benign examples.

    The benign examples must not be those on which the false-alarm rate is then reported.

    Args:
        benign: counts of one smoothed guard on benign examples, one per example.
        false_alarms: the share that may be flagged, in [0, 1).

    Raises:
        ValueError: if there are no examples or the share is not in [0, 1).

    Example:
        >>> counts = [Counts((k,), n=100) for k in (0, 1, 2, 50)]
        >>> tau = calibrated_tau(counts, false_alarms=0.25)
        >>> tau > 0.02, flagged_share(counts, tau)
        (True, array([0.25]))
    """
    share = float(probability("false_alarms", false_alarms))
    require(share < 1, "false_alarms", false_alarms, "give a share below 1")
    require(len(benign) > 0, "benign", len(benign), "give counts of at least one benign example")
    values = np.sort(_shares(benign), axis=0)
    allowed = int(np.floor(share * len(values) + 1e-9))
    return float(np.nextafter(values[len(values) - 1 - allowed].max(), 1.0))


def _shares(counts: Sequence[Counts]) -> np.ndarray:
    return np.array([c.unsafe for c in counts]) / np.array([[c.n] for c in counts])
