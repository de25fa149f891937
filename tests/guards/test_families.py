"""Each family reads what its own processor and the stock model read: pixels, scores, branches and gradients."""

import copy
import inspect
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image
from small_families import FAMILIES, chat, save_family
from small_models import save_llava

import hybrid_rs as hrs
from hybrid_rs.checkout import checkout
from hybrid_rs.guards import families, llama4, passes, trial
from hybrid_rs.guards.llava import LlavaVision
from hybrid_rs.guards.loading import loaded
from hybrid_rs.guards.measured import measured
from hybrid_rs.guards.prefix import positions
from hybrid_rs.guards.prompt import asked, opened
from hybrid_rs.guards.still import still
from hybrid_rs.guards.stock_images import StockVision
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.guards.wording import Wording, worded

TOLERANCE = 1e-4  # logits; float32 sums taken in another order
SIZE, TEXT, POLICY = (48, 64), "is this picture safe with its text", "Say safe or unsafe.\n"
SIZES = [(56, 56), (48, 64), (70, 30), (28, 84), (33, 95)]
PASSES = {
    "idefics3": 3,
    "smolvlm": 3,
    "llava_next": 1,
    "internvl": 1,
}  # resizings one after the other: each rounds to 8 bits
ALONE = {"mllama", "paligemma"}  # families that read every text completely


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: save_family(kind, tmp_path_factory.mktemp(kind)) for kind in FAMILIES}


@pytest.fixture(scope="module")
def guards(folders):
    options = {"image_size": SIZE, "policy": POLICY, "batch_size": 4}
    return {kind: VisionLanguageGuard.from_pretrained(folder, **options) for kind, folder in folders.items()}


@pytest.fixture(scope="module")
def processors(folders):
    return {kind: loaded(still(kind), folder) for kind, folder in folders.items()}


def photograph(size, seed=0):
    """Random pixels of 8 bits, far enough from black and white that resizing overshoots neither."""
    return np.random.default_rng(seed).integers(80, 176, (*size, 3), dtype=np.uint8)


def as_pixels(photo):
    return (photo.transpose(2, 0, 1)[None] / 255).astype(np.float32)


def followed(processor, size):
    return StockVision.of(processor, opened(processor, Wording(POLICY)), size, {"pixel_values"})


def test_the_families_that_load_are_those_that_are_tried_here():
    assert FAMILIES.keys() == set(families.STOCK)
    assert {"llava", "llava_onevision"} == set(families.OWN)  # they have modules of their own


def test_the_page_of_commands_lists_the_families_that_load():
    page = checkout("book/command_line.md").read_text()
    table = page.partition("| `model_type` |")[2].partition("\n\n")[0].splitlines()[2:]
    assert {kind for row in table for kind in re.findall(r"`(\w+)`", row.split("|")[1])} == families.FAMILIES.keys()
    said = {11: "eleven", 12: "twelve", 13: "thirteen"}[len(families.FAMILIES)]
    assert f"one of {said} families" in checkout("README.md").read_text()
    for row in table:
        for kind in re.findall(r"`(\w+)`", row.split("|")[1]):
            assert families.FAMILIES[kind].images in row


STORED = {
    row["family"]: row for row in map(json.loads, checkout("data/guards/families.jsonl").read_text().splitlines())
}
BOUNDS = {"pixels": 2.2, "score": TOLERANCE, "branches": TOLERANCE, "gradient": 0.05}  # gradient: of finite differences


def test_every_family_was_measured():
    assert STORED.keys() == families.FAMILIES.keys()
    for row in STORED.values():
        assert row["prompt"]
        assert row["answer"]
        assert all(row[name] is None or 0 <= row[name] < bound for name, bound in BOUNDS.items())


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_is_stored_of_a_family_is_measured_again(guards, kind):
    found, stored = measured(guards[kind]), STORED[kind]
    assert (found["prompt"], found["answer"]) == (True, True)
    assert (found["branches"] is None) == (stored["branches"] is None) == (kind in ALONE)
    assert all(found[name] is None or found[name] < bound for name, bound in BOUNDS.items())
    assert found["pixels"] == pytest.approx(stored["pixels"], abs=0.01)


def test_a_guard_that_is_off_is_measured_as_off(guards):
    guard = guards["gemma3"]
    off = tuple(step and replace(step, shift=step.shift + 0.5) for step in guard.vision.steps)
    wrong = replace(guard, vision=replace(guard.vision, steps=off))
    assert measured(wrong)["pixels"] > BOUNDS["pixels"]
    with pytest.raises(ValueError, match="guard = without a checkpoint: load it with"):
        measured(replace(guard, source=None))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", FAMILIES)
def test_pixels_are_those_of_the_processor_in_any_shape(processors, kind, size):
    """Within the rounding of its resizings; to the last bits of float32 where nothing is resized."""
    processor, photo = processors[kind], photograph(size)
    vision = followed(processor, size)
    expected = asked(processor, opened(processor, Wording(POLICY))[0], photo)["pixel_values"]
    levels = np.abs(vision.inputs(torch.from_numpy(as_pixels(photo)))["pixel_values"].numpy() - expected)
    levels *= 255 * float(np.min(processor.image_processor.image_std))
    resized = any(step.size != step.places.numbers.shape[-2:] for step in vision.steps if step)
    assert levels.max() < (1.1 if PASSES.get(kind, 1) == 1 else 2.2)
    assert resized or levels.max() < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 3), (3, 50), (50, 1)])
@pytest.mark.parametrize("kind", FAMILIES)
def test_an_image_of_1_or_3_pixels_height_is_read_as_the_stock_processor_reads_a_picture(processors, kind, size, capfd):
    """The height could be taken for the channels: nothing is guessed, and no warning says that it was."""
    processor, photo = processors[kind], photograph(size)
    stock = processor.image_processor(Image.fromarray(photo), return_tensors="np")["pixel_values"]
    capfd.readouterr()
    opening = opened(processor, Wording(POLICY))[0]
    np.testing.assert_array_equal(asked(processor, opening, photo)["pixel_values"], stock)
    shown = followed(processor, size).inputs(torch.from_numpy(as_pixels(photo)))["pixel_values"].numpy()
    assert 255 * float(np.min(processor.image_processor.image_std)) * np.abs(shown - stock).max() < 2.2
    assert "ambiguous" not in capfd.readouterr().err


REAL = {  # as checkpoints of real size have them
    "qwen2_5_vl": tf.Qwen2VLImageProcessorPil(),
    "gemma3": tf.Gemma3ImageProcessorPil(),
    "llava_next": tf.LlavaNextImageProcessorPil(image_grid_pinpoints=[[224, 448], [448, 224]]),
}


@pytest.mark.parametrize("kind", REAL)
def test_processors_of_real_size_are_followed_too(processors, kind):
    processor = copy.copy(processors[kind])
    processor.image_processor = REAL[kind]
    vision = followed(processor, (224, 320))
    assert vision.off(processor, opened(processor, Wording(POLICY))[0], seed=1) < 1.2
    assert len([step for step in vision.steps if step]) <= len(vision.steps) // 2 + 1  # scaling and moving are one step


@pytest.mark.parametrize("kind", FAMILIES)
def test_noise_goes_through_linearly_however_large(processors, kind):
    vision, rng = followed(processors[kind], SIZE), np.random.default_rng(1)
    first, second = (torch.from_numpy(5 * rng.standard_normal((2, 3, *SIZE), dtype=np.float32)) for _ in range(2))
    none, one, other, both = (
        vision.inputs(each)["pixel_values"] for each in (0 * first, first, second, 3 * first - second)
    )
    torch.testing.assert_close(both - none, 3 * (one - none) - (other - none), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("kind", FAMILIES)
def test_scores_are_those_of_processor_and_stock_model(guards, processors, kind):
    """The whole way, from a picture of 8 bits and a text; where it is resized, the stock model is shown our pixels."""
    guard, processor, photo = guards[kind], processors[kind], photograph(SIZE, 2)
    opening, ending, _ = opened(processor, Wording(POLICY))
    stock = asked(processor, opening + TEXT + ending, photo)
    ids = np.concatenate([guard.before, guard.encode(TEXT), guard.after])
    np.testing.assert_array_equal(ids, stock["input_ids"][0])
    inputs = {name: torch.from_numpy(value) for name, value in stock.items()}
    inputs |= guard.vision.inputs(torch.from_numpy(as_pixels(photo)))
    with torch.inference_mode():
        logits = guard.model(**inputs).logits[0, -1]
    gap = logits[list(guard.unsafe_ids)].logsumexp(0) - logits[list(guard.safe_ids)].logsumexp(0)
    if hasattr(getattr(guard.model, "model", None), "rope_deltas"):
        assert guard.model.model.rope_deltas is not None  # what stock models remember does not mislead the guard
    score = guard.scores(guard.encode(TEXT)[None], as_pixels(photo))
    np.testing.assert_allclose(score, gap.numpy(), atol=TOLERANCE)


@pytest.mark.parametrize("kind", FAMILIES)
def test_batches_and_branches_score_like_each_text_alone(guards, kind):
    guard, rng = guards[kind], np.random.default_rng(3)
    texts, index = rng.choice(guard.alphabet, (12, 7)), np.sort(rng.integers(0, 5, 12))
    for row in range(12):
        same = slice(0, rng.integers(0, 8))
        texts[row, same] = texts[rng.choice(np.flatnonzero(index == index[row])), same]
    pixels = rng.standard_normal((5, 3, *SIZE), dtype=np.float32)
    alone = np.concatenate([guard.scores(texts[i : i + 1], pixels[[index[i]]]) for i in range(12)])
    assert np.ptp(alone) > 100 * TOLERANCE
    np.testing.assert_allclose(guard.scores(texts, pixels, index), alone, atol=TOLERANCE, rtol=0)
    swapped = guard.scores(texts[:1], pixels[(index[:1] + 1) % 5])
    assert abs(swapped[0] - alone[0]) > 10 * TOLERANCE  # the image is seen
    assert guard.reuse is (kind not in ALONE)


@pytest.mark.parametrize("kind", FAMILIES)
def test_gradients_are_differences_of_scores(guards, kind):
    guard, rng = guards[kind], np.random.default_rng(4)
    texts, images = rng.choice(guard.alphabet, (2, 5)), rng.random((2, 3, *SIZE), dtype=np.float32)
    scores, by_token, by_pixel = guard.gradients(texts, images)
    np.testing.assert_allclose(scores, guard.scores(texts, images), atol=TOLERANCE)
    assert by_token.shape == (2, 5, guard.embeddings.shape[1])
    step = 0.01 * by_pixel / np.linalg.norm(by_pixel.reshape(2, -1), axis=1)[:, None, None, None]
    slope = (guard.scores(texts, images + step) - guard.scores(texts, images - step)) / 2
    np.testing.assert_allclose(slope, (by_pixel * step).sum(axis=(1, 2, 3)), rtol=0.1)
    place = len(guard.before) + 2
    moved = torch.from_numpy(0.01 * by_token[:, 2] / np.linalg.norm(by_token[:, 2], axis=1, keepdims=True))
    ends = []
    for sign in (1, -1):
        away = torch.nn.functional.pad(sign * moved[:, None], (0, 0, place, 2 + len(guard.after)))
        hook = guard.model.get_input_embeddings().register_forward_hook(lambda layer, given, out, away=away: out + away)
        ends.append(guard.scores(texts, images))
        hook.remove()
    np.testing.assert_allclose((ends[0] - ends[1]) / 2, (by_token[:, 2] * moved.numpy()).sum(axis=1), rtol=0.1)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_model_is_given_nothing_that_it_does_not_name(guards, kind):
    """Models take any other name, too, and do nothing with it."""
    guard = guards[kind]
    named = inspect.signature(guard.model.forward).parameters
    assert {*guard.vision.beside, *guard.vision.along, *guard.vision.example} <= named.keys()


@pytest.mark.parametrize("kind", FAMILIES)
def test_no_special_token_is_in_the_alphabet_or_taken_as_text(guards, kind):
    guard = guards[kind]
    special = [*guard.tokenizer.all_special_ids, guard.model.config.image_token_id]
    assert not np.isin(special, guard.alphabet).any()
    assert not np.isin(guard.encode("".join(guard.tokenizer.all_special_tokens)), special).any()


def test_the_same_guard_has_the_same_identity_and_another_size_another(guards, folders):
    options = {"policy": POLICY, "batch_size": 8}
    again, larger = (
        VisionLanguageGuard.from_pretrained(folders["qwen2_5_vl"], image_size=size, **options)
        for size in (SIZE, (64, 48))
    )
    assert again.identity == guards["qwen2_5_vl"].identity != larger.identity
    assert len({guard.identity for guard in guards.values()}) == len(guards)
    with pytest.raises(ValueError, match=r"image_size = None: this model reads any size: give"):
        VisionLanguageGuard.from_pretrained(folders["qwen2_5_vl"])
    assert VisionLanguageGuard.from_pretrained(folders["gemma3"]).image_size == (56, 56)


def test_the_words_of_the_verdict_are_those_that_are_given(guards, folders):
    options = {"image_size": SIZE, "policy": POLICY, "answer_prefix": "It is a"}
    asks = VisionLanguageGuard.from_pretrained(folders["qwen2_5_vl"], answers=("text", "picture"), **options)
    spelled = asks.tokenizer.convert_ids_to_tokens(asks.unsafe_ids), asks.tokenizer.convert_ids_to_tokens(asks.safe_ids)
    assert [{word.lstrip("Ġ").lower() for word in words} for words in spelled] == [{"picture"}, {"text"}]
    assert asks.identity != guards["qwen2_5_vl"].identity
    for words, message in (
        (("text", "Text"), "differ in more than capital letters"),
        (("no",), "give two words"),
        (("", "yes"), "give two words"),
        (("quick", "brown"), "no spelling of quick and brown is one token"),
    ):
        with pytest.raises(ValueError, match=message):
            VisionLanguageGuard.from_pretrained(folders["qwen2_5_vl"], answers=words, **options)


def test_it_is_smoothed_and_certified_at_its_own_shape(guards):
    guard = guards["qwen2_5_vl"]
    assert isinstance(guard, hrs.Guard)
    example = hrs.Example("photograph", guard.encode(TEXT), as_pixels(photograph(SIZE))[0])
    kernel, threat = hrs.UniformKernel(0.25, guard.alphabet.size), hrs.SuffixThreat(2)
    smoothed = hrs.SmoothedGuard(guard, kernel, 0.5, threat, noise="lattice")
    counts = [smoothed.sample(example, 32, masked=True) for _ in range(2)]
    assert counts[0] == counts[1]
    assert 0 < max(counts[0].unsafe) <= 32


@pytest.mark.parametrize(
    "change",
    [
        lambda image: np.sqrt(np.abs(image)),
        lambda image: image[:, ::-1] + 0.4,
        lambda image: np.minimum(image, image.mean()),
    ],
)
def test_a_processor_that_calculates_otherwise_is_refused(folders, monkeypatch, change):
    processor = loaded(still("qwen2_5_vl"), folders["qwen2_5_vl"])
    kind = type(processor.image_processor)
    stock = kind.patchify
    monkeypatch.setattr(kind, "patchify", lambda self, image, **options: stock(self, change(image), **options))
    with pytest.raises(ValueError, match=r"image processor = Qwen2VLImageProcessorPil.*arithmetic that is not known"):
        followed(processor, SIZE)


def test_keys_are_not_shared_where_tokens_see_what_comes_later(guards, folders):
    guard = guards["paligemma"]
    texts, images = np.tile(guard.alphabet[:6], (2, 1)), np.full((1, 3, *SIZE), 0.2, np.float32)
    texts[1, -1] = guard.alphabet[9]
    shared = replace(guard, reuse=True).scores(texts, images, np.zeros(2, dtype=int))
    assert np.abs(shared - guard.scores(texts, images, np.zeros(2, dtype=int))).max() > 0.01
    assert not trial.reusable(guard)
    rough = VisionLanguageGuard.from_pretrained(folders["paligemma"], policy=POLICY, dtype="bfloat16")
    assert not rough.reuse  # though in this precision a trial alone might find no difference


def test_every_token_of_a_prefix_lm_sees_the_later_ones(guards):
    """Tokens of kind 0 do. If they were of kind 1, as those of an answer, they would see the earlier ones alone."""
    guard = guards["paligemma"]
    opening, later = guard.vision.along["token_type_ids"]
    answer = {"token_type_ids": (np.ones_like(opening), np.ones_like(later))}
    causal = replace(guard, vision=replace(guard.vision, along=answer))
    texts, images = guard.encode(TEXT)[None], as_pixels(photograph(SIZE))
    assert np.abs(causal.scores(texts, images) - guard.scores(texts, images)).max() > 0.01
    with pytest.raises(ValueError, match=r"the stock model's score of this prompt differs"):
        trial.require_stock(causal)


@pytest.mark.parametrize("reads_text", [True, False])
def test_without_a_template_the_prompt_is_what_the_processor_writes(guards, folders, reads_text):
    """The stock class gets the words alone, and writes the image tokens, <bos> and the line break itself."""
    used = guards["paligemma"].source.processor
    words = {"before_text": "User: ", "after_text": " End."} if reads_text else {"reads_text": False}
    guard = VisionLanguageGuard.from_pretrained(folders["paligemma"], policy=POLICY, **words)
    stock = tf.PaliGemmaProcessor(used.image_processor, used.tokenizer)
    shown = f"{POLICY}User: {TEXT} End." if reads_text else POLICY
    made = stock(text="<image>" + shown, images=photograph(guard.image_size), return_tensors="np")
    ids = np.concatenate([guard.before, guard.encode(TEXT), guard.after])
    np.testing.assert_array_equal(made["input_ids"][0], ids)
    np.testing.assert_array_equal(made["token_type_ids"], guard.vision.along_text(1, len(ids))["token_type_ids"])
    assert made["attention_mask"].all()
    scores = guard.scores(guard.encode(TEXT)[None], as_pixels(photograph(guard.image_size)))
    inputs = {name: torch.from_numpy(value) for name, value in made.items() if name != "labels"}
    with torch.inference_mode():  # at this size nothing is resized
        gap = guard._gaps(guard.model(**inputs | {"pixel_values": inputs["pixel_values"].float()}).logits)
    np.testing.assert_allclose(scores, gap.numpy(), atol=TOLERANCE)


def test_a_template_of_the_checkpoint_goes_into_what_the_processor_writes(folders, tmp_path):
    folder = shutil.copytree(folders["paligemma"], tmp_path / "guard")
    (folder / "chat_template.jinja").write_text(chat("user: ", "<image>", ";", " model:").replace("\\n", "\n"))
    processor = loaded(still("paligemma"), folder)
    assert opened(processor, Wording(POLICY)) == ("user: <image><bos>Say safe or unsafe.\n", "; model:\n", "")


def test_a_prefix_lm_refuses_the_beginning_of_an_answer_and_flash_attention(folders):
    with pytest.raises(ValueError, match=r"answer_prefix = 'Answer:': paligemma reads .* both directions"):
        VisionLanguageGuard.from_pretrained(folders["paligemma"], answer_prefix="Answer:")
    with pytest.raises(ValueError, match=r'attention = flash_attention_2: give "sdpa"; the other was not tried'):
        VisionLanguageGuard.from_pretrained(folders["paligemma"], attention="flash_attention_2")


def test_the_second_version_with_capped_attention_is_read_as_the_stock_model_reads_it(tmp_path):
    """PaliGemma 2 has Gemma 2 for a language model; its logits are capped within attention and at the end."""
    guard = VisionLanguageGuard.from_pretrained(save_family("paligemma", tmp_path, text="gemma2"), policy=POLICY)
    assert type(guard.model.model.language_model).__name__ == "Gemma2Model"
    parts = [guard.model.config, guard.model.config.vision_config, guard.model.config.text_config]
    assert [part._attn_implementation for part in parts] == ["sdpa", "sdpa", "eager"]
    found = measured(guard)
    assert (found["prompt"], found["answer"], found["branches"]) == (True, True, None)
    assert all(found[name] < BOUNDS[name] for name in ("pixels", "score", "gradient"))


@pytest.mark.parametrize(
    ("size", "side", "enlarged", "expected"),
    [
        ((300, 700), 336, False, (1, 3, (300, 700))),
        ((1, 1), 336, False, (1, 1, (336, 336))),
        ((700, 500), 336, False, (3, 2, (700, 500))),
        ((900, 300), 336, True, (6, 2, (2016, 672))),
        ((4000, 3000), 336, False, (4, 3, (1344, 1008))),
        ((48, 64), 28, False, (2, 2, (42, 56))),
    ],
)
def test_tiles_of_llama4_are_those_of_the_stock_class(size, side, enlarged, expected):
    """Numbers of the stock class; ``torchvision_images.py`` compares thousands of sizes where torchvision is."""
    assert llama4.fitted(size, side, 4 if side == 28 else 16, enlarged) == expected


def test_llama4_loads_from_the_files_that_the_hub_has(guards, folders, tmp_path):
    folder = shutil.copytree(folders["llama4"], tmp_path / "guard")
    file = folder / "processor_config.json"
    settings = json.loads(file.read_text())
    images = settings.pop("image_processor")
    images |= {"image_processor_type": "Llama4ImageProcessorFast", "crop_size": None, "device": None, "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(images | {"processor_class": "Llama4Processor"}))
    file.write_text(json.dumps(settings))
    again = VisionLanguageGuard.from_pretrained(folder, image_size=SIZE, policy=POLICY)
    assert again.identity == guards["llama4"].identity


@pytest.mark.parametrize(
    "blank", ["", "\\n\\n"], ids=["the answer begins with a blank line", "the prompt ends with it"]
)
def test_llama_guard_4_is_read_as_the_stock_model_reads_it(tmp_path, blank):
    """It has no experts, no chunks of attention (null), and its prompt around the text in its chat template."""
    folder = save_family("llama4", tmp_path, moe_layers=())
    cut = VisionLanguageGuard.from_pretrained(folder, image_size=SIZE, answer_prefix="\n\n")
    chunk = cut.model.config.text_config.attention_chunk_size
    assert cut.max_length == chunk - len(cut.before) - len(cut.after)

    settings = json.loads((folder / "config.json").read_text())
    settings["text_config"]["attention_chunk_size"] = None
    (folder / "config.json").write_text(json.dumps(settings))
    task = "Task: find unsafe content.\\n\\n<BEGIN CONVERSATION>\\n\\nUser: "
    template = chat(
        f"<|header_start|>user<|header_end|>\\n\\n{task}", "<|image|>",
        "\\n\\n<END CONVERSATION>\\n\\nFirst line: safe or unsafe.<|eot|>",
        f"<|header_start|>assistant<|header_end|>{blank}", "<|begin_of_text|>",
    )  # fmt: skip
    (folder / "chat_template.jinja").write_text(template)
    guard = VisionLanguageGuard.from_pretrained(folder, image_size=SIZE, **vars(worded("llama-guard-4")))
    assert not any("Moe" in type(layer).__name__ for layer in guard.model.modules())
    assert guard.tokenizer.decode(guard.after).endswith("<|eot|><|header_start|>assistant<|header_end|>\n\n")
    assert guard.max_length == settings["text_config"]["max_position_embeddings"] - len(guard.before) - len(guard.after)
    found = measured(guard)
    assert (found["prompt"], found["answer"], guard.reuse) == (True, True, True)
    assert all(found[name] < bound for name, bound in BOUNDS.items())
    pair = np.array([guard.tokenizer(TEXT)["input_ids"]]), np.zeros((1, 3, *SIZE), np.float32), np.array([0])
    framed = replace(cut, before=guard.before, after=guard.after, vision=guard.vision)
    assert framed.scores(*pair) == pytest.approx(guard.scores(*pair), abs=TOLERANCE)  # as with a chunk of this length


def test_a_guard_that_reads_otherwise_than_the_stock_model_is_refused(folders, monkeypatch):
    monkeypatch.setattr(passes, "positions", lambda model, whole: positions(model, whole).flip(-1))
    with pytest.raises(ValueError, match=r"processor = 4 image tokens in the prompt: the stock .* score .* differs"):
        VisionLanguageGuard.from_pretrained(folders["qwen2_vl"], image_size=SIZE)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError])
def test_a_model_that_fails_is_refused_with_what_it_says(guards, monkeypatch, error):
    """As Llama 4 does in transformers 5.24.0."""

    def failing(*arguments):
        raise error("no image_outputs")

    monkeypatch.setattr(passes, "whole", failing)
    with pytest.raises(ValueError, match=r"processor and model must agree .* \(the model says: no image_outputs\)"):
        trial.require_stock(guards["llama4"])


def test_a_family_that_was_not_tried_is_refused_by_name(tmp_path):
    file = save_llava(tmp_path) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_type": "vipllava"}))
    served = ", ".join(families.FAMILIES)
    with pytest.raises(ValueError, match=f"model_type = vipllava: give .*known: {served}"):
        VisionLanguageGuard.from_pretrained(tmp_path)
    pixtral = tf.LlavaConfig(vision_config={"model_type": "pixtral"})  # Pixtral calls itself llava
    with pytest.raises(ValueError, match=r"vision_config\.model_type = pixtral: give a checkpoint whose vision tower"):
        LlavaVision.of(pixtral, None, None)
