"""One input of a multimodal guard: a token sequence, an image, and a label if it is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require

OFF = 2.0**-12  # tolerance, as a share of a step of 1 / 255; the rounding error of a float32 is smaller


@dataclass(frozen=True, eq=False)
class Example:
    """A text (already as token ids) and an image (already at the guard's resolution).

    Args:
        id: a name that is unique in its data set; the random draws of an example depend on it.
        token_ids: shape ``(length,)``, int64, only the *untrusted* text: the guard adds its own prompt around it.
        image: shape ``(channels, height, width)``, float32, pixel units [0, 1], before normalisation.
        unsafe: the ground truth, or None if it is not known.
        text: the text in words; for display only.

    Raises:
        ValueError: if the id is not a string or is empty, a token id is not a whole number of at least 0, ``unsafe`` is
            not True, False or None, a shape is wrong, or a pixel lies outside [0, 1] or is not finite.

    Example:
        >>> Example("a", np.array([3, 4]), np.zeros((3, 8, 8), np.float32)).image.shape
        (3, 8, 8)
    """

    id: str
    token_ids: NDArray[np.int64]
    image: NDArray[np.float32]
    unsafe: bool | None = None
    text: str = ""

    def __post_init__(self) -> None:
        require(isinstance(self.id, str) and bool(self.id), "id", self.id, "give a string that is not empty", repr)
        written = not any("\ud800" <= letter <= "\udfff" for letter in self.id)
        require(written, "id", self.id, "half of a surrogate pair has no UTF-8 form; give valid Unicode", repr)
        known = self.unsafe is None or isinstance(self.unsafe, bool | np.bool_)
        require(known, "unsafe", self.unsafe, "give True, False, or None where it is not known", repr)
        token_ids, image = token_ids_of("token_ids", self.token_ids), pixels_of("image", self.image)
        token_ids.setflags(write=False)
        image.setflags(write=False)
        object.__setattr__(self, "token_ids", token_ids)
        object.__setattr__(self, "image", image)

    def levels(self) -> NDArray[np.int16]:
        """Return the image as whole numbers from 0 to 255, shape ``(channels, height, width)``.

        Raises:
            ValueError: if a pixel is not a whole number of steps of 1 / 255.

        Example:
            >>> Example("a", np.array([3]), np.full((3, 8, 8), 51 / 255, np.float32)).levels().max()
            np.int16(51)
        """
        off = self.off_lattice()
        said = f"{off} of {self.image.size} pixels of example {self.id!r} are not whole numbers of 255ths"
        require(not off, "image", said, "give 8 bits per channel: example.rounded() has the nearest such image")
        return np.rint(self.image.astype(np.float64) * 255).astype(np.int16)

    def off_lattice(self) -> int:
        """Return the number of pixels that are not whole numbers of 255ths: 0 for an image of 8 bits."""
        scaled = self.image.astype(np.float64) * 255
        return int(np.count_nonzero(np.abs(scaled - np.rint(scaled)) > OFF))

    def rounded(self) -> Example:
        """Return this example with its image rounded to 8 bits per channel.

        Example:
            >>> example = Example("a", np.array([3]), np.full((3, 8, 8), 0.45, np.float32))
            >>> example.rounded().levels().max()
            np.int16(115)
        """
        return replace(self, image=eight_bits(self.image))


def require_own_ids(examples: Iterable[Example]) -> None:
    """Require that no two contents share an id: draws depend on the id, so both would get the same noise.

    Args:
        examples: the inputs of one run; the same content may occur several times.

    Raises:
        ValueError: naming an id that two contents share.

    Example:
        >>> dark, light = (Example("a", np.array([3]), np.full((3, 8, 8), v, np.float32)) for v in (0, 1))
        >>> require_own_ids([dark, light])
        Traceback (most recent call last):
        ValueError: examples = 'a': two of them have this id and differ in text or image; give each its own id
    """
    known: dict[str, Example] = {}
    for each in examples:
        first = known.setdefault(each.id, each)
        same = first is each or all(
            np.array_equal(getattr(first, part), getattr(each, part)) for part in ("token_ids", "image")
        )
        remedy = "two of them have this id and differ in text or image; give each its own id"
        require(same, "examples", each.id, remedy, repr)


def eight_bits(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return the nearest image of 8 bits a channel: whole numbers of 255ths, in float32."""
    return np.rint(np.asarray(image, dtype=np.float64) * 255).astype(np.float32) / np.float32(255)


def token_ids_of(name: str, value: Any) -> NDArray[np.int64]:
    """Return a copy of token ids as int64; they must be whole numbers already, so nothing is rounded."""
    given = _array(name, value)
    require(given.ndim == 1, name, given.shape, "give one flat sequence of ids, shape (length,)")
    remedy = "give whole numbers from 0 on, as int64"
    require(given.dtype.kind in "iuf", name, f"an array of {given.dtype}", remedy)
    if given.dtype.kind == "f":
        wrong = ~((given < 2.0**63) & (given == np.floor(given)))  # nan is wrong
        require(not wrong.any(), name, given[wrong][:1], remedy)
    ids = given.astype(np.int64)
    require(bool(np.all(ids >= 0)), name, given[ids < 0][:1], remedy)  # an unsigned id past int64 is negative
    return ids


def pixels_of(name: str, value: Any) -> NDArray[np.float32]:
    """Return a copy of one image as float32; its pixels must lie in [0, 1]."""
    given = _array(name, value)
    require(given.dtype.kind in "fiu", name, f"an array of {given.dtype}", "give an array of float32")
    require(given.ndim == 3, name, given.shape, "give one image of shape (channels, height, width)")
    with np.errstate(over="ignore"):
        image = given.astype(np.float32)
    in_range = bool(image.size) and bool(np.all((image >= 0) & (image <= 1)))
    low, high = (float(image.min()), float(image.max())) if image.size else (np.nan, np.nan)
    remedy = "give pixels in [0, 1]: divide 8-bit images by 255, and do not normalise them: the guard does"
    require(in_range, name, f"pixels from {low:g} to {high:g}", remedy)
    return image


def _array(name: str, value: Any) -> NDArray[Any]:
    require(not isinstance(value, np.ma.MaskedArray), name, "a masked array", "give a plain array")
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} = {value!r:.60}: give an array of numbers") from None
