r"""A linear classifier of tables, and its noisy draws; its exact values are in :mod:`hybrid_rs.tables.exact`.

Its score is :math:`b + w \cdot x + \sum_i \theta_i[c_i]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, nonnegative, one, positive
from hybrid_rs._extras import needs
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.evidence.counts import Counts, smoothing_text
from hybrid_rs.smoothing.answers import verdicts
from hybrid_rs.tables.data import TabularData
from hybrid_rs.tables.lattice import categories, distance

FloatArray = NDArray[np.float64]


class TabularClassifier(Protocol):
    """A classifier of tables, as sampling needs it."""

    def predict(self, numeric: FloatArray, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the verdict on each row: ``numeric`` of shape ``(rows, k)``, ``codes`` of shape ``(rows, m)``."""
        ...


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Says yes where the intercept, weighted numbers and category weights sum to more than 0.

    Args:
        intercept: b.
        weights: w, shape ``(k,)``, of the standardised numeric features.
        category_weights: theta, for each categorical feature an array of shape ``(V_i,)``.
    """

    intercept: float
    weights: FloatArray
    category_weights: tuple[FloatArray, ...]

    @property
    def norm(self) -> float:
        """The l2 norm of the numeric weights: the largest change of the score at epsilon = 1."""
        return float(np.linalg.norm(self.weights))

    def score(self, numeric: FloatArray, codes: NDArray[np.int64]) -> FloatArray:
        """Return the score of each row: ``numeric`` of shape ``(rows, k)``, ``codes`` of shape ``(rows, m)``."""
        chosen = [theta[codes[:, i]] for i, theta in enumerate(self.category_weights)]
        return self.intercept + numeric @ self.weights + np.sum(chosen, axis=0)

    def predict(self, numeric: FloatArray, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the verdict on each row."""
        return self.score(numeric, codes) > 0

    def withstands(self, numeric: FloatArray, codes: NDArray[np.int64], d: int, epsilon: float) -> NDArray[np.bool_]:
        """Return whether no attack within the budgets changes the verdict on a row; exact, without noise.

        The worst attack edits the d features whose weights can change most against the verdict, and moves the numbers
        straight towards the boundary.
        """
        scores = self.score(numeric, codes)
        side = np.where(scores > 0, 1.0, -1.0)
        drops = [
            side * theta[codes[:, i]] - np.where(side > 0, theta.min(), -theta.max())
            for i, theta in enumerate(self.category_weights)
        ]
        edits = np.sort(drops, axis=0)[::-1][: integer("d", d, at_least=0)].sum(axis=0)
        left = side * scores - edits - one("epsilon", nonnegative("epsilon", epsilon)) * self.norm
        return np.where(side > 0, left > 0, left >= 0)


def fit(
    data: TabularData, *, beta: float, sigma: float, copies: int = 5, regularisation: float = 1.0, seed: int = 0
) -> LinearClassifier:
    """Return a linear support vector machine (squared hinge loss), trained on noisy copies of the training rows.

    Args:
        data: the table.
        beta: replacement probability of the copies' categories, in [0, 1].
        sigma: standard deviation of the noise on their numeric features.
        copies: noisy copies of each training row.
        regularisation: C of scikit-learn's LinearSVC.
        seed: seed of the copies' noise.
    """
    with needs("data"):
        from sklearn.svm import LinearSVC

    rows = np.tile(data.train, integer("copies", copies, at_least=1))
    rng = np.random.default_rng([seed, len(data.train)])
    codes, numeric = data.codes[rows], data.numeric[rows]
    replaced, by = FeatureKernel(beta, data.sizes).replacements(codes, rows.size, rng)
    one_hot = _one_hot(np.where(replaced, by, codes), data.sizes)
    noisy = numeric + one("sigma", nonnegative("sigma", sigma)) * rng.standard_normal(numeric.shape)
    machine = LinearSVC(C=one("regularisation", positive("regularisation", regularisation)), dual=False)
    machine.fit(np.hstack([noisy, one_hot]), data.labels[rows])
    first, *others = np.split(machine.coef_[0], np.cumsum([numeric.shape[1], *data.sizes])[:-1])
    return LinearClassifier(float(machine.intercept_[0]), first, tuple(others))


def _one_hot(codes: NDArray[np.int64], sizes: Sequence[int]) -> FloatArray:
    return np.hstack([np.eye(size)[codes[:, i]] for i, size in enumerate(sizes)])


def sample(
    classifier: TabularClassifier,
    data: TabularData,
    row: int,
    kernel: FeatureKernel,
    *,
    sigma: float,
    n: int,
    seed: int = 0,
    purpose: int = 0,
) -> Counts:
    """Draw the noise of one row ``n`` times and count how often the classifier says yes.

    The noise on numbers is a Gaussian rounded to the feature's lattice; see :mod:`hybrid_rs.tables.lattice`. The draws
    are a function of (seed, row, purpose).

    Args:
        classifier: the base classifier, linear or not.
        data: the table.
        row: the number of the row.
        kernel: the noise on categories.
        sigma: standard deviation of the noise on numeric features, in their standard deviations; 0 for none.
        n: number of draws.
        seed: seed of the draws, below 2^32.
        purpose: separates draws that must be independent, such as those that choose a class and those that certify.
    """
    draws, deviation = integer("n", n, at_least=1), one("sigma", nonnegative("sigma", sigma))
    # each is one word of 32 bits: of a larger seed the second word would be taken for a row
    names = {"seed": seed, "row": row, "purpose": purpose}
    entropy = [integer(name, word, at_least=0, at_most=2**32 - 1) for name, word in names.items()]
    noisy = data.lattice.noisy(data.levels[row], deviation, draws, entropy)
    found = classifier.predict(noisy, kernel.sample(data.codes[row], draws, categories(entropy)))
    yes = int(verdicts(found, draws, f"{type(classifier).__name__}.predict").sum())
    off, noise = distance(data.lattice, kernel, deviation), smoothing_text(kernel, deviation)
    return Counts((yes,), draws, distance=off, smoothing=noise)
