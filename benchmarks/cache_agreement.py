"""Reused keys and values against whole prompts, on 10^5 draws: ``python benchmarks/cache_agreement.py``.

The small guard reads one of a draw's distinct texts completely, and the others with its keys and values. Here the stock
model also reads every text completely. One line per example and smoothing is appended to
``data/costs/cache_agreement.jsonl``: the largest difference in logits, and both scores where verdicts differ. Then a
summary is printed. Stored lines are not drawn again; give another ``--file`` to start over. Takes about five minutes of
one core.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import hybrid_rs as hrs
from hybrid_rs.experiments.costs import agreement, whole_scores
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard
from hybrid_rs.smoothing.together import sample_together

FILE = Path(__file__).resolve().parents[1] / "data" / "costs" / "cache_agreement.jsonl"
NESTED, WHOLE, ANYWHERE = hrs.SuffixThreat(8, one_shot=False), hrs.SuffixThreat(8), hrs.L0Threat(8)
SETTINGS = {  # threat, betas drawn together, masked, draws
    "suffix, one classifier per d": (NESTED, (0.25,), False, 1024),
    "suffix, masked": (WHOLE, (0.25,), True, 128),
    "l0, three betas": (ANYWHERE, (0.1, 0.25, 0.5), False, 128),
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


def compared(guard: VisionLanguageGuard, example: hrs.Example, sigma: float, setting: str) -> dict:
    """Score the draws of one example in both ways."""
    threat, betas, masked, draws = SETTINGS[setting]
    both, size = Both(guard), guard.alphabet.size
    smoothed = [hrs.SmoothedGuard(both, hrs.UniformKernel(beta, size), sigma, threat) for beta in betas]
    sample_together(smoothed, example, draws, masked=masked)
    reused, whole = np.concatenate(both.scores, axis=1).astype(float)
    differ = (reused > guard.margin) != (whole > guard.margin)
    return {
        "setting": setting,
        "sigma": sigma,
        "classifier": guard.identity,
        "example": example.id,
        "draws": draws,
        "pairs": reused.size,
        "unsafe": int((whole > guard.margin).sum()),
        "largest_difference": float(abs(reused - whole).max()),
        "least_distance": float(abs(whole - guard.margin).min()),
        "differ": np.stack([reused, whole], axis=1)[differ].tolist(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, default=FILE, help="where the lines are kept")
    path = parser.parse_args().file
    torch.set_num_threads(1)
    guard = load_bay_guard()
    pairs = zip(*(bay_notes.examples("test", 20, unsafe=unsafe) for unsafe in (True, False)), strict=True)
    wanted = list(product([example for pair in pairs for example in pair], (0.5, 1.0), SETTINGS))
    lines = path.read_text().splitlines() if path.exists() else []
    done = {tuple(json.loads(line)[name] for name in ("example", "sigma", "setting")) for line in lines}
    for example, sigma, setting in tqdm(wanted):
        if (example.id, sigma, setting) not in done:
            line = compared(guard, example, sigma, setting)
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
    print(agreement(path).to_string())
