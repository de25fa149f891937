r"""All measurements that need a GPU, in a few minutes: ``python benchmarks/gpu_suite.py --out DIR --minutes 8``.

Steps run one after the other, the most valuable first. Each writes ``DIR/STEP.json`` when it ends, with its figures or
its error. A step that fails does not stop the others, and a step that would begin after ``--minutes`` is left out.
Counts are stored, and a further run resumes with them. ``--tiny --device cpu`` runs everything without a GPU.

1. ``ceiling``: the machine, and its speed at multiplying matrices.
2. ``noise``: the lattice noise made on the device against the host's, bit for bit, and what it costs.
3. ``agreement``: verdicts of the small guard on the device and on the CPU.
4. One step for each large shape (random weights): image-only draws, whole frontiers, and 16 texts for an image.
5. ``full``: the counts of table T1 for 400 examples, as far as the time goes.

It needs this source tree, torch, transformers, NumPy, SciPy and pandas; and tqdm, python-flint and scikit-learn. A
machine without a network gets these as wheels::

    pip download --no-deps --dest wheels --only-binary :all: --python-version 3.12 \
        --platform manylinux_2_28_x86_64 tqdm python-flint scikit-learn joblib threadpoolctl   # with a network
    pip install --no-index --no-deps wheels/*                                                  # without
    PYTHONPATH=. python benchmarks/gpu_suite.py --out results
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_throughput import SHAPES, ceiling, now, random_guard, report

import hybrid_rs as hrs
from hybrid_rs._files import write_whole
from hybrid_rs.experiments.profiles import get_profile
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard
from hybrid_rs.smoothing.device import DeviceNoise
from hybrid_rs.smoothing.draws import IMAGE, MORE, Stream
from hybrid_rs.smoothing.lattice import rounded_gaussian
from hybrid_rs.storage.counts import CountsStore

SIGMA, BETA, TEXTS = 0.5, 0.25, 16


@dataclass
class Run:
    """What the steps share.

    Args:
        out: the folder of results.
        device: where models run.
        dtype: of the large models.
        tiny: small stand-ins for everything.
        deadline: no step begins after this time of ``time.monotonic``; a step with many examples stops.
    """

    out: Path
    device: str
    dtype: str
    tiny: bool
    deadline: float
    speed: float = 0.0

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()


def machine(run: Run) -> dict[str, Any]:
    """Return the machine, its packages, and its operations per second in products of matrices."""
    run.speed = ceiling(run.device, run.dtype)
    names = ("torch", "transformers", "numpy", "scipy", "flash-attn")
    versions = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"] in names}
    cuda = run.device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(run.device) if cuda else platform.processor() or "CPU",
        "memory": torch.cuda.get_device_properties(run.device).total_memory if cuda else None,
        "python": platform.python_version(),
        "versions": versions,
        "operations per second": run.speed,
    }


def noise(run: Run) -> dict[str, Any]:
    """Compare lattice noise for 64 images on device and host: whether bits agree, and nanoseconds per pixel value."""
    law, pixels = rounded_gaussian(SIGMA), 3 * (32 if run.tiny else 384) ** 2
    (first,), (rest,) = (Stream(0, "gpu").blocks(kind, 0, 64) for kind in (IMAGE, MORE))
    key, more = (tuple(int(k) for k in rng.bit_generator.state["state"]["key"]) for rng in (first, rest))
    n = 64 * pixels
    start = time.perf_counter()
    bits = first.bit_generator.random_raw(n // 4).view("<u2")
    here = law.values(bits, rest.bit_generator.random_raw)
    host, maker, times = time.perf_counter() - start, DeviceNoise(law, run.device), []
    for _ in range(4):
        start = now(run.device)
        there = maker.values(key, more, n=n)
        times.append(now(run.device) - start)
    equal = bool(np.array_equal(there.cpu().numpy(), here))
    levels = torch.full((n,), 128, device=run.device)
    shown = maker.pixels(levels, there).cpu().numpy()
    equal &= bool(np.array_equal(shown, (here + 128).astype(np.float32) / np.float32(255)))
    return {"equal": equal, "values": n, "host ns": 1e9 * host / n, "device ns": 1e9 * min(times) / n}


def agreement(run: Run) -> dict[str, Any]:
    """Compare verdicts of the small guard on the device with those on the CPU."""
    n, examples = (64, 1) if run.tiny else (10_000, 10)
    ours, theirs = load_bay_guard(device=run.device), load_bay_guard()
    differ, drawn = 0, 0
    for example in bay_notes.examples("test", examples, unsafe=True):
        law = (hrs.UniformKernel(BETA, ours.alphabet.size), SIGMA, hrs.SuffixThreat(8))
        pairs = zip(*(hrs.SmoothedGuard(g, *law).verdicts(example, n) for g in (ours, theirs)), strict=True)
        for a, b in pairs:
            differ, drawn = differ + int((a != b).sum()), drawn + a.size
        if run.seconds_left < 0:
            break
    return {"draws": drawn, "differ": differ}


def throughput(shape: str) -> Callable[[Run], dict[str, Any]]:
    """Return the step that times one large shape."""

    def step(run: Run) -> dict[str, Any]:
        torch.manual_seed(0)
        guard = random_guard(SHAPES[shape](run.tiny), run.device, run.dtype, policy=0, batch_size=128)
        n = 64 if run.tiny else 256
        found = report(shape, guard, run.device, n, run.speed or ceiling(run.device, run.dtype), tiny=run.tiny)
        image = np.full((3, *guard.image_size), 128 / 255, dtype=np.float32)
        example, law = (
            hrs.Example("grey", guard.alphabet[:20], image),
            (hrs.UniformKernel(BETA, guard.alphabet.size), SIGMA),
        )
        smoothed, seconds = hrs.SmoothedGuard(guard, *law, hrs.SuffixThreat(8)), {}
        for texts in (1, TEXTS):
            smoothed.sample(example, 64, texts=texts)
            start = now(run.device)
            smoothed.sample(example, n, texts=texts)
            seconds[texts] = (now(run.device) - start) / n
        return found | {"seconds per image": seconds, "16 texts x": seconds[TEXTS] / seconds[1]}

    return step


def full(run: Run) -> dict[str, Any]:
    """Draw the counts of T1 for the full profile into ``DIR/full.jsonl``, example by example until the time is over."""
    guard, size = load_bay_guard(device=run.device), get_profile("quick" if run.tiny else "full")
    store, kernel, kept = (
        CountsStore(run.out / "full.jsonl", guard.identity),
        hrs.UniformKernel(BETA, guard.alphabet.size),
        0,
    )
    unsafe = bay_notes.examples("test", size.n_unsafe, unsafe=True)
    safe = bay_notes.examples("test", size.n_safe, unsafe=False)
    threats = (hrs.SuffixThreat(8, one_shot=False), hrs.SuffixThreat(8), hrs.L0Threat(5))
    for example, sigma, threat in product(
        [e for pair in zip(unsafe, safe, strict=True) for e in pair], (0.5, 1.0), threats
    ):
        if run.seconds_left < 0:
            break
        masked = bool(example.unsafe) and getattr(threat, "one_shot", True) is not False
        store.sample(
            hrs.SmoothedGuard(guard, kernel, sigma, threat), [example], n=size.n, masked=masked, progress=False
        )
        kept += 1
    return {"units": kept, "of": 6 * (len(unsafe) + len(safe)), "n": size.n}


STEPS: dict[str, Callable[[Run], dict[str, Any]]] = {
    "ceiling": machine,
    "noise": noise,
    "agreement": agreement,
    **{shape: throughput(shape) for shape in SHAPES},
    "full": full,
}


def main() -> None:
    """Read the options, and run the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small stand-ins, to see that everything runs")
    parser.add_argument("--step", choices=list(STEPS), action="append", help="repeatable; default: all")
    asked = parser.parse_args()
    cuda = asked.device.startswith("cuda")
    if cuda and not torch.cuda.is_available():
        raise SystemExit("no GPU here; to see that everything runs: --tiny --device cpu")
    asked.out.mkdir(parents=True, exist_ok=True)
    run = Run(
        asked.out, asked.device, "bfloat16" if cuda else "float32", asked.tiny, time.monotonic() + 60 * asked.minutes
    )
    for name in asked.step or STEPS:
        if run.seconds_left < 0:
            print(f"{name}: left out, the time is over", flush=True)
            continue
        start = time.perf_counter()
        try:
            found = STEPS[name](run)
        except Exception:  # whatever it is, the other steps still run
            found = {"error": traceback.format_exc()}
        found |= {"seconds": round(time.perf_counter() - start, 1), "tiny": run.tiny}
        write_whole("out", asked.out / f"{name}.json", json.dumps(found, indent=1) + "\n")
        print(f"{name}: {found['seconds']} s{', failed' if 'error' in found else ''}", flush=True)
        if cuda:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
