r"""Results in the formats of other certification tools: reading, checking and writing.

The *table* of Cohen et al. (2019) is the format that most smoothing tools share. It is tab-separated, with the header
``idx label predict radius correct time`` and one line per example. ``predict`` is -1 where the tool abstains. Radii
are rounded down.

The *authors' results* are the JSON that the scripts of Delattre et al. (2026) write: a list with one object per
example, each with its settings and a ``certified_curve`` that has one point for every d from 1 to the first that
fails. It does not contain the size of the replacement alphabet, labels, or whether a denoiser was used.

References:
    Cohen, Rosenfeld and Kolter (2019), https://github.com/locuslab/smoothing, code/certify.py.
    Delattre et al. (2026), https://github.com/tdsai-lab/hybrid-randomized-smoothing, src/hybrid_rs/certify.

Example:
    >>> print(write_table([certified_row(0, 1, 1.29999999), certified_row(1, 1, float("nan"))]), end="")
    idx	label	predict	radius	correct	time
    0	1	1	1.299999	1	nan
    1	1	-1	0.000000	0	nan
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import (
    flag,
    integer,
    nonnegative,
    nonnegative_or_infinite,
    numbers,
    one,
    positive,
    probability,
    require,
    risk,
    several,
    shown,
)
from hybrid_rs._files import parsed_json, read_text
from hybrid_rs.certificates.kernels import MAX_EDITS, AbsorbingKernel, UniformKernel
from hybrid_rs.certificates.worst_case import certified_radius
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower

HEADER = ("idx", "label", "predict", "radius", "correct", "time")
ABSTAIN = -1
UNSAFE = 1
DIGITS = 6  # of a radius in the table
NUMBER = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?|-?inf|nan")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        idx: the example's number.
        label: the true class; here 1 is unsafe and 0 safe.
        predict: the certified class, or -1.
        radius: certified l2 radius of the image; it may be infinite, and is 0 where nothing is certified.
        correct: whether ``predict`` is ``label``.
        time: the time that the tool measured, as it wrote it: hours:minutes:seconds in Cohen et al.; "nan" if it was
            not recorded, which pandas reads as missing. It is not used here.

    Raises:
        ValueError: if a value is out of range, or ``correct`` contradicts ``predict`` and ``label``.
    """

    idx: int
    label: int
    predict: int
    radius: float
    correct: bool
    time: str = "nan"

    def __post_init__(self) -> None:
        integer("idx", self.idx, at_least=0)
        integer("label", self.label, at_least=0)
        integer("predict", self.predict, at_least=ABSTAIN)
        one("radius", nonnegative_or_infinite("radius", self.radius))
        flag("correct", self.correct)
        said = f"predict {self.predict} and label {self.label} contradict this"
        require(self.correct == (self.predict == self.label), "correct", int(self.correct), said)
        short = isinstance(self.time, str) and self.time.isprintable() and len(self.time) < 100
        require(short, "time", self.time, "give a short text without tabs and line ends", repr)


def certified_row(idx: int, label: int, radius: float, time: str = "nan") -> Row:
    """Return the line of an example that is certified unsafe with a radius, or is not certified (nan)."""
    found = one("radius", numbers("radius", radius))
    predict = ABSTAIN if math.isnan(found) else UNSAFE
    return Row(idx, label, predict, 0.0 if math.isnan(found) else found, predict == integer("label", label, 0), time)


def write_table(rows: Iterable[Row]) -> str:
    """Return the table as text, radii rounded down."""
    lines = ["\t".join(HEADER)]
    for row in several("rows", rows, "give rows", Row):
        # round the printed decimal number: rounding down twice changes nothing
        radius = Decimal(repr(float(row.radius)))
        shown = f"{radius.quantize(Decimal(10) ** -DIGITS, ROUND_FLOOR):f}" if radius.is_finite() else "inf"
        values = (row.idx, row.label, row.predict, shown, int(row.correct), row.time)
        lines.append("\t".join(map(str, values)))
    return "\n".join(lines) + "\n"


def read_table(file: Path) -> list[Row]:
    """Read a table that this or another tool wrote.

    Raises:
        ValueError: naming the line, if the header differs, a value is invalid, ``correct`` contradicts ``predict`` and
            ``label``, or an example occurs twice.
    """
    lines = read_text("file", file).split("\n")
    head = lines[0].split("\t") if lines else []
    require(tuple(head[:5]) == HEADER[:5], f"{file}, header", head, f"give a table of columns {', '.join(HEADER)}")
    found: dict[int, Row] = {}
    for at, line in enumerate(lines[1:], start=2):
        if line.strip():
            row = _row(line.rstrip("\r").split("\t"), f"{file}, line {at}")
            require(row.idx not in found, f"{file}, line {at}, idx", row.idx, "this example has an earlier line")
            found[row.idx] = row
    return list(found.values())


def _row(values: list[str], where: str) -> Row:
    try:
        if not all(NUMBER.fullmatch(value) for value in values[:4]):
            raise ValueError("some of these are not numbers")
        idx, label, predict = (int(value) for value in values[:3])
        correct = {"0": False, "1": True}[values[4]]
        return Row(idx, label, predict, float(values[3]), correct, values[5] if len(values) > 5 else "nan")
    except (ValueError, IndexError, KeyError) as error:
        columns = ", ".join(HEADER)
        raise ValueError(f"{where} = {shown(values)}: give values of columns {columns} ({error})") from error


@dataclass(frozen=True)
class AuthorsPoint:
    """The authors' result for one example at one text budget.

    Args:
        d: text budget.
        unsafe: draws in which the guard said unsafe.
        p: their lower confidence bound.
        radius: their image radius; nan where they do not certify, 0 where they certify only the text.
    """

    d: int
    unsafe: int
    p: float
    radius: float


@dataclass(frozen=True)
class AuthorsResult:
    """The authors' result for one example.

    Args:
        example: the example's number.
        threat: their name of the threat: append_only, inplace_suffix or l0_inplace.
        kernel: "uniform" or "absorb".
        beta: probability that a token is replaced.
        sigma: standard deviation of the image noise; 0 for text-only certification.
        tau: decision threshold.
        n: draws.
        alpha: risk of each bound.
        shared: one set of draws serves every d; otherwise each d has its own smoothed classifier and draws.
        curve: points for d = 1, 2, ... up to the first that is not certified.
    """

    example: int
    threat: str
    kernel: str
    beta: float
    sigma: float
    tau: float
    n: int
    alpha: float
    shared: bool
    curve: tuple[AuthorsPoint, ...]

    @property
    def setting(self) -> tuple[Any, ...]:
        """The settings that all results of one table must share."""
        return self.threat, self.kernel, self.beta, self.sigma, self.tau, self.n, self.alpha, self.shared

    def radius(self, d: int) -> float:
        """Return their radius at text budget ``d``, nan if there is none."""
        return next((point.radius for point in self.curve if point.d == d), math.nan)

    def recomputed(self, vocab_size: int) -> NDArray[np.float64]:
        """Recompute the radii from their counts, shape ``(len(curve),)``; nan where nothing is certified.

        Args:
            vocab_size: the size of their replacement alphabet, which their scripts print but do not store; not used for
                the absorbing kernel.
        """
        absorbing = self.kernel == "absorb"
        kernel = AbsorbingKernel(self.beta) if absorbing else UniformKernel(self.beta, vocab_size)
        found = []
        for point in self.curve:
            p = clopper_pearson_lower(point.unsafe, self.n, self.alpha)
            found.append(float(certified_radius(p, kernel.likelihood_ratio(point.d), sigma=self.sigma, tau=self.tau)))
        return np.array(found)


def read_authors(file: Path) -> list[AuthorsResult]:
    """Read a JSON file of the authors' certification scripts; files of their attacks are refused.

    Raises:
        ValueError: if it is not such a file, or an example occurs twice; the message names the object.
    """
    text = read_text("file", file)
    try:
        values = parsed_json(text)
    except ValueError as error:
        raise ValueError(f"file = {str(file)!r}: it is not JSON ({error})") from error
    values = values.get("results") if isinstance(values, dict) else values
    curves = isinstance(values, list) and all(isinstance(v, dict) and "certified_curve" in v for v in values)
    require(curves and bool(values), "file", str(file), "give a list of objects that have certified_curve", repr)
    assert isinstance(values, list)
    found: dict[int, AuthorsResult] = {}
    for at, value in enumerate(values):
        result = _authors_result(value, f"{file}, object {at}")
        require(
            result.example not in found, f"{file}, object {at}, example_id", result.example, "this example occurs twice"
        )
        found[result.example] = result
    return list(found.values())


def _authors_result(value: dict[str, Any], where: str) -> AuthorsResult:
    try:
        n, threat = integer("n", value["n"], at_least=1), str(value["text_threat"])
        require(value["kernel"] in ("uniform", "absorb"), "kernel", value["kernel"], "give uniform or absorb")
        return AuthorsResult(
            integer("example_id", value["example_id"], at_least=0),
            threat,
            value["kernel"],
            float(probability("beta", value["beta"])),
            float(positive("sigma", value["sigma"])) if "sigma" in value else 0.0,
            float(probability("tau", value["tau"])),
            n,
            risk("alpha", value["alpha"]),
            value.get("approach") == "shared_D" or threat == "l0_inplace",
            _authors_curve(value["certified_curve"], n),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where}: not what the authors' scripts write ({type(error).__name__}: {error})") from error


def _authors_curve(points: list[dict[str, Any]], n: int) -> tuple[AuthorsPoint, ...]:
    require(len(points) <= MAX_EDITS, "certified_curve", len(points), f"give at most {MAX_EDITS} points")
    curve = tuple(_authors_point(point, n) for point in points)
    budgets = [point.d for point in curve]
    require(budgets == sorted(set(budgets)), "d", budgets, "give each text budget once, in order")
    return curve


def _authors_point(point: dict[str, Any], n: int) -> AuthorsPoint:
    unsafe = integer("nA_unsafe", point["nA_unsafe"], at_least=0)
    require(unsafe <= n, "nA_unsafe", unsafe, f"give at most n = {n}")
    if "r" in point:
        radius = float(nonnegative("r", point["r"]))
        radius = radius if radius > 0 else math.nan  # their solver returns 0 if not even epsilon = 0 is certified
    else:
        radius = 0.0 if point["ok"] else math.nan
    d = integer("d", point["d"], at_least=1)
    require(d <= MAX_EDITS, "d", d, f"give at most {MAX_EDITS} edits")
    return AuthorsPoint(d, unsafe, float(probability("pA_lcb", point["pA_lcb"])), radius)
