"""Untrusted image files, opened safely, as pixels in [0, 1]."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import choice, integer, require, several, shown
from hybrid_rs._extras import needs
from hybrid_rs.datasets.whole import check_png, filled_jpegs

Fit = Literal["stretch", "crop", "pad"]
Look = Literal["web", "stock"]

FORMATS = ("JPEG", "PNG", "WEBP")
ORIENTATION = 0x0112  # the tag of EXIF
EIGHT = "save it as a PNG or JPEG of 8 bits per channel"
MORE = "give more to read it (--max-pixels on the command line)"
MAX_SIDE = 2**14  # pixels to resize to
SIZES = "give two whole numbers, (height, width)"
MAX_PIXELS = 2**25  # 33 million: larger than what cameras of phones usually save


def read_image(
    source: Path | bytes,
    size: tuple[int, int] | None = None,
    *,
    fit: Fit = "stretch",
    max_pixels: int = MAX_PIXELS,
    look: Look = "web",
) -> NDArray[np.float32]:
    """Read one JPEG, PNG or WebP image as a guard sees it.

    The size is read from the header, and an image that is too large is refused before anything is decompressed. Then
    the whole image is decoded. It is rotated according to its EXIF orientation, and transparent pixels are shown on
    white, as on a web page. An orientation in XMP, a colour profile (ICC) and a gamma are not applied: values are those
    of the file, and a viewer that applies them may show other colours.

    Args:
        source: a file, or the bytes of one.
        size: (height, width) after resizing, bicubic with antialiasing; None keeps the image's own size.
        fit: what to do if the aspect ratio differs: "stretch" changes it, "crop" keeps the centre, "pad" adds black
            bars.
        max_pixels: largest height times width; a file may have at most 4 bytes per pixel of this limit. Pillow's own
            limit of 89 million pixels also applies.
        look: "web", as described above; or "stock", as ``transformers`` loads images: an orientation in XMP is applied
            too, and a transparent pixel has the colour that the file stores for it.

    Returns:
        shape ``(3, height, width)``, float32, RGB in [0, 1].

    Raises:
        ValueError: if the file is too large, of another format, broken, animated, does not have 8 bits per channel, or
            if any part of it is missing, even a part that a decoder would fill in silently.

    Example:
        >>> from PIL import Image
        >>> file = BytesIO()
        >>> Image.new("L", (4, 2), 255).save(file, "PNG")
        >>> read_image(file.getvalue()).shape, read_image(file.getvalue(), (8, 8)).min()
        ((3, 2, 4), np.float32(1.0))
    """
    how, most = choice("fit", fit, get_args(Fit)), limit(max_pixels)
    require(isinstance(source, Path | bytes), "source", source, "give the path of a file, or its bytes", repr)
    wanted = None if size is None else sides("size", size)
    try:
        image = decoded(file_bytes(source, most), most, choice("look", look, get_args(Look)))
    except (ValueError, OSError) as error:
        raise ValueError(f"source = {shown(source, repr, most=60)}: {error}") from error
    return fitted(image, wanted, how)


def fitted(image: Any, size: tuple[int, int] | None, fit: str) -> NDArray[np.float32]:
    """Return the pixels of a decoded image at a size (height, width), or at its own, as :func:`read_image` does."""
    if size is not None and size != (image.height, image.width):
        image = _resized(image, size, fit)
    pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def sides(name: str, value: Any) -> tuple[int, int]:
    """The value as (height, width), which must be two whole numbers of pixels."""
    both = several(name, value, SIZES)
    require(len(both) == 2, name, value, SIZES, repr)
    return integer(name, both[0], 1, MAX_SIDE), integer(name, both[1], 1, MAX_SIDE)


def own_sides(height: int, width: int, max_side: int | None) -> tuple[int, int]:
    """Return an image's own (height, width), or the same shape with its longer side reduced to ``max_side``.

    Example:
        >>> own_sides(600, 800, None), own_sides(600, 800, 400), own_sides(6, 8, 400)
        ((600, 800), (300, 400), (6, 8))
    """
    longer = max(height, width)
    if max_side is None or longer <= max_side:
        return height, width
    return max(1, round(height * max_side / longer)), max(1, round(width * max_side / longer))


def limit(max_pixels: Any) -> int:
    """The value as a limit of pixels."""
    return integer("max_pixels", max_pixels, 1, MAX_SIDE**2)


def file_bytes(source: Path | bytes, max_pixels: int) -> bytes:
    """Return the bytes of a file, or the given bytes, unless they are too many for an image within the limit."""
    most = 4 * int(max_pixels) + 2**16
    if isinstance(source, bytes):
        data = source
    else:
        with source.open("rb") as file:
            data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"the file is larger than {most} bytes, too large for max_pixels = {max_pixels}; {MORE}")
    return data


def decoded(data: bytes, max_pixels: int, look: str = "web") -> Any:
    """Decode an image completely, upright and in RGB; every failure is a ``ValueError`` with the reason."""
    with needs("data"):
        from PIL import Image, ImageOps

    if not data:
        raise ValueError("the file is empty")
    with warnings.catch_warnings(), _nothing_filled_in():
        warnings.simplefilter("ignore")  # cases in which Pillow only warns are decided below
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise ValueError(
                        f"{image.width} x {image.height} pixels are more than max_pixels = {max_pixels}; {MORE}"
                    )
                image.verify()  # checksums; the image must then be opened again
            with Image.open(BytesIO(data), formats=FORMATS) as image:
                if image.format != "MPO" and getattr(image, "is_animated", False):
                    raise ValueError(
                        "the image is animated: a guard would see only one frame; save the frame to use as PNG"
                    )
                if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"):
                    raise ValueError(f"mode {image.mode} does not have 8 bits per channel; {EIGHT}")
                palette, clear = check_png(data) if image.format == "PNG" else (0, None)
                image.load()
                if image.format in ("JPEG", "MPO"):
                    _same_when_filled(image, data)
                if image.mode == "P" and palette <= int(np.asarray(image).max()):
                    raise ValueError("the image is broken: a colour is not in its palette")
                if look == "stock":
                    return ImageOps.exif_transpose(image).convert("RGB")
                return _on_white(_upright(image), clear)
        except Image.UnidentifiedImageError as error:
            raise ValueError(f"not an image of format {', '.join(FORMATS)}; save it as PNG") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(f"more pixels than Pillow's limit of {Image.MAX_IMAGE_PIXELS}") from error
        except ValueError:
            raise
        except Exception as error:  # decoders of broken files raise many kinds: OSError, SyntaxError, IndexError
            raise ValueError(f"the image is broken: {error}") from error


@contextmanager
def _nothing_filled_in() -> Iterator[None]:
    """Make Pillow refuse truncated files, even if another package has told it to accept them."""
    from PIL import ImageFile

    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _same_when_filled(image: Any, data: bytes) -> None:
    from PIL import Image

    for filled in filled_jpegs(data):
        with Image.open(BytesIO(filled), formats=FORMATS) as other:
            if other.tobytes() != image.tobytes():
                raise ValueError("the image is broken: it is truncated, or a part of it is missing")


def _upright(image: Any) -> Any:
    """Rotate the image according to its EXIF orientation; Pillow would also follow XMP, which browsers do not."""
    from PIL import Image

    exif = Image.Exif()
    exif.load(image.info.get("exif"))
    turn = Image.Transpose
    turns = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    found = exif.get(ORIENTATION)
    return image.transpose(turns[found]) if isinstance(found, int) and found in turns else image


def _on_white(image: Any, clear: int | tuple[int, ...] | None) -> Any:
    """Convert the image to RGB, transparent pixels on white; ``clear`` is one more transparent colour, or None."""
    from PIL import Image

    if clear is not None:
        image.info["transparency"] = clear
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _resized(image: Any, size: tuple[int, int], fit: str) -> Any:
    from PIL import Image, ImageOps

    ways = {"stretch": Image.Image.resize, "crop": ImageOps.fit, "pad": ImageOps.pad}
    return ways[fit](image, (size[1], size[0]), Image.Resampling.BICUBIC)
