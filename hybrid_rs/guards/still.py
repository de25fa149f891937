"""Processors without their part for videos, which needs torchvision, and with images by Pillow always."""

from __future__ import annotations

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

    class Still(kind):  # type: ignore[misc]
        @classmethod
        def get_attributes(cls) -> list[str]:
            return ["image_processor", "tokenizer"]

        @classmethod
        def _get_arguments_from_pretrained(cls, folder: Any, processor_dict: Any = None, **options: Any) -> list[Any]:
            images = AutoImageProcessor.from_pretrained(folder, backend="pil", **options)
            return [images, AutoTokenizer.from_pretrained(folder, **options)]

    Still.__name__ = kind.__name__
    return Still
