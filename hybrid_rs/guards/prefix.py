"""Reuse of keys and values: the common beginning of the texts of one image is read only once."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._extras import needs

with needs("guard"):
    import torch


def roots(texts: NDArray[np.int64], image: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the root of each image (its last text), and how many leading tokens each text shares with it.

    Args:
        texts: shape ``(batch, length)``.
        image: shape ``(batch,)``, from 0 to the number of images - 1, each at least once.

    Returns:
        the index of each image's root, shape ``(images,)``; and, shape ``(batch,)``, from 0 to length, how many leading
        tokens a text has in common with the root of its image.

    Example:
        >>> roots(np.array([[1, 2, 3], [1, 2, 4], [5, 2, 4], [1, 9, 4]]), np.array([0, 0, 1, 0]))
        (array([3, 2]), array([1, 1, 3, 3]))
    """
    root = np.zeros(image.max(initial=-1) + 1, dtype=np.int64)
    np.maximum.at(root, image, np.arange(len(texts)))
    equal = texts == texts[root[image]]
    return root, np.minimum.accumulate(equal, axis=1).sum(axis=1)


def selected(cache: Any, rows: NDArray[np.int64], length: int) -> Any:
    """Return the keys and values of the first tokens of some rows as a new cache; the given one is not changed."""
    part = copy.copy(cache)
    part.layers = [copy.copy(layer) for layer in cache.layers]
    part.crop(length - cache.get_seq_length())
    part.batch_select_indices(torch.from_numpy(rows).to(cache.layers[0].keys.device))
    return part
