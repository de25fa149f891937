"""Where draws are made: in this process, in several, or on a Ray cluster. The draws are the same everywhere.

A worker loads the guard itself, so that no weights travel. One that dies costs the unit it was drawing: another takes
its place and draws that unit again.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from queue import LifoQueue
from typing import Any, Protocol, TypeAlias

from tqdm import tqdm

from hybrid_rs._checks import integer, require
from hybrid_rs.evidence import Counts, MaskedCounts, SubsetCounts
from hybrid_rs.example import Example
from hybrid_rs.guards.protocol import Guard
from hybrid_rs.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.smoothing import SmoothedGuard, sample_together
from hybrid_rs.threats import Threat

ATTEMPTS = 3  # workers that may die on one unit before it is given up
Evidence: TypeAlias = Counts | MaskedCounts | SubsetCounts
Drawing: TypeAlias = "Generator[tuple[Unit, list[Evidence]], None, None]"


@dataclass(frozen=True, eq=False)
class Unit:
    """One piece of work: the counts of one example under noises that differ in kernel alone.

    Args:
        example: the input.
        kernels: the token kernels.
        sigma: standard deviation of the image noise.
        threat: what is noised, and what the adversary may touch.
        n: number of draws.
        seed: seed of the draws.
        masked: draw evidence for the masked certificate; see :meth:`hybrid_rs.SmoothedGuard.sample`.
    """

    example: Example
    kernels: tuple[UniformKernel | AbsorbingKernel, ...]
    sigma: float
    threat: Threat
    n: int
    seed: int
    masked: bool

    def draw(self, guard: Guard, *, progress: bool = False) -> list[Evidence]:
        """Return the counts for each kernel."""
        smoothed = [SmoothedGuard(guard, kernel, self.sigma, self.threat) for kernel in self.kernels]
        law: dict[str, Any] = {"masked": self.masked, "seed": self.seed}
        return sample_together(smoothed, self.example, self.n, progress=progress, **law)


class Engine(Protocol):
    """Something that draws units."""

    def draw(self, guard: Guard, units: Iterable[Unit]) -> Drawing:
        """Yield every unit with its counts, in the order of ``units``, which is read as workers become free."""
        ...


class Local:
    """Draws in this process, or in several on this machine.

    Processes start when the first unit is drawn, and end with :meth:`close` or with this process. Each computes with
    one thread. A script that uses them keeps its own work under ``if __name__ == "__main__"``.

    Args:
        workers: number of processes; 1 draws in this one.
        load: makes the guard in each process; an importable function, or ``functools.partial`` of one. Not called with
            one worker.

    Raises:
        ValueError: if workers is less than 1, or there are several and nothing to load the guard with.

    Example:
        >>> Local(workers=4)
        Traceback (most recent call last):
        ValueError: workers = 4: give load, a function that makes the guard in each of them
    """

    def __init__(self, workers: int = 1, load: Callable[[], Guard] | None = None) -> None:
        self.workers, self.load = integer("workers", workers, at_least=1), load
        several = self.workers > 1
        require(
            not several or load is not None,
            "workers",
            workers,
            "give load, a function that makes the guard in each of them",
        )
        self._crew: _Crew | None = None

    def draw(self, guard: Guard, units: Iterable[Unit]) -> Drawing:
        """Yield every unit with its counts, in the order of ``units``."""
        if self.workers == 1 or self.load is None:
            for unit in units:
                yield unit, unit.draw(guard)
            return
        if self._crew is None or self._crew.closed:
            load = self.load
            self._crew = _Crew(lambda: _Process(load), self.workers)
        yield from self._crew.draw(guard, units)

    def close(self) -> None:
        """End the processes; another draw starts new ones."""
        if self._crew is not None:
            self._crew.close()


class Ray:
    """Draws in Ray actors: on a cluster that is running, or in one started here.

    Every machine of the cluster needs this package, and whatever ``load`` reads.

    Args:
        load: makes the guard in each actor.
        workers: number of actors; by default, the processors of the cluster, or of this machine.
        address: of a running cluster, such as "auto" or "ray://host:10001"; by default one is started here.
        gpus: share of an accelerator that each actor holds.

    Raises:
        ValueError: if workers is less than 1.
        ImportError: when first used, if Ray is not installed.
    """

    def __init__(
        self, load: Callable[[], Guard], workers: int | None = None, address: str | None = None, gpus: float = 0.0
    ) -> None:
        self.workers = None if workers is None else integer("workers", workers, at_least=1)
        self.load, self.address, self.gpus = load, address, gpus
        self._crew: _Crew | None = None
        self._started = False

    def draw(self, guard: Guard, units: Iterable[Unit]) -> Drawing:
        """Yield every unit with its counts, in the order of ``units``."""
        if self._crew is None or self._crew.closed:
            self._crew = self._connect()
        yield from self._crew.draw(guard, units)

    def _connect(self) -> _Crew:
        try:
            import ray
        except ImportError as error:
            raise ImportError('this engine needs Ray: pip install "hybrid_rs[scale]"') from error
        if not ray.is_initialized():
            own = {"address": "local", "num_cpus": self.workers, "include_dashboard": False}
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # an experiment reports to nobody
            asked = {"address": self.address} if self.address else own
            try:
                ray.init(**asked, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:  # Ray has no error of its own for this
                remedy = "try again when the machine is less busy, give another address, or draw with the local engine"
                raise RuntimeError(f"engine = 'ray': no cluster answered ({error}); {remedy}") from error
            self._started = True
        processors = int(ray.cluster_resources().get("CPU", 0))
        workers = processors if self.workers is None else self.workers
        require(1 <= workers <= processors, "workers", workers, f"the cluster has {processors} processors")
        actor = ray.remote(num_cpus=1, num_gpus=self.gpus)(_Drawer)
        return _Crew(lambda: _Actor(actor.remote(self.load)), workers)

    def close(self) -> None:
        """End the actors, and the cluster if it was started here; another draw starts new ones."""
        if self._crew is not None:
            self._crew.close()
        if self._started:
            import ray

            ray.shutdown()
            self._started = False


def engine_name(engine: str, workers: int | None = None, address: str | None = None) -> str:
    """Return the name of an engine in one word, as :func:`get_engine` takes it.

    Raises:
        ValueError: if there is no such engine.

    Example:
        >>> engine_name("ray", workers=4, address="auto")
        'ray:4@auto'
    """
    name = engine + (f":{workers}" if workers is not None else "") + (f"@{address}" if address else "")
    _parts(name)
    return name


def get_engine(name: str, load: Callable[[], Guard]) -> Local | Ray:
    """Return the engine of a name: ``local``, ``local:WORKERS``, ``ray``, ``ray:WORKERS`` or ``ray:WORKERS@ADDRESS``.

    Args:
        name: the engine, as a notebook's parameter ``engine`` or ``hybrid-rs run --engine`` gives it.
        load: makes the guard in each worker.

    Raises:
        ValueError: if there is no such engine.

    Example:
        >>> from hybrid_rs.guards.bay_guard import load_bay_guard
        >>> get_engine("local:4", load_bay_guard).workers
        4
        >>> get_engine("ray@auto", load_bay_guard).address
        'auto'
    """
    kind, workers, address = _parts(name)
    return Ray(load, workers, address) if kind == "ray" else Local(1 if workers is None else workers, load)


def _parts(name: str) -> tuple[str, int | None, str | None]:
    match = re.fullmatch(r"(local|ray)(?::(\d+))?(?:@(.+))?", name)
    if match is None or (match[1] == "local" and match[3]):
        raise ValueError(f"engine = {name!r}: give local[:workers] or ray[:workers][@address]")
    return match[1], int(match[2]) if match[2] else None, match[3]


class _WorkerDied(Exception):
    """The worker is gone, and its answer with it."""


class _Worker(Protocol):
    def draw(self, unit: Unit, guard: tuple[Any, ...]) -> list[Evidence]:
        """Return the counts of a unit; raise ``_WorkerDied`` if the worker is gone, else what the drawing raised."""
        ...

    def stop(self) -> None:
        """End it, whatever it does."""
        ...


class _Crew:
    """Workers that are hired when first needed, and replaced when they die; each serves one thread at a time."""

    def __init__(self, hire: Callable[[], _Worker], size: int) -> None:
        self._hire, self._size, self.closed = hire, size, False
        self._hired: list[_Worker] = []
        self._idle: LifoQueue[_Worker | None] = LifoQueue()  # last in, first out: none is hired while one is idle
        for _ in range(size):
            self._idle.put(None)

    def draw(self, guard: Guard, units: Iterable[Unit]) -> Drawing:
        """Yield in the order of the units; at most twice as many as there are workers are out at a time."""
        out: deque[tuple[Unit, Future[list[Evidence]]]] = deque()
        expected = _traits(guard)
        threads = ThreadPoolExecutor(self._size)
        try:
            for unit in units:
                out.append((unit, threads.submit(self._draw, unit, expected)))
                if len(out) == 2 * self._size:
                    yield out[0][0], out.popleft()[1].result()
            while out:
                yield out[0][0], out.popleft()[1].result()
        except BaseException:  # an interruption, too, must not wait for what is being drawn
            self.close()
            raise
        finally:
            threads.shutdown(cancel_futures=True)

    def _draw(self, unit: Unit, expected: tuple[Any, ...]) -> list[Evidence]:
        for _ in range(ATTEMPTS):
            worker = self._idle.get()
            try:
                if self.closed:
                    break
                if worker is None:
                    worker = self._hire()
                    self._hired.append(worker)
                return worker.draw(unit, expected)
            except _WorkerDied:
                worker = None
            finally:
                self._idle.put(worker)
        remedy = "if memory ran out, give fewer workers; to see its error, draw with one worker in this process"
        raise RuntimeError(f"example = {unit.example.id!r}: {ATTEMPTS} workers died drawing it; {remedy}")

    def close(self) -> None:
        self.closed = True
        for worker in self._hired:
            worker.stop()


class _Drawer:
    """What a worker holds: the guard, loaded when the first unit comes."""

    def __init__(self, load: Callable[[], Guard]) -> None:
        self._load = load

    @cached_property
    def _guard(self) -> Guard:
        guard = self._load()
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)  # the workers share the machine among themselves
        return guard

    def draw(self, unit: Unit, expected: tuple[Any, ...]) -> list[Evidence]:
        """Return the counts of a unit, if the guard loaded here is the one that is expected."""
        found = _traits(self._guard)
        require(found == expected, "load", found, f"it must make the guard that is smoothed, {expected}")
        return unit.draw(self._guard)


def _traits(guard: Guard) -> tuple[Any, ...]:
    """What tells one guard from another at a glance; of the alphabet, its size and sum."""
    alphabet = guard.alphabet
    margin, variant = float(getattr(guard, "margin", 0.0)), dict(getattr(guard, "variant", {}))
    ids = int(guard.pad_id), guard.mask_id, int(alphabet.size), int(alphabet.sum())
    return type(guard).__qualname__, margin, variant, *ids


class _Process:
    """A worker in a process of its own; nothing is inherited, since a copied torch may hang."""

    def __init__(self, load: Callable[[], Guard]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, load), daemon=True)
        self._process.start()
        theirs.close()  # so that this side sees the end when the process dies

    def draw(self, unit: Unit, guard: tuple[Any, ...]) -> list[Evidence]:
        try:
            self._pipe.send((unit, guard))
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise _WorkerDied from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, load: Callable[[], Guard]) -> None:
    """Draw what comes, until the other side is gone."""
    drawer = _Drawer(load)
    tqdm.set_lock(threading.RLock())  # no bar is shown here, and the default lock would outlive a killed process
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            unit, guard = pipe.recv()
            try:
                answer: Any = drawer.draw(unit, guard)
            except Exception as error:
                answer = error
            pipe.send(answer)


class _Actor:
    """A worker that is a Ray actor."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def draw(self, unit: Unit, guard: tuple[Any, ...]) -> list[Evidence]:
        import ray

        try:
            return ray.get(self._handle.draw.remote(unit, guard))
        except ray.exceptions.RayActorError as error:
            raise _WorkerDied from error

    def stop(self) -> None:
        import ray

        ray.kill(self._handle)
