"""Where work is done: in this process, or by the workers of a Ray cluster. The results are the same everywhere.

A worker loads the guard itself, so that no weights are sent. If a worker dies, only the unit that it was drawing is
lost: Ray starts another worker, which draws that unit again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np

from hybrid_rs._checks import flag, function, integer, nonnegative, one, require, shown, text
from hybrid_rs._extras import needs
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.storage.units import Work

ATTEMPTS = 3  # the run stops when this many workers have died on one unit
LEAST_GPU = 1e-4  # the smallest share that Ray knows
STARTS = 10  # attempts to start a cluster: Ray gives its helpers 15 seconds each time, too few on a busy machine
PATIENCE = {  # how long Ray waits for its own processes, unless the user has set it
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",  # milliseconds; not used by Ray 2.60, perhaps by later versions
}
W = TypeVar("W", bound="Work[Any]")


class Engine(Protocol):
    """Anything that does units of work."""

    def draw(self, guard: Guard, units: Iterable[W]) -> Generator[tuple[W, Any], None, None]:
        """Yield every unit with its result, in the order of ``units``, which are read as workers become free."""
        ...


@dataclass(frozen=True)
class Local:
    """Draws in this process, one unit after the other.

    Args:
        progress: show a bar on stderr for the draws of each unit.
    """

    progress: bool = False

    def draw(self, guard: Guard, units: Iterable[W]) -> Generator[tuple[W, Any], None, None]:
        """Yield every unit with its result, in the order of ``units``."""
        for unit in units:
            yield unit, unit.draw(guard, progress=self.progress)


def engine_or_local(engine: Engine | None) -> Engine:
    """Return the engine, by default :class:`Local`; anything that has no ``draw`` is refused."""
    able = engine is None or callable(getattr(engine, "draw", None))
    require(able, "engine", engine, "give Local() or Ray(...), or leave it out", repr)
    return Local() if engine is None else engine


class Ray:
    """Draws in Ray actors: on a running cluster, or on a cluster that is started on this machine.

    The actors start when the first unit is drawn, and end with :meth:`close` or with this process. Each computes with
    one thread. Every machine of the cluster needs this package and all files that ``load`` reads.

    Args:
        load: makes the guard in each actor; a function that actors can import, or ``functools.partial`` of one.
        workers: number of actors; by default, the processors of the cluster, or of this machine.
        address: address of a running cluster, such as "auto" or "ray://host:10001"; by default one is started here.
        gpus: GPUs of each actor: a share of one, such as 0.25, or a whole number. By default Ray assigns none, and all
            actors of a machine see all of its GPUs.

    Raises:
        ValueError: if workers is less than 1 or, where a cluster is started here, more than the processors of this
            machine; if gpus is negative, or a fraction above 1; when first used, if the cluster has no room for them.
        ImportError: when first used, if Ray is not installed.
        RuntimeError: when first used, if no cluster answers.
    """

    def __init__(
        self, load: Callable[[], Guard], workers: int | None = None, address: str | None = None, gpus: float = 0.0
    ) -> None:
        self.workers = None if workers is None else integer("workers", workers, at_least=1)
        running, here = "ray" in sys.modules and sys.modules["ray"].is_initialized(), os.cpu_count()
        if self.workers and here and not address and not running:
            remedy = f"this machine has {here} processors; give fewer, or the address of a cluster"
            require(self.workers <= here, "workers", self.workers, remedy)
        self.gpus = one("gpus", nonnegative("gpus", gpus))
        possible = self.gpus == 0 or LEAST_GPU <= self.gpus <= 1 or self.gpus.is_integer()
        require(possible, "gpus", gpus, "give a share of one GPU, such as 0.25, or a whole number of GPUs")
        self.load, self.address = load, address
        self._actors: list[Any] = []
        self._started = False

    def draw(self, guard: Guard, units: Iterable[W]) -> Generator[tuple[W, Any], None, None]:
        """Yield every unit with its result, in the order of ``units``."""
        self._connect()
        import ray

        expected, idle = _traits(guard), list(self._actors)
        busy: dict[Any, Any] = {}
        out: deque[tuple[W, Any]] = deque()
        try:
            for unit in units:
                if not idle:
                    [done], _ = ray.wait(list(busy))
                    idle.append(busy.pop(done))
                actor = idle.pop()
                answer = actor.draw.remote(unit, expected)
                busy[answer] = actor
                out.append((unit, answer))
                while out[0][1] not in busy:
                    yield out[0][0], _answer(*out.popleft())
            while out:
                yield out[0][0], _answer(*out.popleft())
        except BaseException:  # after a Ctrl-C, too, do not wait for running draws
            self.close()
            raise

    def _connect(self) -> None:
        if self._actors:
            return
        with needs("scale"):
            import ray
        if not ray.is_initialized():
            start_ray(self.workers, self.address)
            self._started = True
        room = sum(self._room(node["Resources"]) for node in ray.nodes() if node["Alive"])
        workers = room if self.workers is None else self.workers
        has = f"the cluster has room for {room}, each with a processor" + (
            f" and {self.gpus:g} GPU" if self.gpus else ""
        )
        require(1 <= workers <= room, "workers", workers, has)
        options: dict[str, Any] = {"num_gpus": self.gpus, "max_restarts": -1, "max_task_retries": ATTEMPTS - 1}
        actor = ray.remote(num_cpus=1, **options)(_Drawer)
        self._actors = [actor.remote(self.load) for _ in range(workers)]

    def _room(self, node: dict[str, float]) -> int:
        """Return how many actors a machine has room for; actors that have none would be waited for without end."""
        processors, gpus = int(node.get("CPU", 0)), node.get("GPU", 0.0)
        share = self.gpus or 1.0
        on_gpus = int(gpus) * int(1 / share) if share <= 1 else int(gpus // share)
        return min(processors, on_gpus) if self.gpus else processors

    def close(self) -> None:
        """Stop the actors, and the cluster if it was started here; a later draw starts new ones."""
        if not self._actors and not self._started:
            return
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        if self._started:
            ray.shutdown()
            self._started = False


def start_ray(workers: int | None = None, address: str | None = None) -> None:
    """Start a Ray cluster on this machine, or join a running one; a slow start is retried, with a note on stderr.

    Args:
        workers: number of processors of a new cluster; by default, those of this machine.
        address: address of a running cluster to join.

    Raises:
        ImportError: if Ray is not installed.
        RuntimeError: if no cluster answers, or none has started after several attempts.
    """
    for name, value in {"RAY_USAGE_STATS_ENABLED": "0", **PATIENCE}.items():  # send no usage statistics
        os.environ.setdefault(name, value)
    with needs("scale"):
        import ray

    own = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    asked = {"address": address} if address else own
    for left in reversed(range(1 if address else STARTS)):
        try:
            ray.init(**asked, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray has no specific exception for this
            ray.shutdown()
            if not left:
                remedy = (
                    "try again when the machine is less busy, give another address, or draw with the local engine; "
                )
                remedy += "Ray's logs are in /tmp/ray/session_latest/logs"
                raise RuntimeError(f"engine = 'ray': no cluster answered ({error}); {remedy}") from error
            print(f"Ray did not start in time; {left} more attempts", file=sys.stderr)
        else:
            return


def engine_name(
    engine: str | None, workers: int | None = None, address: str | None = None, gpus: float | None = None
) -> str:
    """Return the name of an engine as :func:`get_engine` takes it.

    Args:
        engine: "local" or "ray"; None means ray if workers, GPUs or an address are given, else local.
        workers: number of Ray actors.
        address: address of a running Ray cluster.
        gpus: GPUs of each actor; see :class:`Ray`.

    Raises:
        ValueError: if there is no such engine.

    Example:
        >>> engine_name("ray", workers=4, address="auto"), engine_name(None, gpus=0.25), engine_name(None)
        ('ray:4@auto', 'ray::0.25', 'local')
    """
    if address is not None:
        text("address", address)
    if workers is not None:
        integer("workers", workers, at_least=1)
    share = "" if gpus is None else ":" + np.format_float_positional(one("gpus", nonnegative("gpus", gpus)), trim="-")
    given = ("" if workers is None and not share else f":{'' if workers is None else workers}") + share
    kind = ("ray" if given or address else "local") if engine is None else text("engine", engine)
    name = kind + given + (f"@{address}" if address else "")
    _parts(name)
    return name


def get_engine(name: str, load: Callable[[], Guard], *, progress: bool = False) -> Local | Ray:
    """Return the engine of a name: ``local``, or ``ray[:WORKERS[:GPUS]][@ADDRESS]``.

    Args:
        name: the engine, as a notebook's parameter ``engine`` gives it.
        load: makes the guard in each worker.
        progress: as in :class:`Local`.

    Raises:
        ValueError: if there is no such engine.

    Example:
        >>> from hybrid_rs.small_guard.guard import load_bay_guard
        >>> engine = get_engine("ray:4:0.25@auto", load_bay_guard)  # four workers share a GPU
        >>> engine.workers, engine.gpus, engine.address
        (4, 0.25, 'auto')
    """
    function("load", load, "give a function that makes the guard")
    kind, workers, gpus, address = _parts(text("engine", name))
    local = Local(flag("progress", progress))
    return Ray(load, workers, address, gpus) if kind == "ray" else local


def _parts(name: str) -> tuple[str, int | None, float, str | None]:
    match = re.fullmatch(r"(local)|(ray)(?::(?!@|$)(\d+)?(?::(\d+|\d*\.\d+))?)?(?:@(.+))?", name)
    if match is None:
        raise ValueError(f"engine = {shown(name, repr)}: give local (this process) or ray[:workers[:gpus]][@address]")
    return match[1] or match[2], int(match[3]) if match[3] else None, float(match[4] or 0), match[5]


def _answer(unit: Work[Any], answer: Any) -> Any:
    """Return a worker's result; an exception in the worker is raised here."""
    import ray

    try:
        return ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayActorError as error:
        remedy = "if memory ran out, give fewer workers; to see its error, draw with the local engine"
        raise RuntimeError(f"example = {unit.example.id!r}: {ATTEMPTS} workers died drawing it; {remedy}") from error


class _Drawer:
    """The state of a worker: the guard, loaded when the first unit arrives."""

    def __init__(self, load: Callable[[], Guard]) -> None:
        self._load = load

    @cached_property
    def _guard(self) -> Guard:
        guard = self._load()
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)  # the workers share the processors
        return guard

    def draw(self, unit: Work[Any], expected: tuple[Any, ...]) -> Any:
        """Return the result of a unit, after checking that the loaded guard is the expected one."""
        found = _traits(self._guard)
        require(found == expected, "load", found, f"it must load the smoothed guard, {expected}")
        return unit.draw(self._guard)


def _traits(guard: Guard) -> tuple[Any, ...]:
    """Return what distinguishes a guard: identity and margin, and its type, pad, mask and alphabet."""
    alphabet = hashlib.sha256(np.asarray(guard.alphabet, dtype=np.int64).tobytes()).hexdigest()
    own, margin = getattr(guard, "identity", None), float(getattr(guard, "margin", 0.0))
    return type(guard).__qualname__, own, margin, int(guard.pad_id), guard.mask_id, alphabet
