"""Runs that are killed at random moments: whole lines and a beginning are left, and the rest is made again."""

import os
import random
import signal
import tempfile
import threading
import time
from pathlib import Path

import workers
from tqdm import tqdm

from hybrid_rs.storage.counts import units


def start(path, seconds):
    """Fork a process that draws the units of ``workers.write``, and wait until it has begun to write; its id."""
    size = path.stat().st_size if path.exists() else 0
    process = os.fork()
    if not process:
        tqdm.set_lock(threading.RLock())  # its usual lock is shared with this process: a killed child would keep it
        try:
            workers.write(path, seconds)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (not path.exists() or path.stat().st_size == size):
        time.sleep(0.001)
    return process


def run(count, seed=0, seconds=0.002):
    """Kill a run ``count`` times at random moments, and start it again each time until nothing is left to draw.

    Args:
        count: kills.
        seed: of the moments.
        seconds: how long the guard takes over a batch: the longer, the fewer lines between two kills.

    Returns:
        by "kills" (of running processes), "files" (how often a file was finished), "units" (drawn in all), "cut" (kills
        that left a part of a line) and "lost" (finished lines that were lost, or files that differ from an undisturbed
        one: must be 0).
    """
    figures, moments = dict.fromkeys(("kills", "files", "units", "cut", "lost"), 0), random.Random(seed)
    with tempfile.TemporaryDirectory() as home:
        whole, path = Path(home, "whole.jsonl"), Path(home, "killed.jsonl")
        workers.write(whole, 0)
        undisturbed = whole.read_bytes()
        while figures["kills"] < count:
            process = start(path, seconds)
            time.sleep(moments.random() * 20 * seconds)
            os.kill(process, signal.SIGKILL)
            killed = os.WIFSIGNALED(os.waitpid(process, 0)[1])
            left = path.read_bytes()
            figures["kills"] += killed
            figures["cut"] += not left.endswith(b"\n") and killed
            lines = left[: left.rfind(b"\n") + 1]
            figures["lost"] += not undisturbed.startswith(lines) or (left != lines and not undisturbed.startswith(left))
            if not killed:
                figures["files"], figures["units"] = figures["files"] + 1, figures["units"] + len(units(path))
                path.unlink()
        workers.write(path, 0)  # what is left is drawn without a disturbance
        figures["files"], figures["units"] = figures["files"] + 1, figures["units"] + len(units(path))
        figures["lost"] += path.read_bytes() != undisturbed
    return figures
