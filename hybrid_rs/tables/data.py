"""Tables of numeric and categorical features: two surveys from statsmodels, and Adult from local files or OpenML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import kind, require, several, text
from hybrid_rs._extras import needs
from hybrid_rs.tables import adult_files
from hybrid_rs.tables.lattice import NumberLattice, steps_of

if TYPE_CHECKING:
    import pandas as pd

TEST_SHARE = 0.2
NAMES, LABELS = "give names of columns", "give True or False for each row"
_SPLIT_SEED = 20_240  # the one shuffle that splits the rows


@dataclass(frozen=True, eq=False)
class TabularData:
    """Rows of numeric and categorical features with a yes-or-no label, split into training and test.

    Numeric features are standardised with the mean and the standard deviation of the *training* rows. So sigma and
    epsilon are in standard deviations of a feature: an l2 budget of 1 moves one feature by one of them.

    Args:
        name: the name of the table.
        numeric: shape ``(rows, k)``, float64, standardised.
        codes: shape ``(rows, m)``, int64, the category of each feature, 0 to V_i - 1.
        labels: shape ``(rows,)``, bool.
        train: the rows to train on, in random order.
        test: the rows to certify, in random order, so that the first rows are a random sample; none is in ``train``.
        numeric_names: one for each numeric feature.
        categories: the category names of each categorical feature, by feature name; a code is a position in this list.
        centre: shape ``(k,)``, the training mean of each numeric feature, in its own unit.
        scale: shape ``(k,)``, its training standard deviation: one unit of epsilon.
        levels: shape ``(rows, k)``, int64: the numeric features as whole numbers of their steps.
        steps: shape ``(k,)``, the step of each numeric feature, in its own unit; see :mod:`hybrid_rs.tables.lattice`.
    """

    name: str
    numeric: NDArray[np.float64]
    codes: NDArray[np.int64]
    labels: NDArray[np.bool_]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    numeric_names: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    levels: NDArray[np.int64]
    steps: NDArray[np.float64]

    def __post_init__(self) -> None:
        for array in vars(self).values():
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    @property
    def lattice(self) -> NumberLattice:
        """The lattice of the numeric features: ``numeric`` is ``lattice.numbers(levels)``."""
        return NumberLattice(self.centre, self.scale, self.steps)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The arity of each categorical feature."""
        return tuple(len(names) for names in self.categories.values())


def from_frame(
    name: str,
    frame: pd.DataFrame,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str],
    labels: Any,
    test: NDArray[np.bool_] | None = None,
) -> TabularData:
    """Return a table made of some columns of a data frame, shuffled once and split 80 : 20, or as ``test`` says.

    A feature's alphabet contains every category that occurs in the frame, in order, and "?" if a value is missing. It
    is treated as public, like a code book; no labels are used.

    Args:
        name: the name of the table.
        frame: one row per case.
        numeric: the columns with numbers; no value may be missing, and no column constant. They are rounded to a fine
            lattice; see :mod:`hybrid_rs.tables.lattice`.
        categorical: the columns with categories; none may be constant.
        labels: shape ``(rows,)``, bool.
        test: shape ``(rows,)``, bool: the rows of a published test set; the others are for training.

    Raises:
        ValueError: if a column is unknown, a number is missing, a feature is constant, or a part of the split is empty.
    """
    import pandas as pd

    text("name", name)
    kind("frame", frame, pd.DataFrame, "give a data frame")
    chosen = {"numeric": several("numeric", numeric, NAMES, str)}
    chosen["categorical"] = several("categorical", categorical, NAMES, str)
    for which, columns in chosen.items():
        require(bool(columns), which, columns, "give at least one column")
        for column in columns:
            remedy = f"choose from {', '.join(map(str, frame.columns))}"
            require(column in frame.columns, which, repr(column), remedy)
    numeric, categorical = chosen["numeric"], chosen["categorical"]
    said = np.array([_truth(label) for label in several("labels", labels, LABELS)], dtype=bool)
    require(said.size == len(frame) > 1, "labels", said.size, f"give one for each of at least two rows: {len(frame)}")
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(frame))
    held_out = np.zeros(len(frame), dtype=bool) if test is None else test
    fits = isinstance(held_out, np.ndarray) and held_out.dtype == bool and held_out.shape == (len(frame),)
    require(fits and (test is None or 0 < held_out.sum() < len(frame)), "test", test, "give True for some of the rows")
    if test is None:
        held_out[order[: round(len(frame) * TEST_SHARE)]] = True
    tested, train = order[held_out[order]], order[~held_out[order]]
    raw = frame[list(numeric)].to_numpy(dtype=np.float64)
    scale = raw[train].std(axis=0)
    for column, finite, width in zip(numeric, np.isfinite(raw).all(axis=0), scale, strict=True):
        require(bool(finite) and width > 0, "numeric", column, "give columns of numbers that are not all equal", repr)
    steps = steps_of(scale)
    for column, near in zip(numeric, (np.abs(raw) < 2.0**52 * steps).all(axis=0), strict=True):
        require(bool(near), "numeric", column, "give columns without numbers that dwarf their standard deviation", repr)
    rounded = np.rint(raw / steps) * steps
    lattice = NumberLattice(rounded[train].mean(axis=0), rounded[train].std(axis=0), steps)
    levels = lattice.levels(rounded)
    codes, categories = np.empty((len(frame), len(categorical)), dtype=np.int64), {}
    for place, column in enumerate(categorical):
        present = sorted(frame[column].dropna().unique())
        missing = frame[column].isna().to_numpy()
        names = [*present, "?"] if missing.any() else present
        require(len(names) > 1, "categorical", column, "give columns with two categories or more", repr)
        where = {value: code for code, value in enumerate(present)}
        codes[:, place] = [len(present) if gone else where[x] for x, gone in zip(frame[column], missing, strict=True)]
        categories[column] = tuple(f"{x:g}" if isinstance(x, float) else str(x) for x in names)
    standard, parts = lattice.numbers(levels), (train, tested, tuple(numeric), categories)
    return TabularData(name, standard, codes, said, *parts, lattice.centre, lattice.scale, levels, lattice.steps)


def _truth(label: Any) -> bool:
    known = isinstance(label, bool | np.bool_ | int | float | np.integer | np.floating) and label in (0, 1)
    require(known, "labels", label, LABELS, repr)
    return bool(label)


def fair() -> TabularData:
    """Return Fair's survey of 6366 married women (1978): five features of 4 to 6 categories, three numeric ones.

    The label is whether any extramarital affair was reported, which holds for 32 % of the rows. The table is part of
    statsmodels, with permission of the author; nothing is downloaded.

    Example:
        >>> data = fair()
        >>> data.numeric.shape, data.sizes, len(data.test)
        ((6366, 3), (5, 4, 6, 6, 6), 1273)
    """
    frame = _statsmodels("fair")
    numeric = ("age", "yrs_married", "children")
    categorical = ("rate_marriage", "religious", "educ", "occupation", "occupation_husb")
    return from_frame("fair", frame, numeric=numeric, categorical=categorical, labels=frame["affairs"] > 0)


def election() -> TabularData:
    """Return the American National Election Study of 1996: 944 voters, four features of 7 categories, five numeric.

    The label is the expected vote: Dole (42 %) or Clinton. The table is in the public domain and part of statsmodels;
    nothing is downloaded.

    Example:
        >>> data = election()
        >>> data.numeric.shape, data.sizes, len(data.test)
        ((944, 5), (7, 7, 7, 7), 189)
    """
    frame = _statsmodels("anes96")
    numeric, categorical = ("age", "educ", "income", "logpopul", "TVnews"), ("PID", "selfLR", "ClinLR", "DoleLR")
    return from_frame("election", frame, numeric=numeric, categorical=categorical, labels=frame["vote"] == 1)


def adult(folder: str | Path = "") -> TabularData:
    """Return Adult (Becker and Kohavi 1996): 48,842 people of the US census of 1994.

    The label is whether a person earns more than 50,000 dollars a year. All 14 features are kept: six numbers and eight
    categorical features. A missing category counts as one more category. ``education`` and ``education-num`` say the
    same, so the second shows an edit of the first; the certificate covers such edits as well.

    Args:
        folder: a folder with the published files ``adult.data`` (training) and ``adult.test`` (test). If it is empty,
            scikit-learn downloads the table from OpenML and keeps it in its own cache; it is then split 80 : 20.

    Raises:
        ValueError: if a file is missing, or a line is not one of Adult.
        ConnectionError: if OpenML is needed and cannot be reached.
    """
    if folder:
        frame, test = adult_files.read(folder)
        return _adult(frame, test)
    with needs("data"):
        from sklearn.datasets import fetch_openml

    try:
        frame = fetch_openml("adult", version=2, as_frame=True).frame.rename(columns={"class": adult_files.LABEL})
    except OSError as error:
        remedy = "give the folder of adult.data and adult.test, or use fair() or election()"
        raise ConnectionError(f"adult: OpenML cannot be reached ({error}): {remedy}") from error
    return _adult(frame, None)


def _adult(frame: pd.DataFrame, test: NDArray[np.bool_] | None) -> TabularData:
    features: dict[str, Any] = {"numeric": adult_files.NUMERIC, "categorical": adult_files.CATEGORICAL}
    return from_frame("adult", frame, labels=frame[adult_files.LABEL] == ">50K", test=test, **features)


def _statsmodels(name: str) -> pd.DataFrame:
    with needs("data"):
        import statsmodels.datasets as carried
    return getattr(carried, name).load_pandas().data
