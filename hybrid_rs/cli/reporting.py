"""``hybrid-rs report``: the output of ``certify --json`` as a page: what is certified, and at which price."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hybrid_rs._checks import require
from hybrid_rs._files import check_writable, parsed_json, read_text, write_whole
from hybrid_rs.certificates.kernels import MAX_EDITS
from hybrid_rs.cli.showing import note

NEEDED = (
    "id", "label", "classifier", "guard", "tau", "alpha", "n", "sigma", "kernel", "vocab_size", "beta", "threat",
    "max_edits", "image",
)  # fmt: skip
ALIKE = tuple(name for name in NEEDED if name not in ("id", "label", "image"))


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
        ValueError: if a line is none of such a file, or the lines are of several runs.
    """
    found: list[dict[str, Any]] = []
    for number, line in enumerate(read_text("file", file).splitlines(), start=1):
        where = f"file = {str(file)!r}: line {number}"
        try:
            row = parsed_json(line)
            lacking = [name for name in NEEDED if name not in row]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where} is not JSON; give the output of hybrid-rs certify --json") from error
        safe = row.get("label") == "safe"
        lacking += [name for name in (("unsafe",) if safe else ("radii", "p", "claim")) if name not in row]
        if lacking:
            raise ValueError(f"{where} lacks {', '.join(lacking)}; give the output of hybrid-rs certify --json")
        if not safe:
            radii = [math.nan if each is None else math.inf if each == "inf" else float(each) for each in row["radii"]]
            good = len(radii) == row["max_edits"] + 1 and not any(radius < 0 for radius in radii)
            require(good, "radii", row["radii"], f"give one for each d, in line {number}")
            row["radii"] = np.array(radii)
        found.append(row)
    require(len(found) > 0, "file", str(file), "it is empty", repr)
    names = [row["id"] for row in found]
    require(len(set(names)) == len(names), "file", str(file), "an example is there twice; give one run", repr)
    differ = [name for name in ALIKE if any(row[name] != found[0][name] for row in found)]
    # with several texts an image, or masked evidence, the draws of safe examples are as deployed: plain ones
    require(not differ, "file", str(file), f"give the lines of one run; these differ in {', '.join(differ)}", repr)
    return found
