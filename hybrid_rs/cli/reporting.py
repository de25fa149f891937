"""``hybrid-rs report``: the output of ``certify --json`` as a page: what is certified, and at which price."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hybrid_rs._checks import integer, nonnegative, nonnegative_or_infinite, one, probability, require, shown, text
from hybrid_rs._files import check_writable, parsed_json, read_text, write_whole
from hybrid_rs.certificates.kernels import MAX_EDITS
from hybrid_rs.cli.showing import note
from hybrid_rs.evidence.counts import Counts

NEEDED = (
    "id", "label", "classifier", "guard", "tau", "alpha", "n", "sigma", "kernel", "vocab_size", "beta", "threat",
    "max_edits", "image",
)  # fmt: skip
# further fields that all lines of a run share, in newer files
LAW = ("noise", "seed", "margin", "mask", "one_shot", "edits_of")
GIVE = "give the output of hybrid-rs certify --json"
ALIKE = tuple(name for name in (*NEEDED, *LAW) if name not in ("id", "label", "image"))
WORDS = ("id", "classifier", "guard", "kernel", "threat")


def report(
    file: Annotated[Path, typer.Argument(help="The output of certify --json.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    d: Annotated[int, typer.Option("--d", min=0, max=MAX_EDITS, help="Text budget of the headline.")] = 1,
    epsilon: Annotated[float, typer.Option(min=0, help="Image budget of the headline, l2.")] = 0.5,
    title: Annotated[str, typer.Option(help="Title of the page.")] = "What is certified",
) -> None:
    """Write a page about a guard: what is certified, at which price, with which confidence, and against whom.

    The page is one file, without scripts and without anything from the network. Radii and shares of certified examples
    are rounded down; false alarms are rounded up.
    """
    from hybrid_rs.cli.report_page import page

    check_writable("out", out)
    require(math.isfinite(epsilon), "epsilon", epsilon, "give a finite image budget")
    rows = read_rows(file)
    most = rows[0]["max_edits"]
    require(d <= most, "d", d, f"this run has text budgets up to {most}")
    write_whole("out", out, page(rows, d, epsilon, title).encode(errors="replace"))
    note(f"the report is in {out}")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Return the lines of ``certify --json``, checked; radii are floats, nan where nothing is certified.

    Raises:
        ValueError: if a line is not from such a file, or the lines are from several runs.
    """
    found: list[dict[str, Any]] = []
    for number, line in enumerate(read_text("file", file).splitlines(), start=1):
        where = f"file = {str(file)!r}: line {number}"
        try:
            row = parsed_json(line)
            lacking = [name for name in NEEDED if name not in row]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where} is not JSON; {GIVE}") from error
        require(isinstance(row, dict), "file", str(file), f"line {number} is not an object; {GIVE}", repr)
        above = "radii_below_tau" not in row
        require(above, "file", str(file), f"line {number} is of --towards unsafe; leave that option out", repr)
        safe = row.get("label") == "safe"
        lacking += [name for name in (("unsafe",) if safe else ("radii", "p", "claim")) if name not in row]
        if lacking:
            raise ValueError(f"{where} lacks {', '.join(lacking)}; {GIVE}")
        try:
            _check(row, safe)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where} is not from such a run ({shown(error)}); {GIVE}") from error
        found.append(row)
    require(len(found) > 0, "file", str(file), "it is empty", repr)
    names = [row["id"] for row in found]
    require(len(set(names)) == len(names), "file", str(file), "an example is there twice; give one run", repr)
    differ = [name for name in ALIKE if any(row.get(name) != found[0].get(name) for row in found)]
    claims = {row["claim"] for row in found if row["label"] != "safe"}
    differ += ["claim"] if len(claims) > 1 else []
    # texts and masked may differ: safe examples always have plain draws, as deployed
    require(not differ, "file", str(file), f"give the lines of one run; these differ in {', '.join(differ)}", repr)
    return found


def _check(row: dict[str, Any], safe: bool) -> None:
    """Require the types and ranges of a line's values that the page needs; radii become an array."""
    for name in WORDS:
        text(name, row[name])
    require(row["label"] in ("safe", "unsafe", None), "label", row["label"], "give safe, unsafe or null", repr)
    for name in ("tau", "alpha", "beta"):
        one(name, probability(name, row[name]))
    one("sigma", nonnegative("sigma", row["sigma"]))
    for name, least in (("n", 1), ("vocab_size", 1), ("max_edits", 0)):
        integer(name, row[name], least)
    sides = row["image"]
    require(isinstance(sides, list) and len(sides) == 3, "image", sides, "give channels, height and width", repr)
    row["image"] = [integer("image", side, 1) for side in sides]
    integer("outside", row.get("outside", 0), 0)
    if safe:
        require(isinstance(row["unsafe"], list), "unsafe", row["unsafe"], "give a list of counts", repr)
        Counts(tuple(row["unsafe"]), n=row["n"], distance=row.get("distance", 0.0))
        return
    text("claim", row["claim"])
    require(isinstance(row["radii"], list), "radii", row["radii"], "give a list", repr)
    radii = [math.nan if each is None else math.inf if each == "inf" else each for each in row["radii"]]
    certified = [radius for radius in radii if radius == radius]
    nonnegative_or_infinite("radii", certified)
    require(len(radii) == row["max_edits"] + 1, "radii", row["radii"], "give one for each d", repr)
    require(probability("p", row["p"]).ndim == 1 and len(row["p"]) > 0, "p", row["p"], "give a list of bounds", repr)
    row["radii"] = np.array(radii, dtype=np.float64)
