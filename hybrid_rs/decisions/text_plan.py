"""How many texts for each image? Predictions from pilot draws, made before the draws that certify."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import hypergeom

from hybrid_rs._checks import integer, kind, require
from hybrid_rs.certificates.frontier_of import frontier_of
from hybrid_rs.certificates.kernels import Kernel
from hybrid_rs.evidence.text_counts import TextCounts


def expected_counts(pilot: TextCounts, texts: int, n: int) -> TextCounts:
    """Predict the counts of ``n`` images with ``texts`` texts each, rounded down.

    Any m of the M texts of a pilot image are m independent texts for that image. Choose m of the M texts at random. The
    probability that k or more of these are flagged is a hypergeometric tail. Its mean over the pilot's images predicts
    the share of images with k or more flagged texts.

    Args:
        pilot: counts of the pilot draws.
        texts: m, at most the pilot's number of texts.
        n: number of images.

    Returns:
        counts without a seed: they were not drawn, and certify nothing.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> expected_counts(TextCounts(((100, 80, 60, 20),), n=100), texts=2, n=1_000).reached
        ((866, 433),)
    """
    kind("pilot", pilot, TextCounts, "give the TextCounts of pilot draws")
    m, images = integer("texts", texts, at_least=1), integer("n", n, at_least=1)
    require(m <= pilot.texts, "texts", m, f"give at most {pilot.texts}, the pilot's number of texts")
    flagged = np.arange(pilot.texts + 1)
    reached = [[pilot.n, *row, 0] for row in pilot.reached]
    shares = -np.diff(reached, axis=1) / pilot.n  # of images with exactly 0..M flagged texts
    tails = hypergeom.sf(np.arange(m)[:, None], pilot.texts, flagged, m)  # k = 1..m, by the number flagged
    expected = np.minimum(np.floor(images * (shares @ tails.T) + 1e-9), images).astype(int)
    falling = np.minimum.accumulate(expected, axis=1)
    return TextCounts(tuple(map(tuple, falling.tolist())), images, pilot.example)


def expected_radii(
    pilot: TextCounts,
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
