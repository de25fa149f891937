"""Tokens as people read them, for what commands print: by the guard's tokenizer, ``decode`` or ``encode``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs.smoothing.answers import answering

LAST = 0x10FFFF  # the last code point


def text_of(guard: Any, token: int) -> str | None:
    """Return the text of a token, or None if it is not known.

    It comes from the guard's tokenizer, or else from its optional method ``decode(token_ids)``. A guard with neither
    has characters as tokens where it encodes a single character as its code point.

    Args:
        guard: the guard, perhaps inside another.
        token: the token id.

    Raises:
        ValueError: if the guard's own code fails, or what it decodes to is not a string.

    Example:
        >>> class Letters:
        ...     def encode(self, text):
        ...         return [ord(letter) for letter in text]
        >>> text_of(Letters(), 44), text_of(Letters(), -1)
        (',', None)
    """
    inner, ids = guard, np.array([token], dtype=np.int64)
    while inner is not None:
        own = getattr(inner, "tokenizer", None)
        decode = getattr(own, "decode", None) or getattr(getattr(inner, "spelling", inner), "decode", None)
        if callable(decode):
            with answering(inner, "decode"):
                found = decode([token]) if own is not None else decode(ids)
            require(isinstance(found, str), "guard.decode(token_ids)", found, "return a string", repr)
            return str(found)
        inner = getattr(inner, "guard", None)
    if not 0 <= token <= LAST or not callable(getattr(guard, "encode", None)):
        return None
    try:
        same = np.array_equal(np.asarray(guard.encode(chr(token))), ids)
    except Exception:  # the guard may know no such character
        return None
    return chr(token) if same else None


def marked(guard: Any, token_ids: NDArray[np.int64], kept: NDArray[np.bool_]) -> str:
    """Return a noisy text in words; what was replaced is in brackets.

    Where all tokens are characters, or the pieces of a tokenizer hold their spaces, they are joined as they are; other
    words and numbers have spaces between them.

    Args:
        guard: the guard.
        token_ids: shape ``(length,)``.
        kept: shape ``(length,)``, which of them were not replaced.
    """
    known = {token: text_of(guard, token) for token in dict.fromkeys(token_ids.tolist())}
    texts = [text for text in known.values() if text is not None]
    joined = all(len(text) == 1 for text in texts) or any(text != text.strip() for text in texts if _tokenizer(guard))
    unknown = "{}" if all(text is None for text in known.values()) else "<{}>"
    spelled = {token: unknown.format(token) if text is None else text for token, text in known.items()}
    words = [
        spelled[token] if same else f"[{spelled[token]}]" for token, same in zip(token_ids.tolist(), kept, strict=True)
    ]
    return ("" if joined and unknown != "{}" else " ").join(words)


def spelled(guard: Any, token: int | None) -> str:
    """Return a token as a sentence names it: as the guard's tokenizer lists it, as its text, or as its number."""
    if (own := _tokenizer(guard)) is not None and hasattr(own, "convert_ids_to_tokens"):
        return repr(own.convert_ids_to_tokens(token))
    text = None if token is None else text_of(guard, int(token))
    return f"token {token}" if text is None else repr(text)


def _tokenizer(guard: Any) -> Any:
    while guard is not None:
        if (own := getattr(guard, "tokenizer", None)) is not None:
            return own
        guard = getattr(guard, "guard", None)
    return None
