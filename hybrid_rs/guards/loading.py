"""Checkpoints from disk: only safetensors weights are read, and code in a checkpoint is never run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SETTINGS = ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
SHOWN = 3  # names of weights in a message


@contextmanager
def reading(
    path: str | Path, what: str = "Hugging Face checkpoint", name: str = "path", remedy: str = ""
) -> Iterator[None]:
    """Turn every error while a checkpoint is read into one error that names its path.

    Args:
        path: a folder, or a name on the hub.
        what: what the folder should contain, for the message.
        name: of the parameter, for the message.
        remedy: what to give; by default a folder that has weights.

    Raises:
        ValueError: if anything goes wrong.
    """
    try:
        yield
    except Exception as error:  # third-party code reads third-party files: any exception is possible
        remedy = remedy or (
            f"give the folder of a {what}, with its weights in safetensors and without its own code, or "
            "download=True with a name on the hub"
        )
        said = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{name} = {path}: {remedy} ({said})") from error


def loaded(kind: Any, folder: Path, **options: Any) -> Any:
    """Load an object of transformers or diffusers from the files in a folder; nothing is downloaded.

    Args:
        kind: the class.
        folder: where the files are.
        options: of the class; if it reads weights, with ``use_safetensors=True``.
    """
    return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)


def own_code(folder: Path) -> tuple[str, ...]:
    """Return the files of a checkpoint that name code of its own (``auto_map``), which is never run.

    The classes of transformers are loaded in its place, as transformers does without ``trust_remote_code``. Many
    checkpoints were converted for these classes and kept the entry, so it is no error.

    Args:
        folder: where the files are.
    """
    found = []
    for name in SETTINGS:
        try:
            parts = [json.loads((folder / name).read_text(encoding="utf-8"))]
        except (OSError, ValueError, RecursionError):  # who loads the file says what is wrong with it
            continue
        while parts:
            part = parts.pop()
            if isinstance(part, dict):
                parts += part.values()
                found += [name] if part.get("auto_map") else []
    return tuple(dict.fromkeys(found))


def require_whole(missing: Any, unexpected: Any, mismatched: Any) -> None:
    """Refuse weights that do not match the network: otherwise a part of it would be random.

    Args:
        missing: names of weights of the network that the files lack; tied weights are not listed.
        unexpected: names of weights in the files that the network lacks.
        mismatched: names of weights of another shape in the files.

    Raises:
        ValueError: if any of the three is not empty; it names the first weights.

    Example:
        >>> require_whole(["lm_head.weight"], [], [])
        Traceback (most recent call last):
        ValueError: weights = 1 missing (lm_head.weight): the files must hold all weights of the network and no others
    """
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": mismatched}
    said = []
    for kind, names in kinds.items():
        ordered = sorted(str(name) for name in names)
        more = ", ..." if len(ordered) > SHOWN else ""
        said += [f"{len(ordered)} {kind} ({', '.join(ordered[:SHOWN])}{more})"] if ordered else []
    if said:
        raise ValueError(f"weights = {', '.join(said)}: the files must hold all weights of the network and no others")
