"""Garbage into every public function: a valid result, or one short error that names the parameter.

The functions, classes and methods are those of :data:`ROOMS`; their parameters are read off their signatures. Each
parameter has a strategy for good values. A call takes good values for most parameters and hostile ones for the rest.
What comes back is checked by the room's rules; what is raised must be an error that names a parameter.
"""

from __future__ import annotations

import inspect
import re
import signal
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from random import Random
from typing import Any

import numpy as np
from abuse.hostile import hostile
from abuse.room import Target
from abuse.rooms import attacks, baselines, certificates, datasets, decisions, evidence, small, smoothing, storage
from abuse.rooms.datasets import home

import hybrid_rs as hrs
from hybrid_rs._checks import shown
from hybrid_rs.certificates.committed_certificate import CommittedCertificate
from hybrid_rs.certificates.committed_text_certificate import CommittedTextCertificate

ROOMS = tuple(
    each.ROOM for each in (evidence, certificates, decisions, smoothing, datasets, attacks, baselines, storage, small)
)

LONGEST = 2_000  # characters of a message
CPU_SECONDS = 3  # of one call, after which it counts as hanging


def targets() -> list[Target]:
    """Every public function, constructor and method with arguments, of all rooms."""
    return [target for room in ROOMS for target in room.targets()]


def check(target: Target, given: dict[str, Any], result: Any) -> None:
    """Raise AssertionError unless the result is one that this callable may give."""
    if target.rule is not None:
        target.rule(given, result)
    elif inspect.isgenerator(result):
        result = [each for each, _ in zip(result, range(2), strict=False)]
    for part in result if isinstance(result, list) else [result]:
        if isinstance(part, hrs.Frontier):
            _sound_frontier(part)
        if isinstance(part, hrs.Counts | hrs.MaskedCounts):
            assert all(isinstance(k, int) and 0 <= k <= part.n for k in part.unsafe)
        if isinstance(part, hrs.Certificate):
            assert 0 <= part.p_adv <= max(part.p, 0.0) <= 1
            assert hrs.verify(part) >= part.p_adv
        if isinstance(part, hrs.TextCertificate | CommittedCertificate | CommittedTextCertificate):
            assert hrs.verify(part) >= part.p_adv >= 0
        if isinstance(part, hrs.LikelihoodRatio):
            assert abs(part.p_finite + part.p_at_zero - 1) < 1e-8
        if isinstance(part, hrs.Example):
            assert part.image.min() >= 0
            assert part.image.max() <= 1


def _sound_frontier(front: hrs.Frontier) -> None:
    radii = front.radii[~np.isnan(front.radii)]
    assert front.radii.dtype == np.float64
    assert np.all(radii >= 0)
    assert np.all((front.p >= 0) & (front.p <= 1))


class Hang(BaseException):
    """A call took longer than any call may."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise Hang in a block that takes more seconds of this process's processor time."""

    def ring(number: int, frame: Any) -> None:
        raise Hang(f"{seconds} seconds of processor time")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def names_a_parameter(error: BaseException, parameters: tuple[str, ...]) -> bool:
    """Whether a message is of the one form, ``name = value: remedy``, and its name that of a parameter."""
    if re.search(r", (line|object) \d+|, header", str(error)):
        return True  # what a file has is named by file and line
    subject, equals, rest = str(error).partition(" = ")
    # a part of an argument is named as guard.alphabet, or by its field, as the unsafe of counts
    known = {*parameters, *FIELDS}
    return bool(equals) and ": " in rest and any(word in known for word in re.findall(r"\w+", subject))


FIELDS = {
    "unsafe",
    "safe",
    "n",
    "k",
    "p",
    "counts",
    "example",
    "log_t",
    "p_adv",
    "atoms",
    "alphabet",
    "tau",
    "length",
    "line",
    "object",
    "engine",
} | {"threat", "kernel", "guard", "smoothed"}


def fault(target: Target, given: dict[str, Any], random: Random) -> str:
    """Make one call; return what is wrong with its outcome, or an empty string."""
    try:
        with warnings.catch_warnings(), bounded(CPU_SECONDS):
            warnings.simplefilter("error")
            result = target.call(random, given)
            check(target, given, result)
    except AssertionError as error:
        line = error.__traceback__
        while line is not None and line.tb_next is not None:
            line = line.tb_next
        where = f"line {line.tb_lineno}" if line is not None else ""
        return f"a result that is not valid ({where})"
    except (ValueError, TypeError) as error:
        if len(str(error)) > LONGEST:
            return f"a message of {len(str(error))} characters"
        if not all(line.isprintable() for line in str(error).split("\n")):
            return f"a message that moves the cursor: {str(error)[:80]!r}"
        if not names_a_parameter(error, target.parameters):
            return f"{type(error).__name__} that names no parameter: {str(error)[:120]!r}"
    except (Exception, Hang) as error:
        return f"{type(error).__name__}: {str(error)[:120]!r}"
    return ""


def run(count: int, seed: int) -> dict[str, Any]:
    """Make so many calls, shared equally among the public callables; return what came of them.

    Returns:
        ``calls``, ``targets``, ``refused`` (calls with at least one hostile value, for those that were refused),
        ``seconds``, ``slowest`` (seconds, name), and ``faults``, a list of sentences, empty if all is well.
    """
    random, began = Random(seed), time.perf_counter()
    every = targets()
    faults: Counter[str] = Counter()
    slowest = (0.0, "")
    for number in range(count):
        target = every[number % len(every)]
        given = {name: make(random) for name, make in target.good.items()}
        names = list(given)
        # with each tenth call all good, so that results are checked, too
        for name in random.sample(names, min(len(names), random.choice((0, 1, 1, 1, 1, 1, 1, 2, 2, 3)))):
            given[name] = hostile(random)
        before = time.process_time()
        with chdir(home()):  # some take names of files
            found = fault(target, given, random)
        slowest = max(slowest, (round(time.process_time() - before, 2), target.name))
        if found:
            faults[f"{target.name}({_few(given)}): {found}"] += 1
    return {
        "calls": count,
        "targets": len(every),
        "seconds": round(time.perf_counter() - began, 1),
        "slowest": list(slowest),
        "faults": [f"{what} ({many} times)" for what, many in faults.most_common()],
    }


def _few(given: dict[str, Any]) -> str:
    return ", ".join(f"{name}={shown(value, how=repr)[:40]}" for name, value in given.items())


def mistyped(seed: int) -> list[tuple[str, str, str]]:
    """Return where a number or a truth value is taken in another type: the callable, its parameter, the type.

    Every callable is called with good values. Then one of them after another is given as text, as a truth value, or as
    a complex number; a truth value, as a number or as text.
    """
    taken = []
    for target in targets():
        given = {name: make(Random(f"{seed} {target.name} {name}")) for name, make in target.good.items()}
        if not _works(target, seed, given):
            continue
        for name, value in given.items():
            number = isinstance(value, int | float | np.integer | np.floating)
            if isinstance(value, bool):
                others: list[Any] = [str(value), int(value)]
            else:
                others = [str(value), bool(value), complex(value)] if number else []
            taken += [
                (target.name, name, type(other).__name__)
                for other in others
                if _works(target, seed, given | {name: other})
            ]
    return taken


def _works(target: Target, seed: int, given: dict[str, Any]) -> bool:
    try:
        with warnings.catch_warnings(), bounded(CPU_SECONDS):
            warnings.simplefilter("ignore")
            result = target.call(Random(seed), dict(given))
            if inspect.isgenerator(result):
                next(result, None)
    except (Exception, Hang):
        return False
    return True
