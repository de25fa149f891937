"""``hybrid-rs show``: what the guard sees, as a picture and in words: the first noisy draws of some examples."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from hybrid_rs._checks import require, shown
from hybrid_rs._extras import needs
from hybrid_rs._files import check_writable, write_whole
from hybrid_rs.cli import options as o
from hybrid_rs.cli.data import Source
from hybrid_rs.cli.loading import Checkpoint, described
from hybrid_rs.cli.showing import LABEL, json_line, note, result
from hybrid_rs.cli.smoothing_options import Smoothing, alphabet_said
from hybrid_rs.cli.token_text import marked

if TYPE_CHECKING:
    from hybrid_rs.smoothing.example import Example
    from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

EXAMPLES, GAP, LEAST = 3, 4, 128  # examples shown; pixels between pictures; least height of a picture
MOST = 64  # copies: one block of draws


def show(
    source: Source,
    checkpoint: Checkpoint,
    smoothing: Smoothing,
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("noisy.png"),
    copies: Annotated[int, typer.Option(min=1, max=MOST, help="Noisy copies of each example.")] = 4,
    seed: o.Seed = 0,
    as_json: o.Json = False,
) -> None:
    """Draw a picture of examples with their first noisy copies, and print the noisy texts and the guard's verdicts.

    A row begins with the image itself. With --denoiser a second row has the copies as the guard sees them. The copies
    are the first draws of certify with the same seed. Pixel values outside [0, 1] are clipped in the picture; the guard
    gets them unclipped. Without --limit, three examples are shown. Replaced tokens stand in brackets.
    """
    from hybrid_rs.smoothing.draws import answers_of

    require(out.suffix.lower() == ".png", "out", str(out), "give a file that ends with .png", repr)
    check_writable("out", out)
    require(not smoothing.deletes, "threat", smoothing.threat, "only noise that replaces tokens is shown")
    source = replace(source, limit=source.limit or EXAMPLES)
    entries = source.entries()
    smoothed: Any = smoothing.of(checkpoint.loaded)
    rows: list[list[NDArray[np.float32]]] = []
    problems = list(entries.problems)
    if not as_json:
        result(f"{described(smoothed.guard)}; {smoothing}")
        result(alphabet_said(smoothed))
    for example in source.examples(entries, smoothed, problems):
        texts, images = _noisy(smoothed, example, copies, seed)
        guard: Any = smoothed.guard
        unsafe = answers_of(guard, "unsafe", texts[:, None], images, example.id, 0)[:, 0].tolist()
        rows.append([example.image, *images])
        if hasattr(guard, "denoised"):
            rows.append([example.image, *guard.denoised(images)])
        words = [_words(guard, example, text) for text in texts]
        if as_json:
            about = {"id": example.id, "label": LABEL[example.unsafe], "image": list(example.image.shape)}
            result(json_line(about | {"unsafe": unsafe, "texts": words, "token_ids": texts.tolist()}))
            continue
        result(f"{shown(example.id)} ({LABEL[example.unsafe] or 'no label'})")
        for number, (verdict, text) in enumerate(zip(unsafe, words, strict=True)):
            result(f"  draw {number}: {'unsafe' if verdict else 'safe':<7} {shown(text, most=400)}")
    write_whole("out", out, _png(rows))
    if not as_json:
        result(f"The picture is in {out}.")
    for problem in problems:
        (note if as_json else result)(f"left out: {problem}")


def _noisy(
    smoothed: SmoothedGuard, example: Example, copies: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the first noisy images, and texts ``(copies, length)`` of the classifier that noises most tokens."""
    from hybrid_rs.smoothing.draws import Stream, noisy_images, noisy_texts

    guard, threat = smoothed.guard, smoothed.threat
    stream = Stream(seed, example.id)
    clean = np.append(example.token_ids, np.full(threat.slot, guard.pad_id))
    noised = threat.noised(example.token_ids.size)
    texts, _ = noisy_texts(guard, smoothed.kernel, clean, noised, None, stream, 0, copies)
    images: Any = noisy_images(smoothed, example, stream, 0, copies)
    arrays = images if isinstance(images, np.ndarray) else images.cpu().numpy()
    return texts[:, -1], np.broadcast_to(arrays, (copies, *example.image.shape))


def _words(guard: Any, example: Example, text: NDArray[np.int64]) -> str:
    """Return a noisy text in words; what was replaced is in brackets."""
    clean = np.append(example.token_ids, np.full(len(text) - example.token_ids.size, guard.pad_id))
    return marked(guard, text, text == clean)


def _png(rows: list[list[NDArray[np.float32]]]) -> bytes:
    """Rows of pictures as one PNG file; small pictures are enlarged by whole factors."""
    with needs("data"):
        from PIL import Image

    drawn = [[_levels(picture) for picture in row] for row in rows]
    width = max(sum(picture.shape[1] + GAP for picture in row) for row in drawn) + GAP
    height = sum(max(picture.shape[0] for picture in row) + GAP for row in drawn) + GAP
    canvas, top = np.full((height, width, 3), 255, np.uint8), GAP
    for row in drawn:
        left = GAP
        for picture in row:
            canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += picture.shape[1] + GAP
        top += max(picture.shape[0] for picture in row) + GAP
    file = BytesIO()
    Image.fromarray(canvas).save(file, "PNG")
    return file.getvalue()


def _levels(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture in 8 bits a channel, shape ``(height, width, 3)``, at least 128 high."""
    levels = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    colours = np.broadcast_to(levels, (*levels.shape[:2], 3)) if levels.shape[2] == 1 else levels[:, :, :3]
    factor = max(1, LEAST // levels.shape[0])
    return colours.repeat(factor, axis=0).repeat(factor, axis=1)
