"""Images: what is whole is read as it is seen, and what is not is refused before it does harm."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image
from transformers.image_utils import load_image

from hybrid_rs.datasets.images import FORMATS, own_sides, read_image


def saved(image, fmt="PNG", **options):
    file = io.BytesIO()
    image.save(file, fmt, **options)
    return file.getvalue()


def png_header(width, height):
    """A PNG file of a few bytes that claims a size."""
    data = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", data), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b""))
    parts = (struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("size", [None, (7, 5), (8, 12), (32, 32)])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_pixels_are_rgb_in_the_unit_interval_at_the_size_asked_for(image_bytes, fmt, size, fit):
    pixels = read_image(image_bytes(fmt=fmt), size, fit=fit)
    assert pixels.shape == (3, *(size or (8, 12)))
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1


def test_every_8_bit_value_is_read_as_itself_over_255():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for channel in range(3):
        rgb = np.zeros((16, 16, 3), np.uint8)
        rgb[..., channel] = values
        pixels = read_image(saved(Image.fromarray(rgb)))
        np.testing.assert_array_equal(pixels[channel], values.astype(np.float32) / np.float32(255))
        assert pixels.sum() == pixels[channel].sum()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_usual_mode_of_a_white_image_is_white(mode):
    image = Image.new("RGBA", (4, 4), "white").convert(mode)
    assert read_image(saved(image)).min() == 1


def test_what_is_transparent_is_not_seen():
    hidden = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    assert read_image(saved(hidden)).min() == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_orientation_says(orientation):
    picture = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)
    exif = Image.Exif()
    exif[0x0112] = orientation
    inverse = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # orientation to the Transpose that sets upright
    stored = picture.transpose(turns[inverse]) if orientation > 1 else picture
    np.testing.assert_array_equal(read_image(saved(stored, exif=exif)), read_image(saved(picture)))


def test_fitting_keeps_what_it_promises(image_bytes):
    wide = Image.new("RGB", (30, 10), "white")
    wide.paste("black", (0, 0, 10, 10))
    stretched, cropped, padded = (read_image(saved(wide), (10, 10), fit=fit) for fit in ("stretch", "crop", "pad"))
    assert stretched.mean() == pytest.approx(2 / 3, abs=0.02)  # all of it, narrower
    assert cropped[:, :, 1:].min() == 1  # the centre
    assert padded[:, 0].max() == padded[:, -1].max() == 0  # bars above and below


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data):
    with pytest.raises(ValueError, match=r"empty|format|broken"):
        read_image(data)


@given(fmt=st.sampled_from(FORMATS), share=st.floats(0, 0.95))
def test_a_file_that_was_cut_off_is_refused(fmt, share):
    whole = saved(Image.effect_noise((16, 16), 60).convert("RGB"), fmt)
    with pytest.raises(ValueError, match=r"empty|format|broken"):
        read_image(whole[: int(share * len(whole))])


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_never_raises_anything_but_value_error(place, bit):
    data = bytearray(saved(Image.effect_noise((16, 16), 60).convert("RGB")))
    data[int(place * len(data))] ^= 1 << bit
    with contextlib.suppress(ValueError):
        assert read_image(bytes(data), max_pixels=10**6).shape[0] == 3


def test_a_wrong_checksum_is_refused(image_bytes):
    data = bytearray(image_bytes())
    data[data.index(b"IEND") - 5] ^= 1  # the last byte of the pixels' checksum
    with pytest.raises(ValueError, match="broken"):
        read_image(bytes(data))


@pytest.mark.parametrize(("width", "height"), [(1001, 1000), (2**20, 2**4), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(width, height):
    with pytest.raises(ValueError, match=r"pixels|broken"):
        read_image(png_header(width, height), max_pixels=10**6)


def test_the_limit_is_on_pixels_and_on_bytes(image_bytes, tmp_path):
    data = image_bytes(size=(12, 8))
    assert read_image(data, max_pixels=96).size == 3 * 96
    with pytest.raises(ValueError, match="12 x 8 pixels are more than max_pixels = 95"):
        read_image(data, max_pixels=95)
    (tmp_path / "long.png").write_bytes(data + b"\0" * 2**17)
    with pytest.raises(ValueError, match="larger than"):
        read_image(tmp_path / "long.png", max_pixels=96)


@pytest.mark.parametrize("fmt", ["GIF", "TIFF", "BMP", "PPM"])
def test_other_formats_are_refused(image_bytes, fmt):
    with pytest.raises(ValueError, match=r"not an image of format .*; save it as PNG"):
        read_image(image_bytes(fmt=fmt))


def test_images_of_more_than_a_picture_are_refused():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for fmt in ("PNG", "WEBP"):
        with pytest.raises(ValueError, match=r"animated: .*; save the frame to use as PNG"):
            read_image(saved(frames[0], fmt, save_all=True, append_images=frames[1:], duration=100))
    deep = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    with pytest.raises(ValueError, match="8 bits per channel; save it as a PNG or JPEG of 8 bits per channel"):
        read_image(saved(deep))


def test_an_unknown_fit_is_refused(image_bytes):
    with pytest.raises(ValueError, match="fit = 'zoom'"):
        read_image(image_bytes(), (4, 4), fit="zoom")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_the_stock_look_is_that_of_transformers(tmp_path, mode, fmt):
    """Orientation by EXIF; a transparent pixel has its stored colour."""
    exif = Image.Exif()
    exif[0x0112] = 6
    levels = np.random.default_rng(3).integers(0, 256, (9, 5, 4), dtype=np.uint8)
    picture = Image.fromarray(levels, "RGBA").convert("RGB" if mode == "P" else "RGBA").convert(mode)
    if fmt == "WEBP":
        picture = picture.convert("RGBA" if "A" in mode else "RGB")
    data = saved(picture, fmt, exif=exif, **({"lossless": True, "exact": True} if fmt == "WEBP" else {}))
    (tmp_path / "picture").write_bytes(data)
    stock = np.asarray(load_image(str(tmp_path / "picture")), dtype=np.float32).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_array_equal(read_image(data, look="stock"), stock)
    assert stock.shape == (3, 5, 9)
    same = np.array_equal(read_image(data), stock)
    assert same is ("A" not in mode)  # on a web page, transparent pixels are seen on white


def test_a_transparent_palette_has_its_colours_in_the_stock_look():
    levels = np.array([[0, 1], [1, 0]], dtype=np.uint8)
    picture = Image.fromarray(levels, "P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    data = saved(picture, transparency=0)
    assert (read_image(data, look="stock")[:, 0, 0] * 255).tolist() == pytest.approx([10, 20, 30])
    assert read_image(data)[:, 0, 0].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="look = 'painted': give one of web, stock"):
        read_image(data, look="painted")


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 400))
def test_a_reduced_image_keeps_its_shape(height, width, longest):
    new = own_sides(height, width, longest)
    assert max(new) == min(longest, max(height, width))
    assert own_sides(*new, longest) == new
    ratio = max(new) / max(height, width)
    assert all(abs(side - ratio * old) <= 0.5 or side == 1 for side, old in zip(new, (height, width), strict=True))
