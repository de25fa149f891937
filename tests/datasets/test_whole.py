"""Images of which a part is missing, or that say more than 8 bits: refused, also where a decoder would fill it in."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageFilter

from hybrid_rs.datasets.images import read_image

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8))
END = b"\xff\xd9"


def saved(image, fmt="JPEG", **options):
    file = io.BytesIO()
    image.save(file, fmt, **options)
    return file.getvalue()


def png(width, height, depth, kind, rows, *extra, interlaced=0):
    """A PNG file of given rows, each with its filter; ``extra`` are chunks before the pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    chunks = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = (struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("kind", [0, 2, 4, 6])
def test_16_bits_a_channel_are_refused_in_every_kind_of_png(kind):
    rows = b"\0" + b"\x12\x34" * {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    with pytest.raises(ValueError, match=r"8 bits|16 bits"):
        read_image(png(1, 1, 16, kind, rows))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_one_level_of_grey_may_be_transparent_at_every_depth(depth):
    most = 2**depth - 1
    for level in {0, most // 2, most}:
        rows = b"".join(bytes([0, value << (8 - depth)]) for value in range(most + 1))
        clear = struct.pack(">H", level | 256)  # bits above the depth say nothing
        seen = read_image(png(1, most + 1, depth, 0, rows, (b"tRNS", clear)))[:, :, 0]
        grey = np.rint(np.arange(most + 1) * (255 / most))
        np.testing.assert_array_equal(np.rint(seen * 255), [np.where(np.arange(most + 1) == level, 255, grey)] * 3)


def test_one_colour_may_be_transparent():
    rows = bytes([0, 10, 20, 30, 0, 11, 20, 30])
    seen = read_image(png(1, 2, 8, 2, rows[:4] + rows[4:], (b"tRNS", struct.pack(">HHH", 10, 20, 30))))
    assert np.rint(seen[:, :, 0] * 255).T.tolist() == [[255, 255, 255], [11, 20, 30]]


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_png_without_all_of_its_rows_is_refused(interlaced):
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows, (width, height) = [], (7, 5)
    for x, y, dx, dy in passes if interlaced else [(0, 0, 1, 1)]:
        columns = len(range(x, width, dx))
        rows += [b"\0" + b"\x80" * 3 * columns] * (len(range(y, height, dy)) if columns else 0)
    whole = b"".join(rows)
    assert (np.rint(read_image(png(width, height, 8, 2, whole, interlaced=interlaced)) * 255) == 128).all()
    for left in {0, 1, len(whole) // 2, len(whole) - 1}:
        with pytest.raises(ValueError, match="broken"):
            read_image(png(width, height, 8, 2, whole[:left], interlaced=interlaced))


def test_a_palette_must_be_there_and_hold_every_colour():
    rows = b"\0\0\1\2"
    palette = (b"PLTE", bytes([9, 9, 9, 8, 8, 8, 7, 7, 7]))
    assert np.rint(read_image(png(3, 1, 8, 3, rows, palette))[0, 0] * 255).tolist() == [9, 8, 7]
    for extra in ((), [(b"PLTE", palette[1][:6])], [palette, palette]):
        with pytest.raises(ValueError, match="broken"):
            read_image(png(3, 1, 8, 3, rows, *extra))


def test_an_animation_of_one_frame_is_one_too():
    frame = (b"acTL", struct.pack(">II", 1, 0))
    with pytest.raises(ValueError, match="animated"):
        read_image(png(1, 1, 8, 0, b"\0\x80", frame))


WAYS = [
    {"quality": quality, "progressive": progressive, "subsampling": sampling} | restart
    for quality, progressive, sampling, restart in itertools.product(
        (20, 95), (False, True), (0, 2), ({}, {"restart_marker_blocks": 2})
    )
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_jpeg_is_read_whole_or_not_at_all(way):
    """A decoder makes what is missing grey, and says nothing if the file ends as it should."""
    for picture, mode in itertools.product((NOISE, NOISE.filter(ImageFilter.GaussianBlur(4))), ("RGB", "L", "CMYK")):
        data = saved(picture.convert(mode), **way)
        whole = read_image(data)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(np.rint(whole * 255).transpose(1, 2, 0), expected)
        first, last = data.index(b"\xff\xda") + 14, len(data) - 2
        for cut in np.linspace(first, last - 3, 9).astype(int):
            with pytest.raises(ValueError, match="broken"):
                read_image(data[:cut] + END)


def test_a_jpeg_without_one_of_its_restarts_or_scans_is_refused():
    data = saved(NOISE, restart_marker_blocks=1)
    places = [data.index(bytes([0xFF, 0xD0 + i])) for i in range(3)]
    for cut, resume in ((places[1], places[2]), (places[2], len(data) - 2)):
        with pytest.raises(ValueError, match="between two restart markers"):
            read_image(data[:cut] + data[resume:])
    progressive = saved(NOISE, progressive=True)
    with pytest.raises(ValueError, match="a scan is missing"):
        read_image(progressive[: progressive.rindex(b"\xff\xda")] + END)


@pytest.mark.parametrize("way", [{"quality": 80}, {"lossless": True}])
def test_a_webp_that_was_cut_and_its_sizes_set_right_is_refused(way):
    data = saved(NOISE, "WEBP", **way)
    for cut in np.linspace(30, len(data) - 4, 12).astype(int):
        body = data[20:cut] + b"\0" * ((cut - 20) % 2)
        sizes = struct.pack("<I", len(body) + 12), struct.pack("<I", len(body))
        with pytest.raises(ValueError, match=r"broken|format"):
            read_image(b"RIFF" + sizes[0] + data[8:16] + sizes[1] + body)


def test_what_another_package_told_pillow_changes_nothing(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    for fmt in ("PNG", "JPEG", "WEBP"):
        with pytest.raises(ValueError, match=r"broken|format"):
            read_image(saved(NOISE, fmt)[:-200])
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_only_exif_turns_an_image():
    wide = Image.new("RGB", (4, 2))
    said = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    assert read_image(saved(wide, xmp=said)).shape == (3, 2, 4)
    for orientation, shape in ((6, (3, 4, 2)), (1, (3, 2, 4)), (0, (3, 2, 4)), (9, (3, 2, 4))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        assert read_image(saved(wide, exif=exif, xmp=said)).shape == shape
