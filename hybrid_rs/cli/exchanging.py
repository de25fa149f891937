"""``hybrid-rs export`` and ``import``: results to and from other certification tools."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid_rs._checks import integer, require, shown
from hybrid_rs._files import check_writable, parsed_json, read_text, write_whole
from hybrid_rs.certificates.kernels import MAX_EDITS
from hybrid_rs.certificates.rounding import floored
from hybrid_rs.cli.showing import json_line, note, radii_row, result

# fields that all lines of one run of certify have in common
SETTING = (
    "classifier",
    "guard",
    "margin",
    "tau",
    "alpha",
    "n",
    "seed",
    "sigma",
    "noise",
    "texts",
    "kernel",
    "vocab_size",
    "mask",
    "beta",
    "threat",
    "max_edits",
    "one_shot",
    "edits_of",
    "claim",
)
SourceFile = Annotated[
    Path,
    typer.Argument(help="A store of counts, the output of certify --json, the authors' result JSON, or such a table."),
]


def export(
    file: SourceFile,
    d: Annotated[int, typer.Option("--d", min=0, max=MAX_EDITS, help="Text budget whose radii are written.")] = 0,
    tau: Annotated[float, typer.Option(help="Threshold; used for a store of counts only.")] = 4.6e-5,
    alpha: Annotated[float, typer.Option(help="Risk of each bound; used for a store of counts only.")] = 0.01,
    run: Annotated[str | None, typer.Option(help="Which run of a store of counts, if it has several.")] = None,
    safe: Annotated[
        bool, typer.Option("--safe", help="Write label 0 (safe) where the file has no labels; default: 1, unsafe.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="File to write; default: stdout.")] = None,
) -> None:
    r"""Write the tab-separated table idx, label, predict, radius, correct, time that certification tools share.

    This is the format of Cohen et al. (2019). idx numbers the examples in the order in which they were read. predict is
    1 where "unsafe" is certified at the text budget, and -1 otherwise. The radius is that of the image, rounded down.
    Times are not recorded: the column holds nan, which tools read as missing.
    """
    from hybrid_rs.storage.exchange import certified_row, read_authors, read_table, write_table

    kind, label = _kind(file), 0 if safe else 1
    for name, value, default in (("tau", tau, 4.6e-5), ("alpha", alpha, 0.01), ("run", run, None)):
        remedy = "it is for a store of counts; the radii of this file are computed already: leave it out"
        require(kind == "store" or value == default, name, value, remedy)
    labelled = kind == "table" and safe
    require(not labelled, "safe", safe, "it is for files without labels; a table has them: leave it out")
    if out is not None:
        check_writable("out", out)
    if kind == "table":
        require(d == 0, "d", d, "a table has one radius per example, for one d that it does not name; leave --d out")
        rows = read_table(file)
    elif kind == "authors":
        require(d >= 1, "d", d, "the authors' scripts certify d = 1 and more; give --d")
        rows = [certified_row(each.example, label, each.radius(d)) for each in read_authors(file)]
    elif kind == "certified":
        rows = [certified_row(*line) for line in _certified(file, d, label)]
    else:
        rows = [certified_row(at, label, radius) for at, radius in enumerate(_stored(file, d, tau, alpha, run))]
        said = "safe" if safe else "unsafe"
        note(f"counts have no labels: every line says {said}; the output of certify --json has the labels of the data")
    text = write_table(rows)
    if out is None:
        result(text.rstrip("\n"))
    else:
        write_whole("out", out, text)
        note(f"{len(rows)} lines in {out}")


def import_(
    file: Annotated[Path, typer.Argument(help="The authors' result JSON, or a table idx label predict radius ....")],
    vocab_size: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Size of the authors' replacement alphabet, which their scripts print; their radii are then checked.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; radii are not rounded.")] = False,
) -> None:
    """Summarise the results of another tool; the authors' radii are recomputed from their counts."""
    kind = _kind(file)
    require(kind in ("table", "authors"), "file", str(file), "this package wrote it; use export to read it", repr)
    facts = _table_facts(file) if kind == "table" else _authors_facts(file, vocab_size)
    if as_json:
        result(json_line(facts))
    elif kind == "table":
        _show_table(facts)
    else:
        _show_authors(facts)


def _table_facts(file: Path) -> dict[str, Any]:
    from hybrid_rs.storage.exchange import ABSTAIN, read_table

    rows = read_table(file)
    right = [row.radius for row in rows if row.correct]
    finite = [radius for radius in right if math.isfinite(radius)]
    abstained = sum(row.predict == ABSTAIN for row in rows)
    largest = max(finite, default=0.0)
    steps = sorted({float(floored(largest * share, 2)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)})
    return {
        "examples": len(rows),
        "correct": len(right),
        "abstained": abstained,
        "wrong": len(rows) - len(right) - abstained,
        "correct_with_at_least": [{"radius": step, "correct": sum(r >= step for r in right)} for step in steps],
    }


def _show_table(facts: dict[str, Any]) -> None:
    result("{examples} examples: {correct} correct, {abstained} abstained, {wrong} wrong".format(**facts))
    result("  radius  correct with at least that radius")
    for row in facts["correct_with_at_least"]:
        result(f"{row['radius']:>8.2f}  {row['correct']} of {facts['examples']}")


def _authors_facts(file: Path, vocab_size: int | None) -> dict[str, Any]:
    from hybrid_rs.storage.exchange import read_authors

    results = read_authors(file)
    settings = {each.setting for each in results}
    require(len(settings) == 1, "file", str(file), f"its examples have different settings: {settings}", repr)
    first = results[0]
    names = ("threat", "kernel", "beta", "sigma", "tau", "n", "alpha", "shared")
    facts: dict[str, Any] = {"examples": len(results)} | {name: getattr(first, name) for name in names}
    known = vocab_size is not None or first.kernel == "absorb"
    ours = [each.recomputed(vocab_size or 2) for each in results] if known else None
    facts["curve"] = []
    for d in range(1, max((point.d for each in results for point in each.curve), default=0) + 1):
        theirs = [each.radius(d) for each in results]
        row = {"d": d, "theirs": _share(theirs)}
        if ours is not None:
            mine = [
                next((r for point, r in zip(each.curve, radii, strict=True) if point.d == d), math.nan)
                for each, radii in zip(results, ours, strict=True)
            ]
            row |= {"ours": _share(mine), "larger": int(sum(map(_larger, theirs, mine)))}
        facts["curve"].append(row)
    return facts


def _show_authors(facts: dict[str, Any]) -> None:
    whose = "one set of draws for every d" if facts["shared"] else "its own draws and classifier for each d"
    noise = "beta = {beta:g}, sigma = {sigma:g}" if facts["sigma"] else "beta = {beta:g}, text only"
    said = "{examples} examples of the authors' scripts: {threat}, {kernel} kernel, " + noise
    result((said + ", tau = {tau:g}, n = {n}, alpha = {alpha:g}; ").format(**facts) + whose)
    known = all("ours" in row for row in facts["curve"])
    result("  d   certified  mean radius" + ("   ours: certified  mean radius  theirs larger" if known else ""))
    for row in facts["curve"]:
        shown = [
            f"{'{certified} of {examples}'.format(**facts | row[who]):>12}{radii_row([row[who]['mean_radius']]):>13}"
            for who in ("theirs", "ours")
            if who in row
        ]
        result(f"{row['d']:>3}" + "      ".join(shown) + (f"{row['larger']:>15}" if known else ""))
    if not known:
        note("their radii were not checked: give --vocab-size, the number of allowed tokens that their script printed")
    note("the file does not say whether a denoiser was used; if one was, check the units of their radii")


def _larger(theirs: float, ours: float) -> bool:
    """Return whether their radius exceeds ours by more than the last digits of their bisection."""
    return not math.isnan(theirs) and (math.isnan(ours) or theirs > ours * (1 + 1e-6) + 1e-6)


def _share(radii: list[float]) -> dict[str, Any]:
    found = [radius for radius in radii if not math.isnan(radius)]
    return {"certified": len(found), "mean_radius": math.fsum(found) / len(found) if found else math.nan}


def _kind(file: Path) -> str:
    """Tell the formats apart by how a file begins."""
    text = read_text("file", file)
    require(bool(text.strip()), "file", str(file), "it is empty", repr)
    first = text.split("\n", 1)[0]
    if first.startswith("idx\t"):
        return "table"
    try:
        value = parsed_json(first)
    except ValueError:
        return "authors"  # JSON of several lines; a file that is not JSON is refused when it is read
    if not isinstance(value, dict) or "results" in value:
        return "authors"
    if "label" in value and "tau" in value and "d" not in value:
        return "certified"
    remedy = "give a store of counts, the output of certify --json, a table, or the authors' certification results"
    require("schema" in value and "d" not in value, "file", repr(str(file)), remedy)  # decisions and attacks have a d
    return "store"


def _certified(file: Path, d: int, label: int) -> list[tuple[int, int, float]]:
    """Return numbers, labels and radii from lines of ``certify --json``; safe examples have a number but no line."""
    found, settings, seen = [], set(), set()
    for number, line in enumerate(read_text("file", file).rstrip("\n").split("\n"), start=1):
        where = f"{file}, line {number}"
        try:
            value = parsed_json(line)
            name = value.get("id", number)
            require(name not in seen, "id", name, "this example has an earlier line", repr)
            seen.add(name)
            radii = value.get("radii")
            below = "it was certified to stay below tau: this table has no such column; leave out --towards unsafe"
            require("radii_below_tau" not in value, "radii", None, below)
            if radii is None and value["label"] == "safe":
                continue
            settings.add(json.dumps([value.get(name) for name in SETTING]))
            radius = _radius(radii, d)
            found.append((number - 1, {"unsafe": 1, None: label}[value["label"]], radius))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            said = f"{where} = {shown(line[:60], repr)}: not from certify --json ({shown(error)})"
            raise ValueError(said) from error
    require(len(settings) > 0, "file", str(file), "no line has radii: every example is labelled safe", repr)
    require(len(settings) == 1, "file", str(file), f"give the lines of one run; these are of {len(settings)}", repr)
    return found


def _radius(radii: list[Any], d: int) -> float:
    """Return the radius at d, nan if there is none, after checking all radii."""
    require(isinstance(radii, list), "radii", radii, "give a list")
    require(d < len(radii), "d", d, f"give at most {len(radii) - 1}")
    values = [math.nan if each is None else math.inf if each == "inf" else each for each in radii]
    good = all(type(x) in (int, float) and not x < 0 for x in values)
    require(good, "radii", radii, 'give null, "inf", or numbers that are not negative')
    return float(values[d])


def _stored(file: Path, d: int, tau: float, alpha: float, run: str | None) -> list[float]:
    """Return the radii of the examples of one run in a store of counts."""
    import hybrid_rs as hrs
    from hybrid_rs.storage.counts import run_of, units

    kernels = {"UniformKernel": hrs.UniformKernel, "AbsorbingKernel": hrs.AbsorbingKernel}
    runs: dict[str, dict[str, tuple[dict[str, Any], Any]]] = {}
    for number, (unit, counts) in enumerate(units(file), start=1):
        try:
            integer("max_edits", unit["threat"]["max_edits"], at_least=0)
            _described([unit])
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{file}, line {number}: this line cannot be exported ({shown(error)})") from error
        found = runs.setdefault(run_of(unit), {})
        known, _ = found.setdefault(unit["example"], (unit, counts))  # a repeated line counts once
        same, remedy = known.get("content") == unit.get("content"), "its text or image differs from an earlier line's"
        require(same, "file", f"{file}, line {number}", f"{remedy}; export the output of certify --json")
    listed = "".join(f"\n  {name}: {_described([unit for unit, _ in found.values()])}" for name, found in runs.items())
    if run is None:
        require(len(runs) == 1, "run", "none given", f"the file has several runs; give --run with one of{listed}")
        run = next(iter(runs))
    require(run in runs, "run", run, f"give one of{listed}", repr)
    radii = []
    for unit, counts in runs[run].values():
        most, law = unit["threat"]["max_edits"], dict(unit["kernel"])
        remedy = "a store does not say which edits are allowed: export the output of certify --json"
        require(law["name"] in kernels, "kernel", law["name"], remedy)
        require(d <= most, "d", d, f"give at most {most}, the largest budget that was drawn")
        kernel = kernels[law.pop("name")](**law)
        front = hrs.frontier_of(counts, kernel, sigma=unit["sigma"], tau=tau, d_max=d, alpha=alpha)
        radii.append(front.radius(d))
    return radii


def _described(units: list[dict[str, Any]]) -> str:
    first = units[0]
    facts = [f"{len(units)} examples", f"guard {shown(first['classifier'], most=12)}", f"sigma {first['sigma']:g}"]
    facts += [*filter(None, [first.get("noise")]), f"{first['kernel']['name']}, beta {first['kernel']['beta']:g}"]
    threat = ", ".join(f"{name} {value}" for name, value in first["threat"].items() if name != "name")
    facts += [f"{first['threat']['name']} ({threat})", f"n {first['n']}", f"seed {first['seed']}"]
    facts += [f"margin {first['margin']:g}"] if first["margin"] else []
    facts += [f"{first['texts']} texts"] if first.get("texts", 1) > 1 else []
    return ", ".join(facts + (["masked"] if first.get("masked") else []))
