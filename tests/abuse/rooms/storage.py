"""Storage: files of counts, streams, attacks and tables that another program, or a disk, may have changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from abuse import values
from abuse.room import Room
from abuse.rooms.attacks import LITTLE
from abuse.rooms.datasets import JSON, flipped, home

from hybrid_rs.storage.attacks import AttackStore
from hybrid_rs.storage.counts import CountsStore, recorded, units
from hybrid_rs.storage.engines import engine_name, get_engine
from hybrid_rs.storage.exchange import Row, certified_row, read_authors, read_table, write_table
from hybrid_rs.storage.records import SCHEMA, sealed
from hybrid_rs.storage.streams import StreamStore


def _text_file(name: str, make: Callable[[Random], str]) -> Callable[[Random], Path]:
    def written(random: Random) -> Path:
        file = home() / name
        file.write_bytes(flipped(random, make(random).encode("utf-8", "surrogatepass")))
        return file

    return written


def _unit(random: Random) -> str:
    kernel = {"name": "UniformKernel", "beta": 0.25, "vocab_size": 8}
    threat = {"name": "SuffixThreat", "max_edits": 2, "one_shot": True}
    row: dict[str, Any] = {"schema": SCHEMA, "classifier": "toy", "margin": 0.0, "example": "a", "kernel": kernel}
    row |= {"sigma": 0.5, "threat": threat, "noise": "v", "n": 10, "seed": 0, "unsafe": [9]}
    if random.random() < 0.5:
        row[random.choice(list(row))] = random.choice((None, True, -1, 2, 0.5, "", "a", [], [1, -1], {}, 10**30))
    return sealed(row) + "\n"


def _table(random: Random) -> str:
    cells = ["0", "1", "1", "0.5", "1", "nan"]
    if random.random() < 0.5:
        cells[random.randrange(6)] = random.choice(("", "-1", "2", "1e400", "nan", "inf", "a", "9" * 5_000, "\x1b[2J"))
    return "idx\tlabel\tpredict\tradius\tcorrect\ttime\n" + "\t".join(cells) + "\n"


def _authors(random: Random) -> str:
    point = {"d": "1", "nA_unsafe": "9", "pA_lcb": "0.9", "r": "0.5"}
    fields = {"example_id": "4", "text_threat": '"append_only"', "kernel": '"uniform"', "beta": "0.25", "sigma": "1.0"}
    fields |= {"tau": "0.1", "n": "10", "alpha": "0.01"}
    if random.random() < 0.6:
        part = random.choice((point, fields))
        part[random.choice(list(part))] = random.choice(JSON)
    fields["certified_curve"] = f"[{_object(point)}]"
    return f"[{_object(fields)}]"


def _object(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"


def _read(given: dict[str, Any], result: Any) -> None:
    for row in result:
        assert row.radius >= 0
        assert row.correct == (row.predict == row.label)


def _within(given: dict[str, Any], result: Any) -> None:
    assert all(0 <= point.unsafe <= each.n for each in result for point in each.curve)


def _stored(given: dict[str, Any], result: Any) -> None:
    assert all(0 <= int(np.max(counts.unsafe)) <= counts.n for _, counts in result)


ROOM = Room(
    things=(
        *(AttackStore, CountsStore, StreamStore, Row, certified_row, engine_name, get_engine, read_authors),
        *(read_table, recorded, sealed, units, write_table),
    ),
    good={
        "adaptive": lambda r: r.random() < 0.5,
        "address": lambda r: None,
        "classifier": lambda r: "toy",
        "correct": lambda r: True,
        "counts": lambda r: None,
        "effort": lambda r: LITTLE,
        "engine": lambda r: None,
        "enough": lambda r: lambda verdicts: verdicts.size > 100,
        "examples": lambda r: [values.example(r)],
        "idx": lambda r: r.randrange(9),
        "label": lambda r: 1,
        "load": lambda r: values.Parity,
        "masked": lambda r: False,
        "name": lambda r: r.choice(("local", "ray:1")),
        "path": lambda r: home() / "new.jsonl",
        "predict": lambda r: 1,
        "radius": lambda r: r.choice((0.0, 0.5)),
        "row": lambda r: {"schema": SCHEMA, "of": 3},
        "rows": lambda r: [certified_row(0, 1, 0.5)],
        "time": lambda r: "nan",
        "workers": lambda r: 1,
        "gpus": lambda r: r.choice((0, 0.25, 1)),
    },
    own={
        "AttackStore": {"engine": lambda r: None},
        "CountsStore": {"path": _text_file("counts.jsonl", _unit), "engine": lambda r: None},
        "StreamStore": {"engine": lambda r: None},
        "StreamStore.until_each": {"counts": lambda r: None},
        "CountsStore.sample_together": {"smoothed": lambda r: [values.smoothed(r)]},
        "CountsStore.sample_margins": {"smoothed": lambda r: values.smoothed(r, values.Scored())},
        "engine_name": {"engine": lambda r: r.choice((None, "ray"))},
        "read_authors": {"file": _text_file("authors.json", _authors)},
        "read_table": {"file": _text_file("table.tsv", _table)},
        "recorded": {"path": _text_file("counts.jsonl", _unit)},
        "units": {"path": _text_file("counts.jsonl", _unit)},
    },
    selves={
        "AttackStore": lambda r: AttackStore(home() / "attacks.jsonl", "toy"),
        "CountsStore": lambda r: CountsStore(home() / "kept.jsonl", "toy"),
        "StreamStore": lambda r: StreamStore(home() / "streams.jsonl", "toy"),
    },
    rules={"read_authors": _within, "read_table": _read, "units": _stored},
    left_out=frozenset({"AttackStore.attack_each", "AttackStore.get", "CountsStore.get"}),
)
