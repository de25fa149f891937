"""Image preparation for LLaVA-OneVision: the whole image, and tiles whose number depends on its shape."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from hybrid_rs._checks import integer, require
from hybrid_rs._extras import needs
from hybrid_rs.guards.llava import normalisation, normalised

with needs("guard"):
    import torch
    from transformers.image_processing_utils import get_patch_output_size, select_best_resolution

RESAMPLING = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers


@dataclass(frozen=True)
class OnevisionVision:
    """Turns pixels in [0, 1] into tiles like the checkpoint's image processor, but in floats and on any device.

    One copy of the image is resized to one tile. Another copy is resized, without changing its aspect ratio, to fit
    into the best of the checkpoint's grids of tiles, and padded with black. Nothing is rounded or clipped, so that
    Gaussian noise stays Gaussian.

    Args:
        image_size: (height, width) of the images, in which noise and the image budget epsilon are measured.
        tile: side of a tile.
        grid: (height, width) of the grid of tiles.
        fitted: (height, width) of the image in that grid.
        resample: "bicubic" or "bilinear"; antialiased.
        mean: per channel, subtracted from the pixels.
        std: per channel, by which they are then divided.
    """

    image_size: tuple[int, int]
    tile: int
    grid: tuple[int, int]
    fitted: tuple[int, int]
    resample: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    beside: ClassVar[dict[str, Any]] = {}  # the positions of tokens do not depend on the image
    example: ClassVar[dict[str, Any]] = {}  # the processor's own result: the tests compare it

    @property
    def facts(self) -> dict[str, Any]:
        """What makes another guard, for its identity."""
        return {"kind": type(self).__name__} | asdict(self)

    @classmethod
    def of(cls, config: Any, processor: Any, image_size: tuple[int, int] | None) -> OnevisionVision:
        """Read a checkpoint's configuration and image processor; by default, images have the size of one tile.

        Raises:
            ValueError: if the size is not two positive whole numbers, or the checkpoint is of an unknown kind.
        """
        side = int(config.vision_config.image_size)
        height, width = (integer("image_size", length, at_least=1) for length in image_size or (side, side))
        grids, resample = [list(grid) for grid in config.image_grid_pinpoints], int(processor.resample)
        alike = grids == [list(grid) for grid in processor.image_grid_pinpoints]
        require(alike, "image_grid_pinpoints", grids, "model and image processor must have the same value")
        require(resample in RESAMPLING, "resample", resample, f"only {list(RESAMPLING.values())} are known here")
        grid = select_best_resolution((height, width), grids)
        fitted = get_patch_output_size(np.empty((3, height, width)), grid, input_data_format="channels_first")
        return cls((height, width), side, tuple(grid), tuple(fitted), RESAMPLING[resample], *normalisation(processor))

    def along_text(self, count: int, length: int) -> dict[str, Any]:
        """Return the model's other inputs that have a value for every token: there are none."""
        return {}

    def inputs(self, images: Any) -> dict[str, Any]:
        """Return the keyword arguments of the model, for a tensor ``(batch, 3, height, width)`` of pixels in [0, 1].

        They are ``pixel_values``, shape ``(batch, tiles, 3, tile, tile)``, and ``image_sizes``, ``(batch, 2)``.
        """
        sizes = torch.tensor([self.image_size] * len(images))
        return {"pixel_values": normalised(self.tiles(images), self.mean, self.std), "image_sizes": sizes}

    def tiles(self, images: Any) -> Any:
        """Return the whole image as one tile, then the tiles of the grid, row by row; not yet normalised."""
        (down, across), side = (length // self.tile for length in self.grid), self.tile
        top, left = ((length - inner) // 2 for length, inner in zip(self.grid, self.fitted, strict=True))
        bottom, right = self.grid[0] - self.fitted[0] - top, self.grid[1] - self.fitted[1] - left
        padded = torch.nn.functional.pad(self._resized(images, self.fitted), (left, right, top, bottom))
        cut = padded.reshape(len(images), 3, down, side, across, side).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
        return torch.cat([self._resized(images, (side, side))[:, None], cut], dim=1)

    def _resized(self, images: Any, size: tuple[int, int]) -> Any:
        if size == tuple(images.shape[-2:]):
            return images
        return torch.nn.functional.interpolate(images, size, mode=self.resample, antialias=True, align_corners=False)
