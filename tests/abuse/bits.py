"""Flipped bits, one after the other, in small stores. Each must be refused, or leave all values unchanged."""

import random
import tempfile
from pathlib import Path

import numpy as np
from toys import EXAMPLE, KERNEL, NESTED, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.storage.counts import CountsStore, units
from hybrid_rs.storage.records import SCHEMA, records
from hybrid_rs.storage.streams import StreamStore

CLASSIFIER = "toy"


def make(folder):
    """Write a small store of each kind; returns, by file, a function that reads all of its values."""
    counts, streams, found = (folder / f"{name}.jsonl" for name in ("counts", "streams", "found"))
    nested = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=NESTED)
    suffix = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=SUFFIX)
    CountsStore(counts, CLASSIFIER).sample(nested, [EXAMPLE], n=64, progress=False)
    CountsStore(counts, CLASSIFIER).sample(suffix, [EXAMPLE], n=64, masked=True, progress=False)
    StreamStore(streams, CLASSIFIER).until(suffix, EXAMPLE, lambda row: row.size >= 64, max_draws=64)
    asked = [{"schema": SCHEMA, "example": name, "d": 1, "epsilon": 0.5} for name in ("a", "b")]
    records(found, ["verdict", "draws"]).append(row | {"verdict": "certified", "draws": 305} for row in asked)

    def read_counts():
        store = CountsStore(counts, CLASSIFIER)
        kept = store.get(nested, EXAMPLE, n=64), store.get(suffix, EXAMPLE, n=64, masked=True)
        return len(store), *kept, units(counts)

    def read_streams():
        store = StreamStore(streams, CLASSIFIER)
        return len(store), np.flatnonzero(store.get(suffix, EXAMPLE)).tolist()

    def read_found():
        store = records(found, ["verdict", "draws"])
        return len(store), *(store.get(row) for row in asked)

    return {counts: read_counts, streams: read_streams, found: read_found}


def run(count, seed=0):
    """Flip ``count`` bits, chosen at random, or each bit once where ``count`` is None.

    Returns:
        by "bits" (of the files), "flips", "refused", "unchanged" and "silent": the numbers of flips; those of the last
        kind changed a value, and nothing was said.
    """
    figures = dict.fromkeys(("bits", "flips", "refused", "unchanged", "silent"), 0)
    with tempfile.TemporaryDirectory() as home:
        readers = make(Path(home))
        wholes = {file: file.read_bytes() for file in readers}
        values = {file: read() for file, read in readers.items()}
        places = [(file, bit) for file, whole in wholes.items() for bit in range(8 * len(whole))]
        figures["bits"] = len(places)
        for file, bit in places if count is None else random.Random(seed).sample(places, min(count, len(places))):
            flipped = bytearray(wholes[file])
            flipped[bit // 8] ^= 1 << bit % 8
            file.write_bytes(flipped)
            figures["flips"] += 1
            try:
                same = readers[file]() == values[file]
                figures["unchanged" if same else "silent"] += 1
            except ValueError as error:
                figures["refused"] += file.name in str(error)
            file.write_bytes(wholes[file])
    return figures
