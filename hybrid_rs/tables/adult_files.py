"""The published files of the Adult data set: comma and space between fields, "?" where a value is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import path as path_of, require
from hybrid_rs._extras import needs

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country"),
)
LABEL = "income"
NUMERIC = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
CATEGORICAL = tuple(name for name in COLUMNS if name not in NUMERIC)
TRAIN, TEST = "adult.data", "adult.test"
ANSWERS = ("<=50K", ">50K")


def read(folder: str | Path) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Return the rows of both files, and which of them are in the test file.

    A line of column names, lines that begin with "|", and empty lines are skipped. A category that is unknown becomes
    a missing value.

    Args:
        folder: holds ``adult.data`` and ``adult.test``.

    Returns:
        a frame with the 14 features and the column "income", and a bool array of shape ``(rows,)``.

    Raises:
        ValueError: if a file is missing or empty, or a line does not have these fields.

    References:
        Becker and Kohavi (1996), "Adult", UCI Machine Learning Repository, CC BY 4.0.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> row = "39, Private, 77516, Bachelors, 13, Divorced, ?, Own-child, White, Male, 2, 0, 40, Peru"
        >>> for name, end in ((TRAIN, "<=50K"), (TEST, ">50K.")):
        ...     _ = (folder / name).write_text(f"{row}, {end}")
        >>> frame, test = read(folder)
        >>> frame[["age", "occupation", "income"]].to_numpy().tolist(), test.tolist()
        ([[39.0, None, '<=50K'], [39.0, None, '>50K']], [False, True])
    """
    with needs("data"):
        import pandas as pd

    parts = [_rows(path_of("folder", folder) / name) for name in (TRAIN, TEST)]
    frame = pd.DataFrame([row for part in parts for row in part], columns=[*COLUMNS, LABEL], dtype=object)
    frame = frame.astype(dict.fromkeys(NUMERIC, np.float64))
    return frame, np.repeat([False, True], [len(part) for part in parts])


def _rows(file: Path) -> list[list[object]]:
    require(file.is_file(), "folder", str(file.parent), f"there is no file {file.name} in it", repr)
    rows = []
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        fields = [field.strip() for field in line.split(",")]
        if not line.strip() or line.startswith("|") or fields[0] == COLUMNS[0]:
            continue
        where, answer = f"{file.name}, line {number}", fields[-1].removesuffix(".")
        complete = len(fields) == len(COLUMNS) + 1 and answer in ANSWERS
        require(complete, where, line, f"give {len(COLUMNS)} features and {' or '.join(ANSWERS)}, with commas between")
        row: list[object] = []
        for name, value in zip(COLUMNS, fields, strict=False):
            row.append(_number(value, f"{where}, {name}") if name in NUMERIC else value if value != "?" else None)
        rows.append([*row, answer])
    require(bool(rows), "folder", str(file), "the file has no rows", repr)
    return rows


def _number(value: str, where: str) -> float:
    require(value.isdecimal(), where, value, "give a whole number", repr)
    return float(value)
