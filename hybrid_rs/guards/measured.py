"""How far a loaded guard is from the checkpoint's own processor and model: for any checkpoint, yours included."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs._extras import needs
from hybrid_rs.guards.prompt import asked, opened

with needs("guard"):
    import torch

    from hybrid_rs.guards import passes
    from hybrid_rs.guards.prefix import forget
    from hybrid_rs.guards.reasoning import ReasoningGuard

TEXT = "is this picture safe with its text"
STEP = 0.01  # l2 length of the step in the image, along the score's gradient
LIMIT = 6  # tokens of an answer


def measured(guard: Any, seed: int = 0) -> dict[str, Any]:
    """Compare a guard with the stock processor and model on a random photograph and a text.

    Where the processor resizes, it rounds to 8 bits after each pass and the guard does not. So pixels differ by about a
    level, and for the comparison of scores the stock model is shown the guard's pixels.

    Args:
        guard: a :class:`hybrid_rs.guards.vlm.VisionLanguageGuard` from a checkpoint.
        seed: seed of the photograph, and of the noisy texts and images.

    Returns:
        - ``prompt``: whether the ids of prompt and text are those of the stock processor;
        - ``pixels``: the largest difference of a pixel, in levels of 1 / 255;
        - ``score``: the difference from the stock model's score, in logits;
        - ``branches``: the largest difference of a score that reuses keys and values from one that does not, in logits;
          None if none are reused;
        - ``gradient``: the relative difference of a finite difference along the score's pixel gradient from the
          gradient's norm;
        - ``answer``: whether the first tokens of a generated answer are those of the stock model's ``generate``.

    Raises:
        ValueError: if the guard was not loaded from a checkpoint.
    """
    require(
        guard.source is not None, "guard", "without a checkpoint", "load it with VisionLanguageGuard.from_pretrained"
    )
    rng, processor = np.random.default_rng(seed), guard.source.processor
    opening, ending, lead = opened(processor, guard.source.wording)
    words = TEXT if guard.reads_text else ""
    # far from black and white: resizing may overshoot, which a processor clips
    photo = rng.integers(80, 176, (*guard.image_size, 3), dtype=np.uint8)
    pixels = (photo.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    stock = asked(processor, opening + lead + words + ending, photo)
    flat = (asked(processor, opening, np.full_like(photo, level))["pixel_values"] for level in (128, 129))
    level = float(np.abs(np.subtract(*(each.astype(np.float64) for each in flat))).max())
    text = guard.encode(words)
    same = np.array_equal(stock["input_ids"][0], np.concatenate([guard.before, text, guard.after]))
    shown = guard.vision.inputs(guard._pixels(pixels))
    apart = np.abs(shown["pixel_values"].float().cpu().numpy() - stock["pixel_values"]).max()
    inputs = {name: torch.from_numpy(value).to(guard.device) for name, value in stock.items()} | shown
    inputs["pixel_values"] = inputs["pixel_values"].to(guard.model.get_input_embeddings().weight.dtype)
    with torch.inference_mode():
        score = float(guard._gaps(guard.model(**inputs).logits)[0])
    forget(guard.model)
    return {
        "prompt": bool(same),
        "pixels": float(apart / level),
        "score": abs(float(guard.scores(text[None], pixels)[0]) - score),
        "branches": _branches(guard, rng),
        "gradient": _slope(guard, text, rng),
        "answer": _answer(guard, text, pixels, inputs),
    }


def _branches(guard: Any, rng: np.random.Generator) -> float | None:
    if not guard.reuse:
        return None
    length = 8 if guard.max_length is None else min(8, guard.max_length)
    texts, index = rng.choice(guard.alphabet, (6, length)), np.array([0, 0, 0, 1, 1, 1])
    texts[1:3, : length // 2], texts[4, : length - 1] = texts[0, : length // 2], texts[5, : length - 1]
    images = rng.random((2, 3, *guard.image_size), dtype=np.float32)
    whole, shared = (way(guard, texts, images, index) for way in (passes.whole, passes.shared))
    return float(np.abs(whole - shared).max())


def _slope(guard: Any, text: NDArray[np.int64], rng: np.random.Generator) -> float:
    image = rng.random((1, 3, *guard.image_size), dtype=np.float32)
    _, _, slope = guard.gradients(text[None], image)
    length = float(np.linalg.norm(slope))
    step = STEP * slope / length
    ends = [float(guard.scores(text[None], image + sign * step)[0]) for sign in (1, -1)]
    return abs((ends[0] - ends[1]) / (2 * STEP * length) - 1)


def _answer(guard: Any, text: NDArray[np.int64], pixels: NDArray[np.float32], inputs: dict[str, Any]) -> bool:
    reasoning = ReasoningGuard(guard, LIMIT, "unsafe")
    ends, length = list(reasoning._ends), inputs["input_ids"].shape[1]
    how = {"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": LIMIT}
    made = guard.model.generate(**inputs, **how, eos_token_id=ends, pad_token_id=0)[0, length:].tolist()
    stop = next((place for place, token in enumerate(made) if token in ends), len(made))
    forget(guard.model)
    return passes.greedy(guard, text[None], pixels, np.array([0]), LIMIT, tuple(ends)) == [made[:stop]]
