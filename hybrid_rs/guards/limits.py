"""What a vision-language model can read: how many tokens, which image size, which ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs.guards.prompt import placeholders


def most_positions(config: Any) -> int | None:
    """Return the most tokens that a model reads, prompt and image included; None if it has no limit.

    Within a window, or a chunk, every token sees all that it would see without one, so keys can be shared.
    """
    text, names = config.get_text_config(), ("max_position_embeddings", "sliding_window", "attention_chunk_size")
    limits = (getattr(text, name, None) for name in names)
    return min((int(limit) for limit in limits if limit), default=None)


def require_room(guard: Any, answer: int = 0) -> None:
    """Require a prompt that leaves room for a text.

    Args:
        guard: a :class:`hybrid_rs.guards.vlm.VisionLanguageGuard`.
        answer: number of tokens that are generated after the text.

    Raises:
        ValueError: if it does not.
    """
    most, needed = most_positions(guard.model.config), len(guard.before) + len(guard.after)
    enough = most is None or needed + int(guard.reads_text) + answer <= most
    also = f" and {answer} of the answer" if answer else ""
    remedy = f"the model can read no more tokens; give a shorter policy{', or generate fewer' if answer else ''}"
    require(enough, "prompt", f"{needed} tokens before any text{also}", remedy)


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
    require(bool(inside), "image_index", index, f"give indices from 0 to {len(images) - 1}")
    known = (texts >= 0) & (texts < guard.model.get_input_embeddings().num_embeddings)
    known &= ~np.isin(texts, placeholders(guard.model.config))
    if not known.all():
        bad = int(texts[~known][0])
        require(False, "token_ids", bad, "give ids of the model's vocabulary, without the image placeholder")
