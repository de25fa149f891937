"""Make a guard from options: from a checkpoint or a server, perhaps behind a denoiser. Workers use this, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_rs._checks import require
from hybrid_rs._extras import needs
from hybrid_rs.checkout import carried
from hybrid_rs.cli.showing import note

if TYPE_CHECKING:
    from hybrid_rs.smoothing.guard import Guard


def load_guard(
    make: Callable[[], Guard], denoiser: str | None, sigma: float, *, device: str, batch_size: int, download: bool
) -> Guard:
    """Make a guard, and put a denoiser of level ``sigma`` before it if one is named."""
    guard = make()
    if denoiser is None:
        return guard
    from hybrid_rs.guards.denoised import DenoisedGuard

    require_device(device)
    with needs("denoise"):
        from diffusers.utils import logging

    logging.disable_progress_bar()  # of the parts of the pipeline; --progress is about draws
    how: dict[str, Any] = {"device": device, "batch_size": batch_size, "download": download}
    with _called("denoiser", denoiser, download):
        return DenoisedGuard.from_pretrained(guard, denoiser, sigma, **how)


def load_checkpoint(model: str, options: dict[str, Any], download: bool) -> Guard:
    """Load a guard from disk; a model or a device that does not exist is an error before anything is read.

    By default images keep their size and shape if the family reads any size; otherwise they get the size of the model's
    vision tower.
    """
    with needs("guard"):
        from transformers.utils import logging

    from hybrid_rs.guards.checkpoint import keeps_shapes
    from hybrid_rs.guards.native import REFERENCE, NativeGuard  # first: without torch this import says what to install
    from hybrid_rs.guards.reasoning import ReasoningGuard
    from hybrid_rs.guards.vlm import VisionLanguageGuard

    if options["device"] == "auto":
        options = options | {"device": "cpu", "device_map": "auto"}
    require_device(options["device"])
    logging.disable_progress_bar()
    given, folder = options | {"download": download}, _built_in(model)
    parsed, deployed = given.pop("parsed"), given.pop("deployed")
    with _called("model", model, download):
        native = keeps_shapes(folder, download=download) if deployed else given["image_size"] == "native"
        given |= {"image_size": REFERENCE} if native else {}
        if parsed is not None:
            del given["margin"]  # a generated verdict has none; the option was checked before
            return ReasoningGuard.from_pretrained(folder, **parsed, native=native, **given)
        guard = VisionLanguageGuard.from_pretrained(folder, **given)
    return NativeGuard(guard, guard.margin) if native else guard


def load_endpoint(
    server: dict[str, Any], tokenizer: Path | None, sending: dict[str, Any], options: dict[str, Any]
) -> Guard:
    """Make a guard that asks a server, and test it by asking one question twice."""
    from hybrid_rs.guards.endpoint import EndpointGuard
    from hybrid_rs.guards.spelling import Letters, Tokens
    from hybrid_rs.guards.transport import Transport
    from hybrid_rs.guards.wording import Wording

    size = None if options["image_size"] == "native" else options["image_size"]
    words = Wording(**{each.name: options[each.name] for each in fields(Wording)})
    letters = {name: options[name] for name in ("alphabet", "max_characters", "mask")}
    spelling = Letters() if tokenizer is None else Tokens.load(tokenizer, **letters)
    how: dict[str, Any] = {"margin": options["margin"], "transport": Transport(**sending, note=note)}
    return EndpointGuard(image_size=size, spelling=spelling, wording=words, **server, **how).tried()


def require_device(device: str) -> None:
    """Require a device that torch sees here."""
    with needs("guard"):
        import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    seen = f"torch sees {', '.join(k for k, v in there.items() if v)} here"
    require(there.get(device.partition(":")[0], False), "device", device, seen)


def _built_in(model: str) -> str:
    """Replace the name of the small guard by its folder in the package; leave any other model as it is."""
    return str(carried(model)) if model == "bay_guard" and not Path(model).exists() else model


@contextmanager
def _called(option: str, folder: str, download: bool) -> Iterator[None]:
    """Re-raise errors about a path under the option's name, and say so if there is no such path."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("path = "):
            raise
        if Path(folder).is_dir() or download:
            raise ValueError(f"{option} = {str(error).removeprefix('path = ')}") from error
        remedy = "there is no such folder, nor a checkpoint of that name on disk; --download fetches one from the hub"
        raise ValueError(f"{option} = {folder!r}: {remedy}") from error
