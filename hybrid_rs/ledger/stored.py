"""Stored counts of the book's setting, for the checks; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs.certificates.frontier import Frontier
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.threats import L0Threat, SuffixThreat, Threat
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.experiments.setting import Setting, bay_setting

TAU, ALPHA, BETA, EDITS, EDITS_L0 = 4.6e-5, 0.01, 0.25, 8, 5
PER_D, ONE_SHOT, L0 = SuffixThreat(EDITS, one_shot=False), SuffixThreat(EDITS), L0Threat(EDITS_L0)


@cache
def standard() -> Setting:
    """The setting of the book, at the standard profile."""
    return bay_setting("standard")


def stored(name: str, sigma: float, threat: Threat = PER_D, *, beta: float = BETA, masked: bool = False) -> list[Any]:
    """Return the stored counts of a set, one per example.

    Raises:
        ValueError: if some are not stored.
    """
    setting = standard()
    smoothed = setting.smoothed(sigma, threat, beta)
    get, examples = setting.store.get, setting.sets[name]
    found = [get(smoothed, example, n=setting.size.n, seed=setting.seed, masked=masked) for example in examples]
    return complete(found, f"counts of {name!r}, {threat}, sigma {sigma:g}, beta {beta:g}")


def complete(found: list[Any], what: str) -> list[Any]:
    """Return the results found in a store, after checking that none is missing.

    Raises:
        ValueError: if one is missing.
    """
    there = sum(each is not None for each in found)
    require(there == len(found), f"stored {what}", there, "run the experiment at the standard profile first")
    return found


def frontiers(
    counts: Sequence[Any], sigma: float, *, tau: float = TAU, beta: float = BETA, d_max: int = EDITS
) -> list[Frontier]:
    """Return the frontiers of stored counts; they are cached, because several checks need the same ones."""
    return list(_frontiers(tuple(counts), sigma, tau, beta, d_max))


@cache
def _frontiers(counts: tuple[Any, ...], sigma: float, tau: float, beta: float, d_max: int) -> tuple[Frontier, ...]:
    kernel = UniformKernel(beta, len(standard().guard.alphabet))
    return tuple(frontiers_of(counts, kernel, sigma=sigma, tau=tau, alpha=ALPHA, d_max=d_max))


def one_shot(counts: Sequence[Counts]) -> list[Counts]:
    """Return the counts of the last of nested classifiers, which noises the whole slot."""
    return [each.of_budget(EDITS) for each in counts]


def radii(found: Sequence[Frontier]) -> NDArray[np.float64]:
    """Return the radii, shape ``(examples, d_max + 1)``."""
    return np.array([front.radii for front in found])


def mean_radius(found: Sequence[Frontier], d: int) -> float:
    """Return the mean radius at d over the examples that are certified there; nan if none is."""
    at = radii(found)[:, d]
    return float(np.mean(at[~np.isnan(at)])) if np.any(~np.isnan(at)) else float("nan")


def mean_edits(found: Sequence[Frontier]) -> float:
    """Return the mean over all examples of the largest certified d; one with none counts as 0."""
    return float(np.mean([max(front.edits(), 0) for front in found]))
