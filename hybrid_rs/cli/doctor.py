"""``hybrid-rs doctor``: what this machine can run, and a one-line remedy for everything that it cannot."""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from hybrid_rs._extras import needs
from hybrid_rs.checkout import TREE
from hybrid_rs.cli import options as o
from hybrid_rs.cli.showing import json_line, result

LOCK, PROJECT = TREE / "requirements.lock", TREE / "pyproject.toml"
PLENTY = 1.0  # GiB of free disk; with less there is a warning


def doctor(as_json: o.Json = False) -> None:
    """Print what this machine can run; the exit status is 0 if it can certify a guard.

    Loads the small guard, measures its speed for a second, and compares the installed packages with the lock file.
    Nothing is downloaded.
    """
    facts: dict[str, Any] = {"python": platform.python_version(), "hybrid_rs": _version("hybrid_rs") or "source tree"}
    facts |= _packages() | _machine() | _guard()
    if as_json:
        result(json_line(facts))
    else:
        for line in _lines(facts):
            result(line)
    if not facts["can_certify"]:
        raise typer.Exit(1)


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = [f"Python     {facts['python']}, hybrid_rs {facts['hybrid_rs']}"]
    differ = facts["differ_from_lock"]
    if differ is None:
        lines.append("packages   there is no requirements.lock: versions were not compared")
    elif differ:
        shown = ", ".join(f"{name} {have} (lock: {locked})" for name, (have, locked) in differ.items())
        lines.append(
            f"packages   {len(differ)} of {facts['locked']} differ from the lock: {shown}; "
            "make env installs the locked versions"
        )
    else:
        lines.append(f"packages   {facts['locked']} installed, all as in requirements.lock")
    for extra, missing in facts["extras"].items():
        remedy = f'lacks {", ".join(missing)}: pip install "hybrid_rs[{extra}]"' if missing else "complete"
        lines.append(f"extra      {extra}: {remedy}")
    lines.append(
        f"cores      {facts['cores']}; torch sees {', '.join(facts['devices']) or 'nothing: it is not installed'}"
    )
    warn = "; a store of counts is small, but a checkpoint of 7 billion weights takes 15 GiB"
    warn *= facts["free_gib"] < PLENTY
    lines.append(f"disk       {facts['free_gib']:.1f} GiB free in this folder{warn}")
    lines.append("hub        not needed: nothing is downloaded without --download")
    lines.append(f"guard      {facts['guard']}")
    if facts["draws_per_second"]:
        lines.append(
            f"draws      {facts['draws_per_second']:.0f} per second with the small guard on {facts['measured_on']}: "
            f"10,000 draws in {10_000 / facts['draws_per_second']:.0f} s"
        )
    able = "can" if facts["can_certify"] else "cannot"
    return [*lines, f"This machine {able} certify a guard."]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> dict[str, Any]:
    """Return which packages differ from the lock file, and which packages each extra lacks."""
    differ: dict[str, tuple[str, str]] | None = None
    count = 0
    if LOCK.is_file():
        pins = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK.read_text(), flags=re.MULTILINE))
        have = {name: version for name in pins if (version := _version(name))}
        count = len(have)
        # "+cpu" is a build of the same version
        differ = {name: (v, pins[name]) for name, v in have.items() if v.partition("+")[0] != pins[name]}
    extras: dict[str, list[str]] = {}
    for extra, lines in _extras().items():
        names = [name[0] for line in lines if (name := re.match(r"[\w.-]+", line))]
        extras[extra] = [name for name in names if _version(name) is None]
    return {"differ_from_lock": differ, "locked": count, "extras": extras}


def _extras() -> dict[str, list[str]]:
    """Return the requirements of each extra, from the source tree or else from the installed metadata."""
    found: dict[str, list[str]] = {}
    if PROJECT.is_file():
        found = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    else:
        for line in metadata.requires("hybrid_rs") or []:
            if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", line):
                found.setdefault(extra[1], []).append(line)
    return {extra: lines for extra, lines in found.items() if extra != "all"}


def _machine() -> dict[str, Any]:
    devices: list[str] = []
    try:
        import torch
    except ImportError:
        pass
    else:
        devices = [f"cpu ({torch.get_num_threads()} threads)"]
        for i in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(i).total_memory / 2**30
            devices.append(f"cuda:{i} ({torch.cuda.get_device_name(i)}, {memory:.0f} GiB)")
        devices += ["mps"] if torch.backends.mps.is_available() else []
    return {"cores": os.cpu_count(), "devices": devices, "free_gib": shutil.disk_usage(Path.cwd()).free / 2**30}


def _guard() -> dict[str, Any]:
    """Return whether the small guard gives a verdict, and its number of draws per second."""
    found: dict[str, Any] = {"guard": "", "draws_per_second": None, "measured_on": None, "can_certify": False}
    try:
        with needs("guard"):
            import torch

        from hybrid_rs.small_guard.guard import CHECKPOINT, load_bay_guard
    except ImportError as error:
        return found | {"guard": str(error)}
    if not (CHECKPOINT / "model.safetensors").is_file():
        said = f"the small guard is not at {CHECKPOINT}; you can certify your own guard: hybrid-rs certify --help"
        return found | {"guard": said, "can_certify": True}
    from hybrid_rs import SmoothedGuard, SuffixThreat, UniformKernel
    from hybrid_rs.small_guard import notes as bay_notes

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        start = time.perf_counter()
        guard = load_bay_guard(device=device)
        seconds = time.perf_counter() - start
        example = bay_notes.examples("test", 1, unsafe=True)[0]
        unsafe = bool(guard.unsafe(example.token_ids[None], example.image[None])[0])
        kernel = UniformKernel(0.25, len(guard.alphabet))
        smoothed = SmoothedGuard(guard, kernel, 0.5, SuffixThreat(8))
        next(smoothed.verdicts(example, 256))  # the first batch sets things up
        start, draws = time.perf_counter(), 0
        for verdicts in smoothed.verdicts(example, 10**6):
            draws += len(verdicts)
            if (elapsed := time.perf_counter() - start) > 1:
                break
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        return found | {"guard": f"the small guard fails on {device}: {error}"}
    verdict = "unsafe" if unsafe else "safe"
    said = f"the small guard loads in {seconds:.1f} s and calls an unsafe BayNotes example {verdict}"
    return found | {"guard": said, "draws_per_second": draws / elapsed, "measured_on": device, "can_certify": True}
