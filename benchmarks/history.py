"""Benchmark results with their provenance: ``python benchmarks/history.py FILE`` shows what became slower.

``--json FILE`` of a benchmark appends one line to a file; those of this repository are in ``benchmarks/results``. Rates
("... per second") are compared with the previous line of the same benchmark, parameters and processor.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybrid_rs.experiments.provenance import provenance

TOLERANCE = 0.15  # two runs on a quiet machine differ by less
COMMIT = provenance().commit  # of the code that was measured: the tree may change while a benchmark runs


def keep(file: Path, benchmark: str, parameters: Mapping[str, Any], figures: Any, device: str | None = None) -> None:
    """Append one line: the benchmark, its parameters and figures, and the code, packages and machine behind them.

    Args:
        file: a JSONL file; made if it is missing.
        benchmark: its name.
        parameters: its parameters.
        figures: what it measured: numbers by name, in lists and dictionaries.
        device: what it ran on, if it was not the CPU.
    """
    origin = asdict(provenance(parameters)) | {"commit": COMMIT} | ({"device": device} if device else {})
    origin["load"] = round(os.getloadavg()[0], 2)  # above the number of cores, the machine was busy with other work
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps({"benchmark": benchmark, "provenance": origin, "figures": figures}) + "\n")


def rates(figures: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number whose name ends in "per second", with the names above it."""
    entries = figures.items() if isinstance(figures, dict) else enumerate(figures) if isinstance(figures, list) else ()
    for key, value in entries:
        path = f"{name} / {key}".lstrip(" /")
        if isinstance(value, dict | list):
            yield from rates(value, path)
        elif str(key).replace("_", " ").endswith("per second") and value:
            yield path, float(value)


def slower(lines: list[dict[str, Any]], tolerance: float = TOLERANCE) -> list[str]:
    """Return a sentence for each rate that fell by more than a share, from the previous line of its kind to the last.

    Example:
        >>> origin = {"parameters": {}, "device": "a CPU", "commit": "abc"}
        >>> lines = [{"benchmark": "b", "provenance": origin, "figures": {"draws per second": r}} for r in (100, 50)]
        >>> slower(lines)
        ['b, a CPU: draws per second fell from 100 to 50 (commit abc to abc)']
    """
    kinds: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        origin = line["provenance"]
        kinds.setdefault(json.dumps([line["benchmark"], origin["parameters"], origin["device"]]), []).append(line)
    found = []
    for before, last in (kind[-2:] for kind in kinds.values() if len(kind) > 1):
        known = dict(rates(before["figures"]))
        commits = " to ".join(line["provenance"]["commit"] for line in (before, last))
        for name, rate in rates(last["figures"]):
            if rate < known.get(name, 0.0) * (1 - tolerance):
                where = f"{last['benchmark']}, {last['provenance']['device']}"
                found.append(f"{where}: {name} fell from {known[name]:.4g} to {rate:.4g} (commit {commits})")
    return found


def main() -> None:
    """Read the files, and end with exit status 1 if a rate fell."""
    said: list[str] = []
    for name in sys.argv[1:]:
        said += slower([json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()])
    print("\n".join(said) or "no rate fell")
    sys.exit(bool(said))


if __name__ == "__main__":
    main()
