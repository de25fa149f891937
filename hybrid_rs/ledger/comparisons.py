"""Checks of the paper's attacks, baselines, costs and tables of data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs.attacks import ADAPTIVE, PLAIN, STRONGER, Effort
from hybrid_rs.attacks.bounds import beside_bounds
from hybrid_rs.baselines.subsampling import SubsampledGuard, Subsampling
from hybrid_rs.baselines.unimodal import image_only, text_only, trials
from hybrid_rs.certificates.frontier import Frontier
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.certificates.rounding import ceiled, floored
from hybrid_rs.certificates.threats import L0Threat, Threat
from hybrid_rs.certificates.worst_case import certified_edits, p_adv
from hybrid_rs.datasets.interaction import interaction_only
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper
from hybrid_rs.experiments.adult import adult_runs
from hybrid_rs.experiments.alarms import RULES, alarm_shares, spelled_share
from hybrid_rs.experiments.costs import ways
from hybrid_rs.experiments.figure2 import ALONE, ATTACKS, GRID
from hybrid_rs.experiments.noisy_accuracy import mean_interval, noisy_accuracy
from hybrid_rs.experiments.setting import COUNTS
from hybrid_rs.ledger.finding import Finding, holds, measured, observed, untested
from hybrid_rs.ledger.stored import (
    ALPHA,
    BETA,
    EDITS,
    L0,
    ONE_SHOT,
    PER_D,
    TAU,
    complete,
    frontiers,
    mean_edits,
    mean_radius,
    standard,
    stored,
)
from hybrid_rs.small_guard import orders as bay_orders
from hybrid_rs.small_guard.language import encode
from hybrid_rs.small_guard.lengths import among_sentences
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
from hybrid_rs.storage.attacks import AttackStore
from hybrid_rs.storage.counts import CountsStore

ORDERS = 1680  # samples of BayOrders, as many as the paper has of MM-SafetyBench
F3 = Effort(draws=48, probes=32, candidates=24, sweeps=0, steps=12, rounds=2, restarts=1, select=128)


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


def one_shot_cost() -> Finding:
    """Tokens that the one-shot classifier reads, in units of image-only smoothing."""
    guard, every = standard().guard, ways(EDITS)
    after = len(guard.after)  # type: ignore[attr-defined]
    read = [every[way].expected_tokens(1000, after, beta=BETA) for way in ("one-shot", "image only")]
    finding = measured(read[0] / read[1], 44 / 156)
    return Finding(f"tokens read: {finding.ours} of image-only smoothing", finding.verdict)


def seconds() -> Finding:
    """Seconds per datapoint of a model of 7 billion weights."""
    return untested()


def flash_attention() -> Finding:
    """The share of the frontier's time that FlashAttention and batching save."""
    return untested()


def attacks_stay_above() -> Finding:
    """Every attack of F2 on fresh draws, compared with the certified bound at its budgets."""
    store, attacks, evidence = AttackStore(ATTACKS / "F2_standard.jsonl", standard().store.classifier), [], list[Any]()
    plans = [(ADAPTIVE, True, point) for point in GRID + ALONE] + [(PLAIN, False, point) for point in GRID]
    threats: tuple[Threat, ...] = (ONE_SHOT, L0)
    for (effort, adaptive, (sigma, d, epsilon)), threat in product([*plans, (STRONGER, True, GRID[1])], threats):
        smoothed, few = standard().smoothed(sigma, threat), 3 if effort == STRONGER else 4
        how: dict[str, Any] = {"adaptive": adaptive, "effort": effort, "seed": 0, "n": 10_000}
        attacks += [store.get(smoothed, e, d, epsilon, **how) for e in standard().sets["unsafe"][:few]]
        evidence += stored("unsafe", sigma, threat, masked=True)[:few]
    kernel = UniformKernel(BETA, len(standard().guard.alphabet))
    table = beside_bounds(complete(attacks, "attacks of F2"), evidence, kernel)
    below = int((table["upper"] < table["floor"]).sum())
    least = float((table["g"] / table[["certified", "certified, masked"]].max(axis=1)).min())
    return holds(
        below == 0, f"{below} of {len(table)} attacked inputs below; least ratio to the bound {floored(least, 2):.2f}"
    )


@cache
def _filtered() -> tuple[list[Example], NDArray[np.bool_]]:
    """BayOrders, and which of its examples pass the interaction-only filter."""
    neutral, blank = encode(bay_orders.NEUTRAL_TEXT), bay_orders.blank_image()
    samples = bay_orders.examples(ORDERS)
    return samples, interaction_only(standard().guard, samples, neutral_text=neutral, blank_image=blank).mask


def share_that_passes() -> Finding:
    """The share of BayOrders that passes the interaction-only filter."""
    samples, passes = _filtered()
    return measured(100 * float(passes.mean()), 7.5, f"{{:.1f}} % of {len(samples)}")


def orders_edits() -> Finding:
    """Mean text budget on the filtered examples of BayOrders."""
    home = floored(mean_edits(frontiers(stored("unsafe", 1.0), 1.0)), 2)
    found = measured(float(floored(mean_edits(_orders()), 2)), 3.62)
    return Finding(f"{found.ours}, where BayNotes has {home:.2f}", found.verdict)


def orders_radius() -> Finding:
    """Mean radius on the filtered examples of BayOrders, by both readings: at d = 1, and at each one's largest d."""
    found = _orders()
    ends = float(np.mean([front.radius(front.edits()) for front in found if front.edits() >= 0]))
    readings = [float(floored(mean, 2)) for mean in (mean_radius(found, 1), ends)]
    return Finding(
        f"{readings[0]:.2f} at d = 1, {readings[1]:.2f} at the largest d", measured(readings, [3.37, 3.37]).verdict
    )


def _orders() -> list[Frontier]:
    """The frontiers at sigma = 1 of the first unsafe examples of BayOrders that pass the filter."""
    store, smoothed = (
        CountsStore(COUNTS / "T2_standard.jsonl", standard().store.classifier),
        standard().smoothed(1.0, PER_D),
    )
    chosen = [e for e, passes in zip(*_filtered(), strict=True) if passes and e.unsafe][: standard().size.n_unsafe]
    counts = [store.get(smoothed, example, n=standard().size.n) for example in chosen]
    return frontiers(complete(counts, "counts of T2"), 1.0)


def length_of_text() -> Finding:
    """The accuracy lost to replaced words in texts of 44 to 48 words, at beta = 0.25 and 0.5, from the draws of T5."""
    notes, words = standard().sets["unsafe"] + standard().sets["safe"], len(standard().guard.alphabet)
    kernels = [UniformKernel(beta, words) for beta in (0.0, BETA, 2 * BETA)]
    smoothed = [SmoothedGuard(standard().guard, kernel, 0.5, L0Threat(1)) for kernel in kernels]
    none, *noised = noisy_accuracy(smoothed, [among_sentences(note, 2) for note in notes], draws=5, seed=5)
    losses = [mean_interval(none.shares - each.shares, 0.05, least=-1.0) for each in noised]
    spelled = [
        f"{x.estimate:.1%} of the verdicts lost (95 % interval {floored(100 * x.low, 1):.1f} to "
        f"{ceiled(100 * x.high, 1):.1f} %)"
        for x in losses
    ]
    text = "; ".join(f"beta {kernel.beta:g}: {loss}" for kernel, loss in zip(kernels[1:], spelled, strict=True))
    return observed(losses[0].low > 0, text)


def subsampling_certifies_nothing() -> Finding:
    """What subsampling certifies here, by two readings: a moved image, and one changed word and pixel."""
    store = CountsStore(COUNTS / "F3_standard.jsonl", standard().store.classifier)
    subsampled: Any = SubsampledGuard(standard().guard, Subsampling(5, 128, token_fill=standard().guard.pad_id))

    def counts(name: str) -> list[Any]:
        return complete([store.get(subsampled, e, n=2000) for e in standard().sets[name]], "counts of F3")

    laws = map(subsampled.kernel.law, standard().sets["unsafe"])
    pairs = list(zip(laws, (c.p_a(ALPHA)[0] for c in counts("unsafe")), strict=True))
    moved = sum(bool(law.p_adv(p, 0, law.pixels) >= TAU) for law, p in pairs)  # l2: every pixel may change
    changed = sum(bool(law.p_adv(p, 1, 1) >= 0.5) for law, p in pairs)
    safe = counts("safe")
    shares = alarm_shares(safe, 0.5, ALPHA)
    alarms = " and ".join(f"{spelled_share(float(shares[rule][0]), len(safe))} {rule}" for rule in RULES)
    text = f"{moved} of {len(pairs)} against an l2 adversary; {changed} by majority vote at one word and one pixel"
    return observed(moved == changed == 0, f"{text}, with {alarms} (95 % intervals)")


def unimodal_fails() -> Finding:
    """Whether certificates from smoothing one modality survive attacks on both modalities."""
    guard, anywhere, n, d, epsilon = standard().guard, L0Threat(2), 2000, 2, 1.5
    kernel, broken = UniformKernel(BETA, len(guard.alphabet)), 0
    ways = {  # smoothing, the image budget and ratio of its certificate, sigma, and how far the attack moves the image
        "image only": (image_only(guard, 0.5, anywhere), epsilon, LikelihoodRatio.identity(), 0.5, epsilon),
        "text only": (text_only(guard, kernel, anywhere), 0.0, kernel.likelihood_ratio(d), 1.0, 4.0),
    }
    examples = standard().sets["unsafe"][:6]
    law: dict[str, Any] = {"n": n, "effort": F3, "classifier": standard().store.classifier, "search": False}
    each = ALPHA / (len(ways) * len(examples) * 4)  # F3 shows four inputs of each; all its bounds hold together
    for name, (smoothed, own, ratio, sigma, reach) in ways.items():
        table = trials(name, smoothed, examples, [(0, 0.0), (d, reach)], store=ATTACKS / "F3_standard.jsonl", **law)
        clean, both = (table.query(f"d == {edits}")["unsafe"] for edits in (0, d))
        promised = p_adv(clopper_pearson_lower(clean, n, each), own, ratio, sigma=sigma)
        broken += int((clopper_pearson_upper(both, n, each) < promised).sum())
    total = len(ways) * len(examples)
    return holds(broken > 0, f"{broken} of {total} unimodal certificates broken by attacks on both modalities")


def adult_edits() -> Finding:
    """What a run on Adult certifies by number of edits, and the most that its draws can certify for any classifier."""
    run = adult_runs("standard")["hybrid"]
    best = clopper_pearson_lower(run.counts.n, run.counts.n, ALPHA)
    most = int(certified_edits(best, run.kernel, epsilon=0.0, sigma=1.0, tau=0.5, d_max=3))
    shares = run.accuracy(0.5, epsilons=[0.0], d_max=3, alpha=ALPHA)[:, 0]
    reached = max(d for d, share in enumerate(shares) if share > 0)
    found = (
        f"{shares[1]:.1%} of {len(run.counts.labels)} rows are right and certified at d = 1 ({run.truth[1, 0]:.1%} in "
        f"truth), none beyond d = {reached}"
    )
    return observed(reached >= 3, f"{found}; from {run.counts.n:,} draws no classifier is beyond d = {most}")


COMPARISONS: dict[str, Callable[[], Finding]] = {
    "T4.frontier": frontier_cost,
    "T4.one-shot-cost": one_shot_cost,
    "T4.seconds": seconds,
    "T4.flash": flash_attention,
    "T2.share": share_that_passes,
    "T2.edits": orders_edits,
    "T2.radius": orders_radius,
    "T5.length": length_of_text,
    "F2.attacks": attacks_stay_above,
    "F3.mmcert": subsampling_certifies_nothing,
    "F3.unimodal": unimodal_fails,
    "T7.edits": adult_edits,
}
