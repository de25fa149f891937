"""Image preparation for LLaVA-1.5: the whole image, at the resolution of the vision tower."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from hybrid_rs._checks import require
from hybrid_rs._extras import needs

with needs("guard"):
    import torch


@dataclass(frozen=True)
class LlavaVision:
    """Turns pixels in [0, 1] into the model's input.

    Args:
        image_size: (height, width) of the images, the resolution of the vision tower.
        mean: per channel, subtracted from the pixels.
        std: per channel, by which they are then divided.
    """

    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    beside: ClassVar[dict[str, Any]] = {}  # the positions of tokens do not depend on the image
    example: ClassVar[dict[str, Any]] = {}  # the processor's own result: the tests compare it

    @property
    def facts(self) -> dict[str, Any]:
        """What makes another guard, for its identity."""
        return {"kind": type(self).__name__} | asdict(self)

    @classmethod
    def of(cls, config: Any, processor: Any, image_size: tuple[int, int] | None) -> LlavaVision:
        """Read a checkpoint's configuration and image processor.

        Raises:
            ValueError: if another image size is asked for.
        """
        tower = config.vision_config.model_type
        known = "give a checkpoint whose vision tower is a clip_vision_model or siglip_vision_model"
        require(tower in ("clip_vision_model", "siglip_vision_model"), "vision_config.model_type", tower, known)
        side = int(config.vision_config.image_size)
        fits = image_size is None or tuple(image_size) == (side, side)
        require(fits, "image_size", image_size, f"this model takes only images of ({side}, {side})")
        return cls((side, side), *normalisation(processor))

    def along_text(self, count: int, length: int) -> dict[str, Any]:
        """Return the model's other inputs that have a value for every token: there are none."""
        return {}

    def inputs(self, images: Any) -> dict[str, Any]:
        """Return the keyword arguments of the model, for a tensor ``(batch, 3, height, width)`` of pixels in [0, 1]."""
        return {"pixel_values": normalised(images, self.mean, self.std)}


def normalisation(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation that an image processor normalises with, in units of [0, 1].

    Raises:
        ValueError: if the processor does not first scale pixels to [0, 1], or has no valid mean and deviation.
    """
    unit = processor.do_rescale and abs(255 * processor.rescale_factor - 1) < 1e-6
    shown = f"{processor.rescale_factor} (do_rescale: {processor.do_rescale})"
    require(unit, "rescale_factor", shown, "pixels are in [0, 1] here: the image processor must divide them by 255")
    if not processor.do_normalize:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = (_of_channels(name, getattr(processor, name)) for name in ("image_mean", "image_std"))
    require(min(std) > 0, "image_std", std, "give positive numbers: pixels are divided by them")
    return mean, std


def _of_channels(name: str, value: Any) -> tuple[float, ...]:
    numbers = isinstance(value, list | tuple) and len(value) == 3
    numbers = numbers and all(isinstance(each, int | float) and math.isfinite(each) for each in value)
    require(numbers, name, value, "the image processor must have three finite numbers there, one per channel")
    return tuple(map(float, value))


def normalised(images: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
    """Return ``(images - mean) / std``, channel by channel; channels come third from last."""
    shift, scale = (torch.tensor(c, dtype=images.dtype, device=images.device)[:, None, None] for c in (mean, std))
    return (images - shift) / scale
