"""Threat models: what is noised, and what the adversary may touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import flag, integer, require
from hybrid_rs.certificates.kernels import MAX_EDITS

MAX_LENGTH = 2**20  # tokens in a text


@runtime_checkable
class Threat(Protocol):
    """What smoothing needs to know of a threat."""

    @property
    def max_edits(self) -> int:
        """The largest text budget of interest."""
        ...

    @property
    def slot(self) -> int:
        """Number of pad tokens that follow the text."""
        ...

    def noised(self, length: int) -> NDArray[np.bool_]:
        """Which positions each smoothed classifier noises, shape ``(classifiers, length + slot)``.

        A later row noises every position that an earlier row noises, so that one noise draw serves all rows.
        """
        ...

    def conditions(self, length: int) -> NDArray[np.bool_] | None:
        """Which positions include all d edits of the adversary, for each d: shape ``(max_edits + 1, length + slot)``.

        None if the edits may be anywhere.
        """
        ...


@dataclass(frozen=True)
class SuffixThreat:
    """Append-only: the text is followed by a slot of pads, and the adversary replaces the first d of them.

    The classifier knows where the slot begins; the text before it is trusted and not noised. The plain certificate
    of one classifier (``one_shot``) covers edits of any d pads; the masked one covers edits of the first d only.

    Args:
        max_edits: m, the number of pads in the slot; with 0 there is no slot, and only the image is attacked.
        one_shot: noise the whole slot (the default): one smoothed classifier, whose certificate covers every d <= m at
            once. If False, the paper's default: for each d only the first d pads are noised, and only these may be
            changed, so that each d has its own smoothed classifier.

    Example:
        >>> SuffixThreat(max_edits=2, one_shot=False).noised(length=1).astype(int)
        array([[0, 0, 0],
               [0, 1, 0],
               [0, 1, 1]])
    """

    max_edits: int = 8
    one_shot: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_edits", integer("max_edits", self.max_edits, at_least=0, at_most=MAX_EDITS))
        object.__setattr__(self, "one_shot", flag("one_shot", self.one_shot))

    @property
    def slot(self) -> int:
        """Number of pad tokens that follow the text."""
        return self.max_edits

    def noised(self, length: int) -> NDArray[np.bool_]:
        """Which positions each smoothed classifier noises, shape ``(classifiers, length + slot)``."""
        first = np.array([self.max_edits]) if self.one_shot else np.arange(self.max_edits + 1)
        position = np.arange(integer("length", length, at_least=0, at_most=MAX_LENGTH) + self.max_edits)
        return (position >= length) & (position < length + first[:, None])

    def conditions(self, length: int) -> NDArray[np.bool_]:
        """The first d pads, for each d: shape ``(max_edits + 1, length + slot)``."""
        position = np.arange(integer("length", length, at_least=0, at_most=MAX_LENGTH) + self.max_edits)
        return (position >= length) & (position < length + np.arange(self.max_edits + 1)[:, None])


@dataclass(frozen=True)
class _OfTheText:
    """The base of threats to the tokens of the text itself: at least one edit, and no slot."""

    max_edits: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_edits", integer("max_edits", self.max_edits, at_least=1, at_most=MAX_EDITS))

    @property
    def slot(self) -> int:
        """No pads follow the text."""
        return 0


@dataclass(frozen=True)
class InPlaceThreat(_OfTheText):
    """In-place suffix: the adversary overwrites the last d tokens of the text itself; the text keeps its length.

    The last ``max_edits`` tokens are noised, whatever they are, and those before them are trusted. So the certificates
    are those of a suffix slot: the plain one covers edits of any d of the noised tokens, the masked one edits of the
    last d only. (Only which positions are noised and edited differs; their laws are the same, and the proofs use
    nothing else.) Unlike pads, these tokens are the user's own: dropping them would lose what the user wrote.

    Args:
        max_edits: m, the number of noised tokens at the end, at least 1. A shorter text is noised as a whole.

    Example:
        >>> InPlaceThreat(max_edits=2).noised(length=3).astype(int)
        array([[0, 1, 1]])
        >>> InPlaceThreat(max_edits=2).conditions(length=3).astype(int)
        array([[0, 0, 0],
               [0, 0, 1],
               [0, 1, 1]])
    """

    def noised(self, length: int) -> NDArray[np.bool_]:
        """The last ``max_edits`` positions, shape ``(1, length)``."""
        length = integer("length", length, at_least=0, at_most=MAX_LENGTH)
        require(length > 0, "length", length, "give a text: with no token there is nothing to overwrite")
        return np.arange(length)[None] >= length - self.max_edits

    def conditions(self, length: int) -> NDArray[np.bool_]:
        """The last d positions, by d: shape ``(max_edits + 1, length)``; all of them if d exceeds the length."""
        length = integer("length", length, at_least=0, at_most=MAX_LENGTH)
        return np.arange(length) >= length - np.arange(self.max_edits + 1)[:, None]


@dataclass(frozen=True)
class L0Threat(_OfTheText):
    """Substitution anywhere: every text token is noised, and the adversary may change any d of them.

    Args:
        max_edits: the largest number of edits of interest, at least 1.
    """

    def noised(self, length: int) -> NDArray[np.bool_]:
        """All positions, shape ``(1, length)``."""
        length = integer("length", length, at_least=0, at_most=MAX_LENGTH)
        require(length > 0, "length", length, "give a text: with no token there is nothing to substitute")
        return np.ones((1, length), dtype=bool)

    def conditions(self, length: int) -> None:
        """None: the adversary chooses the positions."""
        integer("length", length, at_least=0, at_most=MAX_LENGTH)


@dataclass(frozen=True)
class EditDistanceThreat(L0Threat):
    """Insertions, deletions and substitutions anywhere: up to d edits in all. Every token may be deleted by the noise.

    :class:`hybrid_rs.certificates.deletion.DeletionKernel` says which kinds of edits the certificate covers; the draws
    are the same for all of them.

    Args:
        max_edits: the largest number of edits of interest, at least 1.

    References:
        Huang et al. (2023), RS-Del; Huang et al. (2024), CERT-ED.
    """

    def noised(self, length: int) -> NDArray[np.bool_]:
        """All positions, shape ``(1, length)``; the text may be empty."""
        return np.ones((1, integer("length", length, at_least=0, at_most=MAX_LENGTH)), dtype=bool)
