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
