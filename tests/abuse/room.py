"""What the garbage needs to know of one room of the package: its public things, their arguments, their results."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from abuse import values

Strategy = Callable[[Random], Any]
Rule = Callable[[dict[str, Any], Any], None]


@dataclass(frozen=True)
class Target:
    """One public callable.

    Args:
        name: as people call it, without the package.
        parameters: those it takes, without self.
        good: a strategy for each of them.
        call: calls it: first argument a random generator that makes self where there is one.
        rule: raises AssertionError unless a result is one that this callable may give.
    """

    name: str
    parameters: tuple[str, ...]
    good: dict[str, Strategy]
    call: Callable[[Random, dict[str, Any]], Any]
    rule: Rule | None = None


@dataclass(frozen=True)
class Room:
    """The public functions and classes of a room, and what goes in and out.

    Args:
        things: functions and classes.
        good: a strategy for good values of a parameter, in this room; others are in :data:`values.GOOD`.
        own: the same for a name that means something else in one callable.
        selves: an object of each class, for its methods.
        rules: what a result must look like, by callable.
        made_elsewhere: classes that users do not make: records that the package fills in, protocols, errors.
        silent: of these, the ones without a method that takes an argument.
        left_out: methods that other tests call.
    """

    things: tuple[Any, ...]
    good: dict[str, Strategy] = field(default_factory=dict)
    own: dict[str, dict[str, Strategy]] = field(default_factory=dict)
    selves: dict[str, Strategy] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
    made_elsewhere: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()

    def targets(self) -> list[Target]:
        """Every function, constructor and method with arguments, read off their signatures."""
        found: list[Target] = []
        for thing in self.things:
            name = thing.__name__
            if not inspect.isclass(thing):
                found.append(self._target(name, thing))
                continue
            if name not in self.made_elsewhere:
                found.append(self._target(name, thing))
            if name in self.silent:
                continue
            for attribute, member in inspect.getmembers(thing, callable):
                full = f"{name}.{attribute}"
                if attribute.startswith("_") or attribute == "mro" or full in self.left_out:
                    continue
                found.append(self._target(full, member, None if inspect.ismethod(member) else self.selves[name]))
        return found

    def _target(self, name: str, function: Any, make: Strategy | None = None) -> Target:
        names = tuple(each for each in inspect.signature(function).parameters if each != "self")
        known = values.GOOD | self.good | self.own.get(name, {})
        attribute = name.rpartition(".")[2]

        def call(random: Random, given: dict[str, Any]) -> Any:
            return (function if make is None else getattr(make(random), attribute))(**given)

        # a KeyError says that a new parameter needs a strategy
        return Target(name, names, {each: known[each] for each in names}, call, self.rules.get(name))


def broadcast(given: dict[str, Any], names: tuple[str, ...]) -> tuple[int, ...]:
    """The shape that the arguments have in common."""
    return np.broadcast_shapes(*(np.shape(given[name]) for name in names))


def probabilities(*names: str) -> Rule:
    """A rule: probabilities in float64, of the shape that the arguments have in common."""

    def rule(given: dict[str, Any], result: Any) -> None:
        array = np.asarray(result)
        assert array.dtype == np.float64
        assert array.shape == broadcast(given, names)
        assert np.all((array >= 0) & (array <= 1))

    return rule


def radii(*names: str) -> Rule:
    """A rule: radii in float64, nan where there is none, of the shape that the arguments have in common."""

    def rule(given: dict[str, Any], result: Any) -> None:
        array = np.asarray(result)
        assert array.dtype == np.float64
        assert array.shape == broadcast(given, names)
        assert np.all(np.isnan(array) | (array >= 0))

    return rule


def one_probability(given: dict[str, Any], result: Any) -> None:
    """A rule: one number in [0, 1]."""
    assert isinstance(result, float)
    assert 0 <= result <= 1
