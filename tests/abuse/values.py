"""Good values: toy guards, what they are smoothed with, what draws of them may show; and a strategy for each name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import numpy as np

import hybrid_rs as hrs

KERNELS = (
    hrs.UniformKernel(0.25, 32_000),
    hrs.UniformKernel(0.25, 3),
    hrs.UniformKernel(1.0, 4),
    hrs.UniformKernel(0.0, 2),
    hrs.AbsorbingKernel(0.5),
    hrs.AbsorbingKernel(0.0),
    hrs.FeatureKernel(0.25, (2, 5, 3)),
)


class Parity:
    """A toy guard: it speaks by its texts and images, fast; scored, with a margin."""

    alphabet, pad_id, mask_id = np.arange(8), 0, 8
    margin = 0.0

    def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2, 3)) + 0.1 * (token_ids == 0).sum(axis=1) > 0.2


@dataclass(frozen=True)
class Scored(Parity):
    """The same with scores and a field for the margin."""

    margin: float = 0.0

    def scores(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2, 3)) + 0.1 * (token_ids == 0).sum(axis=1) - 0.2

    def unsafe(self, token_ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        return self.scores(token_ids, images) > self.margin


def ratio(random: Random) -> hrs.LikelihoodRatio:
    kernel = random.choice(KERNELS[:-1])
    return kernel.likelihood_ratio(random.randrange(5), masked=random.random() < 0.2)


def counts(random: Random) -> hrs.Counts:
    n, many = random.choice((1, 10, 1000)), random.choice((1, 1, 3))
    return hrs.Counts(tuple(random.randint(0, n) for _ in range(many)), n, random.choice("abc"), random.randrange(3))


def evidence(random: Random) -> Any:
    n = random.choice((1, 10, 1000))
    some = sorted((random.randint(0, n) for _ in range(3)), reverse=True)
    masked, subsets = hrs.MaskedCounts(tuple(some), n, "a", 0), hrs.SubsetCounts(tuple(some), n, 5, 0.25, "a", 0)
    return random.choice((counts(random), masked, subsets, text_counts(random)))


def text_counts(random: Random) -> hrs.TextCounts:
    n, m = random.choice((1, 10, 1000)), random.choice((1, 2, 5))
    rows = [tuple(sorted((random.randint(0, n) for _ in range(m)), reverse=True)) for _ in range(random.choice((1, 3)))]
    return hrs.TextCounts(tuple(rows), n, "a", 0)


def text_certificate(random: Random) -> hrs.TextCertificate:
    return hrs.certify(text_counts(random), random.choice(KERNELS[:-1]), d=0, epsilon=0.5, sigma=1.0, tau=0.1)


def certificate(random: Random) -> hrs.Certificate:
    return hrs.certify(random.choice((0.3, 0.9999)), random.choice(KERNELS), d=1, epsilon=0.5, sigma=1.0, tau=0.1)


def frontier(random: Random) -> hrs.Frontier:
    return hrs.frontier(random.choice((0.9, 0.9999)), KERNELS[0], sigma=1.0, tau=random.choice((0.01, 0.5)), d_max=2)


def benign(random: Random) -> list[hrs.Counts]:
    return [hrs.Counts((random.randint(0, 9),), 100, f"benign {i}", 0) for i in range(random.choice((1, 5, 40)))]


@cache
def _example(number: int) -> hrs.Example:
    image = np.full((3, 2, 2), 26 * number / 255, np.float32)  # of 8 bits a channel
    return hrs.Example(f"example {number}", np.arange(number), image, unsafe=number % 2 == 0)


def example(random: Random) -> hrs.Example:
    return _example(1 + random.randrange(4))


def threat(random: Random) -> Any:
    return random.choice((hrs.SuffixThreat(2), hrs.SuffixThreat(2, one_shot=False), hrs.L0Threat(2)))


def smoothed(random: Random, guard: Any = None) -> hrs.SmoothedGuard:
    kernel = random.choice((hrs.UniformKernel(0.25, 8), hrs.AbsorbingKernel(0.5)))
    chosen = guard or random.choice((Parity(), Scored()))
    return hrs.SmoothedGuard(chosen, kernel, random.choice((0.0, 0.5)), threat(random))


def _share(random: Random) -> float:
    return random.choice((0.0, 1.0, random.random()))


GOOD: dict[str, Callable[[Random], Any]] = {
    "alpha": lambda r: r.choice((0.01, 0.05, 0.5, 1e-9)),
    "batch_draws": lambda r: r.choice((1, 64, 200)),
    "benign": benign,
    "beta": lambda r: r.choice((0.0, 0.25, 1.0)),
    "confidence": lambda r: r.choice((0.5, 0.9)),
    "counts": evidence,
    "counts_or_p_a": lambda r: r.choice((evidence(r), 0.999, 0.5)),
    "d": lambda r: r.randrange(3),
    "distance": lambda r: r.choice((0.0, 1e-12)),
    "d_max": lambda r: r.randrange(3),
    "epsilon": lambda r: r.choice((0.0, 0.25, 1.0, 3.0)),
    "example": example,
    "false_alarms": lambda r: r.choice((0.0, 0.05, 0.5)),
    "guard": lambda r: Parity(),
    "id": lambda r: r.choice(("a", "b/c")),
    "image": lambda r: np.full((3, 2, 2), 0.5),
    "k": lambda r: r.randrange(10),
    "kernel": lambda r: r.choice(KERNELS),
    "length": lambda r: 1 + r.randrange(4),
    "levels": lambda r: r.choice(([0.5, 1.0], [0.1, 0.2])),
    "margins": lambda r: [0.0, 0.1],
    "masked": lambda r: r.random() < 0.5,
    "max_draws": lambda r: r.choice((1, 100, 300)),
    "max_edits": lambda r: 1 + r.randrange(3),
    "n": lambda r: r.choice((10, 100)),
    "noise": lambda r: r.choice(("float32", "lattice")),
    "one_shot": lambda r: r.random() < 0.5,
    "p": lambda r: r.choice(([0.9, 0.5], [0.5, 0.5])),
    "p_a": lambda r: r.choice((0.0, 0.5, 0.99, 1.0, [0.9, 0.95, 0.999])),
    "p_b": lambda r: r.choice((0.0, 0.3, 0.5)),
    "power": lambda r: r.choice((0.6, 0.9)),
    "progress": lambda r: False,
    "q": lambda r: r.choice(([0.9, 0.1], [0.5, 0.5])),
    "ratio": ratio,
    "rng": lambda r: np.random.default_rng(0),
    "safe": lambda r: (9, 4, 1),
    "scores": lambda r: [_share(r) for _ in range(9)],
    "seed": lambda r: r.randrange(4),
    "sigma": lambda r: r.choice((0.5, 1.0)),
    "simultaneous": lambda r: r.random() < 0.5,
    "smoothed": smoothed,
    "smoothing": lambda r: r.choice(("", "UniformKernel(beta=0.25, vocab_size=8) and sigma = 0.5")),
    "tau": lambda r: r.choice((4.6e-5, 0.3, 1.0)),
    "taus": lambda r: [0.1, 0.5],
    "text": lambda r: "a text",
    "texts": lambda r: r.choice((1, 1, 2, 3)),
    "threat": threat,
    "token_ids": lambda r: np.arange(3),
    "unsafe": lambda r: r.choice(((1,), (3, 2, 1))),
    "vocab_size": lambda r: r.choice((2, 8, 32_000)),
}
