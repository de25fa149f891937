"""Llama 4's image processor in NumPy and Pillow, and one chunk for checkpoints that name none (Llama Guard 4).

``transformers`` has an image processor in torchvision alone. This one takes part in a checkpoint's processor as the
stock one would, and is followed as the others are (:mod:`hybrid_rs.guards.stock_images`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs._extras import needs

with needs("guard"):
    import torch
    from transformers.image_processing_backends import PilBackend
    from transformers.image_processing_utils import BatchFeature
    from transformers.image_utils import PILImageResampling, SizeDict
    from transformers.processing_utils import ImagesKwargs


class Settings(ImagesKwargs, total=False):  # type: ignore[call-arg, misc]
    """The settings that only this processor has: the most tiles, and whether an image is enlarged to fill them."""

    max_patches: int
    resize_to_max_canvas: bool


class Llama4ImageProcessorPil(PilBackend):  # type: ignore[misc]
    """Cuts an image into square tiles, and adds the whole image where there are several.

    The stock class also rounds to bfloat16 when it scales; this one does not, so that noise stays as it was drawn.
    """

    valid_kwargs = Settings
    resample = PILImageResampling.BILINEAR
    image_mean = (0.5, 0.5, 0.5)
    image_std = (0.5, 0.5, 0.5)
    size = {"height": 336, "width": 336}  # noqa: RUF012  as transformers has it
    do_resize = do_rescale = do_normalize = do_convert_rgb = True
    max_patches = 16
    resize_to_max_canvas = False

    def _preprocess(self, images: list[NDArray[Any]], size: Any, resample: Any, **how: Any) -> Any:
        side, tiles, grids = size.height, [], []
        require(side == size.width, "size", f"{side} x {size.width}", "tiles must be square")
        require(bool(how["do_resize"]), "do_resize", how["do_resize"], "images of this family are always resized")
        for image in images:
            rows, columns, new = fitted(image.shape[-2:], side, how["max_patches"], how["resize_to_max_canvas"])
            shown = self.resize(image, SizeDict(height=new[0], width=new[1]), resample)
            room = ((0, 0), (0, rows * side - new[0]), (0, columns * side - new[1]))
            cut = np.pad(shown, room).reshape(-1, rows, side, columns, side).transpose(1, 3, 0, 2, 4)
            parts = [*cut.reshape(rows * columns, -1, side, side)]
            parts += [self.resize(image, size, resample)] if len(parts) > 1 else []
            for part in parts:
                scaled = self.rescale(part, how["rescale_factor"]) if how["do_rescale"] else part
                moved = self.normalize(scaled, how["image_mean"], how["image_std"]) if how["do_normalize"] else scaled
                tiles.append(moved)
            grids.append([rows, columns])
        made = {"pixel_values": tiles, "aspect_ratios": grids}
        return BatchFeature(data=made, tensor_type=how["return_tensors"])


def fitted(size: tuple[int, int], side: int, most: int, enlarged: bool) -> tuple[int, int, tuple[int, int]]:
    """Return the grid of tiles for an image, and its size on them before black is added on the right and below.

    Of all grids, the one in which the image is enlarged least, or else reduced least; of those the smallest. Quotients
    are rounded to float32 where the stock class does it, because a size may depend on their last bit.

    Args:
        size: (height, width) of the image.
        side: of a tile.
        most: tiles.
        enlarged: whether the image fills the grid that enlarges it most; otherwise no side grows beyond
            ``side``.

    Returns:
        rows and columns of tiles, and the image's new (height, width).

    Example:
        >>> fitted((300, 700), side=336, most=16, enlarged=False)
        (1, 3, (300, 700))
    """
    grids = torch.tensor([(rows, columns) for rows in range(1, most + 1) for columns in range(1, most // rows + 1)])
    scales = (side * grids / torch.tensor(size)).amin(dim=1)
    above = scales[scales >= 1]
    best = (above.max() if enlarged else above.min()) if len(above) else scales.max()
    rows, columns = min(grids[scales == best].tolist(), key=math.prod)
    full: list[Any] = [torch.tensor(side * count) for count in (rows, columns)]
    room = full if enlarged else [min(max(old, side), new) for old, new in zip(size, full, strict=True)]
    by_height, by_width = (new / old for new, old in zip(room, size, strict=True))
    height, width = (int(each) for each in room)
    if by_width < by_height:
        height = min(math.floor(size[0] * by_width), height)
    else:
        width = min(math.floor(size[1] * by_height), width)
    return rows, columns, (max(height, 1), max(width, 1))


def unchunked(config: Any) -> None:
    """Make one chunk of all positions where a configuration has no chunks.

    ``attention_chunk_size`` is null in Llama Guard 4's files, and the model of transformers stops at it. Without chunks
    every token sees all tokens before it, as it does within a chunk that is as long as the longest prompt.

    Args:
        config: of the network; changed in place.
    """
    text = config.get_text_config()
    if config.model_type == "llama4" and text.attention_chunk_size is None:
        text.attention_chunk_size = text.max_position_embeddings
