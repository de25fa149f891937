"""ShieldGemma 2's own checkpoints: a Gemma 3 model inside a class that reads Yes or No after its own prompt."""

from __future__ import annotations

from typing import Any

import numpy as np

from hybrid_rs._checks import integer, require
from hybrid_rs._extras import needs
from hybrid_rs.guards.wording import Wording

with needs("guard"):
    from transformers import ShieldGemma2ForImageClassification as Classifier

KIND = "shieldgemma2"  # the ``model_type`` of these checkpoints
YES, NO = 10_784, 3_771  # what the stock class reads where the configuration names no tokens

__all__ = ["KIND", "NO", "YES", "Classifier", "require_asked", "require_prompt", "verdicts"]


def require_asked(wording: Wording, bits: int | None, device_map: Any) -> None:
    """Require what the stock class does: one policy, the image alone, no answer that has begun.

    Args:
        wording: the words of the prompt.
        bits: of linear layers.
        device_map: the device of each part.

    Raises:
        ValueError: if another prompt is asked for, or a way of loading that was not tried with this class.
    """
    remedy = "ShieldGemma 2 judges the image alone; give reads_text=False (--preset shieldgemma)"
    require(not wording.reads_text, "reads_text", wording.reads_text, remedy)
    require(bool(wording.policy), "policy", wording.policy, "give the policy that the image is judged by")
    remedy = "ShieldGemma 2 answers directly after its prompt; leave it out"
    require(not wording.answer_prefix, "answer_prefix", wording.answer_prefix, remedy, repr)
    for name, value in (("bits", bits), ("device_map", device_map)):
        require(value is None, name, value, "not tried with ShieldGemma 2, which fits on one card; leave it out")


def require_prompt(stock: Any, wording: Wording, before: Any, size: tuple[int, int]) -> None:
    """Require the prompt that the stock processor writes for the policy.

    Args:
        stock: the checkpoint's own processor; without a text it writes prompts from policies.
        wording: the words of the prompt.
        before: the prompt of the guard, ids.
        size: (height, width) of the images.

    Raises:
        ValueError: if it writes another one, or cannot write any.
    """
    black = np.zeros((*size, 3), np.uint8)
    try:
        made = stock(images=[black], policies=["given"], custom_policies={"given": wording.policy}, return_tensors="np")
        same = np.array_equal(np.asarray(made["input_ids"])[0], before)
    except Exception as error:  # it is given the files of others
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"processor: it cannot write the prompt of a policy ({said})") from error
    remedy = "the checkpoint's own processor writes another prompt for this policy; this checkpoint cannot be used"
    require(same, "chat template", f"{len(before)} tokens", remedy)


def verdicts(config: Any, tokenizer: Any, answers: tuple[str, str]) -> dict[str, tuple[int, ...]]:
    """Return the two tokens that the stock class compares: then the guard's score is the log-odds of its ``P(Yes)``.

    Args:
        config: the configuration of the checkpoint.
        tokenizer: its tokenizer.
        answers: the words that mean safe and unsafe.

    Raises:
        ValueError: if the tokens are not these words.
    """
    named = {"no_token_index": NO, "yes_token_index": YES}
    ids = tuple(integer(name, getattr(config, name, usual), at_least=0) for name, usual in named.items())
    spelled = [tokenizer.decode([token]) if token < len(tokenizer) else None for token in ids]
    remedy = (
        f"the checkpoint compares these tokens, spelled {spelled}, and the words for safe and unsafe "
        f"are {list(answers)}; give answers=('No', 'Yes') (--preset shieldgemma), and a config.json that fits"
    )
    same = all(word is not None and word.strip() == asked for word, asked in zip(spelled, answers, strict=True))
    require(same, "no_token_index, yes_token_index", ids, remedy)
    return {"safe_ids": (ids[0],), "unsafe_ids": (ids[1],)}
