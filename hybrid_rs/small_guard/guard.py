"""The small guard of the book: its checkpoint, its network and its processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hybrid_rs._checks import require
from hybrid_rs._extras import needs
from hybrid_rs.checkout import carried
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard.language import SPECIAL_TOKENS, VOCABULARY

CHECKPOINT = carried("bay_guard")
CHAT_TEMPLATE = (
    "{% for message in messages %}<s> <user> {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def load_bay_guard(path: Path | str | None = None, **options: Any) -> VisionLanguageGuard:
    """Load the small guard from disk.

    Args:
        path: the checkpoint folder; by default the one in the repository's ``data``.
        options: as in :meth:`VisionLanguageGuard.from_pretrained`: device, dtype, margin, batch_size.

    Raises:
        ValueError: if there is no checkpoint.
    """
    folder = CHECKPOINT if path is None else Path(path)
    found = (folder / "model.safetensors").is_file()
    require(found, "path", folder, "there is no checkpoint; train one with: hybrid-rs train")
    with needs("guard"):
        from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # one megabyte loads at once
    try:
        return VisionLanguageGuard.from_pretrained(folder, **options)
    finally:
        if shown:
            logging.enable_progress_bar()


def new_model(seed: int, patch_size: int = 16) -> Any:
    """Return the untrained network, a LLaVA model of 0.3 million parameters, initialised from a seed.

    Args:
        seed: seed of the weights.
        patch_size: side of an image patch; an image of 32 by 32 pixels is read as ``(32 / patch_size)**2`` tokens.
    """
    with needs("guard"):
        import torch
        from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    torch.manual_seed(seed)
    pictures = (32 // patch_size) ** 2  # tokens of an image
    ids = {token: VOCABULARY.index(token) for token in ("<pad>", "<s>", "</s>", "<image>")}
    vision = CLIPVisionConfig(
        hidden_size=48, intermediate_size=192, num_hidden_layers=2, num_attention_heads=2, image_size=32,
        patch_size=patch_size, projection_dim=48,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=len(VOCABULARY), hidden_size=64, intermediate_size=192, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=124 + pictures, pad_token_id=ids["<pad>"], bos_token_id=ids["<s>"],
        eos_token_id=ids["</s>"], tie_word_embeddings=False,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_id=ids["<image>"], image_seq_length=pictures,
        vision_feature_select_strategy="default", vision_feature_layer=-1, tie_word_embeddings=False,
    )  # fmt: skip
    return LlavaForConditionalGeneration(config)


def new_processor() -> Any:
    """Return the processor: a word-level tokenizer of the notes' vocabulary, and pixels scaled to [-1, 1]."""
    with needs("guard"):
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from tokenizers.pre_tokenizers import WhitespaceSplit
        from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    words.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        mask_token="<mask>", extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    images = CLIPImageProcessorPil(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}, image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )  # fmt: skip
    return LlavaProcessor(
        image_processor=images, tokenizer=tokenizer, patch_size=16, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=CHAT_TEMPLATE,
    )  # fmt: skip
