"""The interaction-only filter: examples that a guard flags only for text and image together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import require, several
from hybrid_rs.smoothing.answers import asked
from hybrid_rs.smoothing.example import Example, pixels_of, token_ids_of
from hybrid_rs.smoothing.guard import Guard

BoolArray = NDArray[np.bool_]
BATCH = 256  # pairs shown to the guard at a time; limits only the memory


@dataclass(frozen=True, eq=False)
class Interaction:
    """A guard's verdicts on examples, and with either modality neutralised; arrays of shape ``(examples,)``.

    Args:
        image_safe: the image with the neutral text is called safe.
        text_safe: the text with the blank image is called safe.
        together_unsafe: text and image together are called unsafe.
    """

    image_safe: BoolArray
    text_safe: BoolArray
    together_unsafe: BoolArray

    @property
    def mask(self) -> BoolArray:
        """The interaction-only examples: those that meet all three conditions."""
        return self.image_safe & self.text_safe & self.together_unsafe

    @property
    def shares(self) -> dict[str, float]:
        """The share of the examples that meet each condition, and all three; nan if there are no examples."""
        conditions = {
            "image safe alone": self.image_safe,
            "text safe alone": self.text_safe,
            "unsafe together": self.together_unsafe,
            "interaction only": self.mask,
        }
        return {name: float(holds.mean()) if holds.size else float("nan") for name, holds in conditions.items()}


def interaction_only(
    guard: Guard, examples: Sequence[Example], *, neutral_text: ArrayLike, blank_image: ArrayLike
) -> Interaction:
    """Ask a guard about each example, about its image with a neutral text, and about its text with a blank image.

    The verdicts are those of the *base* guard, without noise and without pads. They describe the guard, not the truth.
    The outcome depends on the neutral text and the blank image, which the user chooses.

    Args:
        guard: any classifier of (text, image) pairs.
        examples: the inputs; their labels are not used.
        neutral_text: token ids, shape ``(length,)``, of a text that asks for nothing unsafe.
        blank_image: shape ``(channels, height, width)``, pixel units [0, 1], of an image that shows nothing.

    Returns:
        the three conditions by example; ``.mask`` says which examples meet all of them, ``.shares`` how many do.

    Raises:
        ValueError: if the neutral text is not one flat sequence, or the images do not all have the blank one's shape.

    References:
        Delattre et al. (2026), who filter Hateful Memes and MM-SafetyBench in this way.

    Example:
        >>> class Both:  # flags a bright image together with the token 7
        ...     alphabet, pad_id, mask_id = np.arange(100), 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return (token_ids == 7).any(axis=1) & (images.mean(axis=(1, 2, 3)) > 0.5)
        >>> white, black = np.ones((3, 8, 8), np.float32), np.zeros((3, 8, 8), np.float32)
        >>> pairs = [Example("a", np.array([7]), white), Example("b", np.array([8]), white)]
        >>> interaction_only(Both(), pairs, neutral_text=[0], blank_image=black).mask
        array([ True, False])
    """
    neutral, blank = token_ids_of("neutral_text", neutral_text), pixels_of("blank_image", blank_image)
    examples = several("examples", examples, "give examples", Example)
    able = callable(getattr(guard, "unsafe", None))
    require(able, "guard", guard, "give an object with unsafe(token_ids, images)", repr)
    for example in examples:
        fits = example.image.shape == blank.shape
        require(fits, f"{example.id}: image", example.image.shape, f"give the blank image's shape, {blank.shape}")
    texts, images = [example.token_ids for example in examples], [example.image for example in examples]
    every = len(examples)
    return Interaction(
        image_safe=~_verdicts(guard, [neutral] * every, images),
        text_safe=~_verdicts(guard, texts, [blank] * every),
        together_unsafe=_verdicts(guard, texts, images),
    )


def _verdicts(guard: Guard, texts: list[NDArray[np.int64]], images: list[NDArray[np.float32]]) -> BoolArray:
    """Return verdicts on pairs, shape ``(pairs,)``; texts of one length are shown to the guard together."""
    lengths = np.array([text.size for text in texts], dtype=np.int64)
    found = np.zeros(len(texts), dtype=bool)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for part in np.split(rows, range(BATCH, rows.size, BATCH)):
            shown = np.stack([texts[i] for i in part]), np.stack([images[i] for i in part])
            found[part] = asked(guard, "unsafe", *shown)
    return found
