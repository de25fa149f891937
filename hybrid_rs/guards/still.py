"""Processors without their part for videos, which needs more packages; images are always prepared by Pillow."""

from __future__ import annotations

import sys
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any

from hybrid_rs._extras import needs

with needs("guard"):
    import transformers
    from transformers import AutoImageProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES


def still(model_type: str) -> Any:
    """Return the class of a model's processor, for images and text alone; its ``from_pretrained`` loads one.

    Args:
        model_type: as in ``config.json``.

    Example:
        >>> still("qwen2_5_vl").get_attributes()
        ['image_processor', 'tokenizer']
    """
    kind: Any = getattr(transformers, PROCESSOR_MAPPING_NAMES[model_type])
    module: Any = sys.modules[kind.__module__]
    if getattr(module, "num2words", kind) is None:  # SmolVLM refuses to work without this package, which spells the
        module.num2words = str  # numbers of the frames of a video; no video is read here

    asks = {name: each.default for name, each in signature(kind.__init__).parameters.items()}

    required = asks.get("video_processor") is Parameter.empty

    class Still(kind):  # type: ignore[misc]
        if required:  # SmolVLM again: its chat template is always given the settings of videos
            video_processor = SimpleNamespace(num_frames=None, fps=None)

        @classmethod
        def get_attributes(cls) -> list[str]:
            return ["image_processor", "tokenizer"]

        @classmethod
        def _get_arguments_from_pretrained(cls, folder: Any, processor_dict: Any = None, **options: Any) -> list[Any]:
            images = AutoImageProcessor.from_pretrained(folder, backend="pil", **options)
            return [images, AutoTokenizer.from_pretrained(folder, **options), *([None] if required else [])]

    Still.__name__ = kind.__name__
    return Still
