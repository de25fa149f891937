"""What a guard asks: the ids around the untrusted text, those that answer, and those that noise may write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import require

SENTINEL = "untrusted-text-goes-here"
SAFE_WORDS = ("safe", "Safe", "SAFE", " safe", " Safe")
UNSAFE_WORDS = ("unsafe", "Unsafe", "UNSAFE", " unsafe", " Unsafe")


def placeholders(config: Any) -> list[int]:
    """The ids that stand for images and videos, which no untrusted text may hold."""
    return [i for i in (config.image_token_id, getattr(config, "video_token_id", None)) if i is not None]


def ordinary_ids(tokenizer: Any, special: set[int], chosen: ArrayLike | None) -> NDArray[np.int64]:
    """The ordinary tokens, or those of them that were chosen."""
    ordinary = set(tokenizer.get_vocab().values()) - special
    if chosen is None:
        return np.array(sorted(ordinary), dtype=np.int64)
    ids = np.unique(np.asarray(chosen, dtype=np.int64))
    for token in ids.tolist():
        shown = f"{token} ({tokenizer.convert_ids_to_tokens(token)!r})" if token in special else token
        require(token in ordinary, "alphabet", shown, "leave out special tokens, the image placeholder and unknown ids")
    return ids


def prompt(
    processor: Any, image_size: tuple[int, int], policy: str | None = None, answer_prefix: str = ""
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids before and after the untrusted text, by the checkpoint's own chat template.

    Args:
        processor: the checkpoint's; it knows how many placeholders an image of that size takes.
        image_size: (height, width).
        policy: text that goes before the untrusted text.
        answer_prefix: how the answer begins.

    Raises:
        ValueError: if the template does not show the text once, after the policy.
    """
    texts = [{"type": "text", "text": text} for text in (policy, SENTINEL) if text]
    conversation = [{"role": "user", "content": [{"type": "image"}, *texts]}]
    rendered = processor.apply_chat_template(conversation, add_generation_prompt=True)
    pieces = rendered.split(SENTINEL)
    require(len(pieces) == 2, "chat template", rendered, "it must show the user's text once")
    require(not policy or policy.strip() in pieces[0], "chat template", rendered, "it must show the policy first")
    tokenizer, blank = processor.tokenizer, np.zeros((*image_size, 3), dtype=np.uint8)
    begun = tokenizer.bos_token is not None and rendered.startswith(tokenizer.bos_token)
    before = processor(text=pieces[0], images=blank, add_special_tokens=not begun, return_tensors="np")["input_ids"][0]
    after = _ending(tokenizer, rendered + answer_prefix, start=rendered.index(SENTINEL) + len(SENTINEL))
    return before.astype(np.int64), after


def _ending(tokenizer: Any, text: str, start: int) -> NDArray[np.int64]:
    """The ids of what follows a character, as it is read within the text: alone, some would put a space before it."""
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, (first, last) = np.array(read["input_ids"], dtype=np.int64), np.array(read["offset_mapping"]).T
    if np.any((first < start) & (start < last)):  # a token lies across
        return np.array(tokenizer(text[start:], add_special_tokens=False)["input_ids"], dtype=np.int64)
    return ids[first >= start]


def single_ids(tokenizer: Any, words: Sequence[str]) -> tuple[int, ...]:
    """Ids of those spellings that are one ordinary token, be it at the beginning of a text or within it.

    Raises:
        ValueError: if none is.
    """
    found = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    found += [[tokenizer.convert_tokens_to_ids(word)] for word in words]
    unknown = (None, tokenizer.unk_token_id)
    ids = tuple(sorted({ids[0] for ids in found if len(ids) == 1 and ids[0] not in unknown}))
    require(len(ids) > 0, "tokenizer", list(words), "use a tokenizer that has one of these as a single token")
    return ids
