"""BayNotes: pairs of a handwritten bay number and a shift note that are unsafe only together."""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import choice, flag, integer
from hybrid_rs._extras import needs
from hybrid_rs.small_guard.language import FAMILIES, Language, encode, write_note
from hybrid_rs.smoothing.example import Example, eight_bits

Split = Literal["train", "validation", "test"]

BAYS = 10
MOST = 2**20  # largest number of examples
IMAGE_SHAPE = (3, 32, 32)
SCANS: dict[Split, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}
"""The share of each digit's scans in each split."""

_FAMILY_NAMES = tuple(FAMILIES)
_DIGIT_SIDE = 26  # pixels of the 32 that the digit's 8 x 8 scan is enlarged to
_GREYS = 16  # the ink of a scan's pixel is a multiple of 1/16
_SCAN_SEED = 20_240  # the one shuffle that splits the scans


def forbidden(bay: int, family: int) -> bool:
    """Return whether a bay must not hold a family: the relation that makes a pair unsafe.

    Bays 0 to 4 are rows of a Hadamard matrix of order 8 and bays 5 to 9 their complements. So each bay forbids 4 of
    the 8 families, each family is forbidden in 5 of the 10 bays, and two bays differ in at least 4 families.

    Args:
        bay: 0 to 9.
        family: 0 to 7, the position in ``FAMILIES``.

    Raises:
        ValueError: if bay or family is out of range.

    Example:
        >>> sum(forbidden(7, family) for family in range(8)), sum(forbidden(bay, 2) for bay in range(10))
        (4, 5)
    """
    bay, family = integer("bay", bay, 0, BAYS - 1), integer("family", family, 0, len(FAMILIES) - 1)
    row = ((bay % 5 + 1) & family).bit_count() % 2 == 1
    return row != (bay >= 5)


def scans(split: Split) -> list[NDArray[np.float32]]:
    """Return the handwritten digits of a split: entry b has the scans of digit b, shape ``(count, 8, 8)``, ink 0 to 1.

    The three splits share no scan: each digit's scans are shuffled once and cut 70 : 10 : 20.

    Raises:
        ValueError: if the split is unknown.
    """
    _check_split(split)
    return _all_scans()[split]


@cache
def _all_scans() -> dict[Split, list[NDArray[np.float32]]]:
    with needs("data"):
        from sklearn.datasets import load_digits  # here, because it takes a second

    digits = load_digits()
    rng = np.random.default_rng(_SCAN_SEED)
    parts: dict[Split, list[NDArray[np.float32]]] = {split: [] for split in get_args(Split)}
    for digit in range(BAYS):
        mine = rng.permutation(digits.images[digits.target == digit] / _GREYS).astype(np.float32)
        cuts = np.rint(np.cumsum(list(SCANS.values()))[:-1] * len(mine)).astype(int)
        for split, part in zip(SCANS, np.split(mine, cuts), strict=True):
            parts[split].append(part)
    return parts


def draw_image(rng: np.random.Generator, scan: NDArray[np.float32]) -> NDArray[np.float32]:
    """Draw a scan with a random dark pen on light paper at a random place.

    Args:
        rng: the source of paper, pen and place.
        scan: shape ``(8, 8)``, ink from 0 to 1 in steps of 1/16, as :func:`scans` has it; other values are rounded.

    Returns:
        shape ``(3, 32, 32)``, float32, in [0, 1], of 8 bits a channel.
    """
    return draw_ink(rng, enlarged(scan))


def enlarged(scan: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a scan, shape ``(8, 8)``, interpolated linearly to ``(26, 26)``, with the same bits on all machines."""
    matrix, ink = _enlarger(), np.rint(scan * _GREYS).astype(np.int64)
    return (matrix @ ink @ matrix.T) / (_GREYS * (_DIGIT_SIDE - 1) ** 2)  # whole numbers until the end


def draw_ink(rng: np.random.Generator, digit: NDArray[np.float64]) -> NDArray[np.float32]:
    """Draw ink of shape ``(26, 26)``, from 0 to 1, as :func:`draw_image` draws an enlarged scan."""
    side, margin = _DIGIT_SIDE, IMAGE_SHAPE[1] - _DIGIT_SIDE
    top, left = rng.integers(margin // 2 - 2, margin // 2 + 3, size=2)
    ink = np.zeros(IMAGE_SHAPE[1:])
    ink[top : top + side, left : left + side] = digit
    paper, pen = rng.uniform(0.85, 1.0, size=(3, 1, 1)), rng.uniform(0.0, 0.4, size=(3, 1, 1))
    return eight_bits(paper + (pen - paper) * ink)


@cache
def _enlarger() -> NDArray[np.int64]:
    """Return the matrix, shape ``(26, 8)``, of the weights that interpolate 8 pixels to 26, times 25."""
    at = 7 * np.arange(_DIGIT_SIDE)
    return np.maximum(0, _DIGIT_SIDE - 1 - np.abs(at[:, None] - (_DIGIT_SIDE - 1) * np.arange(8)))


def examples(
    split: Split, n: int, seed: int = 0, unsafe: bool | None = None, language: Language = "seen"
) -> list[Example]:
    """Return the first n examples of an endless sequence that split, seed and language determine.

    Example i of a sequence depends only on (split, seed, i, language). Its bay and family are uniform and independent,
    so half of a sequence is unsafe. Every word of the text is in :data:`hybrid_rs.small_guard.language.VOCABULARY`, and
    ``token_ids`` are the ids there, so no tokenizer is needed.

    Args:
        split: "train", "validation" or "test": whose scans are drawn. The splits share no scan.
        n: how many, at least 0.
        seed: which sequence, at least 0.
        unsafe: True or False for only unsafe or only safe examples; None for all.
        language: "seen" for the templates and cue words of the training notes, "unseen" for those that were held out.

    Returns:
        n examples with ids ``bay_notes/{split}/{language}/{seed}/{index}`` and images of shape ``(3, 32, 32)``.

    Raises:
        ValueError: if split or language is unknown, or n or seed is not a whole number of at least 0.

    Example:
        >>> [example.id for example in examples("test", 3, unsafe=True)]
        ['bay_notes/test/seen/0/0', 'bay_notes/test/seen/0/1', 'bay_notes/test/seen/0/2']
    """
    _check_split(split)
    choice("language", language, get_args(Language))
    unsafe = None if unsafe is None else flag("unsafe", unsafe)
    n, seed = integer("n", n, 0, MOST), integer("seed", seed, 0)
    found: list[Example] = []
    index = 0
    while len(found) < n:
        example = _example(split, seed, index, unsafe, language)
        if example is not None:
            found.append(example)
        index += 1
    return found


def _example(split: Split, seed: int, index: int, unsafe: bool | None, language: Language) -> Example | None:
    """Return example ``index`` of its sequence, or None if it is of the unwanted kind."""
    key = [get_args(Split).index(split), get_args(Language).index(language), seed, index]
    rng = np.random.default_rng(key)
    bay, family = int(rng.integers(BAYS)), int(rng.integers(len(FAMILIES)))
    label = forbidden(bay, family)
    if unsafe is not None and label != unsafe:
        return None
    text = write_note(rng, _FAMILY_NAMES[family], language)
    image = draw_image(rng, rng.choice(scans(split)[bay]))
    return Example(f"bay_notes/{split}/{language}/{seed}/{index}", encode(text), image, label, text)


def _check_split(split: str) -> None:
    choice("split", split, get_args(Split))
