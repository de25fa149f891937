"""Every kind of abuse at full size: ``python benchmarks/full_abuse.py [PART ...]``; all parts without an argument.

The parts are those that the tests run small, in ``tests/abuse``. Each writes its figures to ``data/abuse/full.json`` as
soon as it has ended, and is not run again while the commit it was run on stays: delete its entry, or name the part, to
run it again. Parts that take long are run in chunks of their own seeds, and kept chunk by chunk.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tqdm import tqdm

HOME = Path(__file__).resolve().parents[1]
RECORD = HOME / "data" / "abuse" / "full.json"


def chunks(run: Callable[..., dict[str, Any]], count: int, size: int, part: str, record: dict[str, Any]) -> None:
    """Run a part in chunks, each with the next seed, and keep every chunk as it ends."""
    kept = record.setdefault(part, {"count": count, "chunks": []})
    if kept["count"] != count:
        kept = record[part] = {"count": count, "chunks": []}
    done = sum(chunk["count"] for chunk in kept["chunks"])
    with tqdm(total=count, initial=done, desc=part) as bar:
        while done < count:
            many, seed, before = min(size, count - done), len(kept["chunks"]), time.perf_counter()
            figures = run(many, seed)
            seconds = round(time.perf_counter() - before, 1)
            kept["chunks"].append({"count": many, "seed": seed, "seconds": seconds, "figures": figures} | where())
            done += many
            save(record)
            bar.update(many)


def where() -> dict[str, Any]:
    """When, and with what, a chunk was run."""
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
    beside = RECORD.with_suffix(".new")
    beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    beside.replace(RECORD)


PARTS = {  # modules of tests/abuse: how often they run in all, and in one chunk
    "garbage": (100_000, 5_000),
    "certifications": (10_000, 1_000),
    "bounds": (50_000, 5_000),
    "tampering": (100_000, 10_000),
    "bits": (1, 1),  # every bit, once
    "kills": (200, 200),
}


def main(names: list[str]) -> None:
    """Run the parts named, or all that the record lacks."""
    sys.path.insert(0, str(HOME / "tests"))
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    for name in names:
        record.pop(name, None)
    for name in names or PARTS:
        module, (count, size) = import_module(f"abuse.{name}"), PARTS[name]
        run = (lambda count, seed, every=module.run: every(None)) if name == "bits" else module.run
        chunks(run, count, size, name, record)


if __name__ == "__main__":
    main(sys.argv[1:])
