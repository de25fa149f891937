"""What image noise costs, in one run: ``python benchmarks/noise.py``.

Prints, for some image sizes, the nanoseconds per pixel and channel on one core: for noise on the lattice, and for
NumPy's normals in float32 with the same arithmetic. The two take turns; medians over the turns are shown.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from history import keep

import hybrid_rs as hrs
from hybrid_rs.smoothing.draws import BLOCK, Noise, Stream, noisy_images

SIDES, NOISES = (32, 224, 384), ("float32", "lattice")


def nanoseconds(side: int, sigma: float, noise: str) -> float:
    """Return the nanoseconds per pixel and channel of one block of draws, on one thread."""
    example = hrs.Example("grey", np.array([1]), np.full((3, side, side), 100, np.float32) / np.float32(255))
    smoothed: Any = SimpleNamespace(guard=None, sigma=sigma, noise=cast(Noise, noise))
    start = time.perf_counter()
    noisy_images(smoothed, example, Stream(0, "grey"), 0, BLOCK)
    return 1e9 * (time.perf_counter() - start) / (BLOCK * example.image.size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sigma", type=float, default=0.5)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--json", type=Path, help="file to append the figures to, with their provenance")
    asked = parser.parse_args()
    kept: dict[str, Any] = {}
    print(f"sigma = {asked.sigma:g}, {asked.turns} turns")
    print(f"{'image':<16}{'float32, ns':>14}{'lattice, ns':>14}{'ratio':>8}")
    for side in SIDES:
        turns = [[nanoseconds(side, asked.sigma, noise) for noise in NOISES] for _ in range(asked.turns + 1)][1:]
        floats, lattice = np.median(turns, axis=0)
        ratio = float(np.median([b / a for a, b in turns]))
        kept[f"3 x {side} x {side}"] = {
            "float32 ns": float(floats),
            "lattice ns": float(lattice),
            "ratio": ratio,
            "lattice pixels per second": 1e9 / float(lattice),
        }
        print(f"{f'3 x {side} x {side}':<16}{floats:>14.2f}{lattice:>14.2f}{ratio:>8.2f}")
    if asked.json:
        keep(asked.json, "noise", {"sigma": asked.sigma, "turns": asked.turns}, kept)
