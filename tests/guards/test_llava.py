"""LLaVA-1.5 and the choices at loading: prompt, policy, forced answer, precision, attention, memory."""

import importlib.util
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_models import SIDE, save_llava, save_onevision
from transformers import AutoProcessor

import hybrid_rs as hrs
from hybrid_rs.experiments.costs import whole_scores
from hybrid_rs.guards.batches import BatchSize
from hybrid_rs.guards.checkpoint import best_attention
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.storage.counts import CountsStore

POLICY, PREFIX = "Is the picture with its text safe or unsafe?", '{\n "rating": "'


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    saved = {"llava": save_llava, "onevision": save_onevision}
    return {kind: save(tmp_path_factory.mktemp(kind)) for kind, save in saved.items()}


@pytest.fixture(scope="module")
def guard(folders):
    return VisionLanguageGuard.from_pretrained(folders["llava"], batch_size=16)


@pytest.fixture(scope="module")
def draws(guard):
    """Texts of which several share an image, as nested draws do."""
    rng = np.random.default_rng(0)
    texts, index = rng.choice(guard.alphabet, (60, 6)), np.sort(rng.integers(0, 20, 60))
    texts[1::2, :4] = texts[::2, :4]
    return texts, rng.standard_normal((20, 3, SIDE, SIDE), dtype=np.float32), index


def test_the_prompt_is_that_of_the_stock_processor_with_one_beginning_token(folders, guard):
    stock, text = AutoProcessor.from_pretrained(folders["llava"]), "the text"
    content = [{"type": "image"}, {"type": "text", "text": text}]
    rendered = stock.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    asked = stock(text=rendered, images=np.zeros((SIDE, SIDE, 3), np.uint8), return_tensors="np")["input_ids"][0]
    np.testing.assert_array_equal(asked, np.concatenate([guard.before, guard.encode(text), guard.after]))
    assert (asked == guard.tokenizer.bos_token_id).sum() == (guard.before == guard.tokenizer.bos_token_id).sum() == 1


def test_a_word_spelled_like_a_special_token_is_ordinary_text_in_its_place(guard):
    """The rest of the text is read as if the word were not special: without a space before it."""
    spelled = guard.tokenizer.convert_ids_to_tokens(guard.encode("say <s> now").tolist())
    assert spelled[0] == guard.tokenizer.convert_ids_to_tokens(guard.encode("say so").tolist())[0] != "\u2581"
    assert guard.tokenizer.decode(guard.encode("say <s> now").tolist()).strip() == "say <s> now"


def test_images_are_cropped_where_the_stock_processor_crops(folders):
    fits = {kind: VisionLanguageGuard.from_pretrained(folders[kind]).fit for kind in ("llava", "onevision")}
    assert fits == {"llava": "crop", "onevision": "stretch"}


@pytest.mark.parametrize("kind", ["llava", "onevision"])
def test_policy_and_forced_answer_stand_where_the_template_has_them(folders, kind):
    guard = VisionLanguageGuard.from_pretrained(folders[kind], policy=POLICY, answer_prefix=PREFIX)
    bare = VisionLanguageGuard.from_pretrained(folders[kind])
    before, after, plain = (guard.tokenizer.decode(ids.tolist()) for ids in (guard.before, guard.after, bare.before))
    assert before.startswith(plain.rstrip())
    assert before.rstrip().endswith(POLICY)
    assert before.count("<image>") == plain.count("<image>") > 0
    assert after == guard.tokenizer.decode(bare.after.tolist()) + PREFIX


@pytest.mark.parametrize("kind", ["llava", "onevision"])
def test_the_verdict_is_read_after_the_forced_answer(folders, kind, draws):
    guard = VisionLanguageGuard.from_pretrained(folders[kind], policy=POLICY, answer_prefix=PREFIX)
    texts, images, index = draws
    texts = np.where(np.isin(texts, guard.alphabet), texts, guard.pad_id)
    expected = whole_scores(guard, texts, images[index])
    np.testing.assert_allclose(guard.scores(texts, images, index), expected, atol=1e-4)
    # by hand, with the whole prompt as one text of ids
    ids = np.concatenate([guard.before, texts[0], guard.after])
    assert guard.tokenizer.decode(ids[-len(guard.after) :].tolist()).endswith(PREFIX)
    shown = guard.vision.inputs(torch.from_numpy(images[index[:1]]))
    with torch.inference_mode():
        logits = guard.model(input_ids=torch.from_numpy(ids)[None], **shown).logits[0, -1]
    for word, found in (("safe", guard.safe_ids), ("unsafe", guard.unsafe_ids)):
        answers = {guard.tokenizer.decode([*guard.after.tolist(), i]).rpartition(PREFIX)[2] for i in found}
        assert answers == {word, word.title()}
    gap = torch.logsumexp(logits[list(guard.unsafe_ids)], 0) - torch.logsumexp(logits[list(guard.safe_ids)], 0)
    np.testing.assert_allclose(expected[0], gap.item(), atol=1e-4)


def test_every_choice_that_makes_another_classifier_is_in_its_identity(folders, guard):
    choices = [
        {"dtype": "bfloat16"},
        {"dtype": "float16"},
        {"policy": POLICY},
        {"policy": POLICY + "!"},
        {"answer_prefix": PREFIX},
        {"alphabet": guard.alphabet[:9]},
        {"alphabet": guard.alphabet[1:10]},
    ]
    guards = [guard, *(VisionLanguageGuard.from_pretrained(folders["llava"], **choice) for choice in choices)]
    assert len({each.identity for each in guards}) == len(guards)
    same = VisionLanguageGuard.from_pretrained(folders["llava"], policy="", image_size=(SIDE, SIDE), margin=1.0)
    assert same.identity == guard.identity


def test_counts_in_bfloat16_are_stored_as_those_of_another_classifier(folders, guard, tmp_path):
    path, image = tmp_path / "counts.jsonl", np.full((3, SIDE, SIDE), 128 / 255, np.float32)
    example, kernel = hrs.Example("grey", guard.encode("text"), image), hrs.UniformKernel(0.25, guard.alphabet.size)
    half = VisionLanguageGuard.from_pretrained(folders["llava"], dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    for each in (guard, half):
        smoothed, store = hrs.SmoothedGuard(each, kernel, 0.5, hrs.SuffixThreat(2)), CountsStore(path, each.identity)
        assert store.get(smoothed, example, n=64) is None
        store.sample(smoothed, [example], n=64, progress=False)
        again = CountsStore(path, each.identity).get(smoothed, example, n=64)
        assert again == smoothed.sample(example, 64)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [unit["classifier"] for unit in kept] == [guard.identity, half.identity]
    with pytest.raises(ValueError, match="the guard has another name"):
        CountsStore(path, guard.identity).sample(smoothed, [example], n=64)


@pytest.mark.parametrize("fits", [1, 3, 20])
def test_batches_that_do_not_fit_are_halved_and_nothing_else_changes(guard, draws, monkeypatch, fits):
    """A device that holds so many prompts and no more."""
    expected, tried = guard.scores(*draws), []

    def read(self, texts, images=None, known=None, *, keep=False):
        tried.append(len(texts))
        if len(texts) > fits:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return original(self, texts, images, known, keep=keep)

    original = VisionLanguageGuard._read
    monkeypatch.setattr(VisionLanguageGuard, "_read", read)
    small = replace(guard)  # the same guard, with a memory of its own
    np.testing.assert_allclose(small.scores(*draws), expected, atol=1e-4)
    assert small.batch.size == {1: 1, 3: 2, 20: 16}[fits]
    assert (max(tried) > fits) == (fits < 16)
    tried.clear()
    np.testing.assert_allclose(small.scores(*draws), expected, atol=1e-4)
    assert max(tried) <= fits  # it remembers
    assert guard.batch.size == 16


def test_counts_do_not_change_when_memory_runs_out(guard, monkeypatch):
    image = np.full((3, SIDE, SIDE), 128 / 255, np.float32)
    example, kernel = hrs.Example("grey", guard.encode("the text"), image), hrs.UniformKernel(0.25, guard.alphabet.size)
    expected = hrs.SmoothedGuard(guard, kernel, 0.5, hrs.SuffixThreat(4)).sample(example, 200)
    inputs, calls = type(guard.vision).inputs, itertools.count()

    def sometimes(self, images):
        if next(calls) in (2, 9):
            raise torch.cuda.OutOfMemoryError("out of memory")
        return inputs(self, images)

    monkeypatch.setattr(type(guard.vision), "inputs", sometimes)
    small = replace(guard)
    assert hrs.SmoothedGuard(small, kernel, 0.5, hrs.SuffixThreat(4)).sample(example, 200) == expected
    assert small.batch.size == 4


SAYS = [
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
]


def holding(fits, error, done):
    def work(rows):
        if rows.stop - rows.start > fits:
            raise error
        done.append((rows.start, rows.stop))

    return work


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("out of memory"), *map(RuntimeError, SAYS)])
def test_half_of_what_did_not_fit_is_tried_next(error):
    done, batch = [], BatchSize(256)
    batch.run(5, holding(2, error, done))
    assert (done, batch.size) == ([(0, 2), (2, 4), (4, 5)], 2)
    with pytest.raises(RuntimeError, match=r"memory|FAILED"):  # not even one row
        batch.run(3, holding(0, error, done))


def test_another_error_is_no_lack_of_memory():
    asked, batch = [], BatchSize(256)

    def work(rows):
        asked.append(rows)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        batch.run(5, work)
    assert (len(asked), batch.size) == (1, 256)


def test_rows_are_done_in_order():
    done = []
    BatchSize(8).run(20, done.append)
    assert [(rows.start, rows.stop) for rows in done] == [(0, 8), (8, 16), (16, 20)]


@pytest.mark.parametrize("installed", [False, True])
def test_flash_attention_is_taken_where_it_is_installed_and_serves(monkeypatch, installed):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    chosen = {(d, t): best_attention(d, t) for d in ("cpu", "cuda:1") for t in ("float32", "bfloat16", "float16")}
    flash = {where for where, how in chosen.items() if how == "flash_attention_2"}
    assert flash == ({("cuda:1", "bfloat16"), ("cuda:1", "float16")} if installed else set())


def test_its_repr_says_what_it_is(guard):
    shown = repr(guard)
    for part in ("llava,", "float32, sdpa on cpu", "images 32 x 32 as 16 tokens", f"alphabet of {guard.alphabet.size}"):
        assert part in shown
    assert "Unsafe" in shown.split("unsafe:")[1].split("safe:")[0]


def test_bad_choices_are_named_with_their_value(folders, tmp_path):
    cases = [
        ({"image_size": (0, 64)}, "image_size = 0"),
        ({"attention": "eager"}, "attention = eager"),
        ({"dtype": "float8"}, "dtype = 'float8'"),
    ]
    for choice, message in cases:
        with pytest.raises(ValueError, match=message):
            VisionLanguageGuard.from_pretrained(folders["llava"], **choice)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"^model_type = llama"):
        VisionLanguageGuard.from_pretrained(tmp_path)


def test_a_guard_that_reads_a_text_otherwise_than_alone_has_counts_of_its_own(folders, guard):
    """Counts that were drawn with the tokens of a text alone are not read as those of the text in its place."""
    apart = replace(guard, source=None)  # without the prompt, a text is tokenised alone
    assert not np.array_equal(apart.encode("the text"), guard.encode("the text"))
    assert apart.identity != guard.identity
    onevision = VisionLanguageGuard.from_pretrained(folders["onevision"])
    assert replace(onevision, source=None).identity == onevision.identity
