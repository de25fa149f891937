"""The identity of a guard: whatever its answers depend on makes another one, and nothing else does."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard.guard import CHAT_TEMPLATE, CHECKPOINT, load_bay_guard


@pytest.fixture(scope="module")
def guard():
    return load_bay_guard()


@pytest.fixture
def folder(tmp_path):
    """A copy of the small guard's checkpoint, to be changed."""
    return shutil.copytree(CHECKPOINT, tmp_path / "guard")


def edited(folder, file, **changes):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_it_is_the_same_wherever_and_however_the_same_guard_is_loaded(guard, folder):
    (folder / "README.md").write_text("other words")
    edited(folder, "config.json", transformers_version="5.0.0")
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + "{# a remark #}")
    assert VisionLanguageGuard.from_pretrained(folder, batch_size=7, margin=2.0).identity == guard.identity


def test_each_part_of_the_guard_makes_another_one(guard):
    changes = [
        {"before": guard.before[::-1].copy()},
        {"after": np.append(guard.after, guard.pad_id)},
        {"safe_ids": guard.unsafe_ids},
        {"unsafe_ids": guard.safe_ids},
        {"alphabet": guard.alphabet[1:]},
        {"pad_id": int(guard.alphabet[1])},
        {"mask_id": None},
        {"tokenizer": None},
        {"vision": replace(guard.vision, mean=(0.4, 0.5, 0.5))},
        {"vision": replace(guard.vision, std=(0.5, 0.5, 0.4))},
        {"vision": replace(guard.vision, image_size=(32, 33))},
    ]
    found = {replace(guard, **change).identity for change in changes}
    assert len(found | {guard.identity}) == len(changes) + 1


@pytest.mark.parametrize("text", ["do_normalize", "rope_theta", "weights", "tokenizer"])
def test_each_file_of_the_checkpoint_makes_another_one(guard, folder, text):
    if text == "do_normalize":
        processor = json.loads((folder / "processor_config.json").read_text())["image_processor"]
        edited(folder, "processor_config.json", image_processor=processor | {"do_normalize": False})
    elif text == "rope_theta":
        config = json.loads((folder / "config.json").read_text())["text_config"]
        rope = config["rope_parameters"] | {"rope_theta": 10001.0}
        edited(folder, "config.json", text_config=config | {"rope_parameters": rope})
    elif text == "weights":
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1  # one bit of one weight
        (folder / "model.safetensors").write_bytes(content)
    else:
        words = json.loads((folder / "tokenizer.json").read_text())["model"]
        one, other = list(words["vocab"])[100:102]
        swapped = {one: words["vocab"][other], other: words["vocab"][one]}
        edited(folder, "tokenizer.json", model=words | {"vocab": words["vocab"] | swapped})
    assert VisionLanguageGuard.from_pretrained(folder).identity != guard.identity


def test_a_template_that_prints_the_time_makes_another_guard_each_time(folder):
    turn = "{{ 'please' if strftime_now('%f')|int % 2 else 'check' }} "
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE.replace("<user> ", "<user> " + turn))
    guards = [VisionLanguageGuard.from_pretrained(folder) for _ in range(6)]
    for one in guards:
        for other in guards:
            assert (one.identity == other.identity) == np.array_equal(one.before, other.before)


def test_it_is_that_of_the_weights_in_memory(guard):
    changed = load_bay_guard()
    with torch.no_grad():
        changed.model.lm_head.weight[0, 0] += 1
    assert changed.identity != guard.identity
