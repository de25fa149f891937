"""The figure of a frontier."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._extras import needs
from hybrid_rs.certificates.rounding import floored

CHARACTERS = 20  # characters per inch in the small print of the claim


def plot_frontier(radii: NDArray[np.float64], claim: str, ax: Any = None) -> Any:
    """Draw the certified region as one column of image budget per text budget, with the claim below.

    Args:
        radii: certified image radii by text budget, shape ``(d_max + 1,)``; nan where nothing is certified.
        claim: classifier and confidence, in a sentence or two; printed below the axes.
        ax: matplotlib axes; new ones if None.

    Returns:
        the axes.
    """
    with needs("book"):
        import matplotlib.pyplot as plt

    ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")[1] if ax is None else ax
    budgets = np.arange(radii.size)
    finite = np.isfinite(radii)
    bars = ax.bar(budgets[finite], radii[finite], width=0.82, edgecolor="black", lw=0.6)
    ax.bar_label(bars, [f"{floored(radius, 2):.2f}" for radius in radii[finite]], padding=2, fontsize=9)
    for d in budgets[np.isnan(radii)]:
        ax.annotate("none", (d, 0), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9)
    for d in budgets[np.isposinf(radii)]:
        ax.annotate("any", (d, 0), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9)
    ax.set(
        xticks=budgets,
        xlabel="text budget $d$ (edited tokens)",
        ylabel=r"certified image radius $\varepsilon$ ($\ell_2$)",
        xlim=(-0.6, budgets[-1] + 0.6),
    )
    ax.margins(y=0.12)
    characters = max(40, int(CHARACTERS * ax.get_position().width * ax.figure.get_figwidth()))
    below = {"xytext": (0, -36), "textcoords": "offset points", "va": "top"}
    ax.annotate(
        textwrap.fill(claim, characters),
        (0, 0),
        xycoords="axes fraction",
        fontsize=7,
        color="0.3",
        gid="claim",
        **below,
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax
