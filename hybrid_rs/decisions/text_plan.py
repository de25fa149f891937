"""How many texts for each image? Predictions from pilot draws, made before the draws that certify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from hybrid_rs._checks import integer, kind, require
from hybrid_rs.certificates.frontier_of import frontier_of
from hybrid_rs.certificates.kernels import Kernel
from hybrid_rs.evidence.subset_counts import SubsetCounts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts, images_of_size, texts_of_size
from hybrid_rs.evidence.text_counts import TextCounts


@overload
def expected_counts(pilot: TextCounts, texts: int, n: int) -> TextCounts: ...


@overload
def expected_counts(pilot: SubsetTextCounts, texts: int, n: int) -> SubsetTextCounts | SubsetCounts: ...


def expected_counts(
    pilot: TextCounts | SubsetTextCounts, texts: int, n: int
) -> TextCounts | SubsetTextCounts | SubsetCounts:
    """Predict the counts of ``n`` images with ``texts`` texts each, rounded down.

    Any m of the M texts of a pilot image are m independent texts for that image. Choose m of the M texts at random. The
    probability that k or more of these are flagged is a hypergeometric tail. Its mean over the pilot's images predicts
    the share of images with k or more flagged texts. Where positions are unknown, each size of sets has a row, that of
    the pilot's worst set. In a small pilot this set looks worse than it is: for d >= 1 the prediction is cautious.

    Args:
        pilot: counts of the pilot draws.
        texts: m, at most the pilot's number of texts.
        n: number of images.

    Returns:
        counts without a seed: they were not drawn, and certify nothing. They are of the pilot's kind; for one text and
        unknown positions they are SubsetCounts.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> expected_counts(TextCounts(((100, 80, 60, 20),), n=100), texts=2, n=1_000).reached
        ((866, 433),)
    """
    kind("pilot", pilot, (TextCounts, SubsetTextCounts), "give counts of several texts for each image, of pilot draws")
    m, images = integer("texts", texts, at_least=1), integer("n", n, at_least=1)
    require(m <= pilot.texts, "texts", m, f"give at most {pilot.texts}, the pilot's number of texts")
    source: dict[str, Any] = {"example": pilot.example, "smoothing": pilot.smoothing}
    if isinstance(pilot, TextCounts):
        return TextCounts(tuple(_thinned(row, pilot.n, m, images) for row in pilot.reached), images, **source)
    law: dict[str, Any] = source | {"length": pilot.length, "beta": pilot.beta}
    sizes = range(len(pilot.reached))
    if m == 1:
        missed = [1 - sum(row) / (len(row) * pilot.images(j)) for j, row in enumerate(pilot.reached)]
        safe = np.minimum.accumulate([int(np.ceil(images * pilot.beta**j * missed[j] - 1e-9)) for j in sizes])
        return SubsetCounts(tuple(safe.tolist()), images, **law)
    rows = [
        _thinned(
            pilot.reached[j],
            pilot.images(j),
            texts_of_size(m, pilot.beta, j),
            images_of_size(images, m, pilot.beta, j),
        )
        for j in sizes
    ]
    return SubsetTextCounts(tuple(rows), images, m, **law)


def _thinned(row: Sequence[int], drawn: int, texts: int, images: int) -> tuple[int, ...]:
    """Predict the row for ``images`` images with ``texts`` texts each, from a row of ``drawn`` images with more."""
    from scipy.stats import hypergeom  # its import doubles the start of every command, and only this needs it

    many = len(row)
    shares = -np.diff([drawn, *row, 0]) / drawn  # of images with exactly 0..M flagged texts
    tails = hypergeom.sf(np.arange(texts)[:, None], many, np.arange(many + 1), texts)  # k = 1..m, by the number flagged
    expected = np.minimum(np.floor(images * (tails @ shares) + 1e-9), images).astype(int)
    return tuple(np.minimum.accumulate(expected).tolist())


def expected_radii(
    pilot: TextCounts | SubsetTextCounts,
    plans: Mapping[int, int],
    kernel: Kernel,
    *,
    d: int,
    sigma: float,
    tau: float,
    alpha: float = 0.01,
) -> dict[int, float]:
    """Predict the image radius of each plan; a plan has a number of texts per image and a number of images.

    Compare plans of the same cost, take the best, and certify with *another seed*: do not certify with the draws that
    chose the number of texts.

    Args:
        pilot: counts of pilot draws of the same smoothed guard, with as many texts as any plan has.
        plans: number of texts for each image -> number of images.
        kernel: the token kernel of the draws.
        d: text budget of interest.
        sigma: standard deviation of the image noise of the draws.
        tau: decision threshold, in [0, 1].
        alpha: risk, in (0, 1).

    Returns:
        the radii by number of texts; nan where nothing would be certified.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> import hybrid_rs as hrs
        >>> pilot = hrs.TextCounts(((100, 100, 95, 70), (100, 99, 90, 60)), n=100)
        >>> kernel = hrs.UniformKernel(beta=0.5, vocab_size=32_000)
        >>> radii = expected_radii(pilot, {1: 8_000, 4: 2_000}, kernel, d=1, sigma=0.5, tau=0.05)
        >>> {texts: float(hrs.floored(radius, 2)) for texts, radius in radii.items()}
        {1: 1.18, 4: 1.66}
    """
    kind("plans", plans, Mapping, "give the number of images by the number of texts, such as {1: 10_000, 16: 1_000}")
    found = {}
    for texts, n in plans.items():
        counts = expected_counts(pilot, texts, n)
        found[texts] = frontier_of(counts, kernel, sigma=sigma, tau=tau, d_max=d, alpha=alpha).radius(d)
    return found
