"""What a token is, for a guard that takes text as a string: a character, or a token of a tokenizer on disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs._extras import needs
from hybrid_rs.guards import identity

MASK = "\N{FULL BLOCK}"


@dataclass(frozen=True)
class Letters:
    """A token is a character, and its id the character's code point; noise writes printable ASCII.

    Example:
        >>> letters = Letters()
        >>> letters.decode(letters.encode("two wörds")), letters.alphabet.size
        ('two wörds', 95)
    """

    def __str__(self) -> str:
        return "a token is a character"

    @property
    def alphabet(self) -> NDArray[np.int64]:
        """The code points of printable ASCII."""
        return np.arange(ord(" "), ord("~") + 1, dtype=np.int64)

    @property
    def pad_id(self) -> int:
        """The comma."""
        return ord(",")

    @property
    def mask_id(self) -> int:
        """A full block."""
        return ord(MASK)

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that enter the guard's identity."""
        return {"kind": type(self).__name__}

    def encode(self, words: str) -> NDArray[np.int64]:
        """Return the code points of a text."""
        return np.array([ord(letter) for letter in words], dtype=np.int64)

    def decode(self, token_ids: NDArray[np.int64]) -> str:
        """Return the text of code points."""
        return "".join(map(chr, token_ids.tolist()))


@dataclass(frozen=True, eq=False)
class Tokens:
    """A token is one of a tokenizer; the guard is given the text that the tokens decode to.

    An edit is one token here, whatever the server makes of the text. A text is refused if its tokens do not decode to
    the same text.

    Args:
        tokenizer: a tokenizer of ``transformers``.
        alphabet: shape ``(V,)``, the ids that noise may write.
        pad_id: a member of the alphabet.
        mask_id: an id outside the alphabet, or None.
    """

    tokenizer: Any
    alphabet: NDArray[np.int64]
    pad_id: int
    mask_id: int | None

    @classmethod
    def load(
        cls, folder: Path | str, alphabet: str = "all", max_characters: int | None = None, mask: str | None = None
    ) -> Tokens:
        """Load a tokenizer from a folder; the other arguments are those of a checkpoint.

        Raises:
            ValueError: if there is none, or an argument is out of range.
        """
        with needs("guard"):
            from transformers import AutoTokenizer

            from hybrid_rs.guards.alphabet import alphabet_of, mask_of, pad_of
            from hybrid_rs.guards.loading import loaded, reading

        files = "give a folder with the files of a tokenizer, such as tokenizer.json and tokenizer_config.json"
        with reading(folder, name="tokenizer", remedy=files):
            used = loaded(AutoTokenizer, Path(folder))
        special = {*used.all_special_ids, *used.get_added_vocab().values()}
        written = None if mask is None else mask_of(used, mask, [])
        letters = alphabet_of(used, special, alphabet, max_characters, written)
        return cls(used, letters, pad_of(used), used.mask_token_id if written is None else written)

    def __str__(self) -> str:
        return f"a token is one of {len(self.alphabet):,} of a tokenizer"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The facts that enter the guard's identity."""
        ids = {"alphabet": self.alphabet.tolist(), "pad, mask": [self.pad_id, self.mask_id]}
        return {"kind": type(self).__name__, "tokenizer": identity.tokenizer(self.tokenizer)} | ids

    def encode(self, words: str) -> NDArray[np.int64]:
        """Return the ids of a text.

        Raises:
            ValueError: if it contains special tokens, or the ids do not decode to it.
        """
        from hybrid_rs.guards.prompt import untrusted_ids

        ids = untrusted_ids(self.tokenizer, words, [])
        same = self.decode(ids) == words
        require(same, "text", words, "its tokens decode to another text; use another tokenizer, or characters", repr)
        return ids

    def decode(self, token_ids: NDArray[np.int64]) -> str:
        """Return the text of token ids."""
        made: str = self.tokenizer.decode(token_ids.tolist(), clean_up_tokenization_spaces=False)
        return made
