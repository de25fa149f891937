"""What a draw costs, by how it is evaluated, in one run: ``python benchmarks/sampling.py``.

Prints, for the small guard and for one with random weights and 256 image tokens, the pairs, tokens, images and seconds
per draw of image-only smoothing, of the whole frontier d = 0..8 in several ways, and of the one-shot classifier; and
the share of the guard's forward pass. Ratios are to image-only smoothing.
"""

from __future__ import annotations

import argparse

import torch

from hybrid_rs.datasets import bay_notes
from hybrid_rs.experiments.costs import measure, untrained, ways
from hybrid_rs.guards.bay_guard import load_bay_guard

SIGMA = 0.5

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2048, help="with the small guard; an eighth of it with the other")
    n = parser.parse_args().draws
    torch.set_num_threads(1)
    example = bay_notes.examples("test", 1, unsafe=True)[0]
    small = load_bay_guard()
    for guard, draws in ((small, n), (untrained(small, patch_size=2), n // 8)):
        for way in ("image only", "frontier, nested draws"):
            measure(ways(8)[way], guard, example, min(256, draws), sigma=SIGMA)  # warm-up
        patches = int((guard.before == guard.model.config.image_token_id).sum())
        print(f"\n{patches} image tokens, n = {draws}")
        heads = ("pairs", "tokens", "images", "ms", "forward", "tokens x", "time x")
        print(f"{'per draw':<40}" + "".join(f"{head:>9}" for head in heads))
        base = None
        for way in ways(8).values():
            _, work = measure(way, guard, example, draws, sigma=SIGMA)
            base = base or work
            print(
                f"{way.name:<40}{work.pairs / draws:>9.2f}{work.tokens / draws:>9.1f}{work.images / draws:>9.2f}"
                f"{1e3 * work.seconds / draws:>9.3f}{work.guard_seconds / work.seconds:>9.1%}"
                f"{work.tokens / base.tokens:>9.2f}{work.seconds / base.seconds:>9.2f}"
            )
