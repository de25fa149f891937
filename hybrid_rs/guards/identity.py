"""The identity of a guard: one digest of everything its answers depend on, under which counts are kept."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hybrid_rs._extras import needs

LEFT_OUT = ("transformers_version", "_diffusers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")


def digest(facts: dict[str, Any]) -> str:
    """Return the SHA-256 of JSON-compatible facts; the order of names does not matter.

    Example:
        >>> digest({"a": 1, "b": [2.5]}) == digest({"b": [2.5], "a": 1}) != digest({"a": 1, "b": [2.0]})
        True
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def weights(model: Any) -> str:
    """Return the SHA-256 of a network's weights in memory: names, precisions, shapes and values."""
    with needs("guard"):
        import torch

    found = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        found.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        found.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def configuration(config: Any) -> Any:
    """Return a configuration without the entries that answers do not depend on, such as names and versions.

    The version of transformers or diffusers is left out on purpose. Another version, like another device, only rounds
    sums differently in the last digits, and counts that took hours should stay valid. The precision of the weights is
    covered by :func:`weights`.
    """
    if isinstance(config, dict):
        return {name: configuration(value) for name, value in config.items() if name not in LEFT_OUT}
    return [configuration(value) for value in config] if isinstance(config, list | tuple) else config


def tokenizer(used: Any) -> Any:
    """Return a description of a tokenizer: all settings of a fast tokenizer, otherwise its vocabulary.

    Padding and truncation are left out: using a tokenizer changes them, and guards use neither.
    """
    fast = getattr(used, "backend_tokenizer", None)
    if fast is None:
        return None if used is None else used.get_vocab()
    return json.loads(fast.to_str()) | {"padding": None, "truncation": None}
