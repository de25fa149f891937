"""Whole certifications of guards whose value under attack is known exactly: how many of them are false?

Every run draws, counts, bounds and certifies as a user would. A certificate is false if it claims more than the truth,
which is known in closed form; at most a share alpha of the runs may end so. Guards are chosen to be as hard as they
can be: they attain the worst case, and their clean probability lies just below a value that the bound takes, so that
the share of false certificates is close to alpha and a bound that were a little too large would show.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import binom, binomtest

import hybrid_rs as hrs
from hybrid_rs.certificates.layers import layer_bounds
from hybrid_rs.decisions.decide import decide
from hybrid_rs.evidence.score_means import bounded_mean_lower
from hybrid_rs.guards.worst_guard import WorstGuard

ALPHA, DRAWS = 0.05, 64
SIGMA, EPSILON, D, V = 0.5, 0.4, 2, 6
BETA, KERNEL = 0.5, hrs.UniformKernel(0.5, 6)
SHIFT = EPSILON / SIGMA
BELOW = 1 - 1e-5  # of a value of the bound: the truth lies this little below it, and further than SLACK
SLACK = 1e-7  # by which a claim must exceed the truth to be called false: far above rounding, far below a step of k


def image(value: float = 0.0) -> np.ndarray:
    """One grey pixel in one channel."""
    return np.full((1, 1, 1), value, dtype=np.float32)


def tight(hits: int) -> float:
    """A probability for which so many hits of the draws give a bound just above it: false with probability alpha."""
    return float(hrs.clopper_pearson_lower(hits, DRAWS, ALPHA)) * BELOW


def real(guard: Any, threat: Any, kernel: Any = KERNEL) -> hrs.SmoothedGuard:
    """Smooth by real noise, for which the value of a guard that cuts between two levels of brightness is known."""
    return hrs.SmoothedGuard(guard, kernel, SIGMA, threat, noise="float32")


def example(name: str) -> hrs.Example:
    """Two tokens and a black pixel."""
    return hrs.Example(name, np.array([1, 2]), image())


def worst_guard(p_a: float, clean: list[int], attacked: list[int]) -> WorstGuard:
    """The guard that attains the certificate of p_a at these edits and EPSILON."""
    return WorstGuard(KERNEL, SIGMA, p_a, np.array(clean), np.array(attacked), image(), image(EPSILON))


@dataclass(frozen=True)
class HalfSpace:
    """Unsafe where the pixel is at most ``cut`` and none of ``watched`` shows its clean token (or, masked, any token).

    Given that all of ``watched`` were replaced its probability is Phi(cut / sigma); without a condition, at the image
    shifted by epsilon, beta^d Phi((cut - epsilon) / sigma): the masked certificate, attained.
    """

    cut: float
    clean: tuple[int, ...]
    watched: tuple[int, ...]
    alphabet = np.arange(V)
    pad_id, mask_id = 0, V

    def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        at = list(self.watched)
        hidden = (token_ids[:, at] != np.array(self.clean)[at]).all(axis=1)
        return hidden & (images[:, 0, 0, 0] <= self.cut)


@dataclass(frozen=True)
class Missing:
    """Safe where the first token is not the clean one and the pixel exceeds ``cut``; else unsafe."""

    cut: float
    clean: int
    alphabet = np.arange(V)
    pad_id, mask_id = 0, V

    def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        return (token_ids[:, 0] == self.clean) | (images[:, 0, 0, 0] <= self.cut)


def tallies(smoothed: hrs.SmoothedGuard, runs: int, seed: int) -> np.ndarray:
    """Counts of as many certifications, each of its own DRAWS draws; shape (runs, classifiers)."""
    rows = smoothed.verdicts(example("runs"), runs * DRAWS, seed=seed, batch_draws=64 * 64)
    verdicts = np.concatenate(list(rows))
    return verdicts.reshape(runs, DRAWS, -1).sum(axis=1)


def plain(smoothed: hrs.SmoothedGuard, truth: float, runs: int, seed: int, *, d: int = D) -> int:
    """False among certificates made of plain counts, one classifier or one for each d."""
    claims: dict[tuple[int, ...], float] = {}
    false = 0
    for row in tallies(smoothed, runs, seed).tolist():
        key = tuple(row)
        if key not in claims:
            law = {"d": d, "epsilon": EPSILON, "sigma": SIGMA, "tau": 0.01, "alpha": ALPHA}
            claims[key] = hrs.certify(hrs.Counts(key, DRAWS), smoothed.kernel, **law).p_adv
        false += claims[key] > truth + SLACK
    return false


def value(p_a: float, d: int = D) -> float:
    """The exact value of the worst guard under attack, to twelve digits."""
    return float(hrs.p_adv(p_a, EPSILON, KERNEL.likelihood_ratio(d), sigma=SIGMA))


def one_shot(runs: int, seed: int) -> int:
    p_a = tight(61)
    guard = worst_guard(p_a, [1, 2, 0, 0], [1, 2, 3, 4])
    return plain(real(guard, hrs.SuffixThreat(2)), value(p_a), runs, seed)


def suffix_per_d(runs: int, seed: int) -> int:
    p_a = tight(60)
    guard = worst_guard(p_a, [1, 2, 0, 0], [1, 2, 3, 0])
    smoothed = real(guard, hrs.SuffixThreat(2, one_shot=False))
    return plain(smoothed, value(p_a, 1), runs, seed, d=1)


def l0(runs: int, seed: int) -> int:
    p_a = tight(62)
    guard = worst_guard(p_a, [1, 2], [3, 4])
    return plain(real(guard, hrs.L0Threat(2)), value(p_a), runs, seed)


def absorbing(runs: int, seed: int) -> int:
    """Unsafe unless the slot is masked and the pixel is high: V = v Phi(Phi^-1((p_A - 1 + v) / v) - s), attained."""
    p_a, v = tight(61), BETA**D
    cut = SIGMA * float(ndtri((p_a - 1 + v) / v))

    class Guard(Missing):
        def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
            return (token_ids[:, 2:] != V).any(axis=1) | (images[:, 0, 0, 0] <= cut)

    smoothed = real(Guard(cut, 0), hrs.SuffixThreat(D), hrs.AbsorbingKernel(BETA))
    # the worst classifier says safe wherever the attacked slot shows; of the clean input it says what this one does
    return plain(smoothed, v * float(ndtr(cut / SIGMA - SHIFT)), runs, seed)


def masked_suffix(runs: int, seed: int) -> int:
    p_s = tight(61)
    cut = SIGMA * float(ndtri(p_s))
    smoothed = real(HalfSpace(cut, (1, 2, 0, 0), (2, 3)), hrs.SuffixThreat(D))
    truth, false = BETA**D * float(ndtr(cut / SIGMA - SHIFT)), 0
    law = {"d": D, "epsilon": EPSILON, "sigma": SIGMA, "tau": 0.01, "alpha": ALPHA}
    claims: dict[int, float] = {}
    for run in range(runs):
        counts = smoothed.sample(example(f"run {run}"), DRAWS, masked=True, seed=seed)
        if counts.unsafe[D] not in claims:
            claims[counts.unsafe[D]] = hrs.certify(counts, KERNEL, **law).p_adv
        false += claims[counts.unsafe[D]] > truth + SLACK
    return false


def subsets(runs: int, seed: int) -> int:
    """All bounds at once: p_A and the least p_S of one position, against their true values."""
    cut = SIGMA * float(ndtri(0.9))
    smoothed = real(Missing(cut, 1), hrs.L0Threat(1))
    truth, false = np.array([1 - BETA * 0.1, 0.9]), 0
    attacked = 1 - (1 - BETA / (V - 1)) * float(ndtr(SHIFT - cut / SIGMA))  # the first token edited, the pixel raised
    known: dict[tuple[int, ...], bool] = {}
    for run in range(runs):
        counts = smoothed.sample(example(f"run {run}"), 4 * DRAWS, masked=True, seed=seed)
        if counts.safe not in known:
            front = hrs.frontier_of(counts, KERNEL, sigma=SIGMA, tau=attacked + SLACK, d_max=1, alpha=ALPHA)
            known[counts.safe] = bool(np.any(counts.p_s(ALPHA) > truth)) or front.radii[1] >= EPSILON
        false += known[counts.safe]
    return false


def deciding(verdict: str, tau: float, runs: int, seed: int) -> int:
    """Decisions of that verdict, each on draws of its own, at the probability that tau requires."""
    p_a = 0.9
    guard = worst_guard(p_a, [1, 2, 0, 0], [1, 2, 3, 4])
    smoothed = real(guard, hrs.SuffixThreat(2))
    p_star = float(hrs.required_p_a(EPSILON, KERNEL.likelihood_ratio(D), sigma=SIGMA, tau=value(p_a) + tau))
    most = 2 * DRAWS
    batches = smoothed.verdicts(example("runs"), runs * most, seed=seed, batch_draws=64 * 64)
    rows = np.concatenate(list(batches)).reshape(runs, most)
    return sum(decide([row], p_star, alpha=ALPHA, max_draws=most).verdict == verdict for row in rows)


def decide_certified(runs: int, seed: int) -> int:
    """False "certified": the worst guard lies just below what the target requires."""
    return deciding("certified", SLACK, runs, seed)


def decide_refused(runs: int, seed: int) -> int:
    """False "not certifiable": the worst guard lies just above what the target requires."""
    return deciding("not certifiable", -SLACK, runs, seed)


def watching(runs: int, seed: int) -> int:
    """False at any of the moments at which one may look."""
    p_a = 0.9
    guard = worst_guard(p_a, [1, 2, 0, 0], [1, 2, 3, 4])
    smoothed = real(guard, hrs.SuffixThreat(2))
    law = {"alpha": ALPHA, "tau": value(p_a) + SLACK, "max_draws": 2 * DRAWS, "seed": seed, "batch_draws": DRAWS}
    return sum(
        any(front.radii[D] >= EPSILON for front in smoothed.watch(example(f"run {run}"), **law)) for run in range(runs)
    )


def calibrating(runs: int, seed: int) -> int:
    """The share of a benign population that is flagged, against the bound promised with confidence 1 - alpha."""
    rng = np.random.default_rng(seed)
    values, weights = np.array([0.0, 0.02, 0.1, 0.6]), np.array([0.6, 0.2, 0.15, 0.05])
    flagged: dict[float, float] = {}
    false = 0
    for _ in range(runs):
        unsafe = rng.binomial(DRAWS, rng.choice(values, size=60, p=weights))
        benign = [hrs.Counts((int(k),), DRAWS, str(i), 0) for i, k in enumerate(unsafe)]
        made = hrs.calibrate(benign, 0.1, alpha=0.01)
        if made.tau not in flagged:  # flagged from so many unsafe draws on
            upper = hrs.clopper_pearson_upper(np.arange(DRAWS + 1), DRAWS, 0.01)
            least = int(np.argmax(upper >= made.tau))
            flagged[made.tau] = float(weights @ binom.sf(least - 1, DRAWS, values))
        false += flagged[made.tau] > made.false_alarm_bound(1 - ALPHA)
    return false


def layers(runs: int, seed: int) -> int:
    """Scores of two levels: both bounds at once, against the known distribution."""
    rng, levels = np.random.default_rng(seed), [0.5, 1.0]
    p = float(hrs.clopper_pearson_lower(58, DRAWS, ALPHA / 2)) * BELOW
    scores = (rng.random((runs, DRAWS)) < p).astype(float)  # 0 or 1: both levels have the probability p
    return sum(bool(np.any(layer_bounds(row, levels, ALPHA) > p)) for row in scores)


def mean_of_scores(runs: int, seed: int) -> int:
    """The bound of the mean of scores in [0, 1], which holds at all times."""
    rng = np.random.default_rng(seed)
    scores = rng.choice([0.0, 0.5, 1.0], size=(runs, DRAWS), p=[0.05, 0.1, 0.85])
    return sum(bounded_mean_lower(row, ALPHA) > 0.9 for row in scores)


KINDS: dict[str, Callable[[int, int], int]] = {
    "suffix, one classifier for each d": suffix_per_d,
    "suffix, one-shot": one_shot,
    "l0": l0,
    "absorbing kernel": absorbing,
    "masked suffix": masked_suffix,
    "subset counts": subsets,
    "decide: certified": decide_certified,
    "decide: not certifiable": decide_refused,
    "watch": watching,
    "calibrate": calibrating,
    "layers of scores": layers,
    "mean of scores": mean_of_scores,
}


def too_many(false: int, runs: int, alpha: float = ALPHA) -> bool:
    """Whether so many false certificates are more than chance allows, if each is false with probability alpha."""
    return bool(binomtest(false, runs, alpha, alternative="greater").pvalue < 1e-4)


def run(count: int, seed: int) -> dict[str, Any]:
    """Certify so many times with every kind of evidence; return the :func:`figures`."""
    return figures(KINDS, count, seed)


def figures(kinds_of: dict[str, Callable[[int, int], int]], count: int, seed: int) -> dict[str, Any]:
    """Certify so many times in each way.

    Returns:
        ``runs`` (of each kind), ``alpha``, ``kinds`` (by name: ``false`` and ``seconds``), ``seconds``, and ``faults``:
        the kinds with more false certificates than chance allows.
    """
    began, kinds = time.perf_counter(), {}
    for name, certifications in kinds_of.items():
        before = time.perf_counter()
        false = int(certifications(count, seed))
        kinds[name] = {"false": false, "seconds": round(time.perf_counter() - before, 1)}
    faults = [f"{name}: {each['false']} of {count}" for name, each in kinds.items() if too_many(each["false"], count)]
    seconds = round(time.perf_counter() - began, 1)
    return {"runs": count, "alpha": ALPHA, "kinds": kinds, "seconds": seconds, "faults": faults}
