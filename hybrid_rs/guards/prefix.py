"""Reuse of keys and values: the common beginning of the texts of one image is read only once."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._extras import needs

with needs("guard"):
    import torch
    from transformers.cache_utils import DynamicLayer


def roots(texts: NDArray[np.int64], image: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the root of each image, and how many leading tokens each text shares with it.

    The root is the text whose common beginnings with the other texts of its image have the largest total length. Of
    several such texts it is the last.

    Args:
        texts: shape ``(batch, length)``, ids from 0 on.
        image: shape ``(batch,)``, from 0 to the number of images - 1, each at least once.

    Returns:
        the index of each image's root, shape ``(images,)``; and, shape ``(batch,)``, from 0 to length, how many leading
        tokens a text has in common with the root of its image.

    Example:
        >>> roots(np.array([[1, 2, 3], [1, 2, 4], [5, 2, 4], [1, 9, 4]]), np.array([0, 0, 1, 0]))
        (array([1, 2]), array([2, 3, 3, 1]))
    """
    begun, total, ids = image, np.zeros(len(texts), dtype=np.int64), int(texts.max(initial=0)) + 1
    for token in texts.T:  # adds, for each text, the number of texts of its image that are equal up to this token
        _, begun, count = np.unique(begun * ids + token, return_inverse=True, return_counts=True)
        total += count[begun]
    last = np.cumsum(np.bincount(image)) - 1
    root = np.lexsort((total, image))[last]
    equal = texts == texts[root[image]]
    return root, np.minimum.accumulate(equal, axis=1).sum(axis=1)


class Branches(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """The keys and values of a layer for the first tokens of some rows; those of the next tokens are appended.

    The rows are copied once, and only while the layer reads them.

    Args:
        layer: the layer's keys and values, for all tokens of all rows.
        rows: the rows, in any order; a row may be there several times.
        length: number of first tokens.
    """

    def __init__(self, layer: Any, rows: Any, length: int) -> None:
        self.__dict__.update(vars(layer))
        self.rows, self.length = rows, length

    def get_seq_length(self) -> int:
        """Return the number of first tokens."""
        return self.length

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Return the keys and values of the first tokens and the next ones; nothing is kept."""
        return self._followed(self.keys, key_states), self._followed(self.values, value_states)

    def _followed(self, known: Any, new: Any) -> Any:
        whole = new.new_empty((*new.shape[:-2], self.length + new.shape[-2], new.shape[-1]))
        torch.index_select(known[..., : self.length, :], 0, self.rows, out=whole[..., : self.length, :])
        whole[..., self.length :, :] = new
        return whole


def selected(cache: Any, rows: NDArray[np.int64], length: int) -> Any:
    """Return the keys and values of the first tokens of some rows as a new cache; the given one is not changed."""
    part, places = copy.copy(cache), torch.from_numpy(rows)
    if all(type(layer) is DynamicLayer for layer in cache.layers):
        part.layers = [Branches(layer, _beside(layer, places), length) for layer in cache.layers]
        return part
    part.layers = [copy.copy(layer) for layer in cache.layers]
    part.crop(length - cache.get_seq_length())
    for layer in part.layers:
        layer.batch_select_indices(_beside(layer, places))
    return part


def _beside(layer: Any, rows: Any) -> Any:
    """Return the rows on the device of a layer's keys; layers of a large model may be on several."""
    keys = getattr(layer, "keys", None)
    return rows if keys is None else rows.to(keys.device)


@contextmanager
def moved(model: Any, start: int, stop: int) -> Iterator[list[Any]]:
    """Add zeros to the embeddings of some positions of the next prompts, so that a score has a gradient there.

    Args:
        model: the network.
        start: the first position.
        stop: the position after the last.

    Yields:
        a list that, after the model was run, holds one tensor of zeros, shape ``(batch, stop - start, width)``.
    """
    added: list[Any] = []

    def add(module: Any, args: Any, output: Any) -> Any:
        words = output.detach()
        added.append(torch.zeros_like(words[:, start:stop], requires_grad=True))
        return torch.cat([words[:, :start], words[:, start:stop] + added[-1], words[:, stop:]], dim=1)

    hook = model.get_input_embeddings().register_forward_hook(add)
    try:
        yield added
    finally:
        hook.remove()


def cache_name(model: Any) -> str:
    """The model's name for keys and values: ``past_key_values`` up to transformers 5.23, ``cache`` from 5.24 on."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def positions(model: Any, whole: dict[str, Any]) -> Any:
    """Return the positions of the first prompt's tokens, shape ``(axes, 1, length)``; None if the model finds them.

    Models that count in several axes remember the distance between positions and tokens from one call to the next. A
    guard reads many prompts in any order, so it computes the positions for each call and passes them.

    Args:
        model: the network.
        whole: its inputs for whole prompts, and for one image, by name.
    """
    ask = getattr(getattr(model, "model", None), "get_rope_index", None)
    if ask is None:
        return None
    known = inspect.signature(ask).parameters
    one = {name: torch.as_tensor(value)[:1] for name, value in whole.items() if name in known}
    return ask(**one)[0]


def forget(model: Any) -> None:
    """Make a model forget what it remembered of the last prompt: see :func:`positions`."""
    if hasattr(getattr(model, "model", None), "rope_deltas"):
        model.model.rope_deltas = None
