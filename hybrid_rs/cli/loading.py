"""The options about the guard and the draws: they give a guard, and an engine for the draws."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from hybrid_rs._checks import nonnegative, require
from hybrid_rs._files import read_text
from hybrid_rs.cli import guard_options as g, options as o
from hybrid_rs.cli.making import load_checkpoint, load_endpoint, load_guard
from hybrid_rs.cli.own_guard import own_guard
from hybrid_rs.cli.showing import note
from hybrid_rs.guards.transport import Transport, address
from hybrid_rs.guards.wording import worded

if TYPE_CHECKING:
    from hybrid_rs.smoothing.guard import Guard
    from hybrid_rs.storage.engines import Local, Ray

LONGEST = 8192  # pixels on a side


@dataclass(frozen=True)
class Checkpoint:
    """A guard on disk or in Python, its prompt, and how to run it; a group of options."""

    model: g.Model = None
    guard: g.OwnGuard = None
    endpoint: g.Endpoint = None
    served: g.Served = None
    served_version: g.ServedVersion = ""
    tokenizer: g.TokenizerOption = None
    requests: g.Requests = 8
    retries: g.Retries = 6
    timeout: g.Timeout = 120.0
    device: g.Device = "cpu"
    dtype: g.Dtype = "float32"
    bits: g.Bits = None
    margin: g.Margin = 0.0
    batch_size: g.BatchSize = 256
    policy: g.Policy = None
    preset: g.PresetOption = None
    before_text: g.BeforeText = None
    after_text: g.AfterText = None
    answer_prefix: g.AnswerPrefix = None
    answers: g.Answers = None
    reads_text: g.ReadsText = None
    generate: g.Generate = None
    undecided: g.Undecided = None
    verdict_after: g.VerdictAfter = None
    alphabet: g.AlphabetOption = "all"
    max_characters: g.MaxCharacters = None
    mask: g.Mask = None
    image_size: g.ImageSize = None
    denoiser: g.Denoiser = None
    download: g.Download = False
    sigma: o.Sigma = 0.5  # noise level for the denoiser; the same option as that of the smoothing

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.model, self.guard, self.endpoint)) != 1:
            raise typer.BadParameter("give a guard: one of --model, --guard and --endpoint")
        require(math.isfinite(self.margin), "margin", self.margin, "give a finite number of logits")
        self.options  # noqa: B018  a policy that cannot be read is an error at once
        runs = ("device", "batch_size", "download") if self.denoiser is None else ()
        served = ("served", "served_version", "tokenizer", "requests", "retries", "timeout")
        words = ("policy", "preset", "before_text", "after_text", "answer_prefix", "answers", "reads_text")
        parsed = ("generate", "undecided", "verdict_after")
        letters = ("alphabet", "max_characters", "mask")
        if self.guard is not None:
            how = "a guard in Python decides this itself: leave it out with --guard"
            self._require_unused(
                how, "dtype", "bits", "margin", "image_size", *letters, *words, *parsed, *served, *runs
            )
        elif self.endpoint is not None:
            address("endpoint", self.endpoint)
            Transport(**self._sending)  # its numbers are checked before anything is loaded
            there = self.tokenizer is None or self.tokenizer.is_dir()
            remedy = "there is no such folder; give one with the files of a tokenizer, such as tokenizer.json"
            require(there, "tokenizer", str(self.tokenizer), remedy, repr)
            require(self.served is not None, "served", None, "give the model's name at the endpoint")
            require(
                self.image_size is not None, "image_size", None, "give one with --endpoint, such as 336x448 or native"
            )
            self._require_unused("the server decides this itself: leave it out with --endpoint", "dtype", "bits", *runs)
            one = "a server is asked for one token: leave it out with --endpoint"
            self._require_unused(one, "generate", "verdict_after")
            if self.tokenizer is None:
                self._require_unused("it is about tokens: give --tokenizer, too", *letters)
        else:
            self._require_unused("it is about a server: leave it out without --endpoint", *served)
        if self.generate is None:
            served_too = ("verdict_after",) if self.endpoint is not None else parsed
            self._require_unused("it is for answers that are generated: give --generate, too", *served_too)
        else:
            require(self.undecided is not None, "undecided", None, "give the verdict for answers that have none")
            self._require_unused("a generated verdict has no logits: leave it out with --generate", "margin")
        together = self.denoiser is None or self.device != "auto"
        require(together, "device", self.device, "a denoiser is on one device: give that one, such as cuda")
        if self.image_size == "native":
            remedy = "a denoiser is made for images of one size; leave it out, or give HxW"
            require(self.denoiser is None, "image_size", self.image_size, remedy)

    def _require_unused(self, remedy: str, *names: str) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            require(field.name not in names or value == field.default, field.name, value, remedy)

    @property
    def _sending(self) -> dict[str, Any]:
        return {"at_once": self.requests, "retries": self.retries, "timeout": self.timeout}

    @cached_property
    def options(self) -> dict[str, Any]:
        """Options of :func:`load_checkpoint`: arguments of the guard's ``from_pretrained``, and two about loading."""
        given = {name: getattr(self, name) for name in ("before_text", "after_text", "answer_prefix", "reads_text")}
        given["answers"] = None if self.answers is None else tuple(word.strip() for word in self.answers.split(","))
        given["policy"] = read_text("policy", self.policy) if self.policy else None
        return vars(worded(self.preset, **given)) | {
            "device": self.device,
            "dtype": self.dtype,
            "bits": None if self.bits is None else int(self.bits),
            "margin": self.margin,
            "batch_size": self.batch_size,
            "alphabet": self.alphabet,
            "max_characters": self.max_characters,
            "mask": self.mask,
            "parsed": self._parsed,
            "image_size": None if self.image_size is None else image_sides(self.image_size),
            "deployed": self.image_size is None and self.denoiser is None,
        }

    @property
    def _parsed(self) -> dict[str, Any] | None:
        how = {"limit": self.generate, "undecided": self.undecided, "after": self.verdict_after or ""}
        return None if self.generate is None else how

    @cached_property
    def loaded(self) -> Guard:
        """The guard."""
        note(f"loading {self.model or self.guard or self.endpoint}")
        guard = self._loading(download=self.download)()
        note(described(guard))
        return guard

    @property
    def load(self) -> partial[Guard]:
        """A function that makes the guard; a worker finds a downloaded checkpoint on disk."""
        return self._loading(download=False)

    def _loading(self, download: bool) -> partial[Guard]:
        if self.model is not None:
            make = partial(load_checkpoint, self.model, self.options, download)
        elif self.guard is not None:
            make = partial(own_guard, str(self.guard), str(Path.cwd()))
        else:
            server: dict[str, Any] = {
                "url": str(self.endpoint),
                "served": str(self.served),
                "version": self.served_version,
            }
            server |= {"undecided": self.undecided}
            make = partial(load_endpoint, server, self.tokenizer, self._sending, self.options)
        how: dict[str, Any] = {"device": self.device, "batch_size": self.batch_size, "download": download}
        return partial(load_guard, make, self.denoiser, self.sigma, **how)

    @property
    def name(self) -> str:
        """The guard's identity, under which stores keep its counts; the guard is loaded to compute it."""
        own: Any = self.loaded
        return str(own.identity)


def image_sides(given: str) -> tuple[int, int] | Literal["native"]:
    """Return (height, width) from ``N``, for a square, or ``HxW``; ``native`` stays that word.

    Raises:
        ValueError: if it is none of these, or a side is not from 1 to 8192.

    Example:
        >>> image_sides("448"), image_sides("336x672"), image_sides("native")
        ((448, 448), (336, 672), 'native')
    """
    if given == "native":
        return "native"
    found = re.fullmatch(r"([0-9]{1,4})(?:x([0-9]{1,4}))?", given)
    both = tuple(int(side) for side in (found[1], found[2] or found[1])) if found else ()
    fits = len(both) == 2 and all(1 <= side <= LONGEST for side in both)
    remedy = f"give a side such as 448, or height and width such as 336x672, of 1 to {LONGEST} pixels, or native"
    require(fits, "image_size", given, remedy, repr)
    return both[0], both[1]


def described(guard: Guard) -> str:
    """Return the text form of a guard, or the name of its class if the class defines none."""
    from hybrid_rs.smoothing.answers import answering

    if type(guard).__repr__ is object.__repr__:
        return type(guard).__name__
    with answering(guard, "__repr__"):
        return repr(guard)


def check_law(tau: float, alpha: float, *, d: int = 0, epsilon: float = 0.0, max_edits: int = 0) -> None:
    """Check thresholds and budgets before a guard is loaded and anything is drawn."""
    require(0 <= tau <= 1, "tau", tau, "give a threshold in [0, 1]")
    require(0 < alpha < 1, "alpha", alpha, "give a risk in (0, 1)")
    require(d <= max_edits, "d", d, f"give at most --max-edits {max_edits}")
    nonnegative("epsilon", epsilon)


@dataclass(frozen=True)
class Counting:
    """How many draws, where they are made and where their counts are kept; a group of options."""

    n: o.N = 10_000
    seed: o.Seed = 0
    store: o.Store = Path("counts.jsonl")
    engine: o.EngineOption = None
    workers: o.Workers = None
    gpus: o.Gpus = None
    address: o.Address = None
    progress: o.Progress = True

    def engine_for(self, checkpoint: Checkpoint) -> Local | Ray:
        """Return the engine that draws what the store lacks."""
        from hybrid_rs.storage.engines import engine_name, get_engine

        name = engine_name(self.engine, self.workers, self.address, self.gpus)
        return get_engine(name, checkpoint.load, progress=self.progress)
