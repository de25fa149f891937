"""A guard that writes before it judges writes what the stock model generates, and its verdict is in what it wrote."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_families import FAMILIES, save_family
from small_models import save_llava, save_onevision

import hybrid_rs as hrs
from hybrid_rs.attacks import Effort
from hybrid_rs.attacks.joint import attack_jointly
from hybrid_rs.guards.native import REFERENCE
from hybrid_rs.guards.prompt import asked, opened
from hybrid_rs.guards.reasoning import ReasoningGuard, verdict_in
from hybrid_rs.guards.vlm import VisionLanguageGuard

SAVED = {"llava": save_llava, "llava_onevision": save_onevision}
SIZE, LIMIT, POLICY = (56, 56), 6, "Think, then say safe or unsafe.\n"
TEXTS = ["is it safe", "is this picture unsafe with its text", "with"]
WORDS = ("safe", "unsafe")


def save(kind, folder):
    return SAVED[kind](folder) if kind in SAVED else save_family(kind, folder)


def loaded(folder, **options):
    options = {"image_size": SIZE, "policy": POLICY, "batch_size": 4, "limit": LIMIT, "undecided": "unsafe"} | options
    return ReasoningGuard.from_pretrained(folder, **options)


def generated(guard, words, photo):
    """What the stock model generates from the stock processor's prompt; where images are resized, from our pixels."""
    source = guard.guard.source
    opening, ending, lead = opened(source.processor, source.wording)
    stock = asked(source.processor, opening + lead + words + ending, photo)
    ids = np.concatenate([guard.guard.before, guard.encode(words), guard.guard.after])[None]
    np.testing.assert_array_equal(stock["input_ids"], ids)
    inputs = {name: torch.from_numpy(value) for name, value in stock.items()}
    inputs |= guard.guard.vision.inputs(torch.from_numpy((photo.transpose(2, 0, 1)[None] / 255).astype(np.float32)))
    model = guard.guard.model
    how = {"do_sample": False, "max_new_tokens": guard.limit, "eos_token_id": list(guard._ends), "pad_token_id": 0}
    made = model.generate(**inputs, **how)[0, stock["input_ids"].shape[1] :].tolist()
    ended = next((place for place, token in enumerate(made) if token in guard._ends), len(made))
    return guard.tokenizer.decode(made[:ended], skip_special_tokens=False, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("kind", [*SAVED, *FAMILIES])
def test_it_writes_what_the_stock_model_generates(tmp_path, kind):
    """Texts of several lengths, several texts to an image, and an end of the answer that some of them reach."""
    guard = loaded(save(kind, tmp_path), **({"image_size": None} if kind == "llava" else {}))
    rng = np.random.default_rng(0)
    photos = rng.integers(80, 176, (2, *guard.image_size, 3), dtype=np.uint8)
    pixels = (photos.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    first = [generated(guard, words, photos[0]) for words in TEXTS]
    assert len(set(first)) > 1 or kind == "gemma3"  # its embeddings are tied: untrained, it repeats the last token
    ids = guard.tokenizer(first[0], add_special_tokens=False)["input_ids"]
    guard.guard.model.generation_config.eos_token_id = ids[len(ids) // 2]  # the answer breaks off in the middle
    for words in TEXTS:
        texts = np.repeat(guard.encode(words)[None], 2, axis=0)
        expected = [generated(guard, words, photo) for photo in photos]
        assert guard.answers(texts, pixels) == expected
        assert guard.answers(np.repeat(texts, 3, axis=0), pixels, np.arange(6) % 2) == expected * 3
        unsafe = [verdict_in(each, WORDS) is not False for each in expected]
        np.testing.assert_array_equal(guard.unsafe(texts, pixels), unsafe)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_family("qwen2_5_vl", tmp_path_factory.mktemp("qwen"))


@pytest.fixture(scope="module")
def spoken(folder):
    """A guard whose words are two that this model often writes."""
    guard = loaded(folder)
    rng = np.random.default_rng(1)
    texts, images = rng.choice(guard.alphabet, (40, 5)), rng.random((40, 3, *SIZE), dtype=np.float32)
    count = Counter(word for answer in guard.answers(texts, images) for word in set(re.findall(r"\w+", answer.lower())))
    (often, _), (seldom, _) = count.most_common(2)
    return loaded(folder, answers=(often, seldom)), texts, images


def test_the_verdict_is_read_from_the_answer(spoken):
    guard, texts, images = spoken
    found = [verdict_in(answer, guard.guard.source.wording.answers) for answer in guard.answers(texts, images)]
    assert {None, True, False} == {*found}
    for undecided in ("unsafe", "safe"):
        expected = [(undecided == "unsafe") if each is None else each for each in found]
        np.testing.assert_array_equal(replace(guard, undecided=undecided).unsafe(texts, images), expected)


def test_it_is_smoothed_and_certified_and_attacked_by_its_verdicts_alone(spoken):
    guard = spoken[0]
    assert isinstance(guard, hrs.Guard)
    assert not hasattr(guard, "scores")
    assert not hasattr(guard, "gradients")
    with pytest.raises(AttributeError, match="a generated verdict has no gradient; attack it with its verdicts alone"):
        guard.gradients  # noqa: B018
    smoothed = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, guard.alphabet.size), 0.5, hrs.SuffixThreat(2))
    example = hrs.Example("a", guard.encode("is it"), np.full((3, *SIZE), 128 / 255, np.float32))
    counts = smoothed.sample(example, 24, masked=True)
    assert counts == smoothed.sample(example, 24, masked=True)
    little = Effort(draws=2, probes=4, candidates=1, sweeps=0, steps=1, rounds=1, restarts=1, select=2)
    assert attack_jointly(smoothed, example, 1, 0.5, effort=little).queries > 0


def test_its_identity_covers_how_an_answer_is_made_and_read(folder):
    one = loaded(folder)
    others = [
        loaded(folder, limit=LIMIT + 1), loaded(folder, undecided="safe"), loaded(folder, after="</think>"),
        loaded(folder, answers=("No", "Yes")), loaded(folder, answer_prefix="<think>"), loaded(folder, native=True),
    ]  # fmt: skip
    ended = loaded(folder)
    ended.guard.model.generation_config.eos_token_id = 300
    plain = VisionLanguageGuard.from_pretrained(folder, image_size=SIZE, policy=POLICY)
    assert loaded(folder).identity == one.identity
    assert len({each.identity for each in (one, ended, plain, *others)}) == 9
    assert "up to 6 tokens, then safe or unsafe, else unsafe" in repr(one)


def test_in_its_own_size_it_is_the_guard_of_that_size(folder):
    native, size = loaded(folder, native=True, image_size=REFERENCE), (28, 84)
    assert native.image_size is None
    fixed, images = loaded(folder, image_size=size), np.random.default_rng(2).random((3, 3, *size), dtype=np.float32)
    texts = np.repeat(fixed.encode("is it")[None], 3, axis=0)
    assert native.answers(texts, images) == fixed.answers(texts, images)
    assert native.at(size).identity == fixed.identity


def test_room_is_left_for_the_answer(folder):
    guard = loaded(folder)
    most = guard.guard.max_length
    assert guard.max_length == most - LIMIT
    with pytest.raises(ValueError, match=f"token_ids = {most - LIMIT + 1} tokens with its slot: the guard can read at"):
        guard.unsafe(np.full((1, most - LIMIT + 1), guard.pad_id), np.zeros((1, 3, *SIZE), np.float32))
    with pytest.raises(ValueError, match=r"prompt = \d+ tokens before any text and 5000 of the answer: .* generate"):
        loaded(folder, limit=5000)
    alone = loaded(folder, reads_text=False)
    assert (alone.max_length, alone.encode("any").size) == (0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit = 0: give"),
        ({"limit": True}, "limit = True: give"),
        ({"undecided": "maybe"}, "undecided = 'maybe': give one of safe, unsafe"),
        ({"after": 3}, "after = 3: give a string"),
        ({"margin": 1.0}, "margin = 1.0: a generated verdict has no score: leave it out"),
    ],
)
def test_what_it_cannot_be_is_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        loaded(folder, **options)


@pytest.mark.parametrize(
    ("answer", "after", "prefix", "verdict"),
    [
        ("", "", "", None),
        ("unsafely unsafes", "", "", None),
        ("UNSAFE.", "", "", True),
        ("Unsafe? no: Safe!", "", "", False),
        ("safe, I thought </think> unsafe, not safe", "</think>", "", True),
        ("a </think> safe </think> unsafe", "</think>", "", True),
        ("unsafe", "</think>", "", None),
        ("unsafe </think>", "</think>", "", None),
        ('Safe", "rationale": "nothing unsafe"}', '"rating":', '{"rating": "', False),
        ("nothing", "", "safe ", None),  # the beginning was written for the model
        ("safe", "", "un", None),
    ],
)
def test_a_verdict_is_a_whole_word_in_its_place(answer, after, prefix, verdict):
    assert verdict_in(answer, WORDS, after, prefix) is verdict


def test_words_of_several_parts_are_told_apart():
    assert verdict_in("It is not safe", ("safe", "not safe")) is True
    assert verdict_in("1.0", ("0", "1.0")) is True
