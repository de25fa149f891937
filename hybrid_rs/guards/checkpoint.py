"""Loading a checkpoint: its network, prompt and alphabet."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from hybrid_rs._checks import choice, integer, require
from hybrid_rs._extras import needs
from hybrid_rs.guards import shieldgemma
from hybrid_rs.guards.alphabet import alphabet_of, mask_of, pad_of
from hybrid_rs.guards.families import WRAPPED, family, family_of
from hybrid_rs.guards.llama4 import unchunked
from hybrid_rs.guards.llava import LlavaVision
from hybrid_rs.guards.llava_onevision import OnevisionVision
from hybrid_rs.guards.loading import loaded, own_code, reading, require_whole
from hybrid_rs.guards.prompt import opened, placeholders, prompt
from hybrid_rs.guards.quantised import quantised, same_everywhere
from hybrid_rs.guards.spread import require_resident, spread
from hybrid_rs.guards.still import still
from hybrid_rs.guards.stock_images import StockVision
from hybrid_rs.guards.weights import located, require_filled, require_plausible, shapes
from hybrid_rs.guards.wording import Wording

with needs("guard"):
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

# families whose images are prepared by code of this package; the class is a part of the guard's identity
VISIONS: dict[str, Any] = {"llava": LlavaVision, "llava_onevision": OnevisionVision}
DTYPES = ("float32", "bfloat16", "float16")
CAPPED = ("gemma2",)  # language models that cap the logits of attention, which "sdpa" does not


@dataclass(frozen=True, eq=False)
class Source:
    """A checkpoint without its weights: it makes those parts of a guard that depend on the size of images.

    Args:
        config: the configuration of the network.
        processor: the checkpoint's own processor.
        wording: the words of the prompt.
        one_token: whether the verdict is read from one token.
        own_code: files of the checkpoint that name code of its own, which is not run.
    """

    config: Any
    processor: Any
    wording: Wording
    one_token: bool = True
    own_code: tuple[str, ...] = ()

    def at(self, image_size: tuple[int, int] | None) -> dict[str, Any]:
        """Return the fields of a :class:`hybrid_rs.guards.vlm.VisionLanguageGuard` for images of a size.

        Args:
            image_size: (height, width); None for the checkpoint's own.

        Raises:
            ValueError: if the family cannot read this size, or the processor computes in an unknown way.
        """
        vision = self._vision(image_size)
        named = self.config.model_type == shieldgemma.KIND and self.one_token  # its configuration names the tokens
        sought = self.one_token and not named
        made = prompt(self.processor, vision.image_size, self.wording, one_token=sought)._asdict() | {"vision": vision}
        own = self.config, self.processor.tokenizer, self.wording.answers
        return made | (shieldgemma.verdicts(*own) if named else {})

    @property
    def facts(self) -> dict[str, Any]:
        """The settings of both processors, which determine how images of any size are prepared."""
        plain = (str, int, float, bool, list, type(None))
        own = {name: value for name, value in vars(self.processor).items() if isinstance(value, plain)}
        own.pop("chat_template", None)  # the rendered prompt is in the guard's identity
        return {"processor": own, "images": json.loads(self.processor.image_processor.to_json_string())}

    def _vision(self, image_size: tuple[int, int] | None) -> Any:
        kind, images = self.config.model_type, self.processor.image_processor
        if kind == "llava":
            whole = LlavaVision.of(self.config, images, None)
            if image_size is None or tuple(image_size) == whole.image_size:
                return whole
        elif kind in VISIONS:
            return VISIONS[kind].of(self.config, images, image_size)
        names = signature(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(self.config)].forward).parameters
        size = own_size(self.config, image_size)
        return StockVision.of(self.processor, opened(self.processor, self.wording), size, names)


def parts(
    path: str | Path,
    *,
    device: str,
    dtype: str,
    attention: str | None,
    image_size: tuple[int, int] | None,
    wording: Wording,
    alphabet: ArrayLike | str | None,
    max_characters: int | None,
    mask: str | None,
    download: bool,
    one_token: bool,
    bits: int | None,
    device_map: str | dict[str, str | int] | None,
) -> dict[str, Any]:
    """Return the fields of a :class:`hybrid_rs.guards.vlm.VisionLanguageGuard`, by name.

    Arguments and errors are those of its ``from_pretrained``. The weights are read last, because only they take time.
    """
    choice("dtype", dtype, DTYPES)
    with reading(path):
        folder = located(path, download)
        held = shapes(folder)
        require_plausible(folder / "config.json", held)
        config = loaded(AutoConfig, folder)
    kind = config.model_type
    served, wrapped = family_of(kind), kind in WRAPPED
    if wrapped:
        shieldgemma.require_asked(wording, bits, device_map)
    ways = attention_of(config, attention, device, dtype)
    remedy = f"{kind} reads the prompt in both directions, and an answer in one; leave it out"
    begun = served.prefix_lm and wording.answer_prefix
    require(not begun, "answer_prefix", wording.answer_prefix, remedy, repr)
    with reading(path):
        require_filled(config, AutoModelForImageTextToText, folder / "config.json", held)
        processor = loaded(still(kind), folder)
        tokenizer = processor.tokenizer
    source = Source(config, processor, wording, one_token, own_code(folder))
    asked = source.at(image_size)
    if wrapped:
        shieldgemma.require_prompt(processor, wording, asked["before"], asked["vision"].image_size)
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values(), *placeholders(config)}
    written = None if mask is None else mask_of(tokenizer, mask, placeholders(config))
    letters = alphabet_of(tokenizer, special, alphabet, max_characters, written)
    how = {"dtype": getattr(torch, dtype), "attn_implementation": ways, "use_safetensors": True}
    how |= quantised(bits, dtype, device) | spread(device_map, device)
    with reading(path):
        told = {"output_loading_info": True, "ignore_mismatched_sizes": True}  # so that an error can list them
        network = shieldgemma.Classifier if wrapped else AutoModelForImageTextToText
        model, report = loaded(network, folder, **how, **told)
        mismatched = [name for name, *_ in report["mismatched_keys"]]
        require_whole(report["missing_keys"], report["unexpected_keys"], mismatched)
    model = model.model if wrapped else model
    require_resident(model)
    unchunked(model.config)
    rows = model.get_input_embeddings().num_embeddings
    require(written is None or written < rows, "mask", mask, f"the model knows only the first {rows} tokens")
    return asked | {
        "alphabet": letters,
        "pad_id": pad_of(tokenizer),
        "mask_id": tokenizer.mask_token_id if written is None else written,
        "tokenizer": tokenizer,
        "model": (same_everywhere(model) if bits or device_map else model.to(device)).eval(),
        "reads_text": wording.reads_text,
        "source": source,
    }


def keeps_shapes(path: str | Path, *, download: bool) -> bool:
    """Return whether a checkpoint is of a family that reads images in any size and shape; errors as :func:`parts`."""
    with reading(path):
        kind = loaded(AutoConfig, located(path, download)).model_type
    found = family(kind)
    return found is not None and found.any_size


def own_size(config: Any, asked: tuple[int, int] | None) -> tuple[int, int]:
    """Return the size of images that was asked for, or that of the model's vision tower if it has one."""
    if asked is None:
        side = getattr(config.vision_config, "image_size", None)
        remedy = "this model reads any size: give (height, width), or --image-size HxW"
        require(side is not None, "image_size", None, remedy)
        asked = tuple(side) if isinstance(side, list | tuple) else (side, side)
    height, width = (integer("image_size", length, at_least=1) for length in asked)
    return height, width


def attention_of(config: Any, asked: str | None, device: str, dtype: str) -> str | dict[str, str]:
    """Return how attention is computed: as asked, or in the best way; by part of the model where they differ.

    Raises:
        ValueError: if the family cannot be computed in that way.
    """
    both = family_of(config.model_type).prefix_lm
    known = ("sdpa",) if both else ("sdpa", "flash_attention_2")
    why = "; the other was not tried where tokens see later ones" if both else ""
    remedy = f"give {' or '.join(map(json.dumps, known))}{why}"
    require(asked is None or asked in known, "attention", asked, remedy)
    way = asked or ("sdpa" if both else best_attention(device, dtype))
    if config.get_text_config().model_type in CAPPED:
        return {"": way, "vision_config": way, "text_config": "eager"}
    return way


def best_attention(device: str, dtype: str) -> str:
    """Return "flash_attention_2" if it is installed and supports this device and precision, else "sdpa"."""
    serves = device.startswith("cuda") and dtype != "float32" and importlib.util.find_spec("flash_attn") is not None
    return "flash_attention_2" if serves else "sdpa"
