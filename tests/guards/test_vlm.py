"""Reuse of keys and values: the scores and verdicts are those of whole prompts, whatever shares an image."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import DynamicCache

import hybrid_rs as hrs
from hybrid_rs.experiments.costs import Metered, untrained, whole_scores
from hybrid_rs.guards.prefix import Branches, roots, selected
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard

TOLERANCE = 1e-4  # logits; float32 sums taken in another order


@pytest.fixture(scope="module")
def guard():
    return load_bay_guard(batch_size=16)


@pytest.fixture(scope="module")
def example():
    return bay_notes.examples("test", 3, unsafe=True)[1]


def random_groups(guard, rng, *, length, images, texts):
    """Texts that leave each other anywhere, at the first word or never, on images with none, one or many of them."""
    tokens = rng.choice(guard.alphabet, (texts, length))
    index = np.sort(rng.integers(0, images, texts) // rng.integers(1, 3))
    for row in np.flatnonzero(rng.random(texts) < 0.8):
        other = rng.choice(np.flatnonzero(index == index[row]))
        same = slice(0, rng.integers(0, length + 1))
        tokens[row, same] = tokens[other, same]
    order = rng.permutation(texts)
    return tokens[order], rng.random((images, 3, 32, 32), dtype=np.float32), index[order]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("patch_size", [None, 8], ids=["trained", "random weights"])
def test_scores_are_those_of_whole_prompts_without_a_cache(guard, seed, patch_size):
    rng, guard = np.random.default_rng(seed), untrained(guard, patch_size, seed) if patch_size else guard
    length, images = int(rng.integers(1, 12)), int(rng.integers(1, 40))
    tokens, pixels, index = random_groups(guard, rng, length=length, images=images, texts=60)
    expected = whole_scores(guard, tokens, pixels[index])
    assert np.ptp(expected) > 100 * TOLERANCE
    scores = guard.scores(tokens, pixels, index)
    np.testing.assert_allclose(scores, expected, atol=TOLERANCE, rtol=0)
    guard = replace(guard, margin=float(np.median(expected)))
    clear = abs(expected - guard.margin) > TOLERANCE
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(guard.unsafe(tokens, pixels, index)[clear], (expected > guard.margin)[clear])


def test_equal_texts_score_the_same_and_an_empty_batch_gives_none(guard, example):
    pixels, texts = example.image[None], np.tile(example.token_ids, (5, 1))
    scores = guard.scores(texts, pixels, np.zeros(5, dtype=int))
    np.testing.assert_allclose(scores, whole_scores(guard, texts[:1], pixels)[0], atol=TOLERANCE)
    assert guard.scores(texts[:0], pixels, np.zeros(0, dtype=int)).shape == (0,)


def test_a_template_that_ends_with_the_text_is_served_too(guard, example):
    bare = replace(guard, after=guard.after[:0])
    texts = np.tile(example.token_ids, (4, 1))
    texts[1, -1], texts[2, 3] = guard.alphabet[7], guard.alphabet[9]
    scores = bare.scores(texts, example.image[None], np.zeros(4, dtype=int))
    np.testing.assert_allclose(scores, whole_scores(bare, texts, np.tile(example.image, (4, 1, 1, 1))), atol=TOLERANCE)


@pytest.mark.parametrize("masked", [False, True])
def test_smoothed_verdicts_are_those_of_whole_prompts(guard, example, masked):
    kernel, threat = hrs.UniformKernel(0.25, guard.alphabet.size), hrs.SuffixThreat(8, one_shot=masked)
    counts = [
        hrs.SmoothedGuard(Metered(guard, reuse), kernel, 1.0, threat).sample(example, 256, masked=masked)
        for reuse in (True, False)
    ]
    assert counts[0] == counts[1]
    assert 0 < min(counts[0].unsafe) <= max(counts[0].unsafe) < 256


def common(a, b):
    return int(np.minimum.accumulate(a == b).sum())


@pytest.mark.parametrize("seed", range(3))
def test_the_root_is_the_last_of_the_texts_that_share_most_with_the_others(seed):
    rng = np.random.default_rng(seed)
    texts, image = rng.integers(0, 2, (40, 6)), rng.permutation(np.arange(40) // rng.integers(1, 8))
    root, shared = roots(texts, image)
    for i, chosen in enumerate(root):
        rows = np.flatnonzero(image == i)
        sums = {row: sum(common(texts[row], texts[other]) for other in rows) for row in rows}
        assert chosen == max(row for row in rows if sums[row] == max(sums.values()))
        assert all(shared[row] == common(texts[row], texts[chosen]) for row in rows)
    assert roots(texts[:0], image[:0])[0].shape == (0,)


@pytest.mark.parametrize("masked", [False, True])
def test_the_root_of_nested_texts_is_the_one_with_most_replacements(masked):
    rng, replaced = np.random.default_rng(0), np.arange(9)[:, None] > np.arange(8)  # by budget d: the first d pads
    for _ in range(50):
        drawn = rng.random(8) < 0.25
        texts = np.where(replaced | drawn if masked else replaced & drawn, rng.integers(1, 5, 8), 0)
        texts = np.array(list(dict.fromkeys(map(tuple, texts))))  # equal texts are evaluated once
        assert roots(texts, np.zeros(len(texts), dtype=int))[0] == len(texts) - 1


def test_branches_have_the_keys_and_values_of_their_rows():
    cache, rng = DynamicCache(), torch.Generator().manual_seed(0)
    for layer in range(2):
        cache.update(*torch.randn(2, 3, 4, 7, 5, generator=rng), layer)
    rows, new = np.array([2, 0, 2, 1]), torch.randn(2, 4, 4, 3, 5, generator=rng)
    part = selected(cache, rows, 6)
    assert part.get_seq_length() == 6
    for layer in range(2):
        assert type(part.layers[layer]) is Branches
        whole = cache.layers[layer]
        for found, known, added in zip(part.update(*new, layer), (whole.keys, whole.values), new, strict=True):
            assert torch.equal(found, torch.cat([known[rows, :, :6], added], dim=2))
    assert cache.get_seq_length() == 7


def test_only_what_differs_is_read(guard, example):
    read, language = [], guard.model.model.language_model
    count = language.register_forward_pre_hook(
        lambda module, args, given: read.append(given["inputs_embeds"].shape[:2]), with_kwargs=True
    )
    texts = np.tile(example.token_ids, (6, 1))
    texts[[0, 4], 5], texts[2, 8] = guard.alphabet[7], guard.alphabet[9]
    whole, end = len(guard.before) + texts.shape[1] + len(guard.after), texts.shape[1] + len(guard.after)
    try:
        guard.scores(texts, np.stack([example.image] * 2), np.array([0, 0, 0, 0, 1, 1]))
        assert read == [(2, whole), (2, end - 5), (1, end - 8), (1, end - texts.shape[1])]
        read.clear()
        guard.scores(texts, np.stack([example.image] * 6))
        assert read == [(6, whole)]
    finally:
        count.remove()
