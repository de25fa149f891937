"""Verify many random certificates in interval arithmetic: ``python benchmarks/verification.py [CASES]``.

The ranges are extreme (V to 1e6, d to 64, epsilon / sigma 0 or 1e-9 to 12, beta 0 to 1, plain and masked). Prints how
many are refused, how loose the loosest is, and certificates per second and process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from history import keep
from test_verification import random_certificates

import hybrid_rs as hrs

CHUNK = 1000


def check(seed: int) -> tuple[int, float, float]:
    """Return how many of a chunk are refused, the largest relative looseness, and the seconds of verification."""
    refused, loosest, certificates = 0, 0.0, list(random_certificates(CHUNK, seed=seed))
    start = time.perf_counter()
    for certificate in certificates:
        try:
            proved = hrs.verify(certificate)
        except hrs.VerificationError as error:
            refused += 1
            print(error, file=sys.stderr)
            continue
        if certificate.p_adv > 0:
            loosest = max(loosest, proved / certificate.p_adv - 1)
    return refused, loosest, time.perf_counter() - start


def main() -> None:
    """Check all chunks on all cores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=int, nargs="?", default=100 * CHUNK, help="certificates, in thousands")
    parser.add_argument("--json", type=Path, help="file to append the figures to, with their provenance")
    asked = parser.parse_args()
    chunks = max(1, asked.cases // CHUNK)
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(check, range(1000, 1000 + chunks)))
    refused, seconds = sum(r for r, _, _ in results), sum(s for _, _, s in results)
    loosest, rate = max(x for _, x, _ in results), chunks * CHUNK / seconds
    print(
        f"{chunks * CHUNK} certificates: {refused} refused, loosest {loosest:.1e} relative, "
        f"{rate:.0f} per second and process"
    )
    if asked.json:
        figures = {"refused": refused, "loosest, relative": loosest, "certificates per second": rate}
        keep(asked.json, "verification", {"cases": chunks * CHUNK}, figures)


if __name__ == "__main__":
    main()
