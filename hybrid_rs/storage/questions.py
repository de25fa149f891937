"""What tells one question of a store from another: everything on which the answer of a smoothed guard may depend."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import kind, require, text
from hybrid_rs.smoothing.answers import foreign
from hybrid_rs.smoothing.deletion import AnySmoothed
from hybrid_rs.smoothing.draws import SAMPLERS
from hybrid_rs.smoothing.example import Example
from hybrid_rs.storage.records import SCHEMA

OF_EXAMPLE = ("example", "content")  # fields about the example; all others are the same for all examples of a run


def described(classifier: str, smoothed: AnySmoothed, example: Example | None = None) -> dict[str, Any]:
    """Return the fields by which stores distinguish questions: everything on which the guard's answer may depend.

    An example is named by its id and by ``content``, a hash of its token ids and pixels. The identity of a user's own
    guard may be a hash of its weights, which stays the same when the guard gets another alphabet, pad or mask. For such
    a guard there is one more field, ``alphabet``, a hash of all three.

    Args:
        classifier: the guard's identity, or a name for a guard that has none.
        smoothed: the smoothed guard.
        example: the input; None for what the questions about all examples share.

    Raises:
        ValueError: if the guard has its own identity, and the classifier's name differs from it.
    """
    guard = smoothing_of(smoothed).guard
    own = getattr(guard, "identity", text("classifier", classifier))
    require(own == classifier, "classifier", classifier, f"the guard has another name; give guard.identity, {own}")
    found = {
        "schema": SCHEMA,
        "classifier": classifier,
        "margin": float(getattr(guard, "margin", 0.0)),
        **({} if example is None else _named_example(example)),
        "kernel": _named(smoothed.kernel),
        "sigma": smoothed.sigma,
        "threat": _named(smoothed.threat),
        "noise": SAMPLERS[smoothed.noise],
    }
    if foreign(guard):
        mask = -1 if guard.mask_id is None else guard.mask_id
        found["alphabet"] = _digest(np.asarray(guard.alphabet, np.int64), np.array([guard.pad_id, mask], np.int64))
    return found


def smoothing_of(smoothed: Any) -> Any:
    """Return the value, which must be a smoothed guard, or have the members of one, as a SubsampledGuard has."""
    members = all(hasattr(smoothed, name) for name in ("guard", "kernel", "sigma", "threat", "noise"))
    require(members, "smoothed", smoothed, "give a smoothed guard", repr)
    return smoothed


def _named_example(example: Example) -> dict[str, str]:
    found: Example = kind("example", example, Example, "give a hybrid_rs.Example")
    return {"example": found.id, "content": _digest(found.token_ids, found.image)}


def _named(value: Any) -> dict[str, Any]:
    return {"name": type(value).__name__} | dataclasses.asdict(value)


def _digest(*arrays: NDArray[Any]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:32]
