"""The tokens of a guard that noise may write: its alphabet, its pad and its mask."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import choice, integer, require

Letters = Literal["all", "printable"]
PAD = ","
BROKEN = "\ufffd"  # a token that is a part of a character decodes to it
SHOWN = 6  # tokens that a message proposes


def alphabet_of(
    tokenizer: Any,
    special: set[int],
    chosen: ArrayLike | str | None = None,
    max_characters: int | None = None,
    mask: int | None = None,
) -> NDArray[np.int64]:
    """Return the ids that noise may write, shape ``(V,)``, ascending.

    Args:
        tokenizer: the checkpoint's tokenizer.
        special: ids that are never in an alphabet: special tokens, added tokens, placeholders.
        chosen: ids; or "all" for all ordinary ones (the default); or "printable" for those of them that decode, each
            alone, to printable characters: no line breaks, and no parts of a character.
        max_characters: leave out tokens that decode to more characters.
        mask: the id of the mask, which is left out.

    Raises:
        ValueError: if an id is special or unknown, or another argument is out of range.
    """
    ordinary = set(tokenizer.get_vocab().values()) - special
    if chosen is None or isinstance(chosen, str):
        kind = choice("alphabet", "all" if chosen is None else chosen, get_args(Letters))
        ids = np.array(sorted(ordinary), dtype=np.int64)
    else:
        kind, ids = "all", np.unique(np.asarray(chosen, dtype=np.int64))
        for token in ids.tolist():
            shown = f"{token} ({tokenizer.convert_ids_to_tokens(token)!r})" if token in special else token
            remedy = "leave out special tokens, the image placeholder and unknown ids"
            require(token in ordinary, "alphabet", shown, remedy)
    ids = ids[ids != mask]
    most = None if max_characters is None else integer("max_characters", max_characters, at_least=1)
    if kind == "all" and most is None:
        return ids
    texts = [tokenizer.decode([token], clean_up_tokenization_spaces=False) for token in ids.tolist()]
    fits = [(most is None or len(text) <= most) and (kind == "all" or _printable(text)) for text in texts]
    return ids[np.array(fits, dtype=bool)]


def mask_of(tokenizer: Any, mask: str, placeholders: list[int]) -> int:
    """Return the id of a mask that is given as text.

    Args:
        tokenizer: the checkpoint's tokenizer.
        mask: a token as the vocabulary spells it, or a text that is one token.
        placeholders: ids that stand for images; none of them can be the mask.

    Raises:
        ValueError: if it is not one token, or is a placeholder or the pad.
    """
    found = tokenizer.get_vocab().get(mask)
    if found is None:
        ids = tokenizer.encode(mask, add_special_tokens=False)
        found = ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None
    known = tokenizer.convert_ids_to_tokens(sorted(set(tokenizer.all_special_ids) - set(placeholders)))
    remedy = f"give a text that is one token; the special ones are {', '.join(known[:SHOWN])}"
    require(found is not None, "mask", mask, remedy, repr)
    require(found not in placeholders, "mask", mask, "it stands for an image; give another token", repr)
    require(found not in _single_ids(tokenizer, PAD), "mask", mask, "it is the pad; give another token", repr)
    return int(found)


def pad_of(tokenizer: Any) -> int:
    """Return the id of an ordinary comma.

    Raises:
        ValueError: if the tokenizer has none.
    """
    found = _single_ids(tokenizer, PAD)
    require(len(found) > 0, "tokenizer", PAD, "use a tokenizer that has this as a single token", repr)
    return found[0]


def _printable(text: str) -> bool:
    return text != "" and text.isprintable() and BROKEN not in text


def _single_ids(tokenizer: Any, word: str) -> tuple[int, ...]:
    """The ids of a word that is one token, at the beginning of a text or within it."""
    found = [tokenizer.encode(word, add_special_tokens=False), [tokenizer.convert_tokens_to_ids(word)]]
    unknown = (None, tokenizer.unk_token_id)
    return tuple(sorted({ids[0] for ids in found if len(ids) == 1 and ids[0] not in unknown}))
