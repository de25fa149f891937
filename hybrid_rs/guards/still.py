"""Processors without their part for videos, which needs more packages; images are always prepared by Pillow.

They take whole prompts: if a stock processor adds the ends of a prompt, here the chat template does so instead.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any

import numpy as np

from hybrid_rs._extras import needs
from hybrid_rs.guards.families import family
from hybrid_rs.guards.llama4 import Llama4ImageProcessorPil

with needs("guard"):
    import transformers
    from PIL import Image
    from transformers import AutoImageProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
    from transformers.processing_utils import ProcessorMixin


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

        def __call__(self, images: Any = None, *texts: Any, **options: Any) -> Any:
            with _certain():
                return super().__call__(opened(images), *texts, **options)

        @classmethod
        def get_attributes(cls) -> list[str]:
            return ["image_processor", "tokenizer"]

        @classmethod
        def _get_arguments_from_pretrained(cls, folder: Any, processor_dict: Any = None, **options: Any) -> list[Any]:
            if model_type == "llama4":
                images = Llama4ImageProcessorPil.from_pretrained(folder, **options)
            else:
                images = AutoImageProcessor.from_pretrained(folder, backend="pil", **options)
            return [images, AutoTokenizer.from_pretrained(folder, **options), *([None] if required else [])]

    served = family(model_type)
    found = Still if served is None or served.template else _whole(Still)
    found = _worded(found) if model_type == "shieldgemma2" else found
    found.__name__ = kind.__name__
    return found


def opened(images: Any) -> Any:
    """Return an image of 8 bits as Pillow opens it; anything else, such as an array with channels first, as it is.

    Stock code guesses which axis of an array has the channels. It is wrong for images that are 1 or 3 pixels high.

    Args:
        images: shape ``(height, width, 3)``, uint8; or anything else.

    Example:
        >>> opened(np.zeros((1, 50, 3), np.uint8)).size
        (50, 1)
    """
    pixels = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 3
    return Image.fromarray(images) if pixels else images


@contextmanager
def _certain() -> Iterator[None]:
    """Leave out the warning about a guess of the axis with the channels: here they are always first, as it guesses."""
    log = logging.getLogger("transformers.image_utils")

    def kept(record: logging.LogRecord) -> bool:
        return "channel dimension is ambiguous" not in record.getMessage()

    log.addFilter(kept)
    try:
        yield
    finally:
        log.removeFilter(kept)


def _whole(kind: Any) -> Any:
    """Return a class of processors whose chat template is what the stock class writes around a text and an image."""

    class Whole(kind):  # type: ignore[misc]
        prepare_inputs_layout = ProcessorMixin.prepare_inputs_layout

        def apply_chat_template(self, conversation: Any, **options: Any) -> str:
            parts = [part for message in conversation for part in message["content"]]
            words = "".join(part.get("text", self.image_token) for part in parts)
            if self.chat_template:
                words = super().apply_chat_template(conversation, **options)
            blank = np.zeros((1, 1, 3), np.uint8)  # the stock code writes only where there is an image
            _, [text], *_ = kind.prepare_inputs_layout(self, images=blank, text=words)
            return str(text)

    return Whole


def _worded(kind: Any) -> Any:
    """Return a class of processors that takes whole prompts; without one it writes prompts from policies, as stock.

    The stock class is that of ShieldGemma 2. It lets the tokenizer add a first token to a template that may begin with
    it: so does this class, because the model was trained and is used with the prompt that is written so.
    """

    class Worded(kind):  # type: ignore[misc]
        def __call__(
            self, images: Any = None, text: Any = None, add_special_tokens: bool = True, **options: Any
        ) -> Any:
            if text is None:
                return super().__call__(images=images, **options)
            made = ProcessorMixin.__call__(self, images=opened(images), text=text, **options)
            made["token_type_ids"] = made.pop("mm_token_type_ids")
            return made

    return Worded
