"""Small image files, whole and broken."""

import io
import json

import numpy as np
import pytest
from PIL import Image


def encoded(mode="RGB", size=(12, 8), fmt="PNG", seed=0, **options):
    """The bytes of an image of random pixels; ``size`` is (width, height)."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = (size[1], size[0], bands) if bands > 1 else size[::-1]
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, fmt, **options) if mode != "1" else Image.new("1", size, 1).save(file, fmt)
    return file.getvalue()


@pytest.fixture
def image_bytes():
    return encoded


@pytest.fixture
def write_jsonl(tmp_path):
    """Write lines and images below a folder; a line may be an object, a string or bytes; returns the file."""

    def write(lines, images=None, name="mine.jsonl"):
        for place, data in (images or {}).items():
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place).write_bytes(data)
        raw = [line if isinstance(line, bytes) else _line(line) for line in lines]
        (tmp_path / name).write_bytes(b"".join(line + b"\n" for line in raw))
        return tmp_path / name

    return write


def _line(line):
    return (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)).encode()
