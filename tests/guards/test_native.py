"""Images in their own size: the guard at each size is the guard that is loaded for it; nothing is stretched."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_families import save_family
from small_models import SIDE, save_llava, save_onevision

import hybrid_rs as hrs
from hybrid_rs.guards.native import REFERENCE, NativeGuard
from hybrid_rs.guards.prompt import asked, opened
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.guards.wording import Wording

SAVED = {"llava": save_llava, "llava_onevision": save_onevision}
KINDS = (*SAVED, "qwen2_5_vl", "mllama")
WIDE, TALL = (28, 84), (70, 30)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        made[kind] = SAVED[kind](folder) if kind in SAVED else save_family(kind, folder)
    return made


@pytest.fixture(scope="module")
def natives(folders):
    loaded = {kind: VisionLanguageGuard.from_pretrained(folders[kind], image_size=REFERENCE) for kind in KINDS}
    return {kind: NativeGuard(guard, guard.margin) for kind, guard in loaded.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_at_each_size_it_is_the_guard_that_is_loaded_for_it(natives, folders, kind):
    native, rng = natives[kind], np.random.default_rng(0)
    assert isinstance(native, hrs.Guard)
    assert native.image_size is None
    scores = []
    for size in (WIDE, TALL):
        fixed = VisionLanguageGuard.from_pretrained(folders[kind], image_size=size)
        texts, images = rng.choice(native.alphabet, (4, 5)), rng.random((2, 3, *size), dtype=np.float32)
        index = np.array([0, 0, 1, 1])
        scores.append(native.scores(texts, images, index))
        np.testing.assert_array_equal(scores[-1], fixed.scores(texts, images, index))
        np.testing.assert_array_equal(native.unsafe(texts, images, index), scores[-1] > 0)
        assert native.at(size).identity == fixed.identity
        assert native.at(size).model is native.guard.model  # the weights are there once
        for ours, theirs in zip(native.gradients(texts[:2], images), fixed.gradients(texts[:2], images), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(*scores)


@pytest.mark.parametrize("size", [WIDE, TALL, (SIDE, 2 * SIDE)])
def test_llava_reads_other_shapes_as_its_own_processor_does(folders, size):
    """The shorter side is resized to the tower's, and the middle is cut out."""
    guard = VisionLanguageGuard.from_pretrained(folders["llava"], image_size=size)
    photo = np.random.default_rng(1).integers(80, 176, (*size, 3), dtype=np.uint8)
    stock = asked(guard.source.processor, opened(guard.source.processor, Wording())[0], photo)["pixel_values"]
    pixels = (photo.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    ours = guard.vision.inputs(torch.from_numpy(pixels))["pixel_values"].numpy()
    off = 255 * np.abs(ours - stock).max() * min(guard.source.processor.image_processor.image_std)
    assert off < 1.1


def test_its_identity_is_one_for_all_sizes_and_covers_the_processor(natives, folders, tmp_path):
    native = natives["qwen2_5_vl"]
    before = native.identity
    native.scores(native.alphabet[None, :3], np.zeros((1, 3, *WIDE), np.float32))
    assert native.identity == before != native.guard.identity
    folder = save_family("qwen2_5_vl", tmp_path)
    file = folder / "processor_config.json"
    text = file.read_text()
    assert '"longest_edge": 12544' in text
    file.write_text(text.replace('"longest_edge": 12544', '"longest_edge": 9408'))
    other = VisionLanguageGuard.from_pretrained(folder, image_size=REFERENCE)
    assert NativeGuard(other, 0.0).identity != before


def test_pairs_of_several_sizes_are_certified_by_one_smoothed_guard(natives):
    native = natives["qwen2_5_vl"]
    kernel, threat = hrs.UniformKernel(0.25, native.alphabet.size), hrs.SuffixThreat(2)
    smoothed = hrs.SmoothedGuard(native, kernel, 0.5, threat)
    for size in (WIDE, TALL):
        example = hrs.Example(f"{size}", native.encode("is it safe"), np.full((3, *size), 0.2, np.float32))
        fixed = hrs.SmoothedGuard(native.at(size), kernel, 0.5, threat)
        assert smoothed.sample(example, 32).unsafe == fixed.sample(example, 32).unsafe


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 50)])
def test_a_strip_of_an_image_is_read_by_llava_onevision_as_its_own_processor_reads_a_picture(folders, size):
    guard = VisionLanguageGuard.from_pretrained(folders["llava_onevision"], image_size=size)
    photo = np.random.default_rng(1).integers(80, 176, (*size, 3), dtype=np.uint8)
    stock = guard.source.processor.image_processor(Image.fromarray(photo), return_tensors="np")["pixel_values"]
    pixels = (photo.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    ours = guard.vision.inputs(torch.from_numpy(pixels))["pixel_values"].numpy()
    assert 255 * np.abs(ours - stock).max() * min(guard.source.processor.image_processor.image_std) < 1.1


def test_an_image_that_the_stock_processor_refuses_is_refused_with_its_size(natives):
    with pytest.raises(ValueError, match=r"image = 1 x 250 pixels: .*--image-size HxW.* aspect ratio must be smaller"):
        natives["qwen2_5_vl"].at((1, 250))
