"""What a guard must offer to be smoothed and certified."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require


@runtime_checkable
class Guard(Protocol):
    """A base classifier of (text, image) pairs; any object with these members is a guard.

    Two further members are optional. A third argument ``image_index`` of ``unsafe`` says which image goes with which
    text. ``images_on`` names a device: lattice noise is then drawn on this device, and images are torch tensors there
    (None: NumPy arrays).
    """

    @property
    def alphabet(self) -> NDArray[np.int64]:
        """The token ids that noise may write, shape ``(V,)``, int64, ascending, each once.

        It must not contain special tokens, image placeholders or padding.
        """
        ...

    @property
    def pad_id(self) -> int:
        """The ordinary token, a member of the alphabet, that fills the slot of the suffix threat."""
        ...

    @property
    def mask_id(self) -> int | None:
        """The token that the absorbing kernel writes, outside the alphabet; None if the guard has none."""
        ...

    def unsafe(self, token_ids: NDArray[np.int64], images: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the guard's verdicts: True where it calls the pair unsafe.

        Args:
            token_ids: shape ``(batch, length)``, the untrusted text; the guard adds its own prompt around it.
            images: shape ``(batch, channels, height, width)``, pixel units [0, 1] before normalisation; noisy
                values may be outside [0, 1].

        Returns:
            shape ``(batch,)``, bool.
        """
        ...


class DifferentiableGuard(Guard, Protocol):
    """A guard with scores and their gradients, for attacks that see inside the guard.

    Attacks look up ``scores`` and ``gradients`` by name, so a guard may offer either, both or neither; see
    :mod:`hybrid_rs.attacks`.
    """

    @property
    def margin(self) -> float:
        """The verdict is unsafe where the score exceeds this; 0 if the guard has no such member."""
        ...

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """The embedding of each token of the alphabet, shape ``(V, width)``; not used if text has no gradient."""
        ...

    def scores(self, token_ids: NDArray[np.int64], images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how unsafe each pair is, on any scale, shape ``(batch,)``; arguments as in :meth:`Guard.unsafe`."""
        ...

    def gradients(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32]]:
        """Return the scores, and their gradients with respect to token embeddings and pixels.

        Returns:
            the scores, shape ``(batch,)``; their gradients by token embedding, ``(batch, length, width)``, or None if
            only the image is differentiable; and their gradients by pixel, the shape of ``images``.
        """
        ...


def require_guard(guard: Any, name: str = "guard") -> None:
    """Require that an object has the members of a :class:`Guard`, of the right kinds; nothing is converted.

    Two further members are checked where there are any: ``margin``, see :class:`DifferentiableGuard`, and
    ``max_length``, the largest number of tokens that the guard reads (None: any).

    Args:
        guard: the object.
        name: its name in the error.

    Raises:
        ValueError: naming the member that is missing or wrong.

    Example:
        >>> class Bright:
        ...     alphabet, pad_id, mask_id = [0, 1, 2], 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return images.mean(axis=(1, 2, 3)) > 0.5
        >>> require_guard(Bright())
        Traceback (most recent call last):
        ValueError: guard.alphabet = [0, 1, 2]: give a NumPy array of whole numbers, such as np.arange(128)
    """
    members = all(hasattr(guard, member) for member in ("alphabet", "pad_id", "mask_id", "unsafe"))
    require(members, name, guard, "give an object with alphabet, pad_id, mask_id and unsafe(...)")
    alphabet, pad, mask = guard.alphabet, guard.pad_id, guard.mask_id
    remedy = "give a NumPy array of whole numbers, such as np.arange(128)"
    require(isinstance(alphabet, np.ndarray), f"{name}.alphabet", alphabet, remedy, repr)
    flat = alphabet.ndim == 1 and alphabet.dtype.kind in "iu" and alphabet.size > 0
    about = f"an array of {alphabet.dtype}, shape {alphabet.shape}"
    require(flat, f"{name}.alphabet", about, "give whole numbers of shape (V,), at least one")
    ascending = alphabet[0] >= 0 and bool(np.all(alphabet[1:] > alphabet[:-1]))
    require(ascending, f"{name}.alphabet", alphabet, "give sorted ids from 0 on, each once")
    require(_whole(pad) and bool(np.isin(pad, alphabet)), f"{name}.pad_id", pad, "choose it from alphabet", repr)
    require(mask is None or _whole(mask), f"{name}.mask_id", mask, "give a whole number, or None", repr)
    margin, longest = getattr(guard, "margin", 0.0), getattr(guard, "max_length", None)
    number = isinstance(margin, int | float | np.integer | np.floating) and bool(np.isfinite(margin))
    require(number, f"{name}.margin", margin, "give the number that an unsafe score exceeds, or rename it", repr)
    remedy = "give the largest number of tokens that the guard reads, or None, or rename it"
    require(longest is None or _whole(longest), f"{name}.max_length", longest, remedy, repr)
    require(callable(guard.unsafe), f"{name}.unsafe", guard.unsafe, "give a method unsafe(token_ids, images)", repr)


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
