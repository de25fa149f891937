"""The page of ``hybrid-rs report``: text, a figure and a table, in one HTML file."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs.certificates.rounding import ceiled, floored, floored_text
from hybrid_rs.decisions.calibrate import flagged_share
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper
from hybrid_rs.evidence.counts import Counts

WIDTH, HEIGHT, LEFT, BOTTOM = 560, 260, 48, 40  # of the figure, and its margins, in pixels
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "")
SHOWN = 5  # text budgets in the figure
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 14px; } th, td { padding: .2rem .6rem; text-align: right; }
td:last-child, th:last-child { text-align: left; overflow-wrap: anywhere; } tr { border-bottom: 1px solid #8884; }
.wide { overflow-x: auto; } code { overflow-wrap: anywhere; } text { fill: currentColor; font-size: 12px; }
"""


def page(rows: list[dict[str, Any]], d: int, epsilon: float, title: str) -> str:
    """Return the page.

    Args:
        rows: the lines of one run, as :func:`hybrid_rs.cli.reporting.read_rows` returns them.
        d: text budget of the headline.
        epsilon: image budget of the headline.
        title: title of the page.
    """
    certified = [row for row in rows if row["label"] != "safe"]
    safe = [row for row in rows if row["label"] == "safe"]
    parts = [f"<h1>{escape(title)}</h1>"]
    for head, sentences in (
        ("What is certified", _certified(certified, d, epsilon)),
        ("Of which classifier", _classifier(rows[0])),
        ("At which price", _price(rows[0], safe)),
        ("With which confidence", _confidence(certified)),
        ("Against whom", _adversary(rows[0], rows)),
    ):
        parts += [f"<h2>{head}</h2>", *(f"<p>{escape(sentence)}</p>" for sentence in sentences)]
    if certified:
        parts += ["<h2>Every image budget</h2>", _figure(certified), "<h2>Every example</h2>", _table(certified)]
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _certified(rows: list[dict[str, Any]], d: int, epsilon: float) -> list[str]:
    if not rows:
        return ["Nothing: every example of this run is labelled safe."]
    reached = [sum(bool(row["radii"][edits] >= epsilon) for row in rows) for edits in (d, 0)]
    tokens = f"{d} token{'' if d == 1 else 's'}"
    share, reach = floored(100 * reached[0] / len(rows), 1), floored_text(epsilon)
    means = [row["radii"][d] for row in rows if not math.isnan(row["radii"][d])]
    said = [
        f"Of {len(rows)} examples that are not labelled safe, {reached[0]} ({share:.1f} %) are certified at d = {d} "
        f"and epsilon = {reach}: whoever edits up to {tokens} and moves the image by at most {reach} cannot "
        "bring the value of the smoothed guard below tau.",
        f"Against changes of the image alone, of the same size, {reached[1]} are certified.",
    ]
    if means:
        mean = floored(float(np.mean(means)), 3)
        said.append(f"At d = {d}, {len(means)} have a certified radius; its mean over these is {mean:.3f}.")
    return said


def _classifier(row: dict[str, Any]) -> list[str]:
    noise = " on the lattice of 8-bit images" if row.get("noise") == "lattice" else ""
    absorbing = row["kernel"] == "AbsorbingKernel"
    writes = f"the mask, token {row.get('mask')}" if absorbing else f"another of V = {row['vocab_size']} tokens"
    tokens = f"A token is replaced with probability {row['beta']:g}; noise writes {writes}."
    deletes = row["kernel"] == "DeletionKernel"
    tokens = f"A token is deleted with probability {row['beta']:g}." if deletes else tokens
    tokens = tokens if row["max_edits"] else "No token is noised."
    if row.get("one_shot") is False:
        tokens += " For each d there is another classifier, with a slot of d pads and with its own counts and bound."
    return [
        "The smoothed guard, not the guard itself: the probability that the guard flags a noisy copy. Every pixel "
        f"value, in [0, 1], gets Gaussian noise of standard deviation {row['sigma']:g}{noise}. {tokens}",
        f"The guard: {row['guard']}. Its identity is {row['classifier']}.",
    ]


def _price(row: dict[str, Any], safe: list[dict[str, Any]]) -> list[str]:
    n, tau, alpha = row["n"], row["tau"], row["alpha"]
    said = [
        f"The smoothed guard flags at tau = {tau:.6g}. A deployed one draws, and flags unless the upper bound of its "
        f"draws, at risk {alpha:g}, is below tau: {n} draws are {n} calls of the guard for one query."
    ]
    if not safe:
        return [*said, "No example of this run is labelled safe, so nothing is known about false alarms."]
    counts = [Counts(tuple(each["unsafe"]), n=each["n"], distance=each.get("distance", 0.0)) for each in safe]
    flagged = round(float(flagged_share(counts, tau, alpha).max()) * len(safe))
    low, high = clopper_pearson_lower(flagged, len(safe), 0.025), clopper_pearson_upper(flagged, len(safe), 0.025)
    between = f"{floored(100 * float(low), 1):.1f} % to {ceiled(100 * float(high), 1):.1f} %"
    of = f"Of {len(safe)} examples that are labelled safe, {flagged} are flagged"
    return [*said, f"{of} (95 % interval of the share: {between})."]


def _confidence(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["There is no certificate in this run."]
    wrong = len(rows) * rows[0]["alpha"]
    return [
        f"Of each example: {rows[0]['claim']}",
        f"Each example has its own confidence. Of {len(rows)} examples at most {wrong:.3g} are expected to have a "
        "bound that is too high.",
    ]


def _adversary(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    slot = "d" if row.get("one_shot") is False else row["max_edits"]
    if row["max_edits"] == 0:
        said = ["Someone who changes the image alone."]
    elif row["threat"] == "L0Threat":
        said = ["Someone who replaces tokens anywhere in the text, and changes the image."]
    elif row["threat"] == "EditDistanceThreat":
        said = [f"Someone who edits the text anywhere ({row.get('edits_of', 'all')} edits), and changes the image."]
    elif row["threat"] == "InPlaceThreat":
        said = [f"Someone who overwrites the last {row['max_edits']} tokens of the text, and changes the image."]
    else:
        said = [
            f"Someone who writes into a slot of {slot} pads after the text, and changes the image. The "
            "text before the slot is trusted, and the place of the slot is known. Compare with a guard that ignores "
            "the slot."
        ]
    if outside := sum(each.get("outside", 0) for each in rows):
        said.append(f"{outside} tokens of the texts are outside the alphabet; the smoothed guard reads them as pads.")
    shapes = sorted({tuple(each["image"]) for each in rows}, key=lambda shape: (math.prod(shape), shape))
    if len(shapes) == 1:
        said.append("Image budgets are l2 distances over {} x {} x {} pixel values, each in [0, 1].".format(*shapes[0]))
    else:
        first, last = ("{1} x {2}".format(*shape) for shape in (shapes[0], shapes[-1]))
        said.append(
            f"The images have {len(shapes)} sizes, from {first} to {last}; an image budget is an l2 distance over all "
            "pixel values of that image, each in [0, 1]. The same budget is less per pixel of a larger image."
        )
    said.append(
        "The page says nothing about other distances, longer texts, or the guard without smoothing. Entries that were "
        "left out of the run are not counted here."
    )
    return said


def _figure(rows: list[dict[str, Any]]) -> str:
    """The share certified by image budget, a line for each of the first text budgets, as SVG."""
    radii = np.array([row["radii"] for row in rows])[:, :SHOWN]
    finite = radii[np.isfinite(radii)]
    right = float(finite.max()) * 1.05 if finite.size and finite.max() > 0 else 1.0
    lines, legend = [], []
    for edits in range(radii.shape[1]):
        style = f'fill="none" stroke="{COLOURS[edits]}" stroke-width="2" stroke-dasharray="{DASHES[edits]}"'
        points = " ".join(f"{x:.2f},{y:.2f}" for x, y in _steps(radii[:, edits], right))
        lines.append(f'<polyline points="{points}" {style}/>')
        x, y = WIDTH - 90, 20 + 18 * edits
        legend.append(f'<line x1="{x}" y1="{y}" x2="{x + 30}" y2="{y}" {style}/>')
        legend.append(f'<text x="{x + 36}" y="{y + 4}">d = {edits}</text>')
    axes = [
        f'<path d="M{LEFT},10 V{HEIGHT - BOTTOM} H{WIDTH}" fill="none" stroke="currentColor"/>',
        *(f'<text x="{LEFT - 6}" y="{_y(s) + 4:.1f}" text-anchor="end">{s:.0%}</text>' for s in (0.0, 0.5, 1.0)),
        *(
            f'<text x="{_x(part * right, right):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
            f"{part * right:.2g}</text>"
            for part in (0.0, 0.5, 1.0)
        ),
        f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">image budget epsilon (l2)</text>',
    ]
    shares = ", ".join(f"{int((radii[:, k] >= 0).sum())} at d = {k}" for k in range(radii.shape[1]))
    said = f"Share of {len(rows)} examples certified, by image budget. At epsilon = 0: {shares}."
    drawn = "\n".join([*axes, *lines, *legend])
    size = f'viewBox="0 0 {WIDTH + 20} {HEIGHT}" width="{WIDTH + 20}" height="{HEIGHT}"'
    return f'<svg {size} role="img" aria-label="{escape(said)}" style="max-width:100%">\n{drawn}\n</svg>'


def _steps(radii: NDArray[np.float64], right: float) -> list[tuple[float, float]]:
    """The corners of the line: the share of examples whose radius is at least epsilon."""
    ends = np.sort(np.minimum(radii[~np.isnan(radii)], right))
    share, corners = len(ends) / len(radii), [(_x(0.0, right), _y(len(ends) / len(radii)))]
    for number, end in enumerate(ends.tolist(), start=1):
        corners.append((_x(end, right), _y(share)))
        share = (len(ends) - number) / len(radii)
        corners.append((_x(end, right), _y(share)))
    return [*corners, (_x(right, right), corners[-1][1])]


def _x(epsilon: float, right: float) -> float:
    return LEFT + (WIDTH - LEFT) * epsilon / right


def _y(share: float) -> float:
    return 10 + (HEIGHT - BOTTOM - 10) * (1 - share)


def _table(rows: list[dict[str, Any]]) -> str:
    heads = ["p", *(f"d = {d}" for d in range(rows[0]["max_edits"] + 1)), "image", "label", "id"]
    lines = ["".join(f"<th>{escape(head)}</th>" for head in heads)]
    for row in rows:
        radii = ["–" if math.isnan(r) else f"{floored(r, 3):.3f}" for r in row["radii"].tolist()]
        image = "{1} x {2}".format(*row["image"])
        cells = [f"{floored(row['p'][0], 5):.5f}", *radii, image, row["label"] or "?", row["id"]]
        lines.append("".join(f"<td>{escape(str(cell))}</td>" for cell in cells))
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    said = "p: lower bound of the smoothed value. Under each d: the certified image radius, rounded down."
    return f'<p>{escape(said)}</p><div class="wide"><table>\n{body}\n</table></div>'
