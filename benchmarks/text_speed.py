"""The cost of several texts for each image, in tokens and in time: ``python benchmarks/text_speed.py``.

The model has the shape of LLaVA-1.5, but only two layers in each part, a narrower language model and images of 224
pixels: 256 image tokens. The weights are random: the work is real, the verdicts mean nothing. The prompt is as long as
LLaVA's own: 5 tokens around the image and 5 after the text, which has 20 tokens. Printed for each threat, per image:
pairs of text and image, tokens that the language model reads, the least number of tokens that it must read (each
beginning of a text once, see :func:`least_tokens`), and CPU milliseconds. Ratios are to one text for each image; those
of times are medians over the turns.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_throughput import random_guard
from history import keep
from numpy.typing import NDArray
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

import hybrid_rs as hrs
from hybrid_rs.experiments.costs import Metered, Work

SIGMA, BETA, TEXT, SLOT, AFTER = 0.5, 0.25, 20, 8, 5
WAYS = {  # the threat, and whether evidence for the masked certificate is drawn
    "suffix": (hrs.SuffixThreat(SLOT), False),
    "any positions": (hrs.L0Threat(2), True),
    "suffix, masked": (hrs.SuffixThreat(SLOT), True),
}


def two_layers(width: int) -> LlavaConfig:
    """LLaVA-1.5 with two layers of each part, and 256 image tokens."""
    vision = CLIPVisionConfig(
        hidden_size=width // 4, intermediate_size=width, num_hidden_layers=2, num_attention_heads=width // 256,
        image_size=224, patch_size=14, projection_dim=768,
    )  # fmt: skip
    text = LlamaConfig(
        hidden_size=width, intermediate_size=width * 43 // 16, vocab_size=32_064, num_hidden_layers=2,
        num_attention_heads=width // 128, max_position_embeddings=4096, tie_word_embeddings=False,
    )  # fmt: skip
    return LlavaConfig(vision_config=vision, text_config=text, image_token_index=32_000, tie_word_embeddings=False)


@dataclass(frozen=True, eq=False)
class Noted(Metered):
    """A metered guard that also counts the least number of tokens that its calls need."""

    least: list[int] = field(default_factory=list)

    def unsafe(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """Return the guard's verdicts."""
        index = np.arange(len(token_ids)) if image_index is None else image_index
        self.least.append(least_tokens(token_ids, index, len(self.guard.before), len(self.guard.after)))
        return super().unsafe(token_ids, images, image_index)


def least_tokens(texts: NDArray[np.int64], image: NDArray[np.int64], before: int, after: int) -> int:
    """Return how many tokens a language model must read if it reads each beginning of a prompt once.

    Tokens see all tokens before them. So two texts of one image can share the keys and values of their common
    beginning, and nothing after it.

    Args:
        texts: shape ``(batch, length)``, no two equal with the same image.
        image: shape ``(batch,)``, which image goes with which text.
        before: tokens before a text, the image's included.
        after: tokens after a text.

    Example:
        >>> least_tokens(np.array([[1, 2, 3], [1, 2, 4], [1, 2, 3]]), np.array([0, 0, 1]), before=10, after=1)
        30
    """
    beginnings = {
        (i, *text[:k]) for i, text in zip(image.tolist(), texts.tolist(), strict=True) for k in range(1, len(text) + 1)
    }
    return len(np.unique(image)) * before + len(beginnings) + len(texts) * after


def work_of(guard: Any, way: str, n: int, texts: int) -> tuple[Work, int]:
    """Draw the counts of an example; return the work, and the least number of tokens."""
    noted, (threat, masked) = Noted(guard), WAYS[way]
    example = hrs.Example("grey", guard.alphabet[:TEXT], np.full((3, *guard.image_size), 128 / 255, dtype=np.float32))
    smoothed = hrs.SmoothedGuard(noted, hrs.UniformKernel(BETA, guard.alphabet.size), SIGMA, threat)
    with noted.running() as work:
        smoothed.sample(example, n, texts=texts, masked=masked)
    return work, sum(noted.least)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=512, help="of the language model, a multiple of 256")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--way", choices=list(WAYS), action="append", help="repeatable; default: all")
    parser.add_argument("--json", type=Path, help="file to append the figures to, with their provenance")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    guard = random_guard(two_layers(asked.width), "cpu", "float32", 0, 256)
    placed = guard.before == guard.model.config.image_token_id
    guard = replace(
        guard,
        before=np.concatenate([guard.before[:4], guard.before[placed], guard.before[:1]]),
        after=guard.after[:AFTER],
    )
    print(f"{placed.sum()} image tokens, {len(guard.before) - placed.sum()} before the text and {AFTER} after it")
    heads = ("texts", "pairs", "tokens", "tokens x", "least x", "ms", "time x")
    print(f"{'per image':<16}" + "".join(f"{head:>10}" for head in heads))
    figures = {}
    for way in asked.way or WAYS:
        work_of(guard, way, 2, 2)  # warm-up
        turns = [[work_of(guard, way, asked.images, m) for m in (1, asked.texts)] for _ in range(asked.turns)]
        seconds = np.array([[work.seconds for work, _ in turn] for turn in turns])
        ratio, (one, _) = np.median(seconds[:, 1] / seconds[:, 0]), turns[0][0]
        for i, m in enumerate((1, asked.texts)):
            work, least = turns[0][i]
            took, times = float(np.median(seconds[:, i])) / asked.images, ratio if i else 1.0
            print(
                f"{way:<16}{m:>10}{work.pairs / asked.images:>10.2f}{work.tokens / asked.images:>10.1f}"
                f"{work.tokens / one.tokens:>10.2f}{least / one.tokens:>10.2f}{1e3 * took:>10.1f}{times:>10.2f}"
            )
        figures[way] = {
            "tokens x": work.tokens / one.tokens,
            "least tokens x": least / one.tokens,
            "time x": float(ratio),
            "images per second": 1 / took,
        }
    if asked.json:
        keep(
            asked.json,
            "speed of texts",
            {name: getattr(asked, name) for name in ("width", "images", "texts", "turns")},
            figures,
        )


if __name__ == "__main__":
    main()
