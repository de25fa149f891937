"""Whole certifications from several texts for each image, and from p_A and p_S, as in :mod:`abuse.certifications`.

The guards look at the slot, or at masks, and at one pixel. So every probability, and the value under the worst attack,
is a finite sum of normal probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from abuse.certifications import (
    ALPHA,
    BELOW,
    BETA,
    DRAWS,
    EPSILON,
    KERNEL,
    SHIFT,
    SIGMA,
    SLACK,
    D,
    HalfSpace,
    V,
    example,
    figures,
    real,
)
from scipy.special import ndtr, ndtri
from scipy.stats import binom

import hybrid_rs as hrs
from hybrid_rs.certificates.committed_certificate import certify_committed
from hybrid_rs.certificates.committed_text_certificate import certify_committed_texts
from hybrid_rs.certificates.joint_evidence import joint_bound
from hybrid_rs.certificates.text_certificate import certify_texts
from hybrid_rs.smoothing.text_sampling import drawn_texts

TEXTS, SLOT = 3, hrs.SuffixThreat(D)
LAW: dict[str, Any] = {"d": D, "epsilon": EPSILON, "sigma": SIGMA, "tau": 0.01, "alpha": ALPHA}


def tight(hits: int, share: float) -> float:
    """A probability just below the bound that so many hits give at a share of the risk."""
    return float(hrs.clopper_pearson_lower(hits, DRAWS, share * ALPHA)) * BELOW


def flagged(guard: Any, runs: int, seed: int, texts: int) -> np.ndarray:
    """How many texts of each image were flagged, by condition; shape (runs, DRAWS, D + 1)."""
    batches = drawn_texts(
        real(guard, SLOT), example("runs"), runs * DRAWS, texts, seed, 4096, forced=SLOT.conditions(2)
    )
    return np.concatenate([verdicts.sum(axis=1) for verdicts in batches]).reshape(runs, DRAWS, -1)


def reached(found: np.ndarray, condition: int) -> list[tuple[int, ...]]:
    """In how many images at least k = 1..TEXTS texts were flagged, for every run."""
    rows = (found[:, :, condition, None] >= np.arange(1, TEXTS + 1)).sum(axis=1)
    return [tuple(row) for row in rows.tolist()]


@cache
def of_texts(row: tuple[int, ...]) -> float:
    """The value that is certified from the texts given that the slot was replaced."""
    return certify_texts(hrs.TextCounts((row,) * (D + 1), DRAWS), KERNEL, **LAW).p_adv


@cache
def of_all_texts(clean: tuple[int, ...], row: tuple[int, ...]) -> float:
    """The value that is certified from these and from texts without a condition."""
    return certify_committed_texts(hrs.TextCounts((clean, *(row,) * D), DRAWS), KERNEL, **LAW).p_adv


def by_image(share: float) -> tuple[HalfSpace, float]:
    """A guard that attains the masked bound, at the last level's share of the risk; and its value under attack.

    All texts of an image agree. An adversary who edits nothing is the worst for it.
    """
    cut = SIGMA * float(ndtri(tight(61, share)))
    return HalfSpace(cut, (1, 2, 0, 0), (2, 3)), BETA**D * float(ndtr(cut / SIGMA - SHIFT))


def the_image_decides(runs: int, seed: int) -> int:
    """The count of the last level alone decides, at half of the risk."""
    guard, truth = by_image(1 / 2)
    return sum(of_texts(row) > truth + SLACK for row in reached(flagged(guard, runs, seed, TEXTS), D))


def with_and_without(runs: int, seed: int) -> int:
    """The same, if half of the risk goes to the texts without a condition."""
    guard, truth = by_image(1 / 4)
    found = flagged(guard, runs, seed, TEXTS)
    pairs = zip(reached(found, 0), reached(found, D), strict=True)
    return sum(of_all_texts(*pair) > truth + SLACK for pair in pairs)


@dataclass(frozen=True)
class ByToken:
    """Unsafe where no clean pad shows, and the pixel is at most a number that the last pad's token decides."""

    cuts: np.ndarray  # of the pixel, by token
    alphabet = np.arange(V)
    pad_id, mask_id = 0, V

    def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        hidden = (token_ids[:, 2:] != 0).all(axis=1)
        return hidden & (images[:, 0, 0, 0] <= self.cuts[token_ids[:, 3]])


def the_text_decides(runs: int, seed: int) -> int:
    """With one image, some tokens of the last pad are flagged and others are not."""
    cuts = np.array([np.inf, 1.2, 0.9, 0.6, 0.3, 0.0])  # the clean token 0 is never flagged
    hit = (1 - BETA) * np.eye(V) + BETA / (V - 1) * (1 - np.eye(V))  # by the attacked token, which one shows
    by_token = hit[:, 1:] @ ndtr(cuts[1:] / SIGMA - SHIFT)  # the first pad is left alone: hidden with probability beta
    truth = float(BETA * by_token.min())
    return sum(of_texts(row) > truth + SLACK for row in reached(flagged(ByToken(cuts), runs, seed, TEXTS), D))


@dataclass(frozen=True)
class Masks:
    """Unsafe where only masks and clean tokens show, and the pixel is low enough for the number of masks."""

    cut: float
    step: float
    alphabet = np.arange(V)
    pad_id, mask_id = 0, V

    def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        masks = token_ids == V
        known = (masks | (token_ids == np.array([1, 2]))).all(axis=1)
        return known & (images[:, 0, 0, 0] <= self.cut - self.step * masks.sum(axis=1))


def any_positions(runs: int, seed: int) -> int:
    """Masks, and one edit anywhere: the edited token must be hidden, and the other one may be."""
    guard, kernel = Masks(1.2, 0.3), hrs.AbsorbingKernel(BETA)
    smoothed = real(guard, hrs.L0Threat(1), kernel)
    other = binom.pmf([0, 1], 1, BETA)
    edited = BETA * float(other @ ndtr((guard.cut - guard.step * np.array([1, 2])) / SIGMA - SHIFT))
    two = binom.pmf([0, 1, 2], 2, BETA)
    truth = min(edited, float(two @ ndtr((guard.cut - guard.step * np.arange(3)) / SIGMA - SHIFT)))
    false = 0
    for run in range(runs):
        counts = smoothed.sample(example(f"run {run}"), DRAWS, texts=TEXTS, masked=True, seed=seed)
        false += of_all_sets(counts, kernel) > truth + SLACK
    return false


@cache
def of_all_sets(counts: Any, kernel: Any) -> float:
    """The value that is certified against one edit at an unknown position."""
    return hrs.certify(counts, kernel, **LAW | {"d": 1}).p_adv


@cache
def of_both(hits: tuple[int, ...]) -> float:
    """The value that is certified from p_A and p_S."""
    return certify_committed(hrs.MaskedCounts(hits, DRAWS), KERNEL, **LAW).p_adv


def both(guard: Any, truth: float, runs: int, seed: int) -> int:
    """False certificates from p_A and p_S."""
    hits = flagged(guard, runs, seed, 1).sum(axis=1)
    hits[:, 1:D] = 0  # the conditions in between are not used
    return sum(of_both(tuple(row)) > truth + SLACK for row in hits.tolist())


def committed(runs: int, seed: int) -> int:
    """A guard that attains the masked bound."""
    return both(*by_image(1 / 2), runs, seed)


@dataclass(frozen=True)
class ByWord:
    """Unsafe where the pixel is at most a number that the two pads' tokens decide."""

    cuts: np.ndarray
    alphabet = np.arange(V)
    pad_id, mask_id = 0, V

    def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        return images[:, 0, 0, 0] <= self.cuts[token_ids[:, 2], token_ids[:, 3]]


def law_of(word: tuple[int, int]) -> np.ndarray:
    """Which tokens the two pads show if this word stands there; shape (V, V)."""
    one, two = (np.where(np.arange(V) == token, 1 - BETA, BETA / (V - 1)) for token in word)
    return np.outer(one, two)


def extremal(p_a: float, p_s: float) -> ByWord:
    """The guard that attains the joint bound: a Neyman-Pearson test where both pads were replaced, and one elsewhere.

    The attack writes tokens 3 and 4 and raises the pixel by EPSILON.
    """
    _, inside, outside = joint_bound(np.array(p_a), np.array(p_s), KERNEL, D, D, np.array(SHIFT))
    replaced = (np.arange(V) != 0)[:, None] & (np.arange(V) != 0)
    clean, attacked = law_of((0, 0)), law_of((3, 4))
    with np.errstate(divide="ignore"):
        log_gamma = np.log(attacked / clean) + np.where(replaced, np.log(BETA**D), np.log(1 - BETA**D))
    threshold = np.where(replaced, float(inside), float(outside))
    return ByWord(SIGMA * ((threshold - log_gamma) / SHIFT + SHIFT / 2))


def value_at(guard: ByWord, word: tuple[int, int], shift: float) -> float:
    """The smoothed value where this word stands and the pixel is raised."""
    return float((law_of(word) * ndtr(guard.cuts / SIGMA - shift)).sum())


def joined(runs: int, seed: int) -> int:
    """p_A and p_S constrain one classifier: the guard attains what both allow together."""
    guard = extremal(tight(62, 1 / 2), tight(60, 1 / 2))
    words = [(a, b) for a in range(V) for b in range(V)]
    return both(guard, min(value_at(guard, word, SHIFT) for word in words), runs, seed)


KINDS: dict[str, Callable[[int, int], int]] = {
    "several texts, the image decides": the_image_decides,
    "several texts, the text decides": the_text_decides,
    "several texts, p_A and p_S": with_and_without,
    "several texts, any positions": any_positions,
    "p_A and p_S": committed,
    "p_A joined with p_S": joined,
}


def run(count: int, seed: int) -> dict[str, Any]:
    """Certify so many times with every kind of evidence; the figures are those of :mod:`abuse.certifications`."""
    return figures(KINDS, count, seed)
