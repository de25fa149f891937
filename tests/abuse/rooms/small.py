"""The small guard's notes and orders, and tables of data."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pandas as pd
from abuse.room import Room

import hybrid_rs as hrs
from hybrid_rs.small_guard import notes, orders
from hybrid_rs.small_guard.language import decode, encode
from hybrid_rs.small_guard.lengths import among_sentences, goods_alone
from hybrid_rs.tables.data import from_frame

ROWS = 10


def _note(random: Random) -> hrs.Example:
    return notes.examples("test", 1, seed=random.randrange(3))[0]


def _frame(random: Random) -> pd.DataFrame:
    rng = np.random.default_rng(random.randrange(9))
    return pd.DataFrame({"age": rng.random(ROWS), "sex": ["a", "b"] * (ROWS // 2)})


def _many(given: dict[str, Any], result: Any) -> None:
    assert len(result) == given["n"]


def _words(given: dict[str, Any], result: Any) -> None:
    assert result.dtype == np.int64
    assert decode(result) == " ".join(given["text"].split())


ROOM = Room(
    things=(
        *(among_sentences, decode, encode, from_frame, goods_alone, notes.examples, notes.forbidden, notes.scans),
        *(orders.examples,),
    ),
    good={
        "bay": lambda r: r.randrange(10),
        "categorical": lambda r: ["sex"],
        "example": _note,
        "family": lambda r: r.randrange(8),
        "frame": _frame,
        "labels": lambda r: [True, False] * (ROWS // 2),
        "language": lambda r: "seen",
        "n": lambda r: r.randrange(3),
        "name": lambda r: "a table",
        "test": lambda r: r.choice((None, np.arange(ROWS) % 2 == 0)),
        "numeric": lambda r: ["age"],
        "sentences": lambda r: r.randrange(3),
        "split": lambda r: r.choice(("train", "test")),
        "text": lambda r: "maria moved flour .",
        "token_ids": lambda r: [9, 10],
        "unsafe": lambda r: r.choice((None, True, False)),
    },
    rules={"encode": _words, "examples": _many},
)
