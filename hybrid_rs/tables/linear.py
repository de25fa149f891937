r"""A linear classifier of tables, for which the smoothed value and the worst attack can be computed exactly.

Its score is :math:`b + w \cdot x + \sum_i \theta_i[c_i]`. Under Gaussian noise on x and the uniform kernel on the
categories c, the score is normal given the noisy categories, and there are finitely many categories, so

.. math::
    g(x, c) = \sum_{z} p(z \mid c) \,
    \Phi\!\Big(\frac{b + w \cdot x + \sum_i \theta_i[z_i]}{\sigma \lVert w \rVert}\Big).

The worst point within epsilon of x is :math:`x - \varepsilon w / \lVert w \rVert`, the worst category of a feature is
one of the two with extreme weight, and all subsets of d features are tried. Certificates can be compared with this
exact value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from hybrid_rs._checks import integer, nonnegative, one, positive, require
from hybrid_rs._extras import needs
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.smoothing.answers import verdicts
from hybrid_rs.tables.data import TabularData

FloatArray = NDArray[np.float64]
MAX_STATES = 3_000_000  # largest number of combinations of categories in an exact sum


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

    @cached_property
    def sums(self) -> FloatArray:
        """The sum of the category weights, for every combination of categories."""
        require_exact([theta.size for theta in self.category_weights])
        return reduce(lambda a, b: np.add.outer(a, b).ravel(), self.category_weights, np.zeros(1))


def require_exact(sizes: Sequence[int]) -> None:
    """Require that exact values can be computed; call it before a classifier is trained for them.

    Args:
        sizes: the arity of each categorical feature.

    Raises:
        ValueError: if the categories have more than three million combinations.

    Example:
        >>> require_exact((9, 16, 7, 15, 6, 5, 2, 42))
        Traceback (most recent call last):
        ValueError: combinations of categories = 38102400: exact values need at most 3000000; draws have no limit
    """
    states = int(np.prod(sizes, dtype=float))
    remedy = f"exact values need at most {MAX_STATES}; draws have no limit"
    require(states <= MAX_STATES, "combinations of categories", states, remedy)


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
    numeric: FloatArray,
    codes: NDArray[np.int64],
    kernel: FeatureKernel,
    *,
    sigma: float,
    n: int,
    rng: np.random.Generator,
) -> Counts:
    """Draw the noise of one row ``n`` times and count how often the classifier says yes.

    Args:
        classifier: the base classifier, linear or not.
        numeric: shape ``(k,)``, the row's standardised numeric features.
        codes: shape ``(m,)``, its categories.
        kernel: the noise on categories.
        sigma: standard deviation of the noise on numeric features; 0 for none.
        n: number of draws.
        rng: the source of randomness.
    """
    draws = integer("n", n, at_least=1)
    noisy = numeric + one("sigma", nonnegative("sigma", sigma)) * rng.standard_normal((draws, numeric.size))
    found = classifier.predict(noisy, kernel.sample(codes, draws, rng))
    return Counts((int(verdicts(found, draws, f"{type(classifier).__name__}.predict").sum()),), draws)


def smoothed_value(
    classifier: LinearClassifier, numeric: FloatArray, codes: NDArray[np.int64], kernel: FeatureKernel, *, sigma: float
) -> FloatArray:
    """Return the exact probability that the classifier says yes under noise, shape ``(rows,)``.

    Args:
        classifier: the base classifier.
        numeric: shape ``(rows, k)``.
        codes: shape ``(rows, m)``.
        kernel: the noise on categories.
        sigma: standard deviation of the noise on numeric features; 0 for none.

    Raises:
        ValueError: if the categories have more than three million combinations.
    """
    rows = zip(numeric, codes, strict=True)
    return np.array(
        [worst_values(classifier, x, c, kernel, sigma=sigma, d_max=0, epsilon=[0.0])[0, 0] for x, c in rows]
    )


def worst_values(
    classifier: LinearClassifier,
    numeric: FloatArray,
    codes: NDArray[np.int64],
    kernel: FeatureKernel,
    *,
    sigma: float,
    d_max: int,
    epsilon: ArrayLike,
    says: bool = True,
) -> FloatArray:
    r"""Return the exact smallest smoothed value of a verdict on one row under all attacks within the budgets.

    A category enters the value through its kernel :math:`(1 - \beta - \frac{\beta}{V-1}) \delta_c` plus a part that no
    edit changes, and the value is monotone in the score. So the worst attack writes the category of extreme weight.
    Summing over one feature at a time, under the clean law and under the attacked law, gives the value for every subset
    of edited features in little more than one pass over the combinations of categories.

    Args:
        classifier: the base classifier.
        numeric: shape ``(k,)``.
        codes: shape ``(m,)``.
        kernel: the noise on categories.
        sigma: standard deviation of the noise on numeric features; 0 for none.
        d_max: the largest number of categories edited.
        epsilon: numeric budgets, l2, shape ``(E,)``, in the units of sigma.
        says: the verdict whose smoothed value is computed.

    Returns:
        shape ``(d_max + 1, E)``.

    Raises:
        ValueError: if the categories have more than three million combinations.
    """
    side = 1.0 if says else -1.0
    budgets, noise = nonnegative("epsilon", epsilon), one("sigma", nonnegative("sigma", sigma)) * classifier.norm
    scores = classifier.intercept + float(numeric @ classifier.weights) + classifier.sums
    left = side * scores - budgets[:, None] * classifier.norm
    value = ndtr(left / noise) if noise > 0 else (left > 0 if says else left >= 0).astype(float)
    attacked = _worst_categories(classifier, kernel, side)
    for size, *shown in zip(kernel.sizes[::-1], codes[::-1], attacked[::-1], strict=True):
        laws = [np.where(np.arange(size) == code, 1 - kernel.beta, kernel.beta / (size - 1)) for code in shown]
        value = (value.reshape(-1, size) @ np.transpose(laws)).T
    by_subset = value.reshape(-1, budgets.size)  # the bits of a subset's number are its features
    edits = np.bitwise_count(np.arange(len(by_subset)))
    return np.array([by_subset[edits <= d].min(axis=0) for d in range(integer("d_max", d_max, at_least=0) + 1)])


def _worst_categories(classifier: LinearClassifier, kernel: FeatureKernel, side: float) -> NDArray[np.int64]:
    """Return the attacker's categories: those of least weight; of greatest weight if beta is very large."""
    lowest = [int(np.argmin(side * theta)) for theta in classifier.category_weights]
    highest = [int(np.argmax(side * theta)) for theta in classifier.category_weights]
    kept = [1 - kernel.beta >= kernel.beta / (size - 1) for size in kernel.sizes]
    return np.where(kept, lowest, highest)
