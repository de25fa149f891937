"""Guards that reason first: the verdict is parsed from a generated answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import choice, integer, require, text
from hybrid_rs._extras import needs
from hybrid_rs.guards import identity
from hybrid_rs.guards.forwarding import forwarded
from hybrid_rs.guards.wording import ANSWERS, Undecided
from hybrid_rs.smoothing.draws import require_readable

with needs("guard"):
    from hybrid_rs.guards import limits, passes
    from hybrid_rs.guards.native import NativeGuard
    from hybrid_rs.guards.vlm import VisionLanguageGuard


@dataclass(frozen=True, eq=False, repr=False)
class ReasoningGuard:
    """A vision-language model that writes before it judges; satisfies :class:`hybrid_rs.Guard`.

    The answer is generated greedily: at each place the likeliest token, whatever the checkpoint's own settings say
    about sampling and penalties. So the verdict is a function of text and image. It is another classifier than
    :class:`VisionLanguageGuard` of the same checkpoint, with its own identity.

    *Cost.* A draw reads its prompt once, and then generates up to ``limit`` tokens, one after the other. Nothing is
    shared between texts.

    *No score.* A generated verdict has no score and no gradient, so there is no margin, and attacks use verdicts alone.

    Build one with :meth:`from_pretrained`.

    Args:
        guard: the model with its prompt.
        limit: the most tokens that are generated. Anything the model would write after them is not read.
        undecided: the verdict if the answer has none: "unsafe" or "safe". It is a part of the classifier. With
            "unsafe", draws whose noise only confuses the model raise both the certificates and the false alarms.
        after: see :func:`verdict_in`.

    Raises:
        ValueError: if an argument is out of range, or the limit leaves no room for a text.
    """

    guard: VisionLanguageGuard | NativeGuard
    limit: int
    undecided: Undecided
    after: str = ""

    alphabet, pad_id, mask_id = map(forwarded, ("alphabet", "pad_id", "mask_id"))
    image_size, tokenizer, encode, images_on = map(forwarded, ("image_size", "tokenizer", "encode", "images_on"))
    fit = forwarded("fit", "stretch")

    def __post_init__(self) -> None:
        integer("limit", self.limit, at_least=1)
        choice("undecided", self.undecided, ANSWERS)
        text("after", self.after)
        remedy = "load it with ReasoningGuard.from_pretrained"
        require(self._model.source is not None, "guard", "without a checkpoint", remedy)
        if isinstance(self.guard, VisionLanguageGuard):
            limits.require_room(self.guard, self.limit)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        limit: int,
        undecided: Undecided,
        after: str = "",
        native: bool = False,
        **options: Any,
    ) -> ReasoningGuard:
        """Load a checkpoint; the words of the verdict may be of several tokens.

        Args:
            path: a folder, or a name on the hub.
            limit: as above.
            undecided: as above.
            after: as above.
            native: whether every image keeps its own size.
            options: those of :meth:`VisionLanguageGuard.from_pretrained`, except a margin.

        Raises:
            ValueError: as there; or if an argument is out of range.
        """
        require(
            "margin" not in options, "margin", options.get("margin"), "a generated verdict has no score: leave it out"
        )
        guard = VisionLanguageGuard.from_pretrained(path, **options, one_token=False)
        return cls(NativeGuard(guard, 0.0) if native else guard, limit, undecided, after)

    @property
    def _model(self) -> VisionLanguageGuard:
        return self.guard.guard if isinstance(self.guard, NativeGuard) else self.guard

    @property
    def _words(self) -> tuple[str, tuple[str, str]]:
        source: Any = self._model.source
        return source.wording.answer_prefix, source.wording.answers

    def __repr__(self) -> str:
        where = f" after {self.after!r}" if self.after else ""
        return (
            f"ReasoningGuard(up to {self.limit} tokens, then {' or '.join(self._words[1])}{where},"
            f" else {self.undecided}; {self.guard!r})"
        )

    @property
    def max_length(self) -> int | None:
        """The largest number of tokens of untrusted text that leaves room for the answer; None: any."""
        known = getattr(self.guard, "max_length", None)  # for images of any size it is not known
        return known - self.limit if known and self._model.reads_text else known

    @cached_property
    def identity(self) -> str:
        """A digest of everything that the verdicts depend on: the guard's, and how an answer is made and read."""
        prefix, answers = self._words
        read = {"limit": self.limit, "undecided": self.undecided, "after": self.after, "ends": list(self._ends)}
        asked = {"prefix": prefix, "answers": list(answers)}
        return identity.digest({"kind": type(self).__name__, "guard": self.guard.identity} | read | asked)

    @property
    def gradients(self) -> Any:
        """There are none.

        Raises:
            AttributeError: always, so that attacks that look for gradients use verdicts.
        """
        raise AttributeError("gradients = none: a generated verdict has no gradient; attack it with its verdicts alone")

    def at(self, image_size: tuple[int, int]) -> ReasoningGuard:
        """Return the guard for images of one size, (height, width)."""
        return replace(self, guard=self.guard.at(image_size))

    def unsafe(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """Return the verdicts, True where the answer says unsafe.

        Args:
            token_ids: as in :meth:`VisionLanguageGuard.scores`.
            images: likewise.
            image_index: likewise.

        Returns:
            shape ``(batch,)``, bool.
        """
        prefix, words = self._words
        found = [verdict_in(each, words, self.after, prefix) for each in self.answers(token_ids, images, image_index)]
        return np.array([self.undecided == "unsafe" if each is None else each for each in found], dtype=bool)

    def answers(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> list[str]:
        """Return what the model writes after the prompt, special tokens included; arguments as in :meth:`unsafe`."""
        if isinstance(self.guard, NativeGuard):
            height, width = images.shape[-2:]
            return self.at((height, width)).answers(token_ids, images, image_index)
        texts, pixels = np.asarray(token_ids), images
        index = np.arange(len(texts)) if image_index is None else np.asarray(image_index)
        limits.require_fitting(self.guard, texts, pixels, index)
        require_readable(self, texts.shape[1], "token_ids")
        made = passes.greedy(self.guard, texts, pixels, index, self.limit, self._ends)
        used = self.guard.tokenizer
        return [used.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) for ids in made]

    @property
    def _ends(self) -> tuple[int, ...]:
        """The ids that end an answer: those of the checkpoint's settings for generation, and of its tokenizer."""
        said = (self._model.model.generation_config.eos_token_id, self._model.tokenizer.eos_token_id)
        several = [each if isinstance(each, list) else [each] for each in said]
        return tuple(sorted({int(each) for ids in several for each in ids if each is not None}))


def verdict_in(answer: str, words: tuple[str, str], after: str = "", prefix: str = "") -> bool | None:
    """Return the verdict in an answer: True for unsafe, False for safe, None if there is none.

    Args:
        answer: what the model wrote.
        words: those that mean safe and unsafe. They count as whole words, in any capital letters, whatever stands
            around them: "not safe" says safe.
        after: a text such as ``"</think>"`` or ``'"rating":'``: the verdict is the first word after its last
            occurrence, and there is none where it does not occur. By default the verdict is the last of these words.
        prefix: what the answer was forced to begin with. It may contain ``after``, but no verdict is read from it.

    Example:
        >>> verdict_in("It may be unsafe. No: safe", ("safe", "unsafe"))
        False
        >>> verdict_in("Unsafe or safe? </think> Unsafe: it is not safe.", ("safe", "unsafe"), "</think>")
        True
        >>> verdict_in("<think> It is unsafe", ("safe", "unsafe"), "</think>") is None
        True
    """
    whole, start = prefix + answer, len(prefix)
    if after:
        place = whole.rfind(after)
        if place < 0:
            return None
        start = max(start, place + len(after))
    pattern = re.compile(rf"(?<!\w)(?:({re.escape(words[1])})|{re.escape(words[0])})(?!\w)", re.IGNORECASE)
    found = list(pattern.finditer(whole, start))
    if not found:
        return None
    return found[0 if after else -1][1] is not None
