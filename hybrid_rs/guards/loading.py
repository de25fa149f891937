"""Checkpoints from disk: weights as safetensors alone, and none of the code that a checkpoint may bring along."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def loaded(kind: Any, path: str | Path, download: bool, what: str = "Hugging Face checkpoint", **options: Any) -> Any:
    """Return what a class of transformers or diffusers makes of a checkpoint.

    Args:
        kind: the class.
        path: a folder, or a name on the hub.
        download: whether files may be fetched from the hub.
        what: what the folder should hold, for the message.
        options: of the class; of one that reads weights, ``use_safetensors=True``.

    Raises:
        ValueError: if it cannot be loaded, has weights in another form than safetensors, or needs code of its own.
    """
    try:
        return kind.from_pretrained(path, local_files_only=not download, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError, AttributeError) as error:
        remedy = (
            f"give the folder of a {what}, with its weights in safetensors and without code of its own, or "
            "download=True with a name on the hub"
        )
        raise ValueError(f"path = {path}: {remedy} ({error})") from error
