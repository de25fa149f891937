"""A guard that takes every image in the image's own size and shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs.guards import identity
from hybrid_rs.guards.forwarding import forwarded
from hybrid_rs.guards.vlm import VisionLanguageGuard

REFERENCE = (224, 224)  # (height, width) of the images for which the guard is loaded and tried first
SIZES = 4  # image sizes whose guards are kept; images come one after the other


@dataclass(frozen=True, eq=False, repr=False)
class NativeGuard:
    """A vision-language guard for images of any size; satisfies :class:`hybrid_rs.Guard`.

    For each size it uses the guard that :meth:`VisionLanguageGuard.at` makes. All of these share one network. Noise and
    the image budget are measured in the image's own pixels.

    Args:
        guard: the guard, loaded for any one size, such as ``REFERENCE``.
        margin: the verdict is unsafe where the score exceeds this, in logits.
    """

    guard: VisionLanguageGuard
    margin: float

    alphabet, pad_id, mask_id = map(forwarded, ("alphabet", "pad_id", "mask_id"))
    encode, tokenizer, embeddings, images_on = map(forwarded, ("encode", "tokenizer", "embeddings", "images_on"))

    def __repr__(self) -> str:
        return f"NativeGuard(images in their own size; margin {self.margin:g}; for example {self.guard!r})"

    @property
    def image_size(self) -> None:
        """None: an image keeps its size."""
        return

    @cached_property
    def identity(self) -> str:
        """A digest of everything that the scores depend on, for images of all sizes."""
        source: Any = self.guard.source
        return identity.digest({"kind": type(self).__name__, "guard": self.guard.identity, "source": source.facts})

    @cached_property
    def _made(self) -> Any:
        return lru_cache(maxsize=SIZES)(self.guard.at)

    def at(self, image_size: tuple[int, int]) -> VisionLanguageGuard:
        """Return the guard for images of one size, (height, width).

        Raises:
            ValueError: if the checkpoint cannot read images of this size; some refuse long and narrow ones.
        """
        height, width = int(image_size[0]), int(image_size[1])
        try:
            found: VisionLanguageGuard = self._made((height, width))
        except ValueError as error:
            remedy = "the checkpoint cannot read it; leave it out, or give all images one size (--image-size HxW)"
            raise ValueError(f"image = {height} x {width} pixels: {remedy} ({error})") from error
        return found if found.margin == self.margin else replace(found, margin=self.margin)

    def unsafe(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """Return the verdicts, True where the model calls the pair unsafe; all images of one call have one size."""
        return self.at(images.shape[-2:]).unsafe(token_ids, images, image_index)

    def scores(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return by how many logits unsafe beats safe; see :meth:`VisionLanguageGuard.scores`."""
        return self.at(images.shape[-2:]).scores(token_ids, images, image_index)

    def gradients(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return scores and gradients; see :meth:`VisionLanguageGuard.gradients`."""
        return self.at(images.shape[-2:]).gradients(token_ids, images)
