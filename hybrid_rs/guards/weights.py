"""Checks of a checkpoint's files before a network is built: where its weights are, and whether they are enough."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hybrid_rs._checks import require
from hybrid_rs._extras import needs

FILES = (
    "*.json",
    "*.safetensors",
    "*.jinja",
    "*.model",
    "*.txt",
)  # files that are downloaded from the hub: no pickles, no code


def located(path: str | Path, download: bool) -> Path:
    """Return the folder of a checkpoint: the path itself, or the local copy of the hub's files of that name."""
    if Path(path).is_dir():
        return Path(path)
    with needs("guard"):
        from huggingface_hub import snapshot_download

    return Path(snapshot_download(str(path), allow_patterns=list(FILES), local_files_only=not download))


def shapes(folder: Path, name: str = "model") -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of a checkpoint by its name; only the headers of the files are read.

    Args:
        folder: contains ``name.safetensors``, or ``name.safetensors.index.json`` and its parts.
        name: "model" in transformers, "diffusion_pytorch_model" in diffusers.

    Raises:
        ValueError: if there are no weights, the index names a file outside the folder or one that is not safetensors,
            or a file is truncated; the message names the file.
    """
    with needs("guard"):
        from safetensors import safe_open

    found: dict[str, tuple[int, ...]] = {}
    for file in _files(folder, name):
        try:
            with safe_open(file, "pt") as opened:
                found |= {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
        except Exception as error:  # the library's own exception, or an error of the system while mapping the file
            raise ValueError(f"{file}: this is not a complete safetensors file; fetch it again ({error})") from error
    return found


def _files(folder: Path, name: str) -> list[Path]:
    single, index = folder / f"{name}.safetensors", folder / f"{name}.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise ValueError(f"{single}: there is no such file, and no index of several files")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{index}: this is not an index of weights; fetch it again ({error})") from error
    for part in names:
        plain = isinstance(part, str) and Path(part).name == part and "\\" not in part and part.endswith(".safetensors")
        require(plain, str(index), part, "an index may name only .safetensors files of its own folder", repr)
        require((folder / part).is_file(), str(index), part, "there is no such file in the folder", repr)
    return [folder / part for part in names]


def require_plausible(file: Path, found: dict[str, tuple[int, ...]]) -> None:
    """Refuse a configuration with more layers than there are weights, before anything is built from it.

    Args:
        file: the configuration, JSON.
        found: the weights in the files, from :func:`shapes`.

    Raises:
        ValueError: if the file is not a JSON object, or declares more layers than the files have weights.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file}: this is not a configuration in JSON; fetch it again ({error})") from error
    require(isinstance(values, dict), str(file), type(values).__name__, "give a JSON object")
    parts = [values]
    while parts:
        part = parts.pop()
        parts += [value for value in part.values() if isinstance(value, dict)]
        for name, value in part.items():
            many = value if isinstance(value, int | float) and "layers" in str(name) else 0
            few = many <= len(found)
            require(few, f"{file}: {name}", value, f"the files have only {len(found)} weights; fetch them again")


def require_filled(config: Any, kind: Any, file: Path, found: dict[str, tuple[int, ...]]) -> None:
    """Refuse a configuration of a network that needs more weights than the files have; nothing is allocated.

    Args:
        config: the configuration, loaded.
        kind: the class of transformers that builds a network from it.
        file: the file of the configuration, for the message.
        found: the weights in the files, from :func:`shapes`.
    """
    with needs("guard"):
        import torch

    with torch.device("meta"):
        network = kind.from_config(config)
    declared, held = sum(w.numel() for w in network.parameters()), sum(math.prod(shape) for shape in found.values())
    remedy = f"the files have {held:,}; they do not belong to this configuration"
    require(declared <= held, str(file), f"{declared:,} weights", remedy)
