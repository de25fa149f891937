"""Checks that an image file is complete: finds missing parts that decoders would fill in silently.

A PNG decoder leaves missing rows black, and a JPEG decoder makes missing blocks grey. Neither reports this if the file
ends correctly.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG's colour types
PALETTE = 3
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# two byte strings to insert into a JPEG's coded data; neither contains a marker
FILLERS = (b"\x2c\xb5\x6a\xd1" * 8, b"\xd3\x4a\x95\x2e" * 8)
MARKER = re.compile(rb"\xff+[\x01-\xfe]")


def check_png(data: bytes) -> tuple[int, int | tuple[int, ...] | None]:
    """Check a PNG file, whose checksums Pillow has verified, for errors that Pillow does not find.

    Returns:
        the number of entries of the palette; and the grey level or colour that is transparent, in 8 bits per channel,
        or None. (Pillow does not rescale it from fewer bits.)

    Raises:
        ValueError: if a channel has 16 bits, the palette or a row is missing, a chunk occurs twice or too late, or the
            file is an animation.
    """
    chunks = list(_chunks(data))
    names = [name for name, _ in chunks]
    first = names.index(b"IDAT") if b"IDAT" in names else len(names)
    if names[:1] != [b"IHDR"] or len(chunks[0][1]) != 13:
        raise ValueError("the image is broken: a PNG file begins with its header")
    for name in (b"IHDR", b"PLTE", b"tRNS"):
        if names.count(name) > 1 or name in names[first:]:
            raise ValueError(f"the image is broken: chunk {name.decode()} occurs twice, or after the pixels")
    if b"acTL" in names:
        raise ValueError("the image is animated: a guard would see only one frame")
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if depth == 16:
        raise ValueError("the image has 16 bits per channel, not 8")
    body = dict(chunks)
    palette, clear, most = len(body.get(b"PLTE", b"")) // 3, body.get(b"tRNS"), 2**depth - 1
    if kind == PALETTE and not palette:
        raise ValueError("the image is broken: its palette is missing")
    needed = _png_bytes(width, height, depth * CHANNELS[kind], bool(interlaced))
    found = _inflated(b"".join(part for name, part in chunks if name == b"IDAT"), needed)
    if found < needed:
        raise ValueError(f"the image is broken: only {found} of {needed} bytes of its rows exist")
    if clear is None or kind not in (0, 2):
        return palette, None
    levels = [(level & most) * 255 // most for level in struct.unpack(f">{CHANNELS[kind]}H", clear)]
    return palette, levels[0] if kind == 0 else tuple(levels)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at + 8 : at + 8 + length]
        if name == b"IEND":
            return
        at += length + 12


def _png_bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Return the number of bytes of all rows, each with its filter, before compression."""
    total = 0
    for x, y, right, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // right), -(-(height - y) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    return total


def _inflated(packed: bytes, needed: int) -> int:
    """Count the bytes of the decompressed data, up to ``needed``, without keeping them."""
    unpack, found = zlib.decompressobj(), 0
    try:
        while found < needed and packed and not unpack.eof:
            found += len(unpack.decompress(packed, 2**20))
            packed = unpack.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"the image is broken: {error}") from error
    return found


def filled_jpegs(data: bytes) -> list[bytes]:
    """Return copies of a JPEG file with bytes added after each run of coded data; all show the same if it is complete.

    If all blocks exist, a decoder ignores the added bytes. If some are missing, it reads the added bytes as blocks, and
    the copies show different images. (A decoder alone reports nothing: it makes missing blocks grey.)

    Raises:
        ValueError: if the markers of the file show that a scan or a part of one is missing, or if the file uses
            arithmetic coding: then it may end early without a sign.
    """
    pieces: list[bytes] = []  # the bytes between the insertions
    seen: dict[int, np.ndarray] = {}  # by component: the lowest known bit of each of 64 coefficients, or -1
    sampling: dict[int, tuple[int, int]] = {}
    width = height = restart = copied = 0
    at = 2
    while (found := MARKER.search(data, at)) and data[found.end() - 1] != 0xD9:
        marker, at = data[found.end() - 1], found.end()
        if marker in (0x01, 0xD8) or 0xD0 <= marker <= 0xD7:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        body, at = data[at + 2 : at + length], at + max(length, 2)
        if 0xC9 <= marker <= 0xCF and marker != 0xCC:
            raise ValueError("the image is a JPEG file with arithmetic coding; save it with Huffman coding")
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack(">xHH", body[:5])
            parts = [body[6 + 3 * i : 9 + 3 * i] for i in range(body[5])]
            sampling = {part[0]: (part[1] >> 4, part[1] & 15) for part in parts}
            seen = {part[0]: np.full(64, -1) for part in parts}
        elif marker == 0xDD:
            restart = int.from_bytes(body[:2], "big")
        elif marker == 0xDA:
            names = [body[1 + 2 * i] for i in range(body[0])]
            start, stop, bits = body[-3], body[-2], body[-1] & 15
            for name in names:
                seen[name][start : stop + 1] = bits
            numbers = []
            for each in MARKER.finditer(data, at):
                pieces.append(data[copied : each.start()])
                copied = at = each.start()
                if not 0xD0 <= data[each.end() - 1] <= 0xD7:
                    break
                numbers.append(data[each.end() - 1] - 0xD0)
            units = _units(names, sampling, width, height)
            if numbers != [i % 8 for i in range(len(numbers))] or (restart and len(numbers) < -(-units // restart) - 1):
                raise ValueError("the image is broken: a part between two restart markers is missing")
    if not seen or any((known != 0).any() for known in seen.values()):
        raise ValueError("the image is broken: a scan is missing")
    pieces.append(data[copied:])
    return [filler.join(pieces) for filler in FILLERS]


def _units(names: list[int], sampling: dict[int, tuple[int, int]], width: int, height: int) -> int:
    """Return the number of units in a scan: blocks of one component, or groups of blocks of several."""
    most = [max(each[axis] for each in sampling.values()) for axis in (0, 1)]
    if len(names) > 1:
        return -(-width // (8 * most[0])) * -(-height // (8 * most[1]))
    own = sampling[names[0]]
    sides = [-(-size * own[axis] // most[axis]) for axis, size in enumerate((width, height))]
    return -(-sides[0] // 8) * -(-sides[1] // 8)
