"""A frontier that can be watched while it is drawn, and stopped at any time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hybrid_rs._checks import require
from hybrid_rs.certificates.frontier import Frontier, frontier
from hybrid_rs.certificates.kernels import Kernel, text_budget
from hybrid_rs.evidence.confidence_sequences import mixture_lower
from hybrid_rs.evidence.counts import lowered


def watch(
    verdicts: Iterable[ArrayLike],
    kernel: Kernel,
    *,
    sigma: float,
    tau: float,
    d_max: int,
    alpha: float = 0.01,
    masked: bool = False,
    simultaneous: bool = False,
    distance: float = 0.0,
) -> Iterator[Frontier]:
    r"""Yield, after every batch of draws, the frontier that all draws so far support; its radii never shrink.

    The confidence covers all moments together. With probability at least :math:`1 - \alpha`, *no* bound of the sequence
    exceeds its probability. So the largest bound so far does not exceed it either, and each frontier is based on that
    largest bound. (The largest of several bounds for fixed n would be too large far more often.) The bound is computed
    after every draw, not only at the end of a batch, so the batches do not matter. It reaches the required probability
    of a target at exactly the draw at which :func:`hybrid_rs.decisions.decide.decide` certifies it at the same risk.

    Args:
        verdicts: batches of unsafe verdicts, bool arrays of independent draws; a batch is requested when the next
            frontier is. Shape ``(batch, 1)`` with one smoothed classifier for every d, ``(batch,
            d_max + 1)`` with one classifier, or with ``masked`` one condition, per d.
        kernel: the token kernel of the draws.
        sigma: standard deviation of the image noise of the draws.
        tau: decision threshold, in [0, 1].
        d_max: the largest text budget.
        alpha: risk, in (0, 1).
        masked: column d was drawn given that the d edited positions were replaced; bounds p_S.
        simultaneous: let alpha cover all d at once, by a union bound if each d has its own bound. One column of
            unmasked draws covers all d anyway.
        distance: total variation between the law of a draw and that of the theorem; subtracted from every bound.

    Raises:
        ValueError: if an argument is outside its range or a batch has another shape.

    References:
        Ville (1939); Robbins (1970), for confidence sequences by mixtures.

    Example:
        >>> import hybrid_rs as hrs
        >>> draws = np.random.default_rng(0).random((100, 64, 1)) < 0.99
        >>> for front in watch(draws, hrs.UniformKernel(0.25, 32_000), sigma=1.0, tau=4.6e-5, d_max=3):
        ...     if front.edits(epsilon=1.0) >= 2:
        ...         break
        >>> front.n, front.anytime
        (256, True)
    """
    budgets = text_budget("d_max", d_max) + 1
    shapes = {budgets} if masked else {1, budgets}  # after the first batch, only the shape of that one
    draws, unsafe, best = 0, np.zeros(1, dtype=np.int64), np.zeros(1)
    for batch in verdicts:
        rows = np.asarray(batch)
        fits = rows.dtype == bool and rows.ndim == 2 and len(rows) > 0 and rows.shape[1] in shapes
        columns = " or ".join(str(count) for count in sorted(shapes))
        require(fits, "verdicts", (str(rows.dtype), rows.shape), f"give bool arrays of shape (batch, {columns})")
        shapes = {rows.shape[1]}
        many = masked or rows.shape[1] > 1
        risk = alpha / budgets if simultaneous and many else alpha
        k, n = unsafe + np.cumsum(rows, axis=0), draws + 1 + np.arange(len(rows))
        best = np.broadcast_to(best, rows.shape[1:]).copy()
        # an unsafe verdict raises the bound, a safe one lowers it: it is largest just before a safe one, or at the end
        at, column = np.nonzero(np.append(~rows[1:], np.ones_like(rows[:1]), axis=0))
        np.maximum.at(best, column, lowered(mixture_lower(k[at, column], n[at], risk), distance))
        draws, unsafe = int(n[-1]), k[-1]
        front = frontier(best if many else best[0], kernel, sigma=sigma, tau=tau, d_max=d_max, masked=masked)
        yield replace(front, simultaneous=front.simultaneous or simultaneous, anytime=True, alpha=float(alpha), n=draws)
