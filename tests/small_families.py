"""Small models of the families that guards come in, with random weights, in the layout of the hub.

Each has the real class, and a template and processor of the kind that its checkpoints have; only the sizes are small.
"""

from pathlib import Path

import torch
import transformers as tf
from small_models import tokenizer as byte_level
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig
from transformers.models.mllama.configuration_mllama import MllamaTextConfig, MllamaVisionConfig
from transformers.models.paligemma.processing_paligemma import EXTRA_TOKENS
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMVisionConfig

from hybrid_rs.guards.llama4 import Llama4ImageProcessorPil
from hybrid_rs.guards.still import still

ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
GRIDS = [[28, 56], [56, 28], [56, 56]]


def chat(user: str, image: str, end: str, ask: str, first: str = "") -> str:
    """Return a chat template: what comes first, the image of a message, its texts, and what asks for the answer."""
    picked = "{% for c in m['content'] | selectattr('type', 'equalto', 'KIND') %}"
    pictures = picked.replace("KIND", "image") + f"{{{{ '{image}' }}}}{{% endfor %}}"
    texts = picked.replace("KIND", "text") + "{{ c['text'] }}{% endfor %}"
    message = f"{{{{ '{user}' }}}}{pictures}{texts}{{{{ '{end}' }}}}"
    answer = f"{{% if add_generation_prompt %}}{{{{ '{ask}' }}}}{{% endif %}}"
    return f"{{{{ '{first}' }}}}{{% for m in messages %}}{message}{{% endfor %}}{answer}"


def words(*special: str, first: str | None = None, **named: str) -> tf.PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with these special tokens, the last of which ends a text."""
    made = byte_level(*special)
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=made.backend_tokenizer, bos_token=first, eos_token=special[-1], pad_token=special[-1],
        extra_special_tokens={"image_token": "<image>"} | named,
    )  # fmt: skip


def language(used: tf.PreTrainedTokenizerFast, **more: object) -> dict[str, object]:
    """Return the sizes of a language model."""
    return {
        "vocab_size": len(used) + 7, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048, "initializer_range": 0.3,
        "tie_word_embeddings": False, "bos_token_id": used.bos_token_id, "eos_token_id": used.eos_token_id,
        "pad_token_id": used.pad_token_id,
    } | more  # fmt: skip


VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def qwen(kind: str) -> tuple[object, ...]:
    """Qwen2-VL, Qwen2.5-VL, Qwen3-VL: patches of the image in its own shape, positions in three axes."""
    patch = 16 if kind == "qwen3_vl" else 14
    special = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|im_start|>", "<|im_end|>"]
    used = words(*special, image_token="<|image_pad|>", video_token="<|video_pad|>")
    template = chat(
        "<|im_start|>user\\n", "<|vision_start|><|image_pad|><|vision_end|>", "<|im_end|>\\n",
        "<|im_start|>assistant\\n",
    )  # fmt: skip
    images = tf.Qwen2VLImageProcessorPil(
        size={"shortest_edge": 4 * patch**2, "longest_edge": 64 * patch**2}, patch_size=patch
    )
    start, end, image, video = used.convert_tokens_to_ids(special[:4])
    ids = {"vision_start_token_id": start, "vision_end_token_id": end, "image_token_id": image, "video_token_id": video}
    text = language(used, rope_parameters=ROPE | {"mrope_section": [1, 1, 2]}, max_window_layers=2)
    tower = {"patch_size": patch, "spatial_merge_size": 2, "temporal_patch_size": 2, "depth": 2, "num_heads": 2}
    if kind == "qwen2_vl":
        tower |= {"embed_dim": 32, "mlp_ratio": 2, "hidden_size": 32}
    else:
        tower |= {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32}
    if kind == "qwen2_5_vl":
        tower |= {"window_size": 56, "fullatt_block_indexes": [1]}
    if kind == "qwen3_vl":
        tower |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
        text |= {"head_dim": 8, "rope_parameters": ROPE | {"mrope_section": [1, 1, 2], "mrope_interleaved": True}}
    names = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}
    config = getattr(tf, f"{names[kind]}Config")(text_config=text, vision_config=tower, **ids)
    return images, used, template, {}, config


def gemma3(kind: str) -> tuple[object, ...]:
    """Gemma 3: a square image whose tokens see each other, and layers that see a window alone."""
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    used = words("<bos>", *names.values(), "<start_of_turn>", "<end_of_turn>", first="<bos>", **names)
    template = chat(
        "<start_of_turn>user\\n", "<start_of_image>", "<end_of_turn>\\n", "<start_of_turn>model\\n", "<bos>"
    )
    images = tf.Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    layers = ["sliding_attention", "full_attention"]
    text = language(used, head_dim=8, sliding_window=128, layer_types=layers, tie_word_embeddings=True)
    begin, end, image = used.convert_tokens_to_ids(list(names.values()))
    config = tf.Gemma3Config(
        text_config=text, vision_config=VISION | {"image_size": 56, "patch_size": 14, "vision_use_head": False},
        mm_tokens_per_image=4, boi_token_index=begin, eoi_token_index=end, image_token_index=image,
        initializer_range=0.3,
    )  # fmt: skip
    return images, used, template, {"image_seq_length": 4}, config


def llava_next(kind: str) -> tuple[object, ...]:
    """LLaVA-NeXT: the whole image, and tiles of it in the grid that fits best."""
    used = words("<s>", "</s>", first="<s>")
    template = chat("[INST] ", "<image>\\n", " [/INST]", "", "<s>")
    images = tf.LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=GRIDS
    )
    config = tf.LlavaNextConfig(
        text_config=language(used, model_type="mistral", head_dim=8, sliding_window=None),
        vision_config=VISION | {"model_type": "clip_vision_model", "image_size": 28, "patch_size": 7},
        image_token_index=used.convert_tokens_to_ids("<image>"), image_grid_pinpoints=GRIDS, image_seq_length=16,
    )  # fmt: skip
    how = {"patch_size": 7, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return images, used, template, how, config


def idefics3(kind: str) -> tuple[object, ...]:
    """Idefics3: resized by Lanczos's filter, tiles with their rows and columns, and the whole image."""
    places = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    used = words(
        "<|begin_of_text|>", "<fake_token_around_image>", "<global-img>", *places, "<end_of_utterance>",
        first="<|begin_of_text|>",
    )  # fmt: skip
    template = chat("User:", "<image>", "<end_of_utterance>\\n", "Assistant:", "<|begin_of_text|>")
    images = tf.Idefics3ImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    tower = Idefics3VisionConfig(**VISION, image_size=28, patch_size=7, initializer_range=0.3)
    config = tf.Idefics3Config(
        text_config=language(used, model_type="llama"), vision_config=tower, scale_factor=2,
        image_token_id=used.convert_tokens_to_ids("<image>"), pad_token_id=used.pad_token_id,
    )  # fmt: skip
    return images, used, template, {"image_seq_len": 4}, config


def smolvlm(kind: str) -> tuple[object, ...]:
    """SmolVLM: tiles as Idefics3 has them, after a resizing of its own, and a vision tower of its own."""
    places = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
    used = words(
        "<|im_start|>", "<fake_token_around_image>", "<global-img>", *places, "<end_of_utterance>",
        first="<|im_start|>",
    )  # fmt: skip
    template = chat("User:", "<image>", "<end_of_utterance>\\n", "Assistant:", "<|im_start|>")
    images = tf.SmolVLMImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    tower = SmolVLMVisionConfig(**VISION, image_size=28, patch_size=7, initializer_range=0.3)
    config = tf.SmolVLMConfig(
        text_config=language(used, model_type="llama"), vision_config=tower, scale_factor=2,
        image_token_id=used.convert_tokens_to_ids("<image>"), pad_token_id=used.pad_token_id,
    )  # fmt: skip
    return images, used, template, {"image_seq_len": 4, "video_processor": None}, config


def internvl(kind: str) -> tuple[object, ...]:
    """InternVL: as many square tiles as fit the shape of the image, and the whole image if there are several."""
    names = {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }  # fmt: skip
    used = words(*names.values(), "<|im_start|>", "<|im_end|>", **names)
    template = chat("<|im_start|>user\\n", "<IMG_CONTEXT>\\n", "<|im_end|>\\n", "<|im_start|>assistant\\n")
    images = tf.GotOcr2ImageProcessorPil(
        size={"height": 28, "width": 28}, crop_to_patches=True, min_patches=1, max_patches=4
    )
    tower = VISION | {"image_size": [28, 28], "patch_size": [7, 7], "initializer_range": 0.3}
    config = tf.InternVLConfig(
        text_config=language(used, model_type="qwen2", max_window_layers=2), vision_config=tower, image_seq_length=4,
        image_token_id=used.convert_tokens_to_ids("<IMG_CONTEXT>"), downsample_ratio=0.5, vision_feature_layer=-1,
    )  # fmt: skip
    return images, used, template, {"image_seq_length": 4}, config


def mllama(kind: str) -> tuple[object, ...]:
    """Llama 3.2 Vision: the image is not among the tokens; some layers look at it."""
    used = words(
        "<|begin_of_text|>", "<|image|>", "<|python_tag|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
        first="<|begin_of_text|>", image_token="<|image|>",
    )  # fmt: skip
    template = chat(
        "<|start_header_id|>user<|end_header_id|>\\n\\n", "<|image|>", "<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\\n\\n", "<|begin_of_text|>",
    )  # fmt: skip
    images = tf.MllamaImageProcessorPil(size={"height": 28, "width": 28}, max_image_tiles=4)
    shapes = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
    text = MllamaTextConfig(
        **language(used, num_hidden_layers=4, vocab_size=len(used)), cross_attention_layers=[1, 3], rope_parameters=ROPE
    )
    tower = MllamaVisionConfig(
        hidden_size=32, num_hidden_layers=2, num_global_layers=1, attention_heads=2, intermediate_size=64,
        vision_output_dim=64, image_size=28, patch_size=14, max_num_tiles=4, intermediate_layers_indices=[0],
        supported_aspect_ratios=shapes, initializer_range=0.3,
    )  # fmt: skip
    config = tf.MllamaConfig(
        vision_config=tower, text_config=text, image_token_index=used.convert_tokens_to_ids("<|image|>")
    )
    return images, used, template, {}, config


def llama4(kind: str, moe_layers: tuple[int, ...] = (1,)) -> tuple[object, ...]:
    """Llama 4: tiles and the whole image, experts, and layers with and without positions."""
    used = words(
        "<|begin_of_text|>", "<|image|>", "<|image_start|>", "<|image_end|>", "<|patch|>", "<|tile_x_separator|>",
        "<|tile_y_separator|>", "<|header_start|>", "<|header_end|>", "<|eot|>", first="<|begin_of_text|>",
        image_token="<|image|>",
    )  # fmt: skip
    template = chat(
        "<|header_start|>user<|header_end|>\\n\\n", "<|image|>", "<|eot|>",
        "<|header_start|>assistant<|header_end|>\\n\\n", "<|begin_of_text|>",
    )  # fmt: skip
    images = Llama4ImageProcessorPil(size={"height": 28, "width": 28}, max_patches=4)
    text = language(
        used, head_dim=8, num_local_experts=2, num_experts_per_tok=1, intermediate_size_mlp=64,
        moe_layers=[*moe_layers], attention_chunk_size=1024, no_rope_layers=[1, 0], rope_parameters=ROPE,
    )  # fmt: skip
    tower = VISION | {
        "intermediate_size": 128, "image_size": 28, "patch_size": 7, "vision_output_dim": 32, "projector_input_dim": 32,
        "projector_output_dim": 32, "pixel_shuffle_ratio": 0.5, "initializer_range": 0.3,
    }  # fmt: skip
    start, end, patch = used.convert_tokens_to_ids(["<|image_start|>", "<|image_end|>", "<|patch|>"])
    config = tf.Llama4Config(
        text_config=text, vision_config=tower, image_token_index=patch, boi_token_index=start, eoi_token_index=end
    )
    return images, used, template, {"patch_size": 7}, config


def paligemma(kind: str, text: str = "gemma") -> tuple[object, ...]:
    """PaliGemma: every token of the prompt sees all others. Its processor adds tokens, and there is no template."""
    used = tf.PreTrainedTokenizerFast(
        tokenizer_object=byte_level("<bos>", "<eos>").backend_tokenizer, bos_token="<bos>", eos_token="<eos>",
        pad_token="<eos>",
    )  # fmt: skip
    used.add_tokens(EXTRA_TOKENS)
    images = tf.SiglipImageProcessorPil(size={"height": 28, "width": 28}, resample=3, image_seq_length=4)
    tower = VISION | {"image_size": 28, "patch_size": 14, "vision_use_head": False, "projection_dim": 32}
    config = tf.PaliGemmaConfig(
        text_config=language(used, model_type=text, head_dim=8), vision_config=tower, projection_dim=32,
        image_token_index=used.convert_tokens_to_ids("<image>"), hidden_size=32,
    )  # fmt: skip
    return images, used, None, {}, config


FAMILIES = {
    "qwen2_vl": qwen, "qwen2_5_vl": qwen, "qwen3_vl": qwen, "gemma3": gemma3, "llava_next": llava_next,
    "idefics3": idefics3, "smolvlm": smolvlm, "internvl": internvl, "mllama": mllama,
    "llama4": llama4, "paligemma": paligemma,
}  # fmt: skip


def save_family(kind: str, folder: Path, seed: int = 0, **chosen: object) -> Path:
    """Save a model of a family with its processor; what is chosen is given to the function of the family."""
    images, used, template, how, config = FAMILIES[kind](kind, **chosen)
    still(kind)(images, used, chat_template=template, **how).save_pretrained(folder)
    torch.manual_seed(seed)
    model = tf.AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "gate" in name and weight.numel() == 1:  # of Mllama: as initialised they hide the image
                weight.fill_(0.7)
            elif weight.ndim > 1 and not weight.any():  # of Gemma 3: the same
                weight.normal_(0, 0.1)
    model.save_pretrained(folder)
    return folder
