"""Table 7 on the Adult data set, as in the paper: counts of runs on the published files, stored without the data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, one, probability, require, several, text
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.evidence.counts import whole_counts
from hybrid_rs.experiments.profiles import get_profile
from hybrid_rs.experiments.setting import COUNTS
from hybrid_rs.experiments.table7 import FloatArray, RowCounts, certificate, draw, without_noise, worst_of_rows
from hybrid_rs.smoothing.draws import SAMPLERS
from hybrid_rs.storage.records import SCHEMA, records
from hybrid_rs.tables.adult_files import TEST, TRAIN
from hybrid_rs.tables.data import TabularData, adult as read_adult
from hybrid_rs.tables.linear import fit

MADE = ("files", "people", "sizes", "labels", "says", "yes", "distance", "truth", "always_no", "no_noise")
WAYS = {"hybrid": (0.25, 0.5), "numeric only": (0.0, 0.5), "categorical only": (0.25, 0.0)}  # beta, sigma
SETTING = {"noise": SAMPLERS["lattice"], "copies": 5, "seed": 0}
SETTING |= {"tau": 0.5, "epsilons": [0.0, 0.1, 0.25, 0.5, 1.0], "d_max": 3}
LEAST_DRAWS = 2000  # with 1130 or fewer no row can be certified at one edit, whatever the classifier


@dataclass(frozen=True, eq=False)
class AdultRun:
    """The counts and accuracies of one way of smoothing, on the first rows of Adult's test file.

    Args:
        counts: verdicts of the draws.
        sizes: the arity of each categorical feature, by name.
        people: numbers of rows of the training file and of the test file.
        always_no: share of the rows for which the more frequent class is right.
        truth: exact robust accuracy of the smoothed classifier at tau = 0.5, by d and epsilon.
        no_noise: exact robust accuracy of a classifier without noise, by d and epsilon; see
            :func:`hybrid_rs.experiments.table7.without_noise`.
        beta: replacement probability.
        sigma: standard deviation of the noise on numbers.
    """

    counts: RowCounts
    sizes: dict[str, int]
    people: tuple[int, int]
    always_no: float
    truth: FloatArray
    no_noise: FloatArray
    beta: float
    sigma: float

    @property
    def kernel(self) -> FeatureKernel:
        """The noise on categories."""
        return FeatureKernel(self.beta, tuple(self.sizes.values()))

    def values(self, *, epsilons: Sequence[float], d_max: int, alpha: float) -> FloatArray:
        """Return the certified value of each row's predicted class, shape ``(rows, d_max + 1, E)``."""
        law: dict[str, Any] = {"sigma": self.sigma, "epsilons": epsilons, "d_max": d_max}
        return certificate(self.counts.p_lower(alpha), self.kernel, **law)

    def accuracy(self, tau: float, **law: Any) -> FloatArray:
        """Return the share of rows that are right and certified, shape ``(d_max + 1, E)``; ``law`` as in values."""
        return (self.counts.correct[:, None, None] & (self.values(**law) >= tau)).mean(axis=0)


def adult_runs(profile: str, folder: str = "") -> dict[str, AdultRun]:
    """Return the runs of Adult in the paper's setting: stored ones, or new ones if the files are at hand.

    Args:
        profile: "quick", "standard" or "full". It sets how many rows of the test file are certified, and with how many
            draws (at least 2000). The counts are in ``data/counts/T7_<profile>.jsonl``.
        folder: the published files, from which missing runs are made; see :func:`hybrid_rs.tables.data.adult`.

    Returns:
        one run for each way of smoothing: "hybrid", "numeric only", "categorical only".

    Raises:
        ValueError: if a run is not stored and cannot be made.

    Example:
        >>> runs = adult_runs("quick")
        >>> [(way, run.beta, run.sigma) for way, run in runs.items()]
        [('hybrid', 0.25, 0.5), ('numeric only', 0.0, 0.5), ('categorical only', 0.25, 0.0)]
        >>> sorted(runs["hybrid"].sizes.values())
        [2, 5, 6, 7, 9, 15, 16, 42]
    """
    size = get_profile(profile)
    store = records(COUNTS / f"T7_{profile}.jsonl", made=MADE, check=_checked)
    law: dict[str, Any] = {"rows": 10 * (size.n_unsafe + size.n_safe), "n": max(size.n, LEAST_DRAWS)}
    for name in (TRAIN, TEST) if folder else ():
        require((Path(folder) / name).is_file(), "adult_files", folder, f"there is no file {name} in it", repr)
    adult: list[TabularData] = []  # loaded once, when the first run is made

    def run(beta: float, sigma: float) -> AdultRun:
        question = {"schema": SCHEMA, "table": "adult", "features": 14, "beta": beta, "sigma": sigma} | law | SETTING

        def make() -> dict[str, Any]:
            remedy = "this run is not stored: give the folder of adult.data and adult.test"
            require(bool(folder), "adult_files", folder, remedy, repr)
            if not adult:
                adult.append(read_adult(folder))
            return _made(adult[0], question, Path(folder))

        return _run(store.get_or_make(question, make))

    return {way: run(*noise) for way, noise in WAYS.items()}


def _made(data: TabularData, question: dict[str, Any], folder: Path) -> dict[str, Any]:
    beta, sigma, seed = question["beta"], question["sigma"], question["seed"]
    rows = data.test[: question["rows"]]
    machine = fit(data, beta=beta, sigma=sigma, copies=question["copies"], seed=seed)
    counts = draw(machine, data, rows, beta=beta, sigma=sigma, n=question["n"], seed=seed)
    budgets: dict[str, Any] = {"epsilons": question["epsilons"], "d_max": question["d_max"]}
    plain, kernel = without_noise(data, rows, **budgets), FeatureKernel(beta, data.sizes)
    least = worst_of_rows(machine, data, rows, counts.says, kernel, sigma=sigma, **budgets)
    truth = (counts.correct[:, None, None] & (least >= question["tau"])).mean(axis=0)
    digest = hashlib.sha256(b"".join((folder / name).read_bytes() for name in (TRAIN, TEST))).hexdigest()
    return {
        "files": digest[:16],
        "people": [len(data.train), len(data.test)],
        "sizes": dict(zip(data.categories, data.sizes, strict=True)),
        "labels": _bits(counts.labels),
        "says": _bits(counts.says),
        "yes": counts.yes.tolist(),
        "distance": counts.distance,
        "truth": truth.tolist(),
        "always_no": float((counts.labels == (data.labels[data.train].mean() > 0.5)).mean()),
        "no_noise": plain.tolist(),
    }


def _checked(line: dict[str, Any]) -> None:
    """Require a line to be a possible run."""
    rows, n = integer("rows", line["rows"], at_least=1), integer("n", line["n"], at_least=1)
    for name in ("labels", "says"):
        bits = text(name, line[name])
        require(len(bits) == rows and set(bits) <= {*"01"}, name, bits, f"give 0 or 1 for each of {rows} rows", repr)
    require(len(whole_counts("yes", line["yes"], n)) == rows, "yes", line["yes"], f"give one for each of {rows} rows")
    shape = (line["d_max"] + 1, len(line["epsilons"]))
    for name in ("truth", "no_noise"):
        grid = probability(name, line[name])
        require(grid.shape == shape, name, grid.shape, f"give shape {shape}")
    for name in ("always_no", "distance"):
        one(name, probability(name, line[name]))
    FeatureKernel(line["beta"], tuple(line["sizes"].values()))
    for count in several("people", line["people"], "give the rows of both files"):
        integer("people", count, at_least=1)


def _run(line: dict[str, Any]) -> AdultRun:
    labels, says = (np.array([bit == "1" for bit in line[name]]) for name in ("labels", "says"))
    counts = RowCounts(labels, says, np.array(line["yes"]), line["n"], line["distance"])
    truth, plain = np.array(line["truth"]), np.array(line["no_noise"])
    people = (line["people"][0], line["people"][1])
    return AdultRun(counts, line["sizes"], people, line["always_no"], truth, plain, line["beta"], line["sigma"])


def _bits(values: NDArray[np.bool_]) -> str:
    return "".join("1" if value else "0" for value in values.tolist())
