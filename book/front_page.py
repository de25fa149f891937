"""Draw the picture of the first page from the stored counts: ``python book/front_page.py``.

It shows an unsafe pair, an attack that the guard alone misses, and the certified frontier of the smoothed guard, in
which this attack lies. There are two versions: book/front_page.svg, and book/front_page_tall.svg for phones. A test
checks what the picture and the first page say about attack and frontier.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

import hybrid_rs as hrs
from hybrid_rs._files import strict_json, write_whole
from hybrid_rs.attacks.joint import attack_jointly, evaluate, without_noise
from hybrid_rs.experiments.alarms import alarm_shares
from hybrid_rs.experiments.setting import Setting, bay_setting
from hybrid_rs.small_guard.language import VOCABULARY

HERE = Path(__file__).resolve().parent
SIGMA, BETA, TAU, EDITS, ALPHA = 0.5, 0.25, 0.05, 8, 0.01
ATTACK = (1, 1.65)  # words, and l2 length in pixel units
DRAWS = 2_000  # of the smoothed guard at the attacked pair
BLUE, RED, INK = "#1f4e79", "#b3541e", "#333333"


def main() -> None:
    """Attack the second unsafe test pair, and draw it next to its frontier; store the attack for the tests."""
    torch.set_num_threads(1)
    setting = bay_setting("standard")
    smoothed, example = deployed(setting)
    found = attack_jointly(without_noise(smoothed), example, *ATTACK)
    front, alarms = certified(setting)
    tried = evaluate(smoothed, example, found, DRAWS, seed=1)
    share = f"{tried.unsafe / DRAWS:.0%}"
    said = f"{share} of noisy copies\nare called unsafe, τ = {TAU:.0%}"
    for name, tall in (("front_page.svg", False), ("front_page_tall.svg", True)):
        write_whole("picture", HERE / name, drawn(example, found, front, said, tall=tall))
    levels = np.rint(255 * found.image).astype(int).ravel().tolist()
    kept = {"token_ids": found.token_ids.tolist(), "levels": levels, "share": share}
    write_whole("attack", HERE / "front_page.json", strict_json(kept) + "\n")
    print(front, f"attack: {found.edits} edits, {found.epsilon_used:.3f}; {tried}; alarms {alarms}", file=sys.stderr)


def deployed(setting: Setting) -> tuple[hrs.SmoothedGuard, hrs.Example]:
    """Return the smoothed guard and the example."""
    return setting.smoothed(SIGMA, hrs.SuffixThreat(EDITS), BETA), setting.sets["unsafe"][1]


def certified(setting: Setting) -> tuple[hrs.Frontier, dict[str, float]]:
    """Return the frontier of the example, and the false alarms among the safe test examples, from stored counts."""
    law: dict[str, Any] = {"n": setting.size.n, "seed": setting.seed}
    one_shot, per_d = (setting.smoothed(SIGMA, hrs.SuffixThreat(EDITS, one_shot=once), BETA) for once in (True, False))
    counts: Any = setting.store.get(one_shot, setting.sets["unsafe"][1], masked=True, **law)
    safe: list[Any] = [setting.store.get(per_d, each, **law) for each in setting.sets["safe"]]
    shares = alarm_shares([each.of_budget(EDITS) for each in safe], TAU, ALPHA)
    front = hrs.frontier_of(counts, one_shot.kernel, sigma=SIGMA, tau=TAU, d_max=EDITS, alpha=ALPHA)
    return front, {rule: float(share[-1]) for rule, share in shares.items()}


def drawn(example: hrs.Example, found: Any, front: hrs.Frontier, said: str, *, tall: bool) -> bytes:
    """Return the picture as SVG, the same from the same numbers; a tall one has the frontier below the pairs."""
    plt.rcParams |= {"svg.hashsalt": "front page", "font.size": 9, "svg.fonttype": "path"}
    room: dict[str, Any] = {"figsize": (8.6, 3.3), "width_ratios": (1, 1, 1.5)}
    if tall:
        room = {"figsize": (4.1, 6.7), "height_ratios": (1.4, 1)}
    places: list[Any] = [["pair", "attack"], ["front", "front"]] if tall else [["pair", "attack", "front"]]
    figure, axes = plt.subplot_mosaic(places, layout="constrained", **room)
    note = " ".join(VOCABULARY[i] for i in example.token_ids)
    added = " ".join(VOCABULARY[i] for i in found.token_ids[example.token_ids.size :][:1])
    panels = (("An unsafe pair", example.image, "", "guard: unsafe", BLUE),
              ("The same under attack", found.image, added, "guard alone: safe", RED))  # fmt: skip
    letters, below, lowest = (27, -0.6, -0.74) if tall else (34, -0.5, -0.62)
    for place, (title, image, more, verdict, colour) in zip(("pair", "attack"), panels, strict=True):
        ax = axes[place]
        ax.imshow(image.transpose(1, 2, 0), interpolation="nearest")
        ax.set_title(title, fontsize=10)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel("\n".join(wrap(f"“{note}”", letters)), fontsize=7.5, color=INK)
        moved = f"+ “{more}”,{chr(10) if tall else ' '}and the image moved by {found.epsilon_used:.1f}" if more else " "
        ax.text(0.5, below, moved, transform=ax.transAxes, ha="center", va="center", fontsize=7.5, color=RED)
        ax.text(0.5, lowest, verdict, transform=ax.transAxes, ha="center", fontsize=10, weight="bold", color=colour)
    ax, edits = axes["front"], np.flatnonzero(~np.isnan(front.radii))
    ax.bar(edits, front.radii[edits], color=BLUE, alpha=0.25, edgecolor=BLUE, width=0.7)
    ax.plot(found.edits, found.epsilon_used, "x", color=RED, ms=9, mew=2.5)
    ax.annotate(f"the attack: {said}", (found.edits, found.epsilon_used), (1.6, 1.9), fontsize=7.5, color=RED,
                arrowprops={"arrowstyle": "-", "color": RED, "lw": 0.8})  # fmt: skip
    ax.set(
        xlabel="words that the adversary edits, $d$",
        ylabel=r"image perturbation, $\varepsilon$ ($\ell_2$)",
        xlim=(-0.6, 4.4),
    )
    ax.set_xticks(range(5))
    ax.set_title(
        "No attack inside the bars\nbrings the smoothed guard below $\\tau$", fontsize=10, pad=12 if tall else 6
    )
    ax.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, facecolor="white")
    return file.getvalue()


if __name__ == "__main__":
    main()
