"""Verify many random certificates of every kind in interval arithmetic: ``python benchmarks/verification.py``.

The ranges are those of ``tests/random_certificates.py``. The kinds take turns. Each chunk has its own seed and is
appended to ``--json FILE`` when it ends: how many of its certificates were refused, how loose the loosest is, how many
claim more than 0, and certificates per second. The next run resumes where this file ends, until every kind has
``--cases`` certificates.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from history import keep
from random_certificates import KINDS, random_certificates

import hybrid_rs as hrs

KEPT = Path(__file__).resolve().parent / "results" / "verification.jsonl"
CHUNK, OF_A_LAW = 500, 10  # certificates of a chunk; how many of them share a kernel and a text budget


def check(kind: str, seed: int, cases: int) -> dict[str, Any]:
    """Make and verify the certificates of a chunk."""
    start = time.process_time()
    certificates = list(random_certificates(kind, cases, seed, of_a_law=OF_A_LAW))
    made, refused, loosest = time.process_time(), 0, 0.0
    for certificate in certificates:
        try:
            proved = hrs.verify(certificate)
        except hrs.VerificationError as error:
            refused += 1
            print(error, file=sys.stderr)
            continue
        if certificate.p_adv > 0:
            loosest = max(loosest, proved / certificate.p_adv - 1)
    verified = time.process_time()
    return {
        "refused": refused,
        "claim more than 0": sum(each.p_adv > 0 for each in certificates),
        "loosest, relative": loosest,
        "made per second": cases / (made - start),
        "verified per second": cases / (verified - made),
    }


def verified(lines: list[dict[str, Any]]) -> Counter[str]:
    """Return how many certificates of each kind the lines of a file count."""
    found: Counter[str] = Counter()
    for line in lines:
        parameters = line["provenance"]["parameters"]
        found[parameters["kind"]] += parameters["cases"]
    return found


def main() -> None:
    """Check chunk after chunk, one of each kind in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000, help="certificates of each kind, in all")
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="repeatable; default: all")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no chunk after this time")
    parser.add_argument("--chunk", type=int, default=CHUNK)
    parser.add_argument("--json", type=Path, default=KEPT)
    asked = parser.parse_args()
    lines = asked.json.read_text(encoding="utf-8").splitlines() if asked.json.exists() else []
    done, seeds = verified(list(map(json.loads, lines))), len(lines)
    end = time.monotonic() + 60 * asked.minutes
    # a new process for each chunk: the solver caches every law that it has seen
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        while left := [kind for kind in asked.kind or KINDS if done[kind] < asked.cases]:
            for kind in left:
                if time.monotonic() > end:
                    return
                cases = min(asked.chunk, asked.cases - done[kind])
                figures = pool.submit(check, kind, seeds, cases).result()
                keep(asked.json, "verification", {"kind": kind, "cases": cases, "seed": seeds}, figures)
                done[kind], seeds = done[kind] + cases, seeds + 1
                print(f"{kind}: {done[kind]:,} certificates, {figures['refused']} of the last {cases} refused")


if __name__ == "__main__":
    main()
