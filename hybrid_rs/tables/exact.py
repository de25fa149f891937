r"""The exact smoothed value of a linear classifier of tables, and the exact worst attack on it.

The score :math:`T = b + w \cdot x + \sum_i \theta_i[z_i] + \sigma \lVert w \rVert N` of a noisy row is a sum of
independent terms: one for each categorical feature, and a normal one. Its characteristic function :math:`\varphi` is a
product, so combinations of categories need not be listed. A square wave of half-period L has the Fourier series
:math:`\frac4\pi \sum_k \sin(\omega_k t) / (2k+1)`, with :math:`\omega_k = (2k+1)\pi/L`, and equals the sign of t where
:math:`|t| < L`. So

.. math::
    P(T > 0) = \frac12 + \frac2\pi \sum_{k \ge 0} \frac{\operatorname{Im} \varphi(\omega_k)}{2k+1},

up to :math:`P(|T| \ge L)`. L is chosen so that this is below 1e-18. The terms fall like
:math:`e^{-\sigma^2 \lVert w \rVert^2 \omega_k^2 / 2}`, and the sum stops where they are as small.

Without noise on the numbers, T has finitely many values. The features are then divided into two halves, and the sums of
one half are looked up among the sorted sums of the other.

References:
    Davies (1973), "Numerical inversion of a characteristic function", Biometrika 60.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import integer, nonnegative, one, require
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.tables.linear import LinearClassifier

FloatArray = NDArray[np.float64]
DEVIATIONS = 9.0  # a normal is further out with probability 2e-19
MAX_TERMS = 1 << 17  # of the series; more are needed only if the noise is tiny compared with the scores
MAX_STATES = 3_000_000  # combinations of categories in half of the features


def require_exact(sizes: Sequence[int]) -> None:
    """Require that exact values can be computed without noise on the numbers; call it before training a classifier.

    Args:
        sizes: the arity of each categorical feature.

    Raises:
        ValueError: if half of the features have more than three million combinations.

    Example:
        >>> require_exact((9, 16, 7, 15, 6, 5, 2, 42))
        >>> require_exact((2000, 2000, 2000, 2000))
        Traceback (most recent call last):
        ValueError: combinations of categories = 4000000: exact values need at most 3000000 in ...
    """
    states = max(float(np.prod([sizes[i] for i in half], dtype=float)) for half in _halves(sizes))
    remedy = f"exact values need at most {MAX_STATES} in half of the features; draws have no limit"
    require(states <= MAX_STATES, "combinations of categories", int(states), remedy)


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
        ValueError: if the exact value cannot be computed; see :func:`worst_values`.
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

    The law of a noisy category c is :math:`(1 - \beta - \frac{\beta}{V-1}) \delta_c` plus a part that no edit changes,
    and the value is monotone in the score. So the worst attack writes categories of extreme weight, and all sets of at
    most d features are tried. The worst point within epsilon of x is :math:`x - \varepsilon w / \lVert w \rVert` for
    the verdict yes, and with a plus for no.

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
        shape ``(d_max + 1, E)``; the error is below 1e-13.

    Raises:
        ValueError: if the noise is too small for the series, or, without noise on the numbers, half of the features
            have more than three million combinations of categories.
    """
    side, budgets = (1.0 if says else -1.0), nonnegative("epsilon", epsilon)
    edits, noise = integer("d_max", d_max, at_least=0), one("sigma", nonnegative("sigma", sigma)) * classifier.norm
    start = side * (classifier.intercept + float(numeric @ classifier.weights)) - budgets * classifier.norm
    weights = [side * theta for theta in classifier.category_weights]
    laws = [
        [_law(kernel.beta, size, code) for code in (shown, _attacked(kernel.beta, weight))]
        for size, weight, shown in zip(kernel.sizes, weights, codes.tolist(), strict=True)
    ]
    if noise > 0:
        count, values = _with_noise(start, weights, laws, noise, edits)
    else:
        count, values = _without_noise(start, weights, laws, edits, strict=says)
    return np.array([values[count <= d].min(axis=0) for d in range(edits + 1)])


def _with_noise(
    start: FloatArray, weights: list[FloatArray], laws: list[list[FloatArray]], noise: float, edits: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the size of every set of at most ``edits`` features, and the values by budget, shape ``(sets, E)``."""
    reach = float(np.abs(start).max()) + sum(float(np.abs(weight).max()) for weight in weights) + DEVIATIONS * noise
    terms = int(DEVIATIONS * reach / (2 * np.pi * noise)) + 2
    remedy = f"the exact value needs {terms} terms, more than {MAX_TERMS}; draws have no limit"
    require(terms <= MAX_TERMS, "sigma", noise, remedy)
    odd = 2.0 * np.arange(terms) + 1
    omega = odd * (np.pi / reach)
    found, count = np.ones((1, terms), dtype=complex), np.zeros(1, dtype=np.int64)
    for weight, pair in zip(weights, laws, strict=True):
        waves = np.exp(1j * np.outer(weight, omega))
        clean, attacked = (law @ waves for law in pair)
        more = count < edits
        found = np.concatenate([found * clean, found[more] * attacked])
        count = np.concatenate([count, count[more] + 1])
    damped = np.exp(1j * np.outer(omega, start) - (noise * omega[:, None]) ** 2 / 2) / odd[:, None]
    return count, np.clip(0.5 + (2 / np.pi) * (found @ damped).imag, 0.0, 1.0)


def _without_noise(
    start: FloatArray, weights: list[FloatArray], laws: list[list[FloatArray]], edits: int, *, strict: bool
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the same if the score has finitely many values; ``strict``: a score of 0 is the other verdict."""
    require_exact([weight.size for weight in weights])
    first, second = _halves([weight.size for weight in weights])
    (one_count, one_law), (other_count, other_law) = (_products(half, laws, edits) for half in (first, second))
    ours, theirs = (
        reduce(lambda a, b: np.add.outer(a, b).ravel(), (weights[i] for i in half), np.zeros(1))
        for half in (first, second)
    )
    order = np.argsort(theirs, kind="stable")
    above = np.cumsum(other_law[:, order[::-1]], axis=1)[:, ::-1]  # the mass of a sum and all larger ones
    above = np.hstack([above, np.zeros((len(above), 1))])
    from_here = [np.searchsorted(theirs[order], -at - ours, side="right" if strict else "left") for at in start]
    values = np.stack([one_law @ above[:, place].T for place in from_here], axis=-1)
    count = one_count[:, None] + other_count
    return count.ravel(), np.minimum(values.reshape(-1, start.size), 1.0)


def _products(half: Sequence[int], laws: list[list[FloatArray]], edits: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the size of every set of at most ``edits`` features of a half, and the half's law if the set is edited."""
    sets: Iterable[tuple[int, ...]] = (s for d in range(min(edits, len(half)) + 1) for s in combinations(half, d))
    made = [
        (
            len(each),
            reduce(lambda a, b: np.multiply.outer(a, b).ravel(), (laws[i][i in each] for i in half), np.ones(1)),
        )
        for each in sets
    ]
    return np.array([size for size, _ in made]), np.array([law for _, law in made])


def _halves(sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Divide features into two groups with about equally many combinations of categories."""
    groups: tuple[list[int], list[int]] = [], []
    states = [1.0, 1.0]
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        smaller = int(states[1] < states[0])
        groups[smaller].append(i)
        states[smaller] *= sizes[i]
    return groups


def _law(beta: float, size: int, code: int) -> FloatArray:
    return np.where(np.arange(size) == code, 1 - beta, beta / (size - 1))


def _attacked(beta: float, weight: FloatArray) -> int:
    """Return the attacker's category: that of least weight; of greatest weight if beta is above 1 - 1/V."""
    return int(np.argmin(weight) if 1 - beta >= beta / (weight.size - 1) else np.argmax(weight))
