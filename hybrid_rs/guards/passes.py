"""How a vision-language guard reads a batch: every prompt completely, or the common beginnings only once.

``guard`` is always a :class:`hybrid_rs.guards.vlm.VisionLanguageGuard`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._extras import needs

with needs("guard"):
    import torch

    from hybrid_rs.guards.prefix import cache_name, moved, positions, roots, selected


def shared(guard: Any, texts: NDArray[np.int64], pixels: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the scores of texts; the root of each image is read first, then its branches.

    Among the texts that share an image, one is the *root* (:func:`hybrid_rs.guards.prefix.roots`): it is read
    completely. The others are *branches*: each shares its first s tokens with the root, and only the rest is read,
    reusing the root's keys and values. Branches with the same s are read together.

    Args:
        guard: the guard; the other arguments are those of its ``scores``.
    """
    used, image = np.unique(index, return_inverse=True)
    root, common = roots(texts, image)
    common = np.minimum(common, texts.shape[1] + len(guard.after) - 1)  # the last token is always read
    branches = np.setdiff1d(np.arange(len(texts)), root)
    gaps = np.empty(len(texts), dtype=np.float32)

    def read(batch: slice) -> None:
        here = branches[(batch.start <= image[branches]) & (image[branches] < batch.stop)]
        found, cache = guard._read(texts[root[batch]], guard._pixels(pixels[used[batch]]), keep=here.size > 0)
        gaps[root[batch]] = found.cpu().numpy()
        for s in np.unique(common[here]):
            group = here[common[here] == s]
            for rows in np.split(group, range(guard.batch.size, len(group), guard.batch.size)):
                known = selected(cache, image[rows] - batch.start, len(guard.before) + int(s))
                gaps[rows] = guard._read(texts[rows], known=known)[0].cpu().numpy()

    with torch.inference_mode():
        guard.batch.run(len(used), read)
    return gaps


def whole(guard: Any, texts: NDArray[np.int64], pixels: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the scores of texts; every prompt is read completely. Arguments as in :func:`shared`."""
    gaps = np.empty(len(texts), dtype=np.float32)

    def read(rows: slice) -> None:
        gaps[rows] = guard._read(texts[rows], guard._pixels(pixels[index[rows]]))[0].cpu().numpy()

    with torch.inference_mode():
        guard.batch.run(len(texts), read)
    return gaps


def slopes(guard: Any, texts: NDArray[np.int64], pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Return the scores, and their gradients by token embeddings and pixels; see the guard's ``gradients``."""
    start, width = len(guard.before), guard.model.get_input_embeddings().embedding_dim
    gaps, by_pixel = np.empty(len(texts), dtype=np.float32), np.empty_like(pixels)
    by_token = np.empty((*texts.shape, width), dtype=np.float32)

    def read(rows: slice) -> None:
        with torch.enable_grad():
            shown = guard._pixels(pixels[rows]).requires_grad_()
            with moved(guard.model, start, start + texts.shape[1]) as words:
                found, _ = guard._read(texts[rows], shown)
            # rows are independent, so the gradient of the sum holds the gradient of each row
            by_input = torch.autograd.grad(found.sum(), (*words, shown))
        parts = (part.detach().float().cpu().numpy() for part in (found, *by_input))
        gaps[rows], by_token[rows], by_pixel[rows] = parts

    guard.batch.run(len(texts), read)
    return gaps, by_token, by_pixel


def greedy(
    guard: Any, texts: NDArray[np.int64], pixels: Any, index: NDArray[np.int64], limit: int, ends: tuple[int, ...]
) -> list[list[int]]:
    """Return the answer to every prompt: at each place the likeliest token, without sampling and without penalties.

    Args:
        guard: the guard.
        texts: as in its ``scores``.
        pixels: likewise.
        index: likewise.
        limit: the most tokens of an answer.
        ends: ids that end an answer.

    Returns:
        for each text the ids of its answer, without the id that ends it.
    """
    found: list[list[int]] = [[] for _ in range(len(texts))]

    def read(rows: slice) -> None:
        whole = prompts(guard, texts[rows])
        start, stop = whole.shape[1], torch.tensor(ends)
        open_ones = torch.ones(len(whole), dtype=torch.bool)
        images, cache = guard._pixels(pixels[index[rows]]), None
        while whole.shape[1] < start + limit and bool(open_ones.any()):
            logits, cache = run(guard, whole, images, cache, keep=True)
            images = None  # they are among the keys and values now
            following = logits[:, -1].float().argmax(dim=1).cpu()
            open_ones &= ~torch.isin(following, stop)
            whole = torch.cat([whole, following[:, None]], dim=1)
        for row, made in enumerate(whole[:, start:].tolist(), start=rows.start):
            found[row] = made[: next((place for place, token in enumerate(made) if token in ends), len(made))]

    with torch.inference_mode():
        guard.batch.run(len(texts), read)
    return found


def prompts(guard: Any, texts: NDArray[np.int64]) -> Any:
    """Return the ids of whole prompts, shape ``(batch, length)``."""
    before, after = (np.broadcast_to(end, (len(texts), len(end))) for end in (guard.before, guard.after))
    return torch.from_numpy(np.concatenate([before, texts, after], axis=1))


def run(guard: Any, whole: Any, images: Any = None, known: Any = None, *, keep: bool = False) -> tuple[Any, Any]:
    """Run the model on sequences of ids, or on what follows known keys and values.

    Args:
        guard: the guard.
        whole: shape ``(batch, length)``, whole sequences.
        images: a tensor, one image for each sequence; None if ``known`` contains them.
        known: keys and values of the first tokens.
        keep: whether new keys and values are kept.

    Returns:
        the logits at the last place, and the keys and values.
    """
    start = 0 if known is None else known.get_seq_length()
    everything = {"input_ids": whole} | guard.vision.along_text(*whole.shape)
    inputs = {name: value[:, start:].to(guard.device) for name, value in everything.items()}
    places = positions(guard.model, everything | guard.vision.beside)
    if places is not None:
        inputs["position_ids"] = places[..., start:].expand(-1, len(whole), -1).to(guard.device)
    if images is not None:
        inputs |= guard.vision.inputs(images)
        inputs["pixel_values"] = inputs["pixel_values"].to(guard.model.get_input_embeddings().weight.dtype)
    name = cache_name(guard.model)
    output = guard.model(**inputs, use_cache=keep or known is not None, logits_to_keep=1, **{name: known})
    return output.logits, getattr(output, name)
