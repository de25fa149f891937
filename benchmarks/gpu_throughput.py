"""Draws per second of guards of 0.5 to 7 billion parameters: ``python benchmarks/gpu_throughput.py``.

The models have the shapes of LLaVA-1.5-7B, LLaVA-OneVision-0.5B and -7B, and random weights, made here from their
configurations: the work is that of the real ones, the verdicts mean nothing, nothing is downloaded. For every way to
evaluate draws the benchmark prints the tokens that the model reads per draw, the seconds per datapoint of 10,000 draws
next to the paper's (with another model, card and code), the model's operations per second as a share of the card's own
speed at multiplying matrices, which is measured first, and the time relative to image-only draws. There are two goals:
half of that speed, and a frontier in 1.25 times the time of image-only draws. ``--json FILE`` keeps all of it with its
provenance. Without a GPU: ``--tiny --device cpu``, two layers of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from history import keep
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaOnevisionConfig,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

import hybrid_rs as hrs
from hybrid_rs.experiments.costs import measure, ways
from hybrid_rs.guards.checkpoint import best_attention
from hybrid_rs.guards.llava import LlavaVision
from hybrid_rs.guards.llava_onevision import OnevisionVision
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.smoothing.draws import drawn

DRAWS, SIGMA, TEXT, SLOT = 10_000, 0.5, 20, 8  # of a datapoint; of the image noise; tokens of the text and its slot
# the goals: least share of the measured ceiling, and most time of a frontier relative to image-only draws
SHARE, RATIO = 0.5, 1.25
MET = {True: "yes", False: "no", None: ""}
PAPER = {"image only": 156, "one-shot": 44} | dict.fromkeys([n for n in ways(SLOT) if n.startswith("frontier")], 500)


def llava(tiny: bool) -> LlavaConfig:
    """LLaVA-1.5-7B: CLIP ViT-L/14 at 336 pixels, Llama 2 7B."""
    layers, side = (2, 56) if tiny else (None, 336)
    width = {"hidden_size": 64, "intermediate_size": 128} if tiny else {"hidden_size": 4096, "intermediate_size": 11008}
    seen = {"hidden_size": 32, "intermediate_size": 64} if tiny else {"hidden_size": 1024, "intermediate_size": 4096}
    vision = CLIPVisionConfig(
        **seen, num_hidden_layers=layers or 24, num_attention_heads=2 if tiny else 16, image_size=side, patch_size=14,
        projection_dim=768,
    )  # fmt: skip
    text = LlamaConfig(
        **width, vocab_size=32_064, num_hidden_layers=layers or 32, num_attention_heads=2 if tiny else 32,
        max_position_embeddings=4096, tie_word_embeddings=False,
    )  # fmt: skip
    return LlavaConfig(vision_config=vision, text_config=text, image_token_index=32_000, tie_word_embeddings=False)


def onevision(hidden: int, inner: int, layers: int, heads: int, key_heads: int, tiny: bool) -> LlavaOnevisionConfig:
    """LLaVA-OneVision: SigLIP at 384 pixels, Qwen2 of the given shape; the narrow one ties its embeddings."""
    side, seen = (28, {"hidden_size": 32, "intermediate_size": 64}) if tiny else (384, {})
    if tiny:
        hidden, inner, layers, heads, key_heads = 64, 128, 2, 4, 2
    vision = SiglipVisionConfig(
        **({"hidden_size": 1152, "intermediate_size": 4304} | seen), num_hidden_layers=2 if tiny else 26,
        num_attention_heads=2 if tiny else 16, image_size=side, patch_size=14, vision_use_head=False,
    )  # fmt: skip
    text = Qwen2Config(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=key_heads, vocab_size=152_128, max_position_embeddings=32_768,
        tie_word_embeddings=hidden < 1024,
    )  # fmt: skip
    grids = [[side * i, side * j] for i in range(1, 7) for j in range(1, 7)]
    return LlavaOnevisionConfig(vision_config=vision, text_config=text, image_grid_pinpoints=grids)


SHAPES: dict[str, Callable[[bool], Any]] = {
    "LLaVA-1.5-7B": llava,
    "OneVision-0.5B": lambda tiny: onevision(896, 4864, 24, 14, 2, tiny),
    "OneVision-7B": lambda tiny: onevision(3584, 18_944, 28, 28, 4, tiny),
}


def random_guard(config: Any, device: str, dtype: str, policy: int, batch_size: int) -> VisionLanguageGuard:
    """Return a guard of random weights whose prompt is an image, a policy of ``policy`` tokens, and the text."""
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(
            config, dtype=getattr(torch, dtype), attn_implementation=best_attention(device, dtype)
        )
    statistics = {"do_normalize": True, "image_mean": OPENAI_CLIP_MEAN, "image_std": OPENAI_CLIP_STD, "resample": 3}
    statistics |= {"do_rescale": True, "rescale_factor": 1 / 255}
    view = LlavaVision if config.model_type == "llava" else OnevisionVision
    grids = getattr(config, "image_grid_pinpoints", None)
    vision = view.of(config, SimpleNamespace(**statistics, image_grid_pinpoints=grids), None)
    words = np.arange(100, 20_000)
    guard = VisionLanguageGuard(
        model.eval(), words, pad_id=100, mask_id=None, before=words[:20], after=words[:10], safe_ids=(1, 2),
        unsafe_ids=(3, 4), vision=vision, batch_size=batch_size,
    )  # fmt: skip
    with torch.inference_mode():
        shown = vision.inputs(torch.zeros(1, 3, *vision.image_size, dtype=model.dtype, device=device))
        tokens = len(model.get_image_features(**shown).pooler_output[0])
    before = np.concatenate([words[:20], np.full(tokens, config.image_token_id), words[: policy + 1]])
    return replace(guard, before=before)


@contextmanager
def counted(model: Any) -> Iterator[list[float]]:
    """Count the floating-point operations of linear maps and attention while in the context; two per product and sum.

    Attention that the causal mask hides is not counted, whether or not the kernel computes it.
    """
    total, language, vision = [0.0], model.model.language_model, model.model.vision_tower
    text, seen = model.config.text_config, model.config.vision_config

    def linear(module: Any, args: Any, output: Any) -> None:
        total[0] += 2.0 * output.numel() * module.weight[0].numel()

    def causal(module: Any, args: Any, given: dict[str, Any]) -> None:
        rows, length, width = given["inputs_embeds"].shape
        cache = given.get("cache", given.get("past_key_values"))  # its name from transformers 5.24 on, and before
        known = cache.get_seq_length() if cache is not None else 0
        total[0] += 4.0 * text.num_hidden_layers * width * rows * length * (known + (length + 1) / 2)

    def full(module: Any, args: Any, given: Any, output: Any) -> None:
        rows, length, width = output.last_hidden_state.shape
        total[0] += 4.0 * seen.num_hidden_layers * width * rows * length**2

    maps = [m for m in model.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    hooks = [each.register_forward_hook(linear) for each in maps]
    hooks.append(language.register_forward_pre_hook(causal, with_kwargs=True))
    hooks.append(vision.register_forward_hook(full, with_kwargs=True))
    try:
        yield total
    finally:
        for hook in hooks:
            hook.remove()


def now(device: str) -> float:
    """Return the wall-clock time in seconds once the device has finished its work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def ceiling(device: str, dtype: str) -> float:
    """Return the operations per second of a large product of matrices, the best of ten."""
    side, times = 8192 if device.startswith("cuda") else 512, []
    a, b = (torch.randn(side, side, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    for _ in range(10):
        start = now(device)
        torch.matmul(a, b)
        times.append(now(device) - start)
    return 2.0 * side**3 / min(times)


def noise_seconds(guard: VisionLanguageGuard, example: hrs.Example, n: int) -> float:
    """Return the seconds that noise and bookkeeping take per draw, with a guard that does nothing."""
    idle = SimpleNamespace(
        alphabet=guard.alphabet, pad_id=guard.pad_id, mask_id=None, unsafe=lambda texts, images: np.zeros(len(texts))
    )
    kernel = hrs.UniformKernel(0.25, guard.alphabet.size)
    smoothed = hrs.SmoothedGuard(idle, kernel, SIGMA, hrs.SuffixThreat(SLOT))
    start = time.perf_counter()
    for _ in drawn([smoothed], example, n, 0, 256, forced=None, rows=[0]):
        pass
    return (time.perf_counter() - start) / n


def report(name: str, guard: VisionLanguageGuard, device: str, n: int, best: float, *, tiny: bool) -> dict[str, Any]:
    """Measure one guard in every way; print a line for each, and return what was measured."""
    print(f"\n{name}: {guard}")
    image = np.full((3, *guard.image_size), 128 / 255, dtype=np.float32)
    example = hrs.Example("grey", guard.alphabet[:TEXT], image)
    noise = noise_seconds(guard, example, n)
    print(f"noise and bookkeeping: {1e3 * noise:.3g} ms per draw")
    heads = ("tokens", "TFLOP", "draws/s", "s/point", "paper", "of ceiling", ">= half", "x image", "<= 1.25", "batch")
    print(f"{'per draw':<38}" + "".join(f"{head:>11}" for head in heads))
    rows: list[dict[str, Any]] = []
    for way in ways(SLOT).values():
        own = replace(guard)  # the same model, with a batch size of its own
        last = replace(way, runs=way.runs[-1:])  # reads no less at once than the others
        measure(last, own, example, min(n, 256), sigma=SIGMA)  # finds the batch size, and sets things up
        draws = max(64, n // 8) if len(way.runs) > 1 else n
        start = now(device)
        with counted(own.model) as total:
            _, work = measure(way, own, example, draws, sigma=SIGMA)
        took = (now(device) - start) / draws
        row = {
            "way": way.name,
            "draws": draws,
            "tokens_per_draw": work.tokens / draws,
            "operations_per_draw": total[0] / draws,
            "seconds_per_draw": took,
            "paper_seconds_per_point": None if tiny else PAPER.get(way.name),
            "share_of_ceiling": total[0] / draws / took / best,
            "ratio_to_image_only": took / (rows[0]["seconds_per_draw"] if rows else took),
            "batch_size": own.batch.size,
        }
        row["half_of_ceiling"] = row["share_of_ceiling"] >= SHARE
        frontier = way.name.startswith("frontier")
        row["frontier_cheap"] = row["ratio_to_image_only"] <= RATIO if frontier else None
        rows.append(row)
        print(
            f"{way.name:<38}{row['tokens_per_draw']:>11.1f}{row['operations_per_draw'] / 1e12:>11.3g}{1 / took:>11.3g}"
            f"{DRAWS * took:>11.3g}{row['paper_seconds_per_point'] or '':>11}{row['share_of_ceiling']:>11.1%}"
            f"{MET[row['half_of_ceiling']]:>11}{row['ratio_to_image_only']:>11.2f}{MET[row['frontier_cheap']]:>11}"
            f"{row['batch_size']:>11}"
        )
    return {"name": name, "guard": repr(guard), "noise_seconds_per_draw": noise, "ways": rows}


def main() -> None:
    """Read the options, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default=None, help="default: bfloat16 on a GPU, float32 else")
    parser.add_argument("--shape", choices=list(SHAPES), action="append", help="repeatable; default: all")
    parser.add_argument("--model", help="a checkpoint on disk, in place of the shapes")
    parser.add_argument("--draws", type=int, default=None, help="default: 1024, or 64 with --tiny")
    parser.add_argument("--policy", type=int, default=0, help="tokens of a policy before the text")
    parser.add_argument("--batch-size", type=int, default=128, help="to begin with")
    parser.add_argument("--tiny", action="store_true", help="two layers of each, to see that everything runs")
    parser.add_argument("--json", type=Path, help="file to append the figures to, with their provenance")
    options = parser.parse_args()
    device, tiny = options.device, options.tiny
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit(
            "no GPU here; to see that everything runs: python benchmarks/gpu_throughput.py --tiny --device cpu"
        )
    dtype = options.dtype or ("bfloat16" if device.startswith("cuda") else "float32")
    n = options.draws or (64 if tiny else 1024)
    best = ceiling(device, dtype)
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    print(f"{name}, {dtype}, torch {torch.__version__}: products of matrices at {best / 1e12:.3g} TFLOP/s")
    guards: list[dict[str, Any]] = []
    if options.model:
        loaded = {"device": device, "dtype": dtype, "batch_size": options.batch_size}
        guard = VisionLanguageGuard.from_pretrained(options.model, **loaded)
        guards.append(report(options.model, guard, device, n, best, tiny=tiny))
    else:
        words = " Two narrow layers of each model: no figure below is of a large one." if tiny else ""
        print(f"Random weights.{words}")
    for shape in [] if options.model else options.shape or list(SHAPES):
        torch.manual_seed(0)
        guard = random_guard(SHAPES[shape](tiny), device, dtype, options.policy, options.batch_size)
        guards.append(report(shape, guard, device, n, best, tiny=tiny))
        del guard  # before the next is made
    if options.json:
        asked = {key: value for key, value in vars(options).items() if key != "json"} | {"dtype": dtype, "draws": n}
        made = {"random_weights": not options.model, "operations_per_second": best, "guards": guards}
        keep(options.json, "gpu_throughput", asked, made, name if device.startswith("cuda") else None)


if __name__ == "__main__":
    main()
