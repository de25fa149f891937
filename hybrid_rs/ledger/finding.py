"""The result of a check, and the rules that turn it into a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VERDICTS = ("reproduced", "differs", "disputed", "shown", "not testable here")
TOLERANCE = 0.05  # a measured value within this share of the paper's reproduces it


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Args:
        ours: the value or the relation found here, as a reader would write it.
        verdict: one of ``VERDICTS``.
    """

    ours: str
    verdict: str


def holds(true: bool, ours: str) -> Finding:
    """Verdict on a mathematical statement: reproduced, or else disputed."""
    return Finding(ours, "reproduced" if true else "disputed")


def refuted(true: bool, ours: str) -> Finding:
    """Verdict on a statement that a computation contradicts: disputed if the contradiction holds, else reproduced."""
    return holds(not true, ours)


def shown(true: bool, ours: str) -> Finding:
    """Verdict on one of our own statements: shown, or else disputed."""
    return Finding(ours, "shown" if true else "disputed")


def observed(true: bool, ours: str) -> Finding:
    """Verdict on a relation between measurements: reproduced if it also holds here, else it differs."""
    return Finding(ours, "reproduced" if true else "differs")


def measured(ours: float | Sequence[float], paper: float | Sequence[float], form: str = "{:.2f}") -> Finding:
    """Verdict on measured values: reproduced if all are within 5 % of the paper's, else they differ.

    Our guard and data are not the paper's, so a single value within 5 % may be a coincidence. If the paper leaves open
    what was measured, give the value of every reading; all of them have to agree.

    Example:
        >>> measured([1.01, 2.0], [1.0, 2.0])
        Finding(ours='1.01 / 2.00', verdict='reproduced')
        >>> measured(3.0, 2.0).verdict
        'differs'
    """
    values, wanted = np.atleast_1d(ours), np.atleast_1d(paper)
    close = bool(np.all(np.abs(values - wanted) <= TOLERANCE * np.abs(wanted)))
    return observed(close, " / ".join(form.format(value) for value in values))


def untested(ours: str = "") -> Finding:
    """Verdict on a claim that cannot be tested on this machine, or with data that may be distributed."""
    return Finding(ours, "not testable here")
