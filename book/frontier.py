"""Draw the README's picture, book/frontier.svg, from the committed counts: ``python book/frontier.py``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import matplotlib.pyplot as plt

import hybrid_rs as hrs
from hybrid_rs._files import write_whole
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.language import alphabet
from hybrid_rs.storage.counts import recorded

ROOT = Path(__file__).resolve().parents[1]
SIGMA, BETA, TAU = 0.5, 0.25, 4.6e-5


def main() -> None:
    """Draw the one-shot frontier of the first unsafe test example."""
    example = bay_notes.examples("test", 1, unsafe=True)[0]
    units = recorded(ROOT / "data" / "counts" / "standard.jsonl")
    units = units[(units["example"] == example.id) & (units["sigma"] == SIGMA)]
    counts = hrs.Counts(units["unsafe"].iloc[0][-1], n=int(units["n"].iloc[0]))
    kernel = hrs.UniformKernel(BETA, alphabet().size)
    front = hrs.frontier_of(counts, kernel, sigma=SIGMA, tau=TAU, d_max=8, alpha=0.01)
    plt.rcParams["svg.hashsalt"] = "frontier"  # the same file from the same counts
    axes = front.plot()
    drawn = io.BytesIO()
    axes.figure.savefig(drawn, format="svg", metadata={"Date": None})
    write_whole("picture", ROOT / "book" / "frontier.svg", drawn.getvalue())
    print(front, file=sys.stderr)


if __name__ == "__main__":
    main()
