"""What a vision-language model can read: how many tokens, which image size, which ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs._extras import needs
from hybrid_rs.guards.prompt import placeholders

with needs("guard"):
    import torch


def most_positions(config: Any) -> int | None:
    """Return the most tokens that a model reads, prompt and image included; None if it has no limit."""
    text = config.get_text_config()
    limits = (getattr(text, name, None) for name in ("max_position_embeddings", "sliding_window"))
    return min((int(limit) for limit in limits if limit), default=None)


def require_consistent(guard: Any) -> None:
    """Require a prompt that leaves room for a text and has one place for each token that the model makes of an image.

    Args:
        guard: a :class:`hybrid_rs.guards.vlm.VisionLanguageGuard`.

    Raises:
        ValueError: if it does not, or the model cannot read an image of its own size.
    """
    placed = int(np.isin(guard.before, placeholders(guard.model.config)).sum())
    device = guard.model.get_input_embeddings().weight.device
    try:
        with torch.inference_mode():
            made = guard.features(torch.zeros((1, 3, *guard.image_size), device=device)).shape[1]
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        remedy = f"the model cannot read an image of its own size; fetch the configuration again ({error})"
        raise ValueError(f"image_size = {guard.image_size}: {remedy}") from error
    remedy = (
        f"the model makes {made} tokens of an image; processor and model must agree in patch_size, "
        "num_additional_image_tokens and vision_feature_select_strategy"
    )
    require(placed == made, "processor", f"{placed} image tokens in the prompt", remedy)
    room = guard.max_length
    shown = f"{len(guard.before) + len(guard.after)} tokens before any text"
    require(room is None or room > 0, "prompt", shown, "the model can read no more tokens; give a shorter policy")


def require_fitting(
    guard: Any, texts: NDArray[np.int64], images: NDArray[np.float32], index: NDArray[np.int64]
) -> None:
    """Require texts and images that the guard can read; arguments as in its ``scores``.

    Raises:
        ValueError: if a shape does not fit, a text is too long, or an id is unknown or stands for an image.
    """
    require(texts.ndim == 2, "token_ids", texts.shape, "give shape (batch, length)")
    limit, length = guard.max_length, texts.shape[1]
    remedy = f"the model can read at most {limit}, in addition to the prompt and the image"
    require(limit is None or length <= limit, "token_ids", f"{length} tokens in a text", remedy)
    require(index.shape == (len(texts),), "image_index", index.shape, f"give one image per text, ({len(texts)},)")
    fits = images.ndim == 4 and images.shape[1:] == (3, *guard.image_size)
    remedy = f"give shape (images, 3, {guard.image_size[0]}, {guard.image_size[1]})"
    require(fits, "images", images.shape, remedy)
    inside = index.size == 0 or (index.min() >= 0 and index.max() < len(images))
    require(bool(inside), "image_index", index, f"give places from 0 to {len(images) - 1}")
    known = (texts >= 0) & (texts < guard.model.get_input_embeddings().num_embeddings)
    known &= ~np.isin(texts, placeholders(guard.model.config))
    if not known.all():
        bad = int(texts[~known][0])
        require(False, "token_ids", bad, "give ids of the model's vocabulary, without the image placeholder")
