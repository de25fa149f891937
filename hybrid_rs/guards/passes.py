"""How a vision-language guard reads a batch: every prompt completely, or the common beginnings only once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._extras import needs

with needs("guard"):
    import torch

    from hybrid_rs.guards.prefix import roots, selected


def shared(guard: Any, texts: NDArray[np.int64], pixels: Any, index: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the scores of texts; the root of each image is read first, then its branches.

    Among the texts that share an image, the last is the *root*: it is read completely. The others are *branches*: each
    shares its first s tokens with the root, and only the rest is read, reusing the root's keys and values. Branches
    with the same s are read together.

    Args:
        guard: a :class:`hybrid_rs.guards.vlm.VisionLanguageGuard`; the other arguments are those of its ``scores``.
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
