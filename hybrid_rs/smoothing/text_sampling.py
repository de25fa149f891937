"""Several noisy texts for each noisy image; they share the image and its encoding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hybrid_rs._checks import flag, integer, kind
from hybrid_rs.evidence.counts import smoothing_text
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts
from hybrid_rs.evidence.text_counts import MAX_TEXTS, TextCounts
from hybrid_rs.smoothing.draws import (
    MAX_DRAWS,
    Smoothing,
    Stream,
    answers_of,
    at_once,
    distance,
    noisy_images,
    noisy_texts,
    require_readable,
)
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.together import conditions


def sample_texts(
    smoothed: Smoothing,
    example: Example,
    n: int,
    texts: int,
    *,
    masked: bool = False,
    seed: int = 0,
    batch_draws: int = 256,
    progress: bool = False,
) -> TextCounts | SubsetTextCounts:
    """Draw ``n`` noisy images with several noisy texts each, and count for each image how many texts the guard flags.

    A text is a function of (seed, example.id, number of the image, number of the text): a run with more images or texts
    contains the shorter run. The images, and the first text of each, are those of a run with one text. A guard
    that takes ``image_index`` encodes each image once; equal texts of one image are evaluated once.

    Args:
        smoothed: the smoothed guard.
        example: the input.
        n: number of images, at least 1.
        texts: m, the number of texts for each image, at least 1.
        masked: also collect evidence for the masked certificate. Suffix threat: for every d, each text is also shown
            to the guard with the first d pads replaced, which is a draw given that they were replaced. l0: the replaced
            positions are recorded.
        seed: a non-negative whole number.
        batch_draws: texts given to the guard at a time for each condition, rounded up to a multiple of 64 images; it
            limits only the memory.
        progress: show a bar on stderr.

    Raises:
        ValueError: if an argument is out of range, or the threat has more than one smoothed classifier.

    Example:
        >>> class Empty:
        ...     alphabet, pad_id, mask_id = np.arange(100), 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return (token_ids == 0).sum(axis=1) > images.mean(axis=(1, 2, 3))
        >>> from hybrid_rs import SmoothedGuard, SuffixThreat, UniformKernel
        >>> smoothed = SmoothedGuard(Empty(), UniformKernel(0.25, 100), sigma=0.5, threat=SuffixThreat(max_edits=3))
        >>> example = Example("white", np.array([7, 8]), np.ones((3, 8, 8), np.float32))
        >>> sample_texts(smoothed, example, n=100, texts=4, masked=True).reached[1]
        (96, 84, 73, 44)
    """
    flag("masked", masked)
    flag("progress", progress)
    kind("example", example, Example, "give a hybrid_rs.Example")
    n, m, seed = (
        integer("n", n, at_least=1, at_most=MAX_DRAWS),
        integer("texts", texts, at_least=1, at_most=MAX_TEXTS),
        integer("seed", seed, at_least=0),
    )
    given = conditions(smoothed.threat, example)
    law: dict[str, Any] = {"forced": given if masked else None, "progress": progress}
    draws = _drawn(smoothed, example, n, m, seed, batch_draws, **law)
    source: dict[str, Any] = {"example": example.id, "seed": seed, "distance": distance(smoothed, example, m)}
    source["smoothing"] = smoothing_text(smoothed.kernel, smoothed.sigma)
    if masked and given is None:  # positions unknown: the ordinary draws serve all sets
        verdicts, replaced = (np.concatenate(parts) for parts in zip(*draws, strict=True))
        return SubsetTextCounts.from_draws(
            verdicts[:, :, 0], replaced, smoothed.threat.max_edits, smoothed.kernel.beta, **source
        )
    flagged = [verdicts.sum(axis=1) for verdicts, _ in draws]
    return TextCounts.from_flagged(np.concatenate(flagged), m, **source)


def drawn_texts(
    smoothed: Smoothing,
    example: Example,
    n: int,
    texts: int,
    seed: int,
    batch_draws: int,
    *,
    forced: NDArray[np.bool_] | None,
    progress: bool = False,
) -> Iterator[NDArray[np.bool_]]:
    """Yield verdicts, shape ``(images, texts, classifiers or conditions)``, batch by batch."""
    draws = _drawn(smoothed, example, n, texts, seed, batch_draws, forced=forced, progress=progress)
    return (verdicts for verdicts, _ in draws)


def _drawn(
    smoothed: Smoothing,
    example: Example,
    n: int,
    texts: int,
    seed: int,
    batch_draws: int,
    *,
    forced: NDArray[np.bool_] | None,
    progress: bool = False,
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield :func:`drawn_texts`, and where positions were replaced, shape ``(images, texts, positions)``."""
    size = at_once(batch_draws, example, texts)
    require_readable(smoothed.guard, example.token_ids.size + smoothed.threat.slot, f"example {example.id!r}")
    noised = smoothed.threat.noised(example.token_ids.size)
    clean = np.append(example.token_ids, np.full(smoothed.threat.slot, smoothed.guard.pad_id))
    streams = [Stream(seed, example.id, text) for text in range(texts)]
    with tqdm(total=n, unit="image", desc=example.id, disable=not progress, leave=False) as bar:
        for start in range(0, n, size):
            stop = min(n, start + size)
            shown = [
                noisy_texts(smoothed.guard, smoothed.kernel, clean, noised, forced, stream, start, stop)
                for stream in streams
            ]
            words, replaced = zip(*shown, strict=True)
            images = noisy_images(smoothed, example, streams[0], start, stop)
            verdicts = answers_of(smoothed.guard, "unsafe", np.concatenate(words, axis=1), images, example.id, start)
            yield verdicts.reshape(stop - start, texts, -1), np.stack(replaced, axis=1)
            bar.update(stop - start)
