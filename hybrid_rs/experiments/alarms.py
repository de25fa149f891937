"""False alarms in the tables: counted by two rules, each share with its confidence interval.

*Estimated* alarms are safe examples with k / n >= tau: the estimate of the smoothed value is at least tau.
*Deployed* alarms are safe examples that a guard flags when it is deployed as the certificate requires: all except those
whose upper confidence bound is below tau (:meth:`hybrid_rs.decisions.calibrate.Calibration.flags`). If tau is small
compared with 1 / n, the second share is far larger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, one, probability, require
from hybrid_rs.certificates.rounding import ceiled, floored
from hybrid_rs.decisions.calibrate import Calibration, flagged_share
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper
from hybrid_rs.evidence.counts import Counts

RULES = ("estimated alarms", "deployed alarms")
CONFIDENCE = 0.95


def alarm_shares(safe: Sequence[Counts], tau: float | Calibration, alpha: float) -> dict[str, NDArray[np.float64]]:
    """Return the share of safe examples that each classifier flags, by both rules.

    Args:
        safe: counts of one smoothed guard, one per safe example.
        tau: decision threshold, or the calibration that chose it from other draws.
        alpha: risk of the upper bounds of the deployed rule, in (0, 1).

    Returns:
        a dictionary with the keys ``RULES``; each value has shape ``(classifiers,)``.

    Example:
        >>> alarm_shares([Counts((0,), n=100), Counts((9,), n=100)], tau=0.03, alpha=0.01)
        {'estimated alarms': array([0.5]), 'deployed alarms': array([1.])}
    """
    return dict(zip(RULES, (flagged_share(safe, tau), flagged_share(safe, tau, alpha)), strict=True))


def share_interval(share: float, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the two-sided Clopper-Pearson interval of a probability, from a share of independent trials.

    Args:
        share: successes divided by ``of``, in [0, 1].
        of: number of trials.
        confidence: in (0, 1); each side takes half of the risk.

    Raises:
        ValueError: if the share is not a whole number of successes.

    Example:
        >>> [round(float(x), 3) for x in share_interval(0.1, 40)]
        [0.028, 0.237]
    """
    trials, level = integer("of", of, at_least=1), one("confidence", probability("confidence", confidence))
    hits = round(one("share", probability("share", share)) * trials)
    require(abs(hits - share * trials) < 1e-6 * trials, "share", share, f"give a multiple of 1 / {trials}")
    each = (1 - level) / 2
    return float(clopper_pearson_lower(hits, trials, each)), float(clopper_pearson_upper(hits, trials, each))


def spelled_share(share: float, of: int, confidence: float = CONFIDENCE) -> str:
    """Format a share in percent, with its interval rounded outwards.

    Example:
        >>> spelled_share(0.1, 40)
        '10% (2 to 24)'
    """
    low, high = share_interval(share, of, confidence)
    return f"{share:.0%} ({floored(100 * low, 0):.0f} to {ceiled(100 * high, 0):.0f})"


def alarm_styles(of: int) -> dict[str, Callable[[float], str]]:
    """Return formats of the two columns of alarms, for ``show_table``: :func:`spelled_share` of this many examples."""
    return dict.fromkeys(RULES, partial(spelled_share, of=of))
