"""Weights of 8 or 4 bits, by ``bitsandbytes``: another classifier, which takes less memory."""

from __future__ import annotations

from typing import Any

from hybrid_rs._checks import require
from hybrid_rs._extras import needs

BITS = (8, 4)


def quantised(bits: int | None, dtype: str, device: str) -> dict[str, Any]:
    """Return the options with which ``transformers`` loads linear layers in fewer bits; none where ``bits`` is None.

    With 8 bits, weights and inputs of a layer are rounded row by row. The library's treatment of large inputs is
    switched off: it keeps their columns in higher precision for *all* rows of a batch. Then a verdict would depend on
    the other draws of its batch, and the guard would not be one function. With 4 bits (NF4), weights alone are rounded,
    in blocks.

    Args:
        bits: 8, 4 or None.
        dtype: precision of everything else: "float32", "bfloat16" or "float16".
        device: where the model goes.

    Raises:
        ValueError: if the number of bits is not 8 or 4.
        ImportError: if a package is missing.
    """
    if bits is None:
        return {}
    require(isinstance(bits, int) and bits in BITS, "bits", bits, "give 8 or 4, or leave it out", repr)
    with needs("guard"):
        import torch
        from transformers import BitsAndBytesConfig
    with needs("quantised"):
        import accelerate  # noqa: F401
        import bitsandbytes  # noqa: F401
    if bits == 8:
        how = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
    else:
        kept = getattr(torch, dtype)
        how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=kept)
    return {"quantization_config": how, "device_map": {"": device}}


def same_everywhere(model: Any) -> Any:
    """Return a model whose 4-bit layers compute the same function on every CPU; it is changed in place.

    On a CPU with AVX512-BF16, ``bitsandbytes`` packs the weights in the first forward pass, unless told otherwise. That
    rounds their scales to bfloat16, so weights and identity would change with use. Widths that are no multiples of 64
    would fail.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    return model
