"""The identity of a guard: one digest of everything its answers depend on, under which counts are kept."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hybrid_rs._extras import needs

LEFT_OUT = ("transformers_version", "_diffusers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")


def digest(facts: dict[str, Any]) -> str:
    """Return the SHA-256 of facts that JSON can hold; the order of names does not matter.

    Example:
        >>> digest({"a": 1, "b": [2.5]}) == digest({"b": [2.5], "a": 1}) != digest({"a": 1, "b": [2.0]})
        True
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def weights(model: Any) -> str:
    """Return the SHA-256 of a network's weights as they stand in memory: names, precisions, shapes and values."""
    with needs("guard"):
        import torch

    found = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        found.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        found.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def configuration(config: Any) -> Any:
    """Return what a configuration says, without what no answer depends on: names, versions, the weights' precision.

    The version of transformers or diffusers is left out on purpose: between versions, as between devices, sums are
    rounded otherwise in the last digits, and counts that took hours stay valid. The precision is in :func:`weights`.
    """
    if isinstance(config, dict):
        return {name: configuration(value) for name, value in config.items() if name not in LEFT_OUT}
    return [configuration(value) for value in config] if isinstance(config, list | tuple) else config


def tokenizer(used: Any) -> Any:
    """Return what makes token ids of a text: the whole of a fast tokenizer, else its vocabulary.

    Padding and truncation are left out: they are changed by use, and no guard's texts have either.
    """
    fast = getattr(used, "backend_tokenizer", None)
    if fast is None:
        return None if used is None else used.get_vocab()
    return json.loads(fast.to_str()) | {"padding": None, "truncation": None}
