"""Tests of a guard at loading: does it score as the stock model does, and may keys and values be reused?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs._extras import needs
from hybrid_rs.guards.prompt import placeholders

with needs("guard"):
    import torch

    from hybrid_rs.guards import passes
    from hybrid_rs.guards.prefix import forget

SMALL = 1e-2  # logits: in float32, sums taken in another order differ by less, in models of any size
STEPS, LARGE = 4.0, 32.0  # in lower precision: this many rounding steps of a logit of this size


def require_stock(guard: Any) -> None:
    """Require that the opening of the prompt, with a black image, scores as with the stock processor and model.

    Args:
        guard: a :class:`hybrid_rs.guards.vlm.VisionLanguageGuard`.

    Raises:
        ValueError: if the model cannot read it, or gives another score.
    """
    guard = _scoring(guard)
    opening = replace(guard, after=guard.after[:0])
    placed = f"{int(np.isin(guard.before, placeholders(guard.model.config)).sum())} image tokens in the prompt"
    texts, images = np.empty((1, 0), dtype=np.int64), np.zeros((1, 3, *guard.image_size), dtype=np.float32)
    try:
        found = passes.whole(opening, texts, images, np.array([0]))
        stock = _stock_score(guard) if guard.vision.example else found
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:300]
        remedy = f"{_made(guard)}processor and model must agree in what they make of an image (the model says: {said})"
        raise ValueError(f"processor = {placed}: {remedy}") from error
    apart = float(np.abs(found - stock).max())
    remedy = f"the stock model's score of this prompt differs by {apart:.2g} logits; this checkpoint cannot be used"
    require(not apart > _rounding(guard), "processor", placed, remedy)


def reusable(guard: Any, seed: int = 0) -> bool:
    """Return whether texts score the same if they reuse the keys and values of another text's beginning.

    They do not if tokens see what comes after them, or if a part of the keys and values belongs to the image.
    """
    guard, rng = _scoring(guard), np.random.default_rng(seed)
    length = 8 if guard.max_length is None else min(8, guard.max_length)
    texts, index = rng.choice(guard.alphabet, (6, length)), np.array([0, 0, 0, 1, 1, 1])
    texts[1:3, : length // 2], texts[4, : length - 1] = texts[0, : length // 2], texts[5, : length - 1]
    images = rng.random((2, 3, *guard.image_size), dtype=np.float32)
    whole = passes.whole(guard, texts, images, index)
    try:
        shared = passes.shared(guard, texts, images, index)
    except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError):
        # The same model has just read the same texts completely, so what fails is the reuse: each family keeps its keys
        # and values in a class of its own, which may refuse to be cut. Without reuse, scores are the same but slower.
        return False
    return not np.abs(shared - whole).max() > _rounding(guard)  # nan is an error later, when scores are asked for


def _scoring(guard: Any) -> Any:
    """Return the guard; if its verdict is not one token, it scores one half of the alphabet against the other."""
    even, odd = (tuple(guard.alphabet[start::2].tolist()) for start in (0, 1))
    return guard if guard.unsafe_ids else replace(guard, safe_ids=even, unsafe_ids=odd)


def _stock_score(guard: Any) -> NDArray[np.float32]:
    """The stock model's score of what its own processor makes of the opening of the prompt and a black image."""
    inputs = {name: torch.from_numpy(value).to(guard.device) for name, value in guard.vision.example.items()}
    inputs["pixel_values"] = inputs["pixel_values"].to(guard.model.get_input_embeddings().weight.dtype)
    with torch.inference_mode():
        found: NDArray[np.float32] = guard._gaps(guard.model(**inputs).logits).cpu().numpy()
    forget(guard.model)
    return found


def _made(guard: Any) -> str:
    """Return how many tokens the model makes of an image, for a message; empty if that is unknown."""
    try:
        with torch.inference_mode():
            shown = guard.vision.inputs(torch.zeros((1, 3, *guard.image_size), device=guard.device))
            made = sum(len(each) for each in guard.model.get_image_features(**shown).pooler_output)
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError):
        return ""
    return f"the model makes {made} tokens of an image; "


def _rounding(guard: Any) -> float:
    """By how much scores may differ from rounding alone: in bfloat16 by a logit, so only large mistakes are found."""
    step = float(torch.finfo(guard.model.get_input_embeddings().weight.dtype).eps)
    return max(SMALL, STEPS * step * LARGE)
