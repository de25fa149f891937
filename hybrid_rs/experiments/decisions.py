"""Decisions replayed on stored draws: many targets, and other stopping rules, on the same verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import integer
from hybrid_rs.certificates.threshold import Draws, threshold
from hybrid_rs.certificates.worst_case import required_p_a
from hybrid_rs.decisions.calibrate import Calibration
from hybrid_rs.decisions.decide import draws_floor
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper
from hybrid_rs.evidence.confidence_sequences import log_evidence_above, log_evidence_below, mixture_lower, mixture_upper
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
VERDICTS = np.array(["undecided", "certified", "not certifiable"])


def sequential(row: BoolArray, p_star: ArrayLike, *, alpha: float = 0.01) -> tuple[NDArray[np.str_], IntArray]:
    """Return what :func:`hybrid_rs.decisions.decide.decide` decides for many targets on one row of draws, but faster.

    Between two misses, the evidence above only grows. So the bounds at the ends of these runs show in which run each
    target is reached, and a bisection finds the draw. The evidence below is treated in the same way.

    Args:
        row: verdicts in the order of the draws, shape ``(n,)``.
        p_star: the required clean probabilities, shape ``(targets,)``; nan if no probability is enough.
        alpha: risk, in (0, 1).

    Returns:
        verdicts and draws, shape ``(targets,)``; undecided after n draws if these are not enough.

    Example:
        >>> sequential(np.ones(64, dtype=bool), [0.75, 0.99, 0.0])
        (array(['certified', 'undecided', 'certified'], dtype='<U15'), array([18, 64,  0]))
    """
    needed = np.atleast_1d(np.asarray(p_star, dtype=np.float64))
    k, n = np.cumsum(row), np.arange(1, row.size + 1)
    certain = -np.log(alpha)
    ends = _run_ends(row)
    lower = np.maximum.accumulate(mixture_lower(k[ends], n[ends], alpha))
    certify = _first_in_run(row, ends, lower, needed, lambda i, p: log_evidence_above(k[i], n[i], p) >= certain)
    ends = _run_ends(~row)
    upper = np.minimum.accumulate(mixture_upper(k[ends], n[ends], alpha))
    refuse = _first_in_run(~row, ends, -upper, -needed, lambda i, p: log_evidence_below(k[i], n[i], -p) >= certain)
    certify[needed == 0] = 0
    refuse[np.isnan(needed)] = 0
    return _earlier(certify, refuse, row.size)


def schedule(max_draws: int, *, first: int = 64) -> IntArray:
    """Return the numbers of draws at which a rule with a union bound decides: first, doubled, ..., max_draws.

    Example:
        >>> schedule(1000)
        array([  64,  128,  256,  512, 1000])
    """
    start, last = integer("first", first, at_least=1), integer("max_draws", max_draws, at_least=1)
    doubled = start * 2 ** np.arange(64 - start.bit_length())
    return np.append(doubled[doubled < last], last)


def scheduled(
    row: BoolArray, p_star: ArrayLike, looks: IntArray, *, alpha: float = 0.01
) -> tuple[NDArray[np.str_], IntArray]:
    """Decide many targets by a union bound over looks: Clopper-Pearson at each look, with equal shares of the risk.

    Like a decision, it is wrong with probability at most alpha, for every p.

    Args:
        row: verdicts in the order of the draws, shape ``(n,)``; looks beyond them keep their share of the risk.
        p_star: the required clean probabilities, shape ``(targets,)``; nan if no probability is enough.
        looks: numbers of draws of the looks, from :func:`schedule`.
        alpha: risk, in (0, 1).

    Returns:
        verdicts and draws, shape ``(targets,)``; undecided after n draws if no look decides.

    Example:
        >>> scheduled(np.ones(64, dtype=bool), [0.75, 0.99], schedule(1000))
        (array(['certified', 'undecided'], dtype='<U15'), array([64, 64]))
    """
    needed = np.atleast_1d(np.asarray(p_star, dtype=np.float64))
    seen = looks[looks <= row.size]
    k = np.cumsum(row)[seen - 1]
    lower = clopper_pearson_lower(k, seen, alpha / looks.size)
    upper = clopper_pearson_upper(k, seen, alpha / looks.size)
    at = np.append(seen, row.size + 1)
    certify = at[np.argmax(np.append(lower >= needed[:, None], np.ones((needed.size, 1), dtype=bool), axis=1), axis=1)]
    refuse = at[np.argmax(np.append(upper < needed[:, None], np.ones((needed.size, 1), dtype=bool), axis=1), axis=1)]
    certify[needed == 0] = 0
    refuse[np.isnan(needed)] = 0
    return _earlier(certify, refuse, row.size)


def targets(
    smoothed: SmoothedGuard,
    taus: Mapping[str, float | Calibration],
    budgets: Sequence[int],
    epsilons: Sequence[float],
    draws: Sequence[Draws] = (),
) -> pd.DataFrame:
    """Return a table of targets, columns threshold, tau, d, epsilon and p_star, the p_A that each requires.

    Args:
        smoothed: the smoothed guard.
        taus: decision thresholds by name; numbers, or the calibrations that chose them.
        budgets: text budgets.
        epsilons: image budgets.
        draws: every (example id, seed) that the targets will be decided for.

    Raises:
        ValueError: if one of these draws was used to choose a threshold.
    """
    import pandas as pd

    rows, levels = [], {name: threshold(tau, draws) for name, tau in taus.items()}
    for d in budgets:
        ratio = smoothed.kernel.likelihood_ratio(d)
        for name, tau in levels.items():
            required = required_p_a(np.asarray(epsilons, dtype=np.float64), ratio, sigma=smoothed.sigma, tau=tau)
            rows += [(name, tau, d, e, p) for e, p in zip(epsilons, np.atleast_1d(required), strict=True)]
    return pd.DataFrame(rows, columns=["threshold", "tau", "d", "epsilon", "p_star"])


def decided(row: BoolArray, p_star: ArrayLike, *, alpha: float, max_draws: int) -> bool:
    """Return whether a row of draws is enough for the decision, and for the schedule, on every target.

    Example:
        >>> decided(np.ones(64, dtype=bool), [0.5, 0.75], alpha=0.01, max_draws=10_000)
        True
    """
    if row.size >= max_draws:
        return True
    rules = sequential(row, p_star, alpha=alpha), scheduled(row, p_star, schedule(max_draws), alpha=alpha)
    return not any("undecided" in verdicts for verdicts, _ in rules)


def replay(wanted: pd.DataFrame, row: BoolArray, counts: Counts, *, alpha: float = 0.01) -> pd.DataFrame:
    """Return the targets with the results of four ways to decide them, on one example's draws.

    Args:
        wanted: targets, from :func:`targets`.
        row: the first draws, enough for :func:`decided` with ``max_draws = counts.n``.
        counts: the counts of all n draws, of one smoothed classifier.
        alpha: risk, in (0, 1).

    Returns:
        ``wanted`` with verdict and draws of the decision; of the schedule of looks ("looks ..."); the verdict at the
        fixed n ("fixed verdict"); and the floor of draws at p = k / n, an estimate.
    """
    p_star = wanted["p_star"].to_numpy()
    (k,) = counts.unsafe
    verdict, draws = sequential(row, p_star, alpha=alpha)
    looked, looks = scheduled(row, p_star, schedule(counts.n), alpha=alpha)
    lower, upper = clopper_pearson_lower(k, counts.n, alpha), clopper_pearson_upper(k, counts.n, alpha)
    fixed = np.where(lower >= p_star, 1, np.where(~(upper >= p_star), 2, 0))
    reachable = np.nan_to_num(p_star)
    return wanted.assign(
        example=counts.example,
        share=k / counts.n,
        **{
            "verdict": verdict,
            "draws": draws,
            "looks verdict": looked,
            "looks draws": looks,
            "fixed verdict": VERDICTS[fixed],
            "floor": np.where(np.isnan(p_star), 0.0, draws_floor(k / counts.n, reachable, alpha)),
        },
    )


def _run_ends(row: BoolArray) -> IntArray:
    """Return the index of the last True of every run of True."""
    return np.flatnonzero(row & ~np.append(row[1:], False))


def _first_in_run(
    row: BoolArray,
    ends: IntArray,
    bound: FloatArray,
    needed: FloatArray,
    holds: Callable[[IntArray, FloatArray], BoolArray],
) -> IntArray:
    """Return after how many draws a condition first holds (within a run), row.size + 1 if never."""
    run = np.searchsorted(bound, needed, side="left")
    found = run < ends.size
    starts = np.flatnonzero(row & ~np.append(False, row[:-1]))
    p = needed[found]
    false, true = starts[run[found]] - 1, ends[run[found]]
    while np.any(true - false > 1):
        middle = np.where(true - false > 1, (false + true) // 2, true)
        now = holds(middle, p)
        true, false = np.where(now, middle, true), np.where(now, false, np.minimum(middle, true - 1))
    first = np.full(needed.size, row.size + 1)
    first[found] = true + 1
    return first


def _earlier(certify: IntArray, refuse: IntArray, n: int) -> tuple[NDArray[np.str_], IntArray]:
    which = np.where((certify > n) & (refuse > n), 0, np.where(certify < refuse, 1, 2))
    return VERDICTS[which], np.minimum(np.minimum(certify, refuse), n)
