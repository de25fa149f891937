"""ShieldGemma 2's own checkpoint scores as its own processor and model do: the log-odds of P(Yes)."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers as tf
from small_families import gemma3
from tokenizers import processors
from transformers import ShieldGemma2Config, ShieldGemma2ForImageClassification, ShieldGemma2Processor

from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.guards.wording import worded

# as in the published checkpoint: a turn begins before the image and again before the policy, and the question is here
TEMPLATE = (
    "{{ bos_token }}{%- for message in messages -%}{%- for item in message['content'] -%}{{ '<start_of_turn>user\n' }}"
    "{%- if item['type'] == 'image' -%}{{ '<start_of_image>' }}{%- elif item['type'] == 'text' -%}"
    "{{ '<BEGIN_SAFETY_POLICY>\n' + item['text'] + '\n</END_SAFETY_POLICY>\n\nDoes the image violate it?' }}"
    "{{ '<end_of_turn>\n' }}{%- endif -%}{%- endfor -%}{{'<start_of_turn>model\n'}}{%- endfor -%}"
)
POLICY = "No gore."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shieldgemma2")
    images, used, _, how, inner = gemma3("gemma3")
    used.add_tokens(["Yes", "No", "yes", "no"])  # ordinary tokens, as in Gemma's vocabulary
    first = processors.TemplateProcessing("<bos> $0", special_tokens=[("<bos>", used.bos_token_id)])
    used.backend_tokenizer.post_processor = first  # as Gemma's does, also where the template has written it
    facts = inner.to_dict()
    facts["text_config"]["vocab_size"] = len(used) + 7
    names = ("text_config", "vision_config", "mm_tokens_per_image", "boi_token_index", "eoi_token_index")
    answers = dict(zip(("yes_token_index", "no_token_index"), used.convert_tokens_to_ids(["Yes", "No"]), strict=True))
    kept = {name: facts[name] for name in (*names, "image_token_index", "initializer_range")}
    torch.manual_seed(0)
    model = ShieldGemma2ForImageClassification(ShieldGemma2Config(**kept, **answers))
    for weight in model.parameters():
        if weight.ndim > 1 and not weight.any():  # as initialised, it hides the image
            weight.data.normal_(0, 0.1)
    model.save_pretrained(folder)
    ShieldGemma2Processor(images, used, chat_template=TEMPLATE, **how).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def guard(folder):
    return VisionLanguageGuard.from_pretrained(folder, **vars(worded("shieldgemma", policy=POLICY)))


def test_scores_are_the_log_odds_of_its_own_forward(guard, folder):
    """The stock processor gets the policy, and the stock class reads P(Yes); images come one by one."""
    assert type(guard.model).__name__ == "Gemma3ForConditionalGeneration"
    stock = ShieldGemma2ForImageClassification.from_pretrained(folder)
    processor = ShieldGemma2Processor(tf.Gemma3ImageProcessorPil.from_pretrained(folder), guard.tokenizer, TEMPLATE, 4)
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(3):
        photo = rng.integers(0, 256, (*guard.image_size, 3), dtype=np.uint8)
        made = processor(images=[photo], policies=["mine"], custom_policies={"mine": POLICY}, return_tensors="pt")
        np.testing.assert_array_equal(made["input_ids"][0], np.concatenate([guard.before, guard.after]))
        assert (made["input_ids"][0, :3] == guard.tokenizer.bos_token_id).tolist() == [True, True, False]
        with torch.inference_mode():
            yes, no = stock(**made).probabilities[0]
        pixels = (photo.transpose(2, 0, 1)[None] / 255).astype(np.float32)
        scores.append(float(guard.scores(guard.encode("not read")[None], pixels)[0]))
        assert scores[-1] == pytest.approx(float(torch.log(yes / no)), abs=1e-4)
    assert np.ptp(scores) > 0.01  # the image is seen


def test_images_of_another_size_are_read_by_the_same_guard(guard):
    assert guard.at((40, 70)).unsafe_ids == guard.unsafe_ids == (guard.tokenizer.convert_tokens_to_ids("Yes"),)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reads_text": True}, "reads_text = True: ShieldGemma 2 judges the image alone; give reads_text=False"),
        ({"policy": None}, "policy = None: give the policy"),
        ({"answer_prefix": "It is:"}, "answer_prefix = 'It is:': .*leave it out"),
        ({"bits": 8}, "bits = 8: not tried with ShieldGemma 2"),
        (
            {"answers": ("safe", "unsafe")},
            r"no_token_index, yes_token_index = .*spelled \['No', 'Yes'\].*give answers=\('No'",
        ),
    ],
)
def test_another_way_of_asking_is_refused(folder, given, message):
    with pytest.raises(ValueError, match=message):
        VisionLanguageGuard.from_pretrained(folder, **vars(worded("shieldgemma", policy=POLICY)) | given)


def test_tokens_of_the_verdict_that_are_not_yes_and_no_are_refused(folder, tmp_path):
    """Without the entries, the stock class reads the tokens 10784 and 3771, whatever the tokenizer."""
    changed = shutil.copytree(folder, tmp_path / "guard")
    facts = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(facts | {"yes_token_index": "Yes"}))
    with pytest.raises(ValueError, match="yes_token_index = 'Yes': give a whole number"):
        VisionLanguageGuard.from_pretrained(changed, **vars(worded("shieldgemma", policy=POLICY)))
    del facts["yes_token_index"]
    (changed / "config.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"yes_token_index = \(\d+, 10784\): .*spelled \['No', None\]"):
        VisionLanguageGuard.from_pretrained(changed, **vars(worded("shieldgemma", policy=POLICY)))


def test_a_prompt_that_the_stock_processor_would_not_write_is_refused(folder, tmp_path):
    """The stock processor asks for no answer in a template that waits to be asked."""
    changed = shutil.copytree(folder, tmp_path / "guard")
    begun = "{{'<start_of_turn>model\n'}}"
    waits = TEMPLATE.replace(begun, "{% if add_generation_prompt %}" + begun + "{% endif %}")
    (changed / "chat_template.jinja").write_text(waits)
    with pytest.raises(ValueError, match=r"chat template = \d+ tokens: .*own processor writes another prompt"):
        VisionLanguageGuard.from_pretrained(changed, **vars(worded("shieldgemma", policy=POLICY)))
