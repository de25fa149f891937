"""The values that attacks reached, compared with the certified bounds at the same budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hybrid_rs._checks import kind, require, risk as risk_of, several
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.feature_kernel import worst_ratios
from hybrid_rs.certificates.kernels import Kernel
from hybrid_rs.certificates.upper import p_adv_upper
from hybrid_rs.certificates.worst_case import p_adv
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper
from hybrid_rs.evidence.counts import Counts, MaskedCounts, require_smoothing
from hybrid_rs.evidence.subset_counts import SubsetCounts

THREATS = {
    "SuffixThreat": "suffix",
    "InPlaceThreat": "in-place",
    "L0Threat": "l0",
    "EditDistanceThreat": "edit-distance",
}


def beside_bounds(
    attacks: Sequence[Mapping[str, Any]],
    evidence: Sequence[MaskedCounts | SubsetCounts | Counts],
    kernel: Kernel | DeletionKernel,
    *,
    alpha: float = 0.01,
    risk: float = 0.01,
) -> pd.DataFrame:
    """Return a table of the values that attacks reached, and the certified bounds from p_A and p_S at their budgets.

    If the evidence is plain counts, there is no bound from p_S, and its column holds nan.

    ``certified`` and ``certified, masked`` are the bounds as they would be published, at risk ``alpha`` each; ``g`` is
    the frequency of unsafe verdicts at the attacked input. The columns ``floor`` (the larger of the two certificates)
    and ``upper`` (an upper bound of the attacked value) are for a test: all bounds of all attacks hold together, except
    with probability ``risk`` (Bonferroni). If the mathematics is right, ``upper`` is never below ``floor``.

    Args:
        attacks: rows of an :class:`hybrid_rs.storage.attacks.AttackStore`.
        evidence: for each attack, the counts of its example under its smoothing.
        kernel: the token kernel of all attacks.
        alpha: risk of each published bound.
        risk: risk shared by all bounds of the test.

    Raises:
        ValueError: if an argument is out of range, or evidence is missing.
    """
    kinds = "give counts of one text for each image", (MaskedCounts, SubsetCounts, Counts)
    pairs, alpha, each = _pairs(attacks, evidence, kernel, kinds, alpha, risk, bounds=3)
    rows = []
    for attack, counts in pairs:
        k, n = attack["unsafe"], attack["n"]
        plain, masked = _certified(attack, counts, kernel, alpha)
        rows.append(
            {name: attack[name] for name in ("example", "sigma", "d", "epsilon", "adaptive", "edits", "queries")}
            | {"threat": THREATS[attack["threat"]["name"]]}
            | {
                "clean": _plain(counts, attack["d"]).unsafe[0] / counts.n,
                "certified": plain,
                "certified, masked": masked,
            }
            | {"g": k / n, "upper": float(clopper_pearson_upper(k, n, each))}
            | {"floor": float(np.nanmax(_certified(attack, counts, kernel, each))), "unsmoothed": attack["estimate"]}
        )
    return pd.DataFrame(rows)


def beside_ceilings(
    attacks: Sequence[Mapping[str, Any]],
    evidence: Sequence[Counts],
    kernel: Kernel | DeletionKernel,
    *,
    alpha: float = 0.01,
    risk: float = 0.01,
) -> pd.DataFrame:
    """Return a table of the values that attacks towards "unsafe" reached, and the upper bounds at their budgets.

    The attacks were made on an :class:`hybrid_rs.attacks.exchanged.Exchanged` guard; the table is about the guard
    itself. ``certified`` is the bound as it would be published, at risk ``alpha``; ``g`` is the frequency of unsafe
    verdicts at the attacked input. The columns ``ceiling`` (the certificate) and ``lower`` (a lower bound of the
    attacked value) are for a test: all these bounds hold together, except with probability ``risk``. If the mathematics
    is right, ``lower`` is never above ``ceiling``.

    Args:
        attacks: rows of an :class:`hybrid_rs.storage.attacks.AttackStore`, of the exchanged guard.
        evidence: for each attack, the plain counts of its example with the guard itself.
        kernel: the token kernel of all attacks.
        alpha: risk of each published bound.
        risk: risk shared by all bounds of the test.

    Raises:
        ValueError: if an argument is out of range, or evidence is missing.
    """
    pairs, alpha, each = _pairs(attacks, evidence, kernel, ("give plain counts", (Counts,)), alpha, risk, bounds=2)
    rows = []
    for attack, counts in pairs:
        d, epsilon, sigma, n = (attack[name] for name in ("d", "epsilon", "sigma", "n"))
        ratios, own, flagged = worst_ratios(kernel, d), counts.of_budget(d), n - attack["unsafe"]
        published, ceiling = (
            max(float(p_adv_upper(own.p_a_upper(r)[0], epsilon, ratio, sigma=sigma)) for ratio in ratios)
            for r in (alpha, each)
        )
        rows.append(
            {name: attack[name] for name in ("example", "sigma", "d", "epsilon", "edits", "queries")}
            | {"clean": own.unsafe[0] / own.n, "certified": published, "g": flagged / n}
            | {"lower": float(clopper_pearson_lower(flagged, n, each)), "ceiling": ceiling}
        )
    return pd.DataFrame(rows)


def _pairs(
    attacks: Sequence[Mapping[str, Any]],
    evidence: Sequence[Any],
    kernel: Kernel | DeletionKernel,
    kinds: tuple[str, tuple[type, ...]],
    alpha: float,
    risk: float,
    *,
    bounds: int,
) -> tuple[list[tuple[Mapping[str, Any], Any]], float, float]:
    """Check the arguments of a table; return each attack with its evidence, alpha, and the risk of one of its bounds.

    The whole risk is shared equally by all bounds; each attack has ``bounds`` of them.
    """
    kind("kernel", kernel, (Kernel, DeletionKernel), "give the kernel of the draws")
    rows = several("attacks", attacks, "give rows of an AttackStore", Mapping)
    counts = several("evidence", evidence, *kinds)
    require(len(counts) == len(rows), "evidence", len(counts), f"give one for each of {len(rows)} attacks")
    for attack, drawn in zip(rows, counts, strict=True):
        require_smoothing(drawn, kernel, attack["sigma"])
    each = risk_of("risk", risk) / (bounds * max(len(rows), 1))
    return list(zip(rows, counts, strict=True)), risk_of("alpha", alpha), each


def _certified(
    attack: Mapping[str, Any],
    counts: MaskedCounts | SubsetCounts | Counts,
    kernel: Kernel | DeletionKernel,
    alpha: float,
) -> tuple[float, float]:
    """Return the certified values at the attack's budgets, from p_A and from p_S (or nan), each at risk alpha."""
    d, epsilon, sigma = (attack[name] for name in ("d", "epsilon", "sigma"))
    p_a = _plain(counts, d).p_a(alpha)[0]
    plain = min(float(p_adv(p_a, epsilon, ratio, sigma=sigma)) for ratio in worst_ratios(kernel, d))
    if isinstance(counts, Counts):
        return plain, math.nan
    masked = kernel.likelihood_ratio(d, masked=True)
    return plain, float(p_adv(counts.p_s(alpha)[d], epsilon, masked, sigma=sigma))


def _plain(counts: MaskedCounts | SubsetCounts | Counts, d: int) -> Counts:
    """Return the counts of the draws without a condition, of the classifier of budget d."""
    return counts.of_budget(d) if isinstance(counts, Counts) else counts.clean
