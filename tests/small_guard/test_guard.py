"""The committed guard: it loads, it is what its card says, and its fast path is the stock model."""

import json

import numpy as np
import pytest
import torch

import hybrid_rs as hrs
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.evaluation import model_card
from hybrid_rs.small_guard.guard import CHECKPOINT, load_bay_guard
from hybrid_rs.small_guard.language import SPECIAL_TOKENS, VOCABULARY, alphabet
from hybrid_rs.small_guard.training import train_bay_guard


@pytest.fixture(scope="module")
def guard():
    return load_bay_guard()


@pytest.fixture(scope="module")
def batch(guard):
    example = bay_notes.examples("test", 1, unsafe=True)[0]
    rng = np.random.default_rng(0)
    texts = np.tile(np.append(example.token_ids, [guard.pad_id] * 8), (50, 1))
    texts[:, -8:] = rng.choice(guard.alphabet, (50, 8))
    images = (example.image + 0.5 * rng.standard_normal((50, 3, 32, 32))).astype(np.float32)
    return texts, images


def test_it_is_a_guard_with_the_data_sets_alphabet(guard):
    assert isinstance(guard, hrs.Guard)
    np.testing.assert_array_equal(guard.alphabet, alphabet())
    assert VOCABULARY[guard.pad_id] == ","
    assert VOCABULARY[guard.mask_id] == "<mask>"
    assert not np.isin([VOCABULARY.index(token) for token in SPECIAL_TOKENS], guard.alphabet).any()


def test_scores_are_those_of_the_stock_forward_pass(guard, batch):
    texts, images = batch
    ends = [np.tile(end, (len(texts), 1)) for end in (guard.before, guard.after)]
    ids = torch.from_numpy(np.concatenate([ends[0], texts, ends[1]], axis=1))
    with torch.inference_mode():
        stock = guard.model(input_ids=ids, pixel_values=torch.from_numpy((images - 0.5) / 0.5), logits_to_keep=1)
    gap = stock.logits[:, -1, list(guard.unsafe_ids)] - stock.logits[:, -1, list(guard.safe_ids)]
    np.testing.assert_allclose(guard.scores(texts, images), gap[:, 0].numpy(), atol=1e-4)
    assert [VOCABULARY[i] for i in (*guard.safe_ids, *guard.unsafe_ids)] == ["safe", "unsafe"]


def test_texts_that_share_an_image_or_nothing_score_the_same(guard, batch):
    texts, images = batch
    index = np.random.default_rng(1).integers(0, 7, len(texts))
    np.testing.assert_allclose(
        guard.scores(texts, images[:7], index), guard.scores(texts, images[:7][index]), atol=1e-4
    )
    mixed = texts.copy()
    mixed[1::2, 0] = guard.alphabet[5]  # no first word in common any more
    np.testing.assert_allclose(guard.scores(mixed, images)[::2], guard.scores(texts, images)[::2], atol=1e-4)


def test_verdicts_do_not_depend_on_the_batch_size(batch):
    example = bay_notes.examples("test", 3, unsafe=True)[1]
    kernel = hrs.UniformKernel(0.25, alphabet().size)
    counts = []
    for batch_size, batch_draws in ((64, 64), (256, 256), (100, 448)):
        guard = load_bay_guard(batch_size=batch_size)
        smoothed = hrs.SmoothedGuard(guard, kernel, sigma=1.0, threat=hrs.SuffixThreat(8, one_shot=False))
        counts.append(smoothed.sample(example, 900, batch_draws=batch_draws))
    assert len(set(counts)) == 1


def test_an_alphabet_of_ones_own_is_kept_sorted():
    np.testing.assert_array_equal(load_bay_guard(alphabet=[30, 20, 30, 353]).alphabet, [20, 30, 353])


def test_a_margin_moves_the_verdict_and_nothing_else(guard, batch):
    scores = guard.scores(*batch)
    strict = load_bay_guard(margin=float(np.median(scores)))
    np.testing.assert_array_equal(strict.unsafe(*batch), scores > np.median(scores))


def test_it_is_as_accurate_as_its_card_says(guard):
    evaluation = json.loads((CHECKPOINT / "evaluation.json").read_text())
    examples = bay_notes.examples("test", 300, seed=5)
    right = [guard.unsafe(e.token_ids[None], e.image[None])[0] == e.unsafe for e in examples]
    stated = evaluation["accuracy"]["seen"]["clean"]["accuracy"]
    assert stated >= 0.98
    assert np.mean(right) >= stated - 4 * np.sqrt(stated * (1 - stated) / 300)
    assert all(0.46 <= accuracy <= 0.54 for accuracy in evaluation["one modality alone"].values())


def test_the_model_card_is_rendered_from_the_evaluation():
    read = [json.loads((CHECKPOINT / f"{name}.json").read_text()) for name in ("evaluation", "training")]
    assert (CHECKPOINT / "README.md").read_text() == model_card(*read)


def test_the_checkpoint_is_small():
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) < 5 * 2**20


@pytest.mark.slow
def test_training_is_reproducible_and_its_output_loads(tmp_path):
    for name in ("a", "b"):
        train_bay_guard(tmp_path / name, steps=6, batch_size=16, seed=3, progress=False)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]
    assert load_bay_guard(tmp_path / "a").alphabet.size == alphabet().size


def test_a_batch_without_a_verdict_to_learn_leaves_the_weights_finite(tmp_path):
    out = train_bay_guard(tmp_path / "small", steps=3, batch_size=1, seed=1, progress=False)
    assert 0.0 in json.loads((out / "training.json").read_text())["answer_loss"]  # a glossary sentence alone
    assert all(torch.isfinite(weight).all() for weight in load_bay_guard(out).model.parameters())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_lower_precision_agrees_on_nearly_every_verdict(guard, batch, dtype):
    half = load_bay_guard(dtype=dtype)
    assert (half.unsafe(*batch) == guard.unsafe(*batch)).mean() > 0.9


def test_bad_input_is_named_with_its_value(guard, batch, tmp_path):
    texts, images = batch
    placeholder = guard.model.config.image_token_id
    cases = [
        (lambda: load_bay_guard(tmp_path), "hybrid-rs train"),
        (lambda: VisionLanguageGuard.from_pretrained(tmp_path), "path = "),
        (lambda: load_bay_guard(dtype="float8"), "dtype = .float8"),
        (lambda: load_bay_guard(batch_size=0), "batch_size = 0"),
        (lambda: load_bay_guard(margin=np.nan), "margin = nan"),
        (lambda: load_bay_guard(alphabet=[placeholder, 20]), r"alphabet = 5 \('<image>'\)"),
        (lambda: load_bay_guard(alphabet=[20, 999]), "alphabet = 999"),
        (lambda: guard.unsafe(texts[0], images), "token_ids"),
        (lambda: guard.unsafe(texts, images[:, :1]), r"images = \(50, 1, 32, 32\)"),
        (lambda: guard.unsafe(texts, images[:3]), "image_index"),
        (lambda: guard.unsafe(np.where(texts == texts[0, 0], placeholder, texts), images), "token_ids = 5"),
        (lambda: guard.unsafe(texts + 1000, images), "token_ids = 1"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
