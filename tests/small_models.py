"""Small models of the classes that large guards are of, with random weights, in the layout of the hub.

Tokenizers are trained on a few sentences; templates are those of the checkpoints that they stand for.
"""

import re
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

from hybrid_rs.guards.still import still

SIDE, PATCH = 32, 8
GRIDS = [[32, 32], [32, 64], [32, 96], [64, 32], [64, 64], [96, 32]]
ONEVISION_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + content['text'] }}"
    "{% endfor %}{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' ' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
SENTENCES = ["safe unsafe Safe Unsafe, is the picture with its text safe or unsafe?", '{\n "rating": "Unsafe"}'] * 4


def tokenizer(*special: str, bos: str | None = None) -> PreTrainedTokenizerFast:
    """Return a tokenizer of about 340 tokens: byte-level, as Qwen2's.

    With ``bos`` it is as Llama's: it begins every text with that token, and puts a space before words at its beginning.
    """
    words = Tokenizer(models.BPE())
    letters = pre_tokenizers.ByteLevel.alphabet()
    if bos:
        letters = [*map(chr, range(33, 127)), "\n", "\u2581"]
        words.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        words.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse()])
        words.post_processor = processors.TemplateProcessing(f"{bos} $0", special_tokens=[(bos, special.index(bos))])
    else:
        words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340, initial_alphabet=letters, special_tokens=[*special, "<image>"], show_progress=False
    )
    lines = [word for line in SENTENCES for word in re.findall(r" ?[A-Za-z]+|\S|\n", line)] if bos else SENTENCES
    words.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token=bos, eos_token=special[-1], extra_special_tokens={"image_token": "<image>"}
    )


def save_onevision(folder: Path, seed: int = 0) -> Path:
    """Save a LLaVA-OneVision model: SigLIP, tiles of 32 by 32 pixels, Qwen2 of two layers."""
    words = tokenizer("<video>", "<|im_start|>", "<|im_end|>")
    images = LlavaOnevisionImageProcessorPil(size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=GRIDS)
    still("llava_onevision")(
        images, words, num_image_tokens=(SIDE // PATCH) ** 2, vision_feature_select_strategy="full",
        chat_template=ONEVISION_TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE,
        patch_size=PATCH, vision_use_head=False,
    )  # fmt: skip
    text = Qwen2Config(
        vocab_size=len(words) + 7, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=False, initializer_range=0.3,
        bos_token_id=None, eos_token_id=words.eos_token_id, pad_token_id=None,
    )  # fmt: skip
    image, video = words.convert_tokens_to_ids(["<image>", "<video>"])
    config = LlavaOnevisionConfig(
        vision_config=vision, text_config=text, image_token_index=image, video_token_index=video,
        image_grid_pinpoints=GRIDS,
    )  # fmt: skip
    torch.manual_seed(seed)
    LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    return folder


def save_llava(folder: Path, seed: int = 0) -> Path:
    """Save a LLaVA-1.5 model: CLIP, Llama of two layers; its tokenizer begins every text with ``<s>``."""
    words = tokenizer("<s>", "</s>", bos="<s>")
    square = {"height": SIDE, "width": SIDE}
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=square), tokenizer=words,
        patch_size=PATCH, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, image_size=SIDE,
        patch_size=PATCH, projection_dim=32,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=len(words) + 7, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512, tie_word_embeddings=False, initializer_range=0.3,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=None,
    )  # fmt: skip
    image = words.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=image, image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder
