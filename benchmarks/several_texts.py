"""The gain from several texts for each image, against edits anywhere: ``python benchmarks/several_texts.py``.

The small guard is certified on one set of images, with the first text of each image and with all texts. One text has
two columns: the better of the plain and the masked certificate, with a union bound over the sets of positions; and the
package's method, without a union bound and with both certificates together. Printed are medians of the image radius
over the examples, where one that is not certified counts as 0; ratios are to the first column. Counts are stored in
``--counts`` and reused by the next run. How many texts of an image are used for a set of positions was chosen on draws
with another seed.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from history import keep

import hybrid_rs as hrs
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.experiments.alarms import alarm_shares
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard
from hybrid_rs.storage.counts import CountsStore

HERE = Path(__file__).resolve().parent
SIGMA, EDITS, ALPHA = 0.5, 2, 0.01


def with_union(counts: hrs.SubsetCounts, kernel: hrs.UniformKernel, tau: float) -> list[float]:
    """Return radii by d, the better of plain and masked; each set of positions has its own share of the risk."""
    sizes, law = np.arange(EDITS + 1), {"sigma": SIGMA, "tau": tau}
    share = [ALPHA / (2 * (EDITS if j else 1) * math.comb(counts.length, j)) for j in sizes]
    joint = np.minimum.accumulate(hrs.clopper_pearson_upper(np.array(counts.safe), counts.n, np.array(share)))
    p_s = np.clip(1 - joint / counts.beta**sizes, 0.0, 1.0)
    radii = [
        [hrs.certified_radius(p, kernel.likelihood_ratio(d, masked=masked), **law) for d, p in enumerate(bounds)]
        for bounds, masked in ((np.full(EDITS + 1, p_s[0]), False), (p_s, True))
    ]
    return np.nan_to_num(np.fmax(*radii), nan=0.0).tolist()


def radii_of(counts: list, kernel: hrs.UniformKernel, tau: float) -> np.ndarray:
    """Return the package's radii, shape ``(examples, EDITS + 1)``; 0 where nothing is certified."""
    fronts = frontiers_of(counts, kernel, sigma=SIGMA, tau=tau, d_max=EDITS, alpha=ALPHA)
    return np.nan_to_num([front.radii for front in fronts], nan=0.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=12)
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--betas", type=float, nargs="+", default=[0.25, 0.5])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--counts", type=Path, default=HERE.parent / "data" / "counts" / "several_texts.jsonl")
    parser.add_argument("--json", type=Path, help="file to append the figures to, with their provenance")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    guard = load_bay_guard()
    store = CountsStore(asked.counts, guard.identity)
    sets = {unsafe: bay_notes.examples("test", 40, unsafe=unsafe)[: asked.examples] for unsafe in (True, False)}
    kept = {}
    for beta in asked.betas:
        kernel = hrs.UniformKernel(beta, guard.alphabet.size)
        smoothed = hrs.SmoothedGuard(guard, kernel, sigma=SIGMA, threat=hrs.L0Threat(EDITS))
        law = {"n": asked.images, "seed": asked.seed, "progress": True}
        several = store.sample(smoothed, sets[True], masked=True, texts=asked.texts, **law)
        single = store.sample(smoothed, sets[True], masked=True, **law)
        safe = store.sample(smoothed, sets[False], **law)
        for tau in (0.05, 4.6e-5):
            before = np.median([with_union(counts, kernel, tau) for counts in single], axis=0)
            now = np.median(radii_of(single, kernel, tau), axis=0)
            start = time.perf_counter()
            many = np.median(radii_of(several, kernel, tau), axis=0)
            rate = len(several) / (time.perf_counter() - start)
            alarms = {rule: float(share[0]) for rule, share in alarm_shares(safe, tau, ALPHA).items()}
            print(f"\nbeta = {beta:g}, tau = {tau:g}, {asked.images} images, {len(sets[True])} examples; {alarms}")
            print(f"{'d':>3}{'union':>9}{'one text':>10}{f'{asked.texts} texts':>10}{'ratio':>8}")
            for d in range(EDITS + 1):
                ratio = many[d] / before[d] if before[d] else math.nan
                print(f"{d:>3}{before[d]:>9.3f}{now[d]:>10.3f}{many[d]:>10.3f}{ratio:>8.2f}")
            figures = {"with a union": before.tolist(), "one text": now.tolist(), "several texts": many.tolist()}
            kept[f"beta {beta:g}, tau {tau:g}"] = figures | {"false alarms": alarms, "frontiers per second": rate}
    if asked.json:
        parameters = {name: getattr(asked, name) for name in ("examples", "images", "texts", "seed")}
        keep(asked.json, "several texts", parameters | {"betas": asked.betas}, kept)
