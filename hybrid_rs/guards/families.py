"""Which families of checkpoints load, and which are refused, by the ``model_type`` of their configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A family of checkpoints that loads. Each has tests with its real class and tiny random weights.

    Args:
        example: a checkpoint of this family.
        images: how an image is prepared.
        own: whether code of this package prepares its images; otherwise the checkpoint's processor is reproduced.
        template: whether its checkpoints have a chat template. If not, its processor writes the ends of the prompt.
        prefix_lm: whether every token of the prompt sees all others (a prefix language model). Then texts share no keys
            and values. Tokens of the answer see only earlier ones, so no answer can be begun in the prompt.
    """

    example: str
    images: str
    own: bool = False
    template: bool = True
    prefix_lm: bool = False

    @property
    def any_size(self) -> bool:
        """Whether images keep their shape on the way to the model."""
        return self.images.startswith("any size")


FAMILIES = {
    "llava": Family("LLaVA-1.5", "resized to the vision tower, and cut to a square", own=True),
    "llava_onevision": Family("LLaVA-OneVision (LlavaGuard)", "any size, in tiles", own=True),
    "llava_next": Family("LLaVA-NeXT", "any size, in tiles"),
    "qwen2_vl": Family("Qwen2-VL", "any size, in patches"),
    "qwen2_5_vl": Family("Qwen2.5-VL, and guards trained from it", "any size, in patches"),
    "qwen3_vl": Family("Qwen3-VL", "any size, in patches"),
    "gemma3": Family("Gemma 3", "resized to the vision tower"),
    "idefics3": Family("Idefics3", "any size, in tiles"),
    "smolvlm": Family("SmolVLM, SmolVLM2", "any size, in tiles"),
    "internvl": Family("InternVL", "any size, in tiles"),
    "mllama": Family("Llama 3.2 Vision", "any size, in tiles"),
    "llama4": Family("Llama 4, Llama Guard 4", "any size, in tiles"),
    "paligemma": Family("PaliGemma, PaliGemma 2", "resized to the vision tower", template=False, prefix_lm=True),
}
WRAPPED = {"shieldgemma2": "gemma3"}  # checkpoints of another class around a model of a family: that model is loaded
OWN = tuple(kind for kind, family in FAMILIES.items() if family.own)
STOCK = tuple(kind for kind, family in FAMILIES.items() if not family.own)


def family(model_type: str) -> Family | None:
    """Return the family of a checkpoint; None if it does not load.

    Args:
        model_type: as in ``config.json``.

    Example:
        >>> family("shieldgemma2").example, family("vipllava")
        ('Gemma 3', None)
    """
    return FAMILIES.get(WRAPPED.get(model_type, model_type))


def family_of(model_type: str) -> Family:
    """Return the family of a checkpoint.

    Args:
        model_type: as in ``config.json``.

    Raises:
        ValueError: if checkpoints of this type do not load.
    """
    found = family(model_type)
    if found is None:
        served = ", ".join((*FAMILIES, *WRAPPED))
        raise ValueError(f"model_type = {model_type}: give a checkpoint of a family that is known: {served}")
    return found
