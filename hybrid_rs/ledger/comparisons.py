"""Checks of the paper's attacks, baselines, costs and tables of data."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from hybrid_rs.baselines.mmcert import SubsamplingLaw
from hybrid_rs.datasets import bay_orders
from hybrid_rs.datasets.bay_language import encode
from hybrid_rs.datasets.interaction import interaction_only
from hybrid_rs.estimation import clopper_pearson_lower, clopper_pearson_upper
from hybrid_rs.evidence import Counts
from hybrid_rs.experiments.attacks import ATTACKS, beside_bounds
from hybrid_rs.experiments.costs import ways
from hybrid_rs.experiments.setting import COUNTS
from hybrid_rs.feature_kernel import FeatureKernel
from hybrid_rs.frontiers import Frontier
from hybrid_rs.kernels import UniformKernel
from hybrid_rs.ledger.finding import Finding, holds, measured, untested
from hybrid_rs.ledger.stored import BETA, EDITS, L0, ONE_SHOT, frontiers, mean_edits, mean_radius, standard, stored
from hybrid_rs.likelihood_ratio import LikelihoodRatio
from hybrid_rs.threats import Threat
from hybrid_rs.worst_case import certified_edits, floored, p_adv

ORDERS = 1680  # samples of BayOrders, as many as the paper has of MM-SafetyBench
ADULT = (8, 16, 7, 14, 6, 5, 2, 41)  # categories of its features, as its documentation lists them


def frontier_cost() -> Finding:
    """Tokens that the full frontier reads, in units of image-only smoothing."""
    guard, every = standard().guard, ways(EDITS)
    after, ratios = len(guard.after), []  # type: ignore[attr-defined]
    words = round(float(np.mean([example.token_ids.size for example in standard().sets["unsafe"]])))
    text = len(guard.before) + words + EDITS + after  # type: ignore[attr-defined]
    for length in (text, text + 252):  # 4 image tokens, and 256
        image_only = every["image only"].expected_tokens(length, after, beta=BETA)
        for way in ("frontier, one run per d", "frontier, nested draws, whole prompts", "frontier, nested draws"):
            ratios.append(every[way].expected_tokens(length, after, beta=BETA) / image_only)
    close = measured(ratios[1], 500 / 156).verdict
    small = (
        f"{ratios[0]:.1f} by a run per d, {ratios[1]:.1f} by nested draws, {ratios[2]:.2f} with keys and values reused"
    )
    return Finding(f"tokens read: {small}; {ratios[5]:.2f} with 256 image tokens", close)


def seconds() -> Finding:
    """Seconds per datapoint of a model of 7 billion weights."""
    return untested()


def attacks_stay_above() -> Finding:
    """Every attacked value, on fresh draws, against what is certified there."""
    rows = [json.loads(line) for line in (ATTACKS / "F2_standard.jsonl").read_text().splitlines()]
    threats: dict[str, Threat] = {"SuffixThreat": ONE_SHOT, "L0Threat": L0}
    counts: dict[Any, Any] = {}
    for sigma, name in {(row["sigma"], row["threat"]["name"]) for row in rows}:
        for each in stored("unsafe", sigma, threats[name], masked=True):
            counts[sigma, name, each.example] = each
    evidence = [counts[row["sigma"], row["threat"]["name"], row["example"]] for row in rows]
    table = beside_bounds(rows, evidence, UniformKernel(BETA, len(standard().guard.alphabet)))
    below = int((table["upper"] < table["floor"]).sum())
    least = float((table["g"] / table[["certified", "certified, masked"]].max(axis=1)).min())
    return holds(below == 0, f"{below} of {len(table)} attacked inputs below; least ratio to the bound {least:.2f}")


def share_that_passes() -> Finding:
    """The share of BayOrders that passes the interaction-only filter, of as many samples as take seconds."""
    neutral, blank = encode(bay_orders.NEUTRAL_TEXT), bay_orders.blank_image()
    samples = bay_orders.examples(ORDERS // 4)
    found = interaction_only(standard().guard, samples, neutral_text=neutral, blank_image=blank)
    return measured(100 * float(found.mask.mean()), 7.5, f"about {{:.0f}} % of {len(samples)}")


def orders_edits() -> Finding:
    """Mean text budget on the filtered examples of BayOrders."""
    return measured(float(floored(mean_edits(_orders()), 2)), 3.62)


def orders_radius() -> Finding:
    """Mean radius at d = 1 on the filtered examples of BayOrders."""
    return measured(float(floored(mean_radius(_orders(), 1), 2)), 3.37)


def _orders() -> list[Frontier]:
    """The frontiers of the stored unsafe examples of BayOrders, all of them interaction-only."""
    unsafe = {example.id for example in bay_orders.examples(ORDERS) if example.unsafe}
    rows = [json.loads(line) for line in (COUNTS / "T2_standard.jsonl").read_text().splitlines()]
    counts = [Counts(tuple(row["unsafe"]), row["n"]) for row in rows if row["example"] in unsafe]
    return frontiers(counts, 1.0)


def length_of_text() -> Finding:
    """Whether replacement hurts long prompts more: a question about prompts and a guard that are not here."""
    return untested()


def subsampling_certifies_nothing() -> Finding:
    """What subsampling leaves of p_A = 1 when every pixel moves, however little."""
    example = standard().sets["unsafe"][0]
    pixels = int(np.prod(example.image.shape[1:]))
    laws = [SubsamplingLaw(example.token_ids.size, 10, pixels, kept) for kept in (64, 256, pixels // 2)]
    left = [float(law.p_adv(1.0, 0, pixels)) for law in laws]
    return holds(max(left) == 0, "0 against an l2 adversary, for any guard; not 0 against changed words and pixels")


def unimodal_fails() -> Finding:
    """Whether what smoothing of one modality promises survives an attack on both, within its own budget."""
    rows = [json.loads(line) for line in (ATTACKS / "F3_standard.jsonl").read_text().splitlines()]
    each = 0.01 / len(rows)  # all bounds hold together
    clean = {(row["smoothing"], row["example"]): row["unsafe"] for row in rows if not row["d"] and not row["epsilon"]}
    broken, attacked = 0, [row for row in rows if row["d"] and row["epsilon"]]
    for row in attacked:
        p_a = clopper_pearson_lower(clean[row["smoothing"], row["example"]], row["n"], each)
        if row["smoothing"] == "image only":
            promised = p_adv(p_a, row["epsilon"], LikelihoodRatio.identity(), sigma=0.5)
        else:
            promised = p_adv(
                p_a, 0.0, UniformKernel(BETA, len(standard().guard.alphabet)).likelihood_ratio(row["d"]), sigma=1.0
            )
        broken += int(clopper_pearson_upper(row["unsafe"], row["n"], each) < promised)
    return holds(broken > 0, f"{broken} of {len(attacked)} unimodal certificates broken by attacks on both modalities")


def adult_edits() -> Finding:
    """The edits of any of Adult's features that 10^4 draws can certify, whatever the classifier."""
    best = clopper_pearson_lower(10_000, 10_000, 0.01)
    most = int(certified_edits(best, FeatureKernel(BETA, ADULT), epsilon=0.0, sigma=1.0, tau=0.5, d_max=3))
    return untested(f"no classifier is certified beyond d = {most} with all features, 10^4 draws and alpha = 0.01")


COMPARISONS: dict[str, Callable[[], Finding]] = {
    "T4.frontier": frontier_cost,
    "T4.seconds": seconds,
    "T2.share": share_that_passes,
    "T2.edits": orders_edits,
    "T2.radius": orders_radius,
    "T5.length": length_of_text,
    "F2.attacks": attacks_stay_above,
    "F3.mmcert": subsampling_certifies_nothing,
    "F3.unimodal": unimodal_fails,
    "T7.edits": adult_edits,
}
