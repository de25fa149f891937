"""The cost of a certificate in tokens and seconds, for several ways to evaluate its draws."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid_rs._extras import needs
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.threats import SuffixThreat
from hybrid_rs.guards.forwarding import forwarded
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard.guard import new_model
from hybrid_rs.smoothing.draws import drawn
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

with needs("guard"):
    import torch


@dataclass(frozen=True)
class Way:
    """One way to evaluate the draws of a certificate against suffixes.

    Args:
        name: its name in the table.
        runs: one entry for each run over the draws: the text budgets whose classifiers are evaluated on each draw,
            either a single one, or 0, 1, ..., m.
        reuse: whether texts of one image share keys and values; otherwise the stock model reads every prompt
            completely.
        masked: the budgets are conditions of the one-shot classifier: "the first d pads were replaced".
    """

    name: str
    runs: tuple[tuple[int, ...], ...]
    reuse: bool = True
    masked: bool = False

    def expected_tokens(self, length: int, after: int, *, beta: float) -> float:
        """Return the mean number of tokens that the language model reads per draw.

        Budgets d - 1 and d see different texts if pad d was replaced (masked: if the draw kept pad d, which condition d
        replaces). Each such d adds a text: a complete prompt, or the part from pad d on if keys and values are reused.

        Args:
            length: tokens of a prompt.
            after: number of those tokens after the slot.
            beta: probability of a replacement.

        Example:
            >>> image_only, *_, nested, one_shot, masked = ways(8).values()
            >>> [way.expected_tokens(36, 1, beta=0.25) for way in (image_only, nested, one_shot, masked)]
            [36.0, 47.0, 36.0, 69.0]
        """
        differ, total = 1 - beta if self.masked else beta, 0.0
        for budgets in self.runs:
            m = len(budgets) - 1
            total += length + m * differ * ((m + 1) / 2 + after if self.reuse else length)
        return total


@dataclass
class Work:
    """The work of a guard so far.

    Args:
        pairs: number of pairs of image and text that it evaluated.
        tokens: number of token positions that its language model read, including those of images.
        images: number of images that its vision tower read.
        seconds: CPU seconds of this process, including noise and bookkeeping.
        guard_seconds: the part of these seconds that the guard took.
    """

    pairs: int = 0
    tokens: int = 0
    images: int = 0
    seconds: float = 0.0
    guard_seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Metered:
    """A guard that records its work.

    Args:
        guard: the guard.
        reuse: as in :class:`Way`.
        work: the record.
    """

    guard: VisionLanguageGuard
    reuse: bool = True
    work: Work = field(default_factory=Work)

    alphabet, pad_id, mask_id = map(forwarded, ("alphabet", "pad_id", "mask_id"))

    def unsafe(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """Return the guard's verdicts."""
        self.work.pairs += len(token_ids)
        start = time.process_time()
        if self.reuse:
            verdicts = self.guard.unsafe(token_ids, images, image_index)
        else:
            whole = images if image_index is None else images[image_index]
            verdicts = whole_scores(self.guard, token_ids, whole) > self.guard.margin
        self.work.guard_seconds += time.process_time() - start
        return verdicts

    @contextmanager
    def running(self) -> Iterator[Work]:
        """Count, while in the context, the tokens and images the model reads, and the seconds."""

        def count_tokens(module: object, args: object, given: dict[str, torch.Tensor]) -> None:
            self.work.tokens += given["inputs_embeds"].shape[:2].numel()

        def count_images(module: object, args: tuple[torch.Tensor, ...], given: dict[str, torch.Tensor]) -> None:
            self.work.images += len(given["pixel_values"] if "pixel_values" in given else args[0])

        model = self.guard.model.model
        hooks = [
            model.language_model.register_forward_pre_hook(count_tokens, with_kwargs=True),
            model.vision_tower.register_forward_pre_hook(count_images, with_kwargs=True),
        ]
        start = time.process_time()
        try:
            yield self.work
        finally:
            self.work.seconds += time.process_time() - start
            for hook in hooks:
                hook.remove()


def ways(max_edits: int) -> dict[str, Way]:
    """Return the ways that the book compares, by name; the first is the reference."""
    every = tuple(range(max_edits + 1))
    found = (
        Way("image only", ((0,),)),
        Way("frontier, one run per d", tuple((d,) for d in every), reuse=False),
        Way("frontier, nested draws, whole prompts", (every,), reuse=False),
        Way("frontier, nested draws", (every,)),
        Way("one-shot", ((max_edits,),)),
        Way("one-shot, masked evidence", (every,), masked=True),
    )
    return {way.name: way for way in found}


def measure(
    way: Way,
    guard: VisionLanguageGuard,
    example: Example,
    n: int,
    *,
    sigma: float,
    beta: float = 0.25,
    max_edits: int = 8,
    seed: int = 0,
) -> tuple[tuple[int, ...], Work]:
    """Evaluate one example's draws in one way; return the unsafe verdicts, one count per budget, and the work.

    All ways see the same noise. Ways that evaluate the same classifiers give the same counts as
    :meth:`SmoothedGuard.sample`.

    Args:
        way: how the draws are evaluated.
        guard: the base classifier.
        example: the input.
        n: number of draws.
        sigma: standard deviation of the image noise.
        beta: replacement probability of the uniform kernel.
        max_edits: length of the slot.
        seed: seed of the draws.
    """
    metered, threat = Metered(guard, way.reuse), SuffixThreat(max_edits, one_shot=way.masked)
    smoothed = SmoothedGuard(metered, UniformKernel(beta, guard.alphabet.size), sigma, threat)
    forced = threat.conditions(example.token_ids.size) if way.masked else None
    counts: list[int] = []
    with metered.running() as work:
        for budgets in way.runs:
            batches = drawn([smoothed], example, n, seed, 256, forced=forced, rows=list(budgets))
            counts += sum(verdicts.sum(axis=0) for [(verdicts, _)] in batches).tolist()
    return tuple(counts), work


def whole_scores(
    guard: VisionLanguageGuard, token_ids: NDArray[np.int64], images: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the same as :meth:`VisionLanguageGuard.scores`, from the stock model on complete prompts.

    Args:
        guard: the guard.
        token_ids: shape ``(batch, length)``.
        images: shape ``(batch, 3, height, width)``, pixel units [0, 1].

    Returns:
        shape ``(batch,)``, float32.
    """
    weight, found = guard.model.get_input_embeddings().weight, np.empty(len(token_ids), dtype=np.float32)

    def read(rows: slice) -> None:
        texts = token_ids[rows]
        before, after = (np.tile(end, (len(texts), 1)) for end in (guard.before, guard.after))
        prompts = torch.from_numpy(np.concatenate([before, texts, after], axis=1))
        shown = guard.vision.inputs(torch.tensor(images[rows], device=weight.device))
        shown["pixel_values"] = shown["pixel_values"].to(weight.dtype)
        with torch.inference_mode():
            output = guard.model(input_ids=prompts.to(weight.device), **shown, use_cache=False, logits_to_keep=1)
        logits = output.logits[:, -1].float()
        unsafe, safe = (torch.logsumexp(logits[:, list(ids)], dim=1) for ids in (guard.unsafe_ids, guard.safe_ids))
        found[rows] = (unsafe - safe).cpu().numpy()

    guard.batch.run(len(token_ids), read)
    return found


def untrained(guard: VisionLanguageGuard, patch_size: int, seed: int = 0) -> VisionLanguageGuard:
    """Return the small guard with more image tokens and random weights, for measuring its work but not its verdicts.

    Args:
        guard: the small guard.
        patch_size: side of an image patch, a divisor of the image's.
        seed: seed of the weights.

    Example:
        >>> from hybrid_rs.small_guard.guard import load_bay_guard
        >>> len(untrained(load_bay_guard(), patch_size=2).before)
        258
    """
    with torch.random.fork_rng():
        model = new_model(seed, patch_size).eval()
    placeholder = model.config.image_token_id
    first, words = int(np.argmax(guard.before == placeholder)), guard.before[guard.before != placeholder]
    before = np.insert(words, np.full(model.config.image_seq_length, first), placeholder)
    return replace(guard, model=model, before=before)


def agreement(path: Path) -> pd.DataFrame:
    """Return the results of ``benchmarks/cache_agreement.py``, summed by setting and over all settings.

    Args:
        path: the file that it wrote.

    Returns:
        one row per setting and a last one, ``all``; columns draws, pairs, unsafe (verdicts), largest_difference and
        least_distance (from the margin), both in logits, and differ, the number of verdicts that differ.
    """
    lines = pd.read_json(path, lines=True)
    lines["differ"] = lines["differ"].str.len()
    how = {"draws": "sum", "pairs": "sum", "unsafe": "sum"}
    how |= {"largest_difference": "max", "least_distance": "min", "differ": "sum"}
    return pd.concat(
        [lines.groupby("setting", sort=False).agg(how), lines.assign(setting="all").groupby("setting").agg(how)]
    )
