"""The cost of a draw, for several ways to evaluate it, in one run: ``python benchmarks/sampling.py``.

Prints, for the small guard and for one with random weights and 256 image tokens, the pairs, tokens, images and CPU
milliseconds per draw of image-only smoothing, of the whole frontier d = 0..8 in several ways, and of the one-shot
classifier; and the forward pass's share of the time. The ways take turns; ratios are to image-only smoothing in the
same turn, and medians over the turns are shown, with the quartiles of the ratio of times. One-shot smoothing is the
same work as image-only smoothing, so its ratio differs from 1 only by measurement error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from history import keep

from hybrid_rs.experiments.costs import measure, untrained, ways
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard

SIGMA = 0.5

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2048, help="with the small guard; a quarter of it with the other")
    parser.add_argument("--turns", type=int, default=5, help="how often each way is measured")
    parser.add_argument("--json", type=Path, help="file to append the figures to, with their provenance")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    example = bay_notes.examples("test", 1, unsafe=True)[0]
    small, kept = load_bay_guard(), {}
    for guard, n in ((small, asked.draws), (untrained(small, patch_size=2), asked.draws // 4)):
        for way in ("image only", "frontier, nested draws"):
            measure(ways(8)[way], guard, example, min(256, n), sigma=SIGMA)  # warm-up
        works = [
            [measure(way, guard, example, n, sigma=SIGMA)[1] for way in ways(8).values()] for _ in range(asked.turns)
        ]
        seconds = np.array([[work.seconds for work in turn] for turn in works])
        low, middle, high = np.quantile(seconds / seconds[:, :1], (0.25, 0.5, 0.75), axis=0)
        patches = int((guard.before == guard.model.config.image_token_id).sum())
        print(f"\n{patches} image tokens, n = {n}, {asked.turns} turns")
        heads = ("pairs", "tokens", "images", "ms", "forward", "tokens x", "time x")
        print(f"{'per draw':<40}" + "".join(f"{head:>9}" for head in heads) + f"{'quartiles':>14}")
        figures = kept[f"{patches} image tokens"] = {}
        for i, (name, work) in enumerate(zip(ways(8), works[0], strict=True)):
            figures[name] = {"draws per second": float(n / np.median(seconds[:, i])), "time x": float(middle[i])}
            print(
                f"{name:<40}{work.pairs / n:>9.2f}{work.tokens / n:>9.1f}{work.images / n:>9.2f}"
                f"{1e3 * np.median(seconds[:, i]) / n:>9.3f}{work.guard_seconds / work.seconds:>9.1%}"
                f"{work.tokens / works[0][0].tokens:>9.2f}{middle[i]:>9.2f}{low[i]:>8.2f}-{high[i]:.2f}"
            )
    if asked.json:
        keep(asked.json, "sampling", {"draws": asked.draws, "turns": asked.turns}, kept)
