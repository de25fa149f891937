"""Values that hardly any parameter is meant to take."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pandas as pd

import hybrid_rs as hrs


def hostile(random: Random) -> Any:
    """A value that hardly any parameter is meant to take."""
    return random.choice(HOSTILE)()


HOSTILE: list[Callable[[], Any]] = [
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: -float("inf"),
    lambda: 0.0,
    lambda: -0.0,
    lambda: 5e-324,
    lambda: 1e308,
    lambda: -1.0,
    lambda: 1.0 + 2.0**-52,
    lambda: 1.0 - 2.0**-53,
    lambda: 0,
    lambda: -1,
    lambda: 1,
    lambda: 2**31,
    lambda: 2**63,
    lambda: 10**30,
    lambda: 10**5000,
    lambda: True,
    lambda: False,
    lambda: None,
    lambda: ...,
    lambda: "",
    lambda: "0.5",
    lambda: "false",
    lambda: "two\nlines\x1b[2J",
    lambda: "x" * 100_000,
    lambda: b"0.5",
    lambda: 0.5j,
    lambda: Fraction(1, 3),
    lambda: Decimal("0.1"),
    lambda: Decimal("NaN"),
    lambda: np.float16(0.5),
    lambda: np.float32(0.5),
    lambda: np.longdouble(1) / 3,
    lambda: np.int8(3),
    lambda: np.uint64(2**63),
    lambda: np.bool_(True),
    lambda: np.datetime64("2020"),
    lambda: np.array(0.5),
    lambda: np.array(3),
    lambda: np.array([]),
    lambda: np.array([0.5, np.nan]),
    lambda: np.array([0.25, 0.5, 0.75]),
    lambda: np.zeros((2, 3)),
    lambda: np.zeros((0, 3)),
    lambda: np.ones((1, 1, 1, 1)),
    lambda: np.array([True, False]),
    lambda: np.array([0.5, None], dtype=object),
    lambda: np.array(["a", "b"]),
    lambda: np.ma.array([0.5, 0.5], mask=[True, False]),
    lambda: np.full(100_000, 0.5),
    list,
    lambda: [0.5, [0.5]],
    lambda: [True, 0.5],
    lambda: [[0.5, 0.25], [0.5, 0.25]],
    lambda: (0.5,),
    lambda: [1, 2, 3],
    dict,
    lambda: {"p": 0.5},
    lambda: {0.5, 0.25},
    lambda: range(3),
    lambda: (x for x in (0.5, 0.25)),
    lambda: pd.Series([0.5, 0.25], index=[7, 7]),
    lambda: pd.Series([None, 0.5], dtype="Float64"),
    lambda: pd.DataFrame({"p": [0.5]}),
    lambda: object(),
    lambda: object,
    lambda: len,
    lambda: lambda: 0.5,
    lambda: hrs,
    lambda: hrs.UniformKernel,
    lambda: hrs.AbsorbingKernel(0.5),
    lambda: hrs.LikelihoodRatio.identity(),
    lambda: hrs.Counts((5,), 10),
    lambda: _tensor(0.5),
    lambda: _tensor([0.5, 0.25], requires_grad=True),
]


def _tensor(value: Any, **options: Any) -> Any:
    import torch

    return torch.tensor(value, **options)
