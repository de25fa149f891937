"""Where sampling spends its time, in one run: ``python benchmarks/sampling.py``.

Prints draws per second, the share of the guard's forward pass, and what the whole frontier d = 0..8 costs relative to
image-only smoothing: nested (one draw of noise serves every d) and one run per d, as the paper does it.
"""

from __future__ import annotations

import time

import numpy as np

import hybrid_rs as hrs
from hybrid_rs.datasets import bay_notes
from hybrid_rs.guards.bay_guard import load_bay_guard
from hybrid_rs.guards.vlm import VisionLanguageGuard

N = 4096
SIGMA = 0.5


class Timed:
    """A guard that keeps the seconds and the pairs it was asked about."""

    def __init__(self, guard: VisionLanguageGuard) -> None:
        self.guard, self.seconds, self.pairs = guard, 0.0, 0
        self.alphabet, self.pad_id, self.mask_id = guard.alphabet, guard.pad_id, guard.mask_id

    def unsafe(self, token_ids, images, image_index=None):
        start = time.process_time()
        verdicts = self.guard.unsafe(token_ids, images, image_index)
        self.seconds += time.process_time() - start
        self.pairs += len(token_ids)
        return verdicts


class Prefix:
    """The suffix slot of which the first d pads alone are noised: one run of the per-d baseline."""

    def __init__(self, slot: int, d: int) -> None:
        self.slot, self.max_edits, self.d = slot, slot, d

    def noised(self, length: int) -> np.ndarray:
        return hrs.SuffixThreat(self.slot, one_shot=False).noised(length)[[self.d]]


def run(guard: VisionLanguageGuard, threats: list, example: hrs.Example) -> tuple[float, Timed]:
    """Seconds for one example, the draws of every threat one after the other."""
    timed = Timed(guard)
    kernel = hrs.UniformKernel(beta=0.25, vocab_size=guard.alphabet.size)
    start = time.process_time()
    for threat in threats:
        hrs.SmoothedGuard(timed, kernel, SIGMA, threat).sample(example, N)
    return time.process_time() - start, timed


if __name__ == "__main__":
    guard = load_bay_guard()
    example = bay_notes.examples("test", 1, unsafe=True)[0]
    ways = {
        "image only": [Prefix(8, 0)],
        "one-shot (one classifier)": [hrs.SuffixThreat(8)],
        "frontier, nested draws": [hrs.SuffixThreat(8, one_shot=False)],
        "frontier, one run per d": [Prefix(8, d) for d in range(9)],
    }
    run(guard, ways["image only"], example)  # warm-up
    base = None
    print(f"{'n = ' + str(N):<28} {'seconds':>8} {'x image only':>12} {'pairs/draw':>10} {'draws/s':>8} {'forward':>8}")
    for name, threats in ways.items():
        seconds, timed = run(guard, threats, example)
        base = base or seconds
        print(
            f"{name:<28} {seconds:>8.2f} {seconds / base:>12.2f} {timed.pairs / N:>10.2f} {N / seconds:>8.0f} "
            f"{timed.seconds / seconds:>8.1%}"
        )
