"""Reused keys and values against whole prompts, on 10^5 draws: ``python benchmarks/cache_agreement.py``.

The small guard reads a draw's distinct texts on the keys and values of one of them. Here the stock model reads the same
texts again, each whole. Prints, and with ``--save`` writes to ``data/costs/cache_agreement.json``, by how many logits the
two differ, and every verdict that does, with its gap: a difference is only ever a near-tie. Takes about ten minutes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import hybrid_rs as hrs
from hybrid_rs.datasets import bay_notes
from hybrid_rs.experiments.costs import whole_scores
from hybrid_rs.experiments.provenance import provenance
from hybrid_rs.guards.bay_guard import load_bay_guard
from hybrid_rs.guards.vlm import VisionLanguageGuard

FILE = Path(__file__).resolve().parents[1] / "data" / "costs" / "cache_agreement.json"
NESTED, WHOLE, ANYWHERE = hrs.SuffixThreat(8, one_shot=False), hrs.SuffixThreat(8), hrs.L0Threat(8)
SETTINGS = {  # threat, betas drawn together, draws of each example
    "suffix, one classifier per d": (NESTED, (0.25,), 1280),
    "suffix, masked": (WHOLE, (0.25,), 128),
    "l0, three betas": (ANYWHERE, (0.1, 0.25, 0.5), 128),
}


class Both:
    """A guard that scores every pair in both ways, and keeps the scores."""

    def __init__(self, guard: VisionLanguageGuard) -> None:
        self.guard, self.scores = guard, []
        self.alphabet, self.pad_id, self.mask_id = guard.alphabet, guard.pad_id, guard.mask_id

    def unsafe(self, token_ids, images, image_index):
        reused = self.guard.scores(token_ids, images, image_index)
        self.scores.append(np.stack([reused, whole_scores(self.guard, token_ids, images[image_index])]))
        return reused > self.guard.margin


def compare(each: int, share: float) -> dict:
    """Score ``each`` unsafe and as many safe test examples in both ways."""
    guard = load_bay_guard()
    examples = [e for unsafe in (True, False) for e in bay_notes.examples("test", each, unsafe=unsafe)]
    found = []
    for name, (threat, betas, most) in SETTINGS.items():
        n, both = max(1, round(share * most)), Both(guard)
        for sigma in (0.5, 1.0):
            smoothed = [
                hrs.SmoothedGuard(both, hrs.UniformKernel(b, guard.alphabet.size), sigma, threat) for b in betas
            ]
            for example in tqdm(examples, desc=f"{name}, sigma {sigma:g}"):
                hrs.sample_together(smoothed, example, n, masked=name == "suffix, masked")
        reused, whole = np.concatenate(both.scores, axis=1).astype(float)
        differ = (reused > guard.margin) != (whole > guard.margin)
        found.append(
            {
                "setting": name,
                "draws": 2 * len(examples) * n,
                "pairs": reused.size,
                "unsafe": int((reused > guard.margin).sum()),
                "largest difference": float(abs(reused - whole).max()),
                "least distance from the margin": float(abs(whole - guard.margin).min()),
                "verdicts that differ": int(differ.sum()),
                "their gaps, reused and whole": np.stack([reused, whole], axis=1)[differ].tolist(),
            }
        )
    about = {"examples": len(examples), "sigma": [0.5, 1.0], "seed": 0, "margin": guard.margin, "dtype": "float32"}
    return {"settings": found, "provenance": asdict(provenance(about))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=20, help="unsafe examples, and safe ones")
    parser.add_argument("--share", type=float, default=1.0, help="of the draws of each example")
    parser.add_argument("--save", action="store_true", help=f"write {FILE.name}")
    given = parser.parse_args()
    torch.set_num_threads(1)
    result = compare(given.each, given.share)
    text = json.dumps(result, indent=2) + "\n"
    print(text)
    if given.save:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(text)
