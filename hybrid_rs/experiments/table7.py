"""Table 7: certified accuracy on tables of data, compared with the exact worst case of a linear classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer
from hybrid_rs.certificates.feature_kernel import FeatureKernel, worst_ratios
from hybrid_rs.certificates.worst_case import p_adv
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower
from hybrid_rs.evidence.counts import lowered
from hybrid_rs.tables.data import TabularData
from hybrid_rs.tables.exact import require_exact, smoothed_value, worst_values
from hybrid_rs.tables.lattice import distance
from hybrid_rs.tables.linear import LinearClassifier, TabularClassifier, fit, sample

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
ROUNDING = 1e-13  # bound on the error of an exact value


@dataclass(frozen=True, eq=False)
class Outcome:
    """The results of one way of smoothing on some rows: predicted classes, and least smoothed values under attack.

    Args:
        epsilons: shape ``(E,)``, the numeric budgets.
        correct: shape ``(rows,)``, whether the predicted class is the label.
        labels: shape ``(rows,)``.
        p_lower: shape ``(rows,)``, lower confidence bound of the smoothed value of the predicted class.
        p_exact: shape ``(rows,)``, that smoothed value.
        from_draws: shape ``(rows, d_max + 1, E)``, the certificate p_adv computed from ``p_lower``.
        from_exact: the certificate computed from ``p_exact`` minus 1e-13, a bound on its rounding error.
        truth: the least value that an attack on this classifier can reach.
    """

    epsilons: FloatArray
    correct: NDArray[np.bool_]
    labels: NDArray[np.bool_]
    p_lower: FloatArray
    p_exact: FloatArray
    from_draws: FloatArray
    from_exact: FloatArray
    truth: FloatArray

    def accuracy(self, values: FloatArray, tau: float) -> FloatArray:
        """Return the share of rows with the right class and values of at least ``tau``, shape ``(d_max + 1, E)``."""
        return (self.correct[:, None, None] & (values >= tau)).mean(axis=0)

    def to_frame(self, tau: float) -> pd.DataFrame:
        """Return a table of accuracies: columns d, epsilon, certified, from exact p_A, and truth."""
        import pandas as pd

        shares = {"certified": self.from_draws, "exact p_A": self.from_exact, "truth": self.truth}
        d, e = np.indices(self.truth.shape[1:]).reshape(2, -1)
        columns = {name: self.accuracy(values, tau).ravel() for name, values in shares.items()}
        return pd.DataFrame({"d": d, "epsilon": self.epsilons[e]} | columns)


def without_noise(
    data: TabularData, rows: NDArray[np.int64], *, epsilons: Sequence[float], d_max: int, regularisation: float = 1.0
) -> FloatArray:
    """Return the exact robust accuracy of a linear classifier without smoothing, trained on rows without noise.

    Args:
        data: the table.
        rows: the rows on which the accuracy is measured.
        epsilons: numeric budgets, l2, in standard deviations of a feature.
        d_max: the largest number of categories edited.
        regularisation: C of the classifier's training.

    Returns:
        shape ``(d_max + 1, E)``: the share of rows that are classified correctly under every attack within the budgets.
    """
    machine = fit(data, beta=0.0, sigma=0.0, copies=1, regularisation=regularisation)
    numeric, codes = data.numeric[rows], data.codes[rows]
    right = machine.predict(numeric, codes) == data.labels[rows]
    edits = range(integer("d_max", d_max, at_least=0) + 1)
    return np.array([[(right & machine.withstands(numeric, codes, d, e)).mean() for e in epsilons] for d in edits])


def worst_of_rows(
    classifier: LinearClassifier,
    data: TabularData,
    rows: NDArray[np.int64],
    says: NDArray[np.bool_],
    kernel: FeatureKernel,
    *,
    sigma: float,
    epsilons: Sequence[float],
    d_max: int,
) -> FloatArray:
    """Return the least smoothed value of each row's class under attack, shape ``(rows, d_max + 1, E)``.

    The attack may move numbers anywhere, also off their lattice; so the truth on the lattice is at least this.

    Args:
        classifier: the base classifier.
        data: the table.
        rows: the rows.
        says: shape ``(rows,)``, the class of each row whose value is attacked.
        kernel: the noise on categories.
        sigma: standard deviation of the noise on numeric features.
        epsilons: numeric budgets, l2, in standard deviations of a feature.
        d_max: the largest number of categories edited.
    """
    law: dict[str, Any] = {"sigma": sigma, "d_max": d_max, "epsilon": epsilons}
    attacked = zip(data.numeric[rows], data.codes[rows], says.tolist(), strict=True)
    return np.array([worst_values(classifier, x, c, kernel, says=said, **law) for x, c, said in attacked])


@dataclass(frozen=True, eq=False)
class RowCounts:
    """The counts of noisy draws of some rows; certificates need nothing else.

    Args:
        labels: shape ``(rows,)``, bool.
        says: shape ``(rows,)``, bool: the predicted class, chosen by separate draws.
        yes: shape ``(rows,)``: how many of the ``n`` certifying draws said yes.
        n: draws per row that certify.
        distance: total variation between the law of a draw and that of the theorem; subtracted from every bound.
    """

    labels: NDArray[np.bool_]
    says: NDArray[np.bool_]
    yes: NDArray[np.int64]
    n: int
    distance: float

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the label."""
        return self.says == self.labels

    def p_lower(self, alpha: float) -> FloatArray:
        """Return the lower confidence bound of the predicted class's smoothed value, shape ``(rows,)``."""
        agree = np.where(self.says, self.yes, self.n - self.yes)
        return lowered(np.asarray(clopper_pearson_lower(agree, self.n, alpha)), self.distance)


def draw(
    classifier: TabularClassifier,
    data: TabularData,
    rows: NDArray[np.int64],
    *,
    beta: float,
    sigma: float,
    n: int,
    selection: int = 100,
    seed: int = 0,
) -> RowCounts:
    """Choose the class of each row by ``selection`` draws, and count the verdicts of ``n`` further draws.

    So the draws that certify are not used for the choice (Cohen et al. 2019). The draws of a row are a function of the
    seed, the row and their number.

    Args:
        classifier: the base classifier.
        data: the table.
        rows: which rows to certify.
        beta: replacement probability of categories; 0 for numeric smoothing alone.
        sigma: standard deviation of the noise on numeric features; 0 for categorical smoothing alone.
        n: draws per row that certify.
        selection: draws per row that choose the class.
        seed: seed of the draws.
    """
    kernel = FeatureKernel(beta, data.sizes)

    def says_yes(size: int, purpose: int) -> NDArray[np.int64]:
        """Return for each row how many of ``size`` draws say yes."""
        law: dict[str, Any] = {"sigma": sigma, "n": size, "seed": seed, "purpose": purpose}
        return np.array([sample(classifier, data, row, kernel, **law).unsafe[0] for row in rows.tolist()])

    off = distance(data.lattice, kernel, sigma)
    return RowCounts(data.labels[rows], says_yes(selection, 0) > selection / 2, says_yes(n, 1), n, off)


def certificate(
    p: FloatArray, kernel: FeatureKernel, *, sigma: float, epsilons: Sequence[float], d_max: int
) -> FloatArray:
    """Return the least value under attack for clean values ``p``, shape ``(rows, d_max + 1, E)``.

    Args:
        p: clean values, or lower bounds of them, shape ``(rows,)``.
        kernel: the noise on categories.
        sigma: standard deviation of the noise on numeric features.
        epsilons: numeric budgets, l2, in standard deviations of a feature.
        d_max: the largest number of categories edited.
    """
    budgets = np.array(epsilons, dtype=np.float64)
    choices = [worst_ratios(kernel, d) for d in range(integer("d_max", d_max, at_least=0) + 1)]
    each = [np.min([p_adv(p[:, None], budgets, law, sigma=sigma) for law in laws], axis=0) for laws in choices]
    return np.stack(each, axis=1)


def evaluate(
    classifier: LinearClassifier,
    data: TabularData,
    rows: NDArray[np.int64],
    *,
    beta: float,
    sigma: float,
    epsilons: Sequence[float],
    d_max: int,
    n: int,
    selection: int = 100,
    alpha: float = 0.01,
    seed: int = 0,
) -> Outcome:
    """Smooth a linear classifier, certify the class that it predicts, and compute the exact worst case.

    Args:
        classifier: the base classifier.
        data: the table; see :func:`hybrid_rs.tables.exact.require_exact`.
        rows: which rows to certify.
        beta: replacement probability of categories; 0 for numeric smoothing alone.
        sigma: standard deviation of the noise on numeric features; 0 for categorical smoothing alone.
        epsilons: numeric budgets, l2, in standard deviations of a feature, as sigma is.
        d_max: the largest number of categories edited.
        n: draws per row that certify; see :func:`draw`.
        selection: draws per row that choose the class.
        alpha: risk per row.
        seed: seed of the draws.

    Raises:
        ValueError: if the exact values cannot be computed, before anything is drawn.
    """
    require_exact(data.sizes)
    kernel, budgets = FeatureKernel(beta, data.sizes), np.array(epsilons, dtype=np.float64)
    numeric, codes, edits = data.numeric[rows], data.codes[rows], integer("d_max", d_max, at_least=0)
    counts = draw(classifier, data, rows, beta=beta, sigma=sigma, n=n, selection=selection, seed=seed)
    value = smoothed_value(classifier, numeric, codes, kernel, sigma=sigma)
    p_lower, p_exact = counts.p_lower(alpha), np.where(counts.says, value, 1 - value)
    truth = worst_of_rows(classifier, data, rows, counts.says, kernel, sigma=sigma, epsilons=epsilons, d_max=edits)
    how: dict[str, Any] = {"sigma": sigma, "epsilons": epsilons, "d_max": edits}
    from_draws = certificate(p_lower, kernel, **how)
    from_exact = certificate(np.maximum(p_exact - ROUNDING, 0.0), kernel, **how)
    return Outcome(budgets, counts.correct, counts.labels, p_lower, p_exact, from_draws, from_exact, truth)
