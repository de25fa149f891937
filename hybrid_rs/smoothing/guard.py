"""What a guard must offer to be smoothed and certified."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Guard(Protocol):
    """A base classifier of (text, image) pairs; whatever has these members is a guard."""

    @property
    def alphabet(self) -> NDArray[np.int64]:
        """The token ids that noise may put in place of another, shape ``(V,)``, int64, ascending, each once.

        No special token, image placeholder or padding belongs in it.
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
        """The guard's verdicts: True where it calls the pair unsafe.

        Args:
            token_ids: shape ``(batch, length)``, the untrusted text; the guard adds its own prompt around it.
            images: shape ``(batch, channels, height, width)``, pixel units [0, 1] before normalisation; with noise
                added, values leave [0, 1].

        Returns:
            shape ``(batch,)``, bool.
        """
        ...


class DifferentiableGuard(Guard, Protocol):
    """A guard with scores and their gradients: what an attack that sees inside the guard needs.

    Attacks ask for ``scores`` and ``gradients`` by name, so that a guard may offer either, both or neither; see
    :mod:`hybrid_rs.attacks`.
    """

    @property
    def margin(self) -> float:
        """The verdict is unsafe where the score exceeds this; 0 if the guard has no such member."""
        ...

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """The embedding of each token of the alphabet, shape ``(V, width)``; not asked for if text has no gradient."""
        ...

    def scores(self, token_ids: NDArray[np.int64], images: NDArray[np.float32]) -> NDArray[np.float32]:
        """How unsafe each pair is, on any scale, shape ``(batch,)``; arguments as in :meth:`Guard.unsafe`."""
        ...

    def gradients(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32]]:
        """The scores, and their gradients by token embedding and by pixel.

        Returns:
            scores, shape ``(batch,)``; by the embedding of each token, ``(batch, length, width)``, or None if only the
            image is differentiable; by the pixels, the shape of ``images``.
        """
        ...
