"""Figures of the book; each takes and returns matplotlib axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid_rs.worst_case import floored

if TYPE_CHECKING:
    from hybrid_rs.frontiers import Frontier


def plot_frontier(frontier: Frontier, ax: Any = None) -> Any:
    """Draw the certified region as one column of image budget per text budget.

    Args:
        frontier: what is certified.
        ax: matplotlib axes; new ones if None.

    Returns:
        the axes.
    """
    import matplotlib.pyplot as plt

    ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")[1] if ax is None else ax
    budgets = np.arange(len(frontier.radii))
    finite = np.isfinite(frontier.radii)
    bars = ax.bar(budgets[finite], frontier.radii[finite], width=0.82, color="#4c72b0", edgecolor="black", lw=0.6)
    ax.bar_label(bars, [f"{floored(radius, 2):.2f}" for radius in frontier.radii[finite]], padding=2, fontsize=9)
    for d in budgets[np.isnan(frontier.radii)]:
        ax.annotate("none", (d, 0), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9)
    for d in budgets[np.isposinf(frontier.radii)]:
        ax.annotate("any", (d, 0), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9)
    ax.set(
        xticks=budgets,
        xlabel="text budget $d$ (edited tokens)",
        ylabel=r"certified image radius $\varepsilon$ ($\ell_2$)",
        xlim=(-0.6, budgets[-1] + 0.6),
    )
    ax.margins(y=0.12)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
