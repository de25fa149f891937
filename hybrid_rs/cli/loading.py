"""What commands make of their options: a guard with a name of its own, a smoothing, an engine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_rs._checks import nonnegative, probability, require
from hybrid_rs._extras import needs
from hybrid_rs._files import read_text
from hybrid_rs.checkout import carried
from hybrid_rs.cli.showing import note

if TYPE_CHECKING:
    from hybrid_rs.smoothing.guard import Guard
    from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
    from hybrid_rs.storage.engines import Local, Ray


@dataclass(frozen=True)
class Checkpoint:
    """A guard on disk, what it is asked, and how to run it."""

    model: str
    device: str
    dtype: Any
    margin: float
    batch_size: int
    download: bool
    policy: Path | None = None
    answer_prefix: str = ""
    image_size: int | None = None
    denoiser: str | None = None
    sigma: float = 0.0  # that the denoiser takes out

    def __post_init__(self) -> None:
        require(math.isfinite(self.margin), "margin", self.margin, "give a finite number of logits")
        self.options  # noqa: B018  a policy that cannot be read is found out at once

    @cached_property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of :meth:`VisionLanguageGuard.from_pretrained`, but for the folder and the download."""
        return {
            "device": self.device,
            "dtype": self.dtype,
            "margin": self.margin,
            "batch_size": self.batch_size,
            "policy": read_text("policy", self.policy) if self.policy else None,
            "answer_prefix": self.answer_prefix,
            "image_size": (self.image_size, self.image_size) if self.image_size else None,
        }

    @cached_property
    def guard(self) -> Guard:
        """The guard."""
        note(f"loading {self.model}")
        guard = load_guard(self.model, self.options, self.denoiser, self.sigma, download=self.download)
        note(str(guard))
        return guard

    @property
    def load(self) -> partial[Guard]:
        """A function that makes the guard; a worker finds on disk what was downloaded here."""
        return partial(load_guard, self.model, self.options, self.denoiser, self.sigma)

    @property
    def name(self) -> str:
        """What tells the guard from others in a store; it is loaded for that."""
        own: Any = self.guard
        return str(own.identity)


def load_guard(
    model: str, options: dict[str, Any], denoiser: str | None, sigma: float, *, download: bool = False
) -> Guard:
    """Load the guard, with an early word on a model or a device that is not there."""
    with needs("guard"):
        import torch
        from transformers.utils import logging

    from hybrid_rs.guards.vlm import VisionLanguageGuard  # first: without torch it says what to install

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    device = options["device"]
    seen = f"torch sees {', '.join(k for k, v in there.items() if v)} here"
    require(there.get(device.partition(":")[0], False), "device", device, seen)
    logging.disable_progress_bar()
    with _called("model", model, download):
        guard = VisionLanguageGuard.from_pretrained(_built_in(model), **options, download=download)
    if denoiser is None:
        return guard
    from hybrid_rs.guards.denoised import DenoisedGuard

    how = {"device": device, "batch_size": options["batch_size"], "download": download}
    with _called("denoiser", denoiser, download):
        return DenoisedGuard.from_pretrained(guard, denoiser, sigma, **how)


def _built_in(model: str) -> str:
    """The folder of the small guard that travels with the package, where a user says its name; else what was said."""
    return str(carried(model)) if model == "bay_guard" and not Path(model).exists() else model


@contextmanager
def _called(option: str, folder: str, download: bool) -> Iterator[None]:
    """Say of a path that it is that option's, and of one that is not there that it is not."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("path = "):
            raise
        if Path(folder).is_dir() or download:
            raise ValueError(f"{option} = {str(error).removeprefix('path = ')}") from error
        remedy = "there is no such folder, nor a checkpoint of that name on disk; --download fetches one from the hub"
        raise ValueError(f"{option} = {folder!r}: {remedy}") from error


@dataclass(frozen=True)
class Smoothing:
    """The noise and the threat."""

    sigma: float
    beta: float
    threat: str
    max_edits: int
    per_d: bool = False

    def __post_init__(self) -> None:
        nonnegative("sigma", self.sigma)
        probability("beta", self.beta)
        twice = self.per_d and self.threat == "l0"
        require(not twice, "per_d", True, "l0 has one classifier for all d; leave it out")

    def of(self, guard: Guard) -> SmoothedGuard:
        """Return the smoothed guard, with the uniform kernel over the guard's alphabet."""
        import hybrid_rs as hrs

        suffix = hrs.SuffixThreat(self.max_edits, one_shot=not self.per_d)
        threat = suffix if self.threat == "suffix" else hrs.L0Threat(self.max_edits)
        return hrs.SmoothedGuard(guard, hrs.UniformKernel(self.beta, len(guard.alphabet)), self.sigma, threat)

    def __str__(self) -> str:
        kinds = {
            "suffix": f"a suffix of {self.max_edits} tokens",
            "l0": f"up to {self.max_edits} tokens replaced anywhere",
        }
        one = ", a classifier for each d" if self.per_d else ""
        return f"sigma = {self.sigma:g}, beta = {self.beta:g}, threat: {kinds[self.threat]}{one}"


def check_law(tau: float, alpha: float, *, d: int = 0, epsilon: float = 0.0, max_edits: int = 0) -> None:
    """Refuse what would be refused after drawing, or after loading a guard."""
    require(0 <= tau <= 1, "tau", tau, "give a threshold in [0, 1]")
    require(0 < alpha < 1, "alpha", alpha, "give a risk in (0, 1)")
    require(d <= max_edits, "d", d, f"give at most --max-edits {max_edits}")
    nonnegative("epsilon", epsilon)


def engine_of(engine: str | None, workers: int | None, address: str | None, checkpoint: Checkpoint) -> Local | Ray:
    """Return the engine that draws what a store lacks."""
    from hybrid_rs.storage.engines import engine_name, get_engine

    return get_engine(engine_name(engine, workers, address), checkpoint.load)
