"""One input of a multimodal guard: a token sequence and an image, with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require


@dataclass(frozen=True, eq=False)
class Example:
    """A text (already as token ids) and an image (already at the guard's resolution).

    Args:
        id: a name that is unique in its data set; the random draws of an example are a function of it.
        token_ids: shape ``(length,)``, int64, the *untrusted* text alone: the guard adds its own prompt around it.
        image: shape ``(channels, height, width)``, float32, pixel units [0, 1], before normalisation.
        unsafe: the ground truth, or None where it is not known.
        text: the text as people read it; for display only.

    Raises:
        ValueError: if a shape is wrong, or a pixel lies outside [0, 1] or is not finite.

    Example:
        >>> Example("a", np.array([3, 4]), np.zeros((3, 8, 8), np.float32)).image.shape
        (3, 8, 8)
    """

    id: str
    token_ids: NDArray[np.int64]
    image: NDArray[np.float32]
    unsafe: bool | None = None
    text: str = ""

    def __post_init__(self) -> None:
        token_ids = np.array(self.token_ids, dtype=np.int64)
        image = np.array(self.image, dtype=np.float32)
        require(token_ids.ndim == 1, "token_ids", token_ids.shape, "give one flat sequence of ids, shape (length,)")
        require(image.ndim == 3, "image", image.shape, "give one image of shape (channels, height, width)")
        in_range = bool(image.size) and bool(np.all((image >= 0) & (image <= 1)))
        low, high = (float(image.min()), float(image.max())) if image.size else (np.nan, np.nan)
        require(
            in_range,
            "image",
            f"pixels from {low:g} to {high:g}",
            "give pixels in [0, 1]: divide 8-bit images by 255, and do not normalise them: the guard does",
        )
        token_ids.setflags(write=False)
        image.setflags(write=False)
        object.__setattr__(self, "token_ids", token_ids)
        object.__setattr__(self, "image", image)
