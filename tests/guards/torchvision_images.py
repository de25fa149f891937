"""Llama 4's images against the stock class, which calculates with torchvision; run where that is installed.

It is not in the locked environment, so pytest does not collect this file by itself:

    pip install torchvision
    python -m pytest -n 0 tests/guards/torchvision_images.py
"""

import numpy as np
import pytest
import torch
from small_families import save_family
from transformers.image_utils import SizeDict

from hybrid_rs.guards.llama4 import fitted
from hybrid_rs.guards.loading import loaded
from hybrid_rs.guards.prompt import opened
from hybrid_rs.guards.still import still
from hybrid_rs.guards.stock_images import StockVision
from hybrid_rs.guards.wording import Wording

stock = pytest.importorskip("transformers.models.llama4.image_processing_llama4", exc_type=ImportError)
SIZES = [(56, 56), (48, 64), (70, 30), (28, 84), (33, 95), (29, 29), (200, 50)]
REAL = [(336, 336), (224, 320), (700, 500), (900, 300), (336, 672)]  # with tiles of 336 pixels


class Plain(stock.Llama4ImageProcessor):
    """The stock class without its rounding to bfloat16."""

    def rescale_and_normalize(self, images, do_rescale, rescale_factor, do_normalize, image_mean, image_std):
        return self.normalize(images.double() * rescale_factor, image_mean, image_std)


@pytest.mark.parametrize("enlarged", [False, True])
@pytest.mark.parametrize(("side", "most"), [(336, 16), (336, 5), (28, 4)])
def test_tiles_and_sizes_are_those_of_the_stock_class(side, most, enlarged):
    rng, tried = np.random.default_rng(most), 1500
    stock.find_supported_resolutions.cache_clear()
    canvases = torch.tensor(stock.find_supported_resolutions(most, SizeDict(height=side, width=side)))
    for size in np.exp(rng.uniform(0, np.log(6 * side), (tried, 2))).astype(int).tolist():
        canvas = stock.get_best_fit(size, canvases, resize_to_max_canvas=enlarged)
        room = [min(max(old, side), new) for old, new in zip(size, canvas, strict=True)]
        new = stock.get_max_res_without_distortion(size, canvas if enlarged else room)
        expected = (*(int(each) // side for each in canvas), tuple(max(int(each), 1) for each in new))
        assert fitted(tuple(size), side, most, enlarged) == expected, size


@pytest.mark.parametrize("size", SIZES + REAL)
@pytest.mark.parametrize("kind", ["as it is", "without bfloat16"])
def test_pixels_are_those_of_the_stock_class_in_any_shape(tmp_path, size, kind, record_property):
    processor = loaded(still("llama4"), save_family("llama4", tmp_path))
    settings = {} if size in REAL else {"size": {"height": 28, "width": 28}, "max_patches": 4}
    processor.image_processor = type(processor.image_processor)(**settings)
    stock.find_supported_resolutions.cache_clear()
    made = (stock.Llama4ImageProcessor if kind == "as it is" else Plain)(**settings)
    photo = np.random.default_rng(0).integers(80, 176, (*size, 3), dtype=np.uint8)
    expected = made(photo, return_tensors="pt")["pixel_values"].double().numpy()
    vision = StockVision.of(processor, opened(processor, Wording("Say safe or unsafe.")), size, {"pixel_values"})
    pixels = (photo.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    found = vision.inputs(torch.from_numpy(pixels))["pixel_values"].double().numpy()
    levels = float(np.abs(found - expected).max()) * 255 * 0.5
    record_property("levels", levels)
    print(kind, size, found.shape, f"{levels:.3f}")
    assert levels < (1.6 if kind == "as it is" else 1.1)
