"""Conversion of a denoiser of OpenAI's guided-diffusion into a folder that ``diffusers`` and ``--denoiser`` read.

The authors of denoised smoothing use ``256x256_diffusion_uncond.pt``. It is a pickle, which this package does not load
as a denoiser. Convert it once; pickled code in it is not run:

    python -m hybrid_rs.guards.guided_diffusion 256x256_diffusion_uncond.pt denoiser

Both libraries have the same network, with other names for the weights. The weights of attention are also in another
order: guided-diffusion stores queries, keys and values head by head.

References:
    Dhariwal and Nichol (2021), the network; Carlini et al. (2023), its use.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hybrid_rs._checks import integer, require
from hybrid_rs._extras import needs
from hybrid_rs.smoothing.answers import raised

HEAD = 64  # channels of an attention head, in all published models
GROUPS = 32  # of every normalisation
WHOLE = "give a complete file of the weights of guided-diffusion and nothing else, such as 256x256_diffusion_uncond.pt"
NETWORK = "give an unconditional model of guided-diffusion, with resblock_updown and use_scale_shift_norm"
RESIDUAL = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
    "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip
ENDS = {
    "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2", "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out", "out.2": "conv_out",
}  # fmt: skip


def converted(state: dict[str, Any], head: int = HEAD) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configuration and the weights of a ``diffusers.UNet2DModel``.

    Args:
        state: the weights of guided-diffusion's ``UNetModel``: not conditioned on classes, with ``resblock_updown``,
            ``use_scale_shift_norm`` and its usual order of attention.
        head: channels of an attention head.

    Raises:
        ValueError: if the network is of another kind.
    """
    kind = "label_emb.weight" not in state and all(name + ".weight" in state for name in ENDS)
    require(kind, "checkpoint", f"{len(state)} weights", NETWORK)
    blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("input_blocks."))
    up = [k for k in range(blocks) if _raises(state, k)]  # the last block of each level but the last
    require(len(up) > 0, "checkpoint", f"{blocks} blocks", NETWORK)
    each, levels = up[0], blocks // (up[0] + 1)
    places = {"middle_block.0": "mid_block.resnets.0", "middle_block.2": "mid_block.resnets.1"}
    seen = {"middle_block.1": "mid_block.attentions.0"}
    channels, attended = [], []
    for level in range(levels):
        first = 1 + level * (each + 1)
        channels.append(int(state[f"input_blocks.{first}.0.out_layers.3.weight"].shape[0]))
        attended.append(f"input_blocks.{first}.1.qkv.weight" in state)
        for i in range(each):
            places[f"input_blocks.{first + i}.0"] = f"down_blocks.{level}.resnets.{i}"
            seen |= {f"input_blocks.{first + i}.1": f"down_blocks.{level}.attentions.{i}"} if attended[-1] else {}
        if level < levels - 1:
            places[f"input_blocks.{first + each}.0"] = f"down_blocks.{level}.downsamplers.0"
    for level in range(levels):
        with_attention = attended[::-1][level]
        for i in range(each + 1):
            block = f"output_blocks.{level * (each + 1) + i}"
            places[f"{block}.0"] = f"up_blocks.{level}.resnets.{i}"
            seen |= {f"{block}.1": f"up_blocks.{level}.attentions.{i}"} if with_attention else {}
        if level < levels - 1:
            places[f"{block}.{1 + with_attention}"] = f"up_blocks.{level}.upsamplers.0"
    weights = dict[str, Any]()
    for name, value in state.items():
        part, _, end = name.rpartition(".")
        block, rest = ".".join(part.split(".")[: 2 if part.startswith("middle") else 3]), part
        if part in ENDS:
            weights[f"{ENDS[part]}.{end}"] = value
        elif block in places and (rest := part[len(block) + 1 :]) in RESIDUAL:
            weights[f"{places[block]}.{RESIDUAL[rest]}.{end}"] = value
        elif block in seen:
            weights |= _attention(seen[block], part[len(block) + 1 :], end, value, head)
        else:
            raise ValueError(f"checkpoint = {name}: {NETWORK}")
    config = {
        "in_channels": int(state["input_blocks.0.0.weight"].shape[1]),
        "out_channels": int(state["out.2.weight"].shape[0]),
        "block_out_channels": channels,
        "layers_per_block": each,
        "attention_head_dim": integer("head", head, at_least=1),
        "down_block_types": ["AttnDownBlock2D" if one else "ResnetDownsampleBlock2D" for one in attended],
        "up_block_types": ["AttnUpBlock2D" if one else "ResnetUpsampleBlock2D" for one in attended[::-1]],
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift",
        "norm_num_groups": GROUPS,
        "attn_norm_num_groups": GROUPS,
    }
    return config, weights


def _raises(state: dict[str, Any], k: int) -> bool:
    """Return whether an output block ends with a residual block that doubles the resolution."""
    return any(f"output_blocks.{k}.{place}.in_layers.0.weight" in state for place in (1, 2))


def _attention(place: str, part: str, end: str, value: Any, head: int) -> dict[str, Any]:
    """Return the weights of an attention layer; guided-diffusion stores queries, keys and values head by head."""
    if part == "norm":
        return {f"{place}.group_norm.{end}": value}
    plain = value.squeeze(-1) if end == "weight" else value  # convolutions of width 1
    if part == "proj_out":
        return {f"{place}.to_out.0.{end}": plain}
    require(part == "qkv" and len(plain) % (3 * head) == 0, "head", head, f"3 x head does not divide {len(plain)} rows")
    rows = plain.reshape(-1, 3, head, *plain.shape[1:])
    return {f"{place}.to_{name}.{end}": rows[:, i].reshape(-1, *plain.shape[1:]) for i, name in enumerate("qkv")}


def convert(checkpoint: Path, out: Path, head: int = HEAD) -> None:
    """Read a file of guided-diffusion and write a pipeline of ``diffusers``, in safetensors.

    Args:
        checkpoint: the file; only tensors are read from it.
        out: the folder to write.
        head: channels of an attention head.

    Raises:
        ValueError: if there is no such file, it cannot be read, or it holds another network.
    """
    require(checkpoint.is_file(), "checkpoint", str(checkpoint), "there is no such file; give the .pt file", repr)
    with needs("guard"):
        import torch
    with needs("denoise"):
        from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds; torch's text suggests to run the code in the file, so it is left out
        raise ValueError(f"checkpoint = {str(checkpoint)!r}: {WHOLE} ({type(error).__name__})") from error
    holds = isinstance(state, dict) and all(isinstance(value, torch.Tensor) for value in state.values())
    require(holds, "checkpoint", str(checkpoint), WHOLE, repr)
    try:
        config, weights = converted(state, head)
        unet = UNet2DModel(**config)
        unet.load_state_dict({name: value.float().contiguous() for name, value in weights.items()})
    except Exception as error:  # names or shapes of another network
        found = raised(error).removeprefix("ValueError: checkpoint = ").removesuffix(f": {NETWORK}")
        raise ValueError(f"checkpoint = {str(checkpoint)!r}: {NETWORK} ({found})") from error
    schedule = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02, "num_train_timesteps": 1000}
    learned = config["out_channels"] == 2 * config["in_channels"]
    variance = "learned_range" if learned else "fixed_small"
    DDPMPipeline(unet, DDPMScheduler(**schedule, variance_type=variance)).save_pretrained(out)


def main(arguments: list[str]) -> None:
    """Convert the file of the first argument into the folder of the second; an error is one line and exit status 1."""
    if len(arguments) != 2:
        sys.exit("usage: python -m hybrid_rs.guards.guided_diffusion CHECKPOINT.pt FOLDER")
    try:
        convert(Path(arguments[0]), Path(arguments[1]))
    except (ValueError, ImportError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
