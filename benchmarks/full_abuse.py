"""The abuse tests at full size: ``python benchmarks/full_abuse.py [PART ...]``; all parts without an argument.

The tests run the same parts in small, in ``tests/abuse``. Here they run in chunks, each with its own seed. Each
finished chunk is stored in ``data/abuse/full.json`` with its commit and versions, so that an interrupted run resumes.
Delete an entry of that file to run the part again.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tqdm import tqdm

from hybrid_rs._files import write_whole

HOME = Path(__file__).resolve().parents[1]
RECORD = HOME / "data" / "abuse" / "full.json"


def next_chunk(part: str, record: dict[str, Any], bar: tqdm[Any]) -> bool:
    """Run the next chunk of a part, with the next seed, and store it; return False if none was left."""
    count, size = PARTS[part]
    kept = record.setdefault(part, {"count": count, "chunks": []})
    kept["count"] = count
    done = sum(chunk["count"] for chunk in kept["chunks"])
    if done >= count:
        return False
    run = import_module(f"abuse.{part}").run
    many, seed, before = min(size, count - done), len(kept["chunks"]), time.perf_counter()
    figures = run(None if part == "bits" else many, seed)
    seconds = round(time.perf_counter() - before, 1)
    kept["chunks"].append({"count": many, "seed": seed, "seconds": seconds, "figures": figures} | where())
    save(record)
    bar.update()
    return True


def where() -> dict[str, Any]:
    """Return the date, commit and versions of a chunk."""
    git = ["git", "-C", str(HOME)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    changed = subprocess.run([*git, "status", "--porcelain", "hybrid_rs", "tests"], capture_output=True, check=True)
    versions = {name: metadata.version(name) for name in ("numpy", "scipy", "python-flint")}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.strip() + (", modified" if changed.stdout else ""),
        "python": sys.version.split()[0],
        "versions": versions,
    }


def save(record: dict[str, Any]) -> None:
    """Write the record whole or not at all."""
    RECORD.parent.mkdir(exist_ok=True)
    write_whole("record", RECORD, json.dumps(record, indent=1) + "\n")


PARTS = {  # modules of tests/abuse: how often they run in all (certifications: of each kind), and in one chunk
    "garbage": (20_000, 500),
    "commands": (3_375, 375),  # every hostile value for every option, once
    "certifications": (1_000, 50),
    "certifications_texts": (10_000, 500),
    "bounds": (5_000, 250),
    "sweep": (5_000_000, 250_000),
    "tampering": (100_000, 5_000),
    "bits": (1, 1),  # every bit, once
    "kills": (200, 20),
}


def main(names: list[str]) -> None:
    """Run the chunks that the record lacks, of the named parts or of all, one chunk of each part in turn."""
    sys.path.insert(0, str(HOME / "tests"))
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    with tqdm(unit="chunk") as bar:
        left = names or list(PARTS)
        while left:
            left = [part for part in left if next_chunk(part, record, bar)]


if __name__ == "__main__":
    main(sys.argv[1:])
