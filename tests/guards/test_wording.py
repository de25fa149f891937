"""The words of a prompt stand where they should; a guard without a text reads the stock prompt, token by token."""

import numpy as np
import pytest
import torch
from small_families import save_family
from small_models import save_onevision

import hybrid_rs as hrs
from hybrid_rs.guards.prompt import asked, opened
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.guards.wording import PRESETS, Wording, worded

TOLERANCE = 1e-4
POLICY = "Say safe or unsafe."
SAVE = {"llava_onevision": save_onevision, "qwen2_5_vl": None, "gemma3": None, "mllama": None}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    homes = {kind: tmp_path_factory.mktemp(kind) for kind in SAVE}
    return {kind: save(homes[kind]) if save else save_family(kind, homes[kind]) for kind, save in SAVE.items()}


@pytest.mark.parametrize("kind", SAVE)
def test_words_around_the_text_are_part_of_the_frame_and_not_noised(folders, kind):
    around = {"policy": POLICY, "before_text": "\nUser: ", "after_text": "\nEnd.", "answer_prefix": "Answer:"}
    guard = VisionLanguageGuard.from_pretrained(folders[kind], image_size=(56, 56), **around)
    opening, ending, lead = opened(guard.source.processor, guard.source.wording)
    assert lead == " "
    assert opening.endswith("\nUser:")
    assert "Say safe or unsafe.\n" in opening
    assert ending.startswith("\nEnd.")
    assert ending.endswith("Answer:")
    stock = asked(guard.source.processor, opening + lead + "is it" + ending, np.zeros((56, 56, 3), np.uint8))[
        "input_ids"
    ][0]
    np.testing.assert_array_equal(np.concatenate([guard.before, guard.encode("is it"), guard.after]), stock)
    plain = VisionLanguageGuard.from_pretrained(folders[kind], image_size=(56, 56), policy=POLICY)
    assert guard.identity != plain.identity


def test_a_space_that_is_read_with_the_text_makes_another_guard(folders):
    """It is in no id of the prompt, but in those of every text."""
    with_space, without = (
        VisionLanguageGuard.from_pretrained(folders["llava_onevision"], before_text=before)
        for before in ("User: ", "User:")
    )
    np.testing.assert_array_equal(with_space.before, without.before)
    assert not np.array_equal(with_space.encode("is it"), without.encode("is it"))
    assert with_space.identity != without.identity


@pytest.mark.parametrize("kind", SAVE)
def test_a_guard_of_the_image_alone_reads_the_stock_prompt(folders, kind):
    alone = {"policy": POLICY, "answer_prefix": "Answer:", "reads_text": False, "image_size": (56, 56)}
    guard = VisionLanguageGuard.from_pretrained(folders[kind], **alone)
    photo = np.random.default_rng(0).integers(80, 176, (56, 56, 3), dtype=np.uint8)
    stock = asked(guard.source.processor, opened(guard.source.processor, guard.source.wording)[0], photo)
    np.testing.assert_array_equal(guard.before, stock["input_ids"][0])
    pixels = (photo.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    inputs = {name: torch.from_numpy(value) for name, value in stock.items()}
    inputs |= guard.vision.inputs(torch.from_numpy(pixels))
    with torch.inference_mode():
        logits = guard.model(**inputs).logits[0, -1]
    gap = logits[list(guard.unsafe_ids)].logsumexp(0) - logits[list(guard.safe_ids)].logsumexp(0)
    assert guard.encode("anything").size == 0
    score = guard.scores(np.empty((1, 0), dtype=np.int64), pixels)
    np.testing.assert_allclose(score, gap.numpy(), atol=TOLERANCE)


def test_the_image_alone_is_certified_without_a_slot(folders):
    guard = VisionLanguageGuard.from_pretrained(folders["llava_onevision"], policy=POLICY, reads_text=False)
    kernel = hrs.UniformKernel(0.25, guard.alphabet.size)
    image = np.zeros((3, *guard.image_size), np.float32)
    example = hrs.Example("a", guard.encode("some text"), image)
    front = hrs.SmoothedGuard(guard, kernel, 0.5, hrs.SuffixThreat(0)).certify(example, 64, tau=0.01)
    assert front.radii.shape == (1,)
    with pytest.raises(ValueError, match=r"1 tokens with its slot: the guard judges the image alone"):
        hrs.SmoothedGuard(guard, kernel, 0.5, hrs.SuffixThreat(1)).sample(example, 64)


def test_a_prefix_that_is_there_already_is_not_repeated():
    assert Wording(answer_prefix="\n\n").begun("assistant\n\n") == "assistant\n\n"
    assert Wording(answer_prefix="\n\n").begun("assistant\n") == "assistant\n\n\n"
    assert Wording().begun("assistant") == "assistant"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"answers": ("no",)}, "answers = .*give two words"),
        ({"answers": ("", "yes")}, "answers = .*give two words"),
        ({"answers": "NY"}, "answers = 'NY': give two words"),
        ({"answers": 2}, "answers = 2: give two words"),
        ({"answers": ("Yes", "yes")}, "answers = .*that differ in more than capital letters"),
        ({"reads_text": False, "before_text": "User:"}, "this guard reads no text"),
        ({"reads_text": "no"}, "reads_text = 'no': give True or False"),
        ({"before_text": 3}, "before_text = 3: give a string"),
    ],
)
def test_words_that_fit_nowhere_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Wording(**given)


def test_a_preset_gives_way_to_what_is_said_and_asks_for_its_policy():
    assert worded(None) == Wording()
    assert worded("llama-guard-3-vision").answer_prefix == "\n\n"
    said = worded("llavaguard", policy=POLICY, answers=("fine", "bad"), reads_text=True)
    assert (said.policy, said.answers, said.reads_text) == (POLICY, ("fine", "bad"), True)
    assert said.answer_prefix == PRESETS["llavaguard"].wording.answer_prefix
    for name, preset in PRESETS.items():
        if preset.needs_policy:
            with pytest.raises(
                ValueError, match=f"policy = None: preset {name} needs a policy in a file: the model card"
            ):
                worded(name)
    with pytest.raises(ValueError, match="preset = 'other': give one of llavaguard, "):
        worded("other")


def test_a_template_that_moves_the_words_is_refused(folders):
    class Odd:
        chat_template = ""

        def apply_chat_template(self, conversation, add_generation_prompt):
            texts = [part["text"] for part in conversation[0]["content"] if "text" in part]
            return "<image>" + " ".join(texts).upper().replace("UNTRUSTED-TEXT-GOES-HERE", "untrusted-text-goes-here")

    with pytest.raises(ValueError, match="it must show the words around the user's text"):
        opened(Odd(), Wording(before_text="User: "))
