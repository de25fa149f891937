"""Tiles are the processor's own, noise reaches them untouched, and scores are those of the stock model."""

import json
import shutil

import numpy as np
import pytest
import torch
from small_models import GRIDS, SIDE, save_onevision

import hybrid_rs as hrs
from hybrid_rs.experiments.costs import whole_scores
from hybrid_rs.guards.loading import loaded
from hybrid_rs.guards.still import still
from hybrid_rs.guards.vlm import VisionLanguageGuard

TOLERANCE = 1e-4  # logits; float32 sums taken in another order
SIZES = [(32, 32), (64, 64), (96, 32), (48, 32), (32, 80), (50, 37), (20, 23), (90, 100)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_onevision(tmp_path_factory.mktemp("onevision"))


@pytest.fixture(scope="module")
def guards(folder):
    return {size: VisionLanguageGuard.from_pretrained(folder, image_size=size, batch_size=16) for size in SIZES}


def photograph(rng, size):
    """Random pixels of 8 bits, far enough from black and white that resizing overshoots neither."""
    return rng.integers(80, 176, (*size, 3)).astype(np.uint8)


def as_pixels(photo):
    return (photo.transpose(2, 0, 1) / 255).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_tiles_are_those_of_the_processor(folder, guards, size):
    """The processor rounds to 8 bits after each resizing along an axis; what is not resized agrees to the bit."""
    guard, photo = guards[size], photograph(np.random.default_rng(0), size)
    images = loaded(still("llava_onevision"), folder).image_processor
    expected = images(photo, return_tensors="pt")["pixel_values"][0]
    inputs = guard.vision.inputs(torch.from_numpy(as_pixels(photo))[None])
    assert inputs["pixel_values"].shape == (1, *expected.shape)
    assert inputs["image_sizes"].tolist() == [list(size)]
    difference = (inputs["pixel_values"][0] - expected).abs() * 255 * torch.tensor(images.image_std)[:, None, None]
    assert difference.max() < 1.5
    assert difference.mean() < 0.5
    if list(size) in GRIDS:
        assert difference[1:].max() < 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_noise_goes_through_the_tiles_linearly_however_large(guards, size):
    rng = np.random.default_rng(1)
    first, second = (torch.from_numpy(5 * rng.standard_normal((2, 3, *size), dtype=np.float32)) for _ in range(2))
    tiles = guards[size].vision.tiles
    torch.testing.assert_close(tiles(3 * first - second), 3 * tiles(first) - tiles(second), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_scores_on_a_photograph_are_those_of_processor_and_stock_model(folder, guards, size):
    rng, guard, text = np.random.default_rng(2), guards[size], "is this picture safe with its text"
    photo, stock = photograph(rng, size), loaded(still("llava_onevision"), folder)
    content = [{"type": "image"}, {"type": "text", "text": text}]
    rendered = stock.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    asked = stock(text=rendered, images=photo, return_tensors="pt")
    asked = {name: asked[name] for name in ("input_ids", "pixel_values", "image_sizes")}
    ids = np.concatenate([guard.before, guard.encode(text), guard.after])
    np.testing.assert_array_equal(ids, asked["input_ids"][0])
    # where the image is resized, the stock model is shown our tiles: they differ by the processor's rounding
    asked["pixel_values"] = guard.vision.inputs(torch.from_numpy(as_pixels(photo))[None])["pixel_values"]
    with torch.inference_mode():
        logits = guard.model(**asked).logits[0, -1]
    gap = logits[list(guard.unsafe_ids)].logsumexp(0) - logits[list(guard.safe_ids)].logsumexp(0)
    score = guard.scores(guard.encode(text)[None], as_pixels(photo)[None])
    np.testing.assert_allclose(score, gap.numpy(), atol=TOLERANCE)


@pytest.mark.parametrize("size", [(32, 32), (48, 32), (50, 37)])
@pytest.mark.parametrize("seed", range(2))
def test_scores_are_those_of_whole_prompts_without_a_cache(guards, size, seed):
    rng, guard = np.random.default_rng(seed), guards[size]
    tokens, index = rng.choice(guard.alphabet, (40, 7)), np.sort(rng.integers(0, 9, 40))
    for row in np.flatnonzero(rng.random(40) < 0.8):
        same = slice(0, rng.integers(0, 8))
        tokens[row, same] = tokens[rng.choice(np.flatnonzero(index == index[row])), same]
    pixels = rng.standard_normal((9, 3, *size), dtype=np.float32)
    expected = whole_scores(guard, tokens, pixels[index])
    assert np.ptp(expected) > 100 * TOLERANCE
    np.testing.assert_allclose(guard.scores(tokens, pixels, index), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("size", [(32, 32), (50, 37)])
def test_gradients_are_differences_of_scores(guards, size):
    """By pixels, through resizing and tiles; by tokens, along the way from one embedding to another."""
    guard, rng = guards[size], np.random.default_rng(4)
    texts, images = rng.choice(guard.alphabet, (3, 5)), rng.random((3, 3, *size), dtype=np.float32)
    scores, by_token, by_pixel = guard.gradients(texts, images)
    np.testing.assert_allclose(scores, guard.scores(texts, images), atol=TOLERANCE)
    assert by_token.shape == (3, 5, guard.embeddings.shape[1])
    step = 0.5 * by_pixel / np.linalg.norm(by_pixel.reshape(3, -1), axis=1)[:, None, None, None]
    for length, tolerance in ((0.02, 0.05), (0.01, 0.03)):
        ahead, back = (guard.scores(texts, images + np.float32(t) * step) for t in (length, -length))
        expected = (by_pixel * step).sum(axis=(1, 2, 3))
        np.testing.assert_allclose((ahead - back) / (2 * length), expected, rtol=tolerance, atol=5e-3)


def test_a_checkpoint_that_describes_its_videos_loads_too(folder, guards, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    described = json.loads((folder / "processor_config.json").read_text())
    described |= {"processor_class": "LlavaOnevisionProcessor", "video_processor": {"do_resize": True}}
    (tmp_path / "copy" / "processor_config.json").write_text(json.dumps(described))
    guard = VisionLanguageGuard.from_pretrained(tmp_path / "copy")
    np.testing.assert_array_equal(guard.before, guards[32, 32].before)


def test_it_is_smoothed_and_certified(guards):
    guard, rng = guards[48, 32], np.random.default_rng(3)
    assert isinstance(guard, hrs.Guard)
    example = hrs.Example("photograph", guard.encode("the text"), as_pixels(photograph(rng, (48, 32))))
    kernel, threat = hrs.UniformKernel(0.25, guard.alphabet.size), hrs.SuffixThreat(2)
    counts = hrs.SmoothedGuard(guard, kernel, 0.5, threat).sample(example, 64)
    assert 0 < min(counts.unsafe) <= max(counts.unsafe) < 64


def test_by_default_images_are_of_one_tile(folder, guards):
    guard = VisionLanguageGuard.from_pretrained(folder)
    assert guard.image_size == (SIDE, SIDE)
    assert guard.identity == guards[32, 32].identity != guards[48, 32].identity


def test_no_placeholder_is_in_the_alphabet_or_taken_as_text(guards):
    guard, config = guards[32, 32], guards[32, 32].model.config
    held = [config.image_token_id, config.video_token_id, *guard.tokenizer.all_special_ids]
    assert not np.isin(held, guard.alphabet).any()
    assert guard.alphabet.max() < len(guard.tokenizer)
    image = np.zeros((1, 3, 32, 32), dtype=np.float32)
    for token in held[:2]:
        with pytest.raises(ValueError, match=f"token_ids = {token}"):
            guard.scores(np.array([[guard.pad_id, token]]), image)


def test_a_processor_that_tiles_otherwise_than_the_model_is_refused(tmp_path):
    folder = save_onevision(tmp_path)
    processor = loaded(still("llava_onevision"), folder)
    processor.image_processor.image_grid_pinpoints = GRIDS[:2]
    processor.save_pretrained(folder)
    with pytest.raises(ValueError, match="image_grid_pinpoints"):
        VisionLanguageGuard.from_pretrained(folder)
    with pytest.raises(ValueError, match="image_size = 0"):
        VisionLanguageGuard.from_pretrained(folder, image_size=(0, 32))
