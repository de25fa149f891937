"""A guard with its verdicts exchanged: lowering its smoothed value raises that of the guard itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from hybrid_rs.smoothing.guard import Guard

EXCHANGED = ", verdicts exchanged"
"""Ends the identity of an exchanged guard, so that stores keep it apart from the guard itself."""


class Exchanged:
    """Says "unsafe" where a guard says "safe", and the other way round.

    The attacks of this package lower a smoothed value, towards "safe". With this guard the same attacks search for
    false alarms: a value v of the exchanged guard is a value 1 - v of the guard. Scores, margin and gradients change
    their sign; everything else is the guard's own.

    Args:
        guard: the guard.

    Example:
        >>> class Bright:
        ...     alphabet, pad_id, mask_id, margin = np.arange(10), 0, None, 0.5
        ...     def unsafe(self, token_ids, images):
        ...         return self.scores(token_ids, images) > self.margin
        ...     def scores(self, token_ids, images):
        ...         return images.mean(axis=(1, 2, 3))
        >>> guard, images = Exchanged(Bright()), np.array([0.25, 0.75]).reshape(2, 1, 1, 1)
        >>> guard.unsafe(None, images), guard.scores(None, images), guard.margin
        (array([ True, False]), array([-0.25, -0.75]), -0.5)
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "guard":  # while it is being copied or unpickled
            raise AttributeError(name)
        found = getattr(self.guard, name)
        if name == "margin":
            return -found
        if name == "identity":
            return f"{found}{EXCHANGED}"
        changes: dict[str, Callable[[Any], Any]] = {"unsafe": _other, "scores": _negative, "gradients": _negatives}
        change = changes.get(name)
        return found if change is None else _changed(found, change)


def _changed(method: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return the method with its answer changed; its signature says whether texts may share an image."""

    @wraps(method)
    def ask(*given: Any, **named: Any) -> Any:
        return change(method(*given, **named))

    return ask


def _other(answer: Any) -> Any:
    """Return the opposite verdicts; an invalid answer stays invalid, so that it is refused."""
    verdicts = np.asarray(answer)
    if verdicts.dtype.kind not in "biuf":
        return answer
    return ~verdicts if verdicts.dtype == bool else 1 - verdicts


def _negative(answer: Any) -> Any:
    return -np.asarray(answer)


def _negatives(answer: Any) -> Any:
    return tuple(None if part is None else -np.asarray(part) for part in answer)
