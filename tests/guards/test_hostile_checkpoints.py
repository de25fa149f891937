"""A checkpoint that is broken, inconsistent or hostile is one error that names what is wrong, soon; never a guard."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

import hybrid_rs as hrs
from hybrid_rs.guards.denoised import DenoisedGuard
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import CHAT_TEMPLATE, CHECKPOINT, load_bay_guard


@pytest.fixture(scope="module")
def guard():
    return load_bay_guard()


@pytest.fixture
def folder(tmp_path):
    """A copy of the small guard's checkpoint, to be broken."""
    return shutil.copytree(CHECKPOINT, tmp_path / "guard")


def edit(folder, file, part=None, **changes):
    path = folder / file
    values = json.loads(path.read_text())
    (values[part] if part else values).update(changes)
    path.write_text(json.dumps(values))


def reweigh(folder, change):
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", {"format": "pt"})


def refused(folder, message):
    with pytest.raises(ValueError, match=message) as caught:
        VisionLanguageGuard.from_pretrained(folder)
    assert "\n" not in str(caught.value)


HEAD = next(name for name in load_file(CHECKPOINT / "model.safetensors") if "lm_head" in name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {name: weight for name, weight in w.items() if name != HEAD}, r"path = .*config.json = .* weights"),
        (lambda w: w | {"spare": w[HEAD].clone()}, r"weights = 1 unexpected \(spare\)"),
        (lambda w: {"other" if name == HEAD else name: weight for name, weight in w.items()},
         r"weights = 1 missing \(lm_head.weight\), 1 unexpected \(other\)"),
        (lambda w: w | {HEAD: w[HEAD].T.contiguous()}, r"weights = 1 of another shape \(lm_head.weight\)"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fill_the_network_are_refused_by_name(folder, change, message):
    reweigh(folder, change)
    refused(folder, message)


def test_weights_that_are_tied_need_not_be_there_twice(folder):
    edit(folder, "config.json", tie_word_embeddings=True)
    edit(folder, "config.json", "text_config", tie_word_embeddings=True)
    reweigh(folder, lambda weights: {name: weight for name, weight in weights.items() if "lm_head" not in name})
    one, other = (VisionLanguageGuard.from_pretrained(folder) for _ in range(2))
    assert one.identity == other.identity
    torch.testing.assert_close(one.model.lm_head.weight, one.model.get_input_embeddings().weight)


def test_a_denoiser_that_is_not_whole_is_refused_by_name(tmp_path, guard):
    unet = UNet2DModel(
        sample_size=8, block_out_channels=(8,), layers_per_block=1, norm_num_groups=4, attention_head_dim=4,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path)
    edit(tmp_path, "unet/config.json", layers_per_block=10**6)
    with pytest.raises(ValueError, match="layers_per_block = 1000000: the files have only"):
        DenoisedGuard.from_pretrained(guard, tmp_path, 0.5)
    edit(tmp_path, "unet/config.json", layers_per_block=1)
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: weight for name, weight in load_file(file).items() if "conv_out" not in name}, file)
    with pytest.raises(ValueError, match=r"weights = 2 missing \(conv_out.bias, conv_out.weight\)"):
        DenoisedGuard.from_pretrained(guard, tmp_path, 0.5)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_an_error_that_names_example_and_draw(folder, weight):
    def spoilt(weights):
        next(w for name, w in weights.items() if "input_layernorm" in name)[0] = weight
        return weights

    reweigh(folder, spoilt)
    broken, example = VisionLanguageGuard.from_pretrained(folder), bay_notes.examples("test", 1, unsafe=True)[0]
    pair = example.token_ids[None], example.image[None]
    for question in (broken.scores, broken.unsafe, broken.gradients):
        with pytest.raises(ValueError, match=r"(nan|inf) for row 0 of the batch: return finite numbers"):
            question(*pair)
    smoothed = hrs.SmoothedGuard(broken, hrs.UniformKernel(0.25, broken.alphabet.size), 0.5, hrs.SuffixThreat(2))
    with pytest.raises(ValueError, match=f"for example '{example.id}', draw 0: return finite numbers"):
        smoothed.sample(example, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_feature_select_strategy": "full"}, "processor = 5 image tokens in the prompt: the model makes 4"),
        ({"num_additional_image_tokens": 0}, "processor = 3 image tokens in the prompt: the model makes 4"),
        ({"patch_size": None}, "processor: it cannot read the prompt"),
    ],
)
def test_processor_and_model_agree_on_the_tokens_of_an_image(folder, changes, message):
    edit(folder, "processor_config.json", **changes)
    refused(folder, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rescale_factor": 1 / 127.5}, "rescale_factor = 0.0078.*pixels are in"),
        ({"do_rescale": False}, "rescale_factor = .*do_rescale: False"),
        ({"image_std": [0.5, 0.0, 0.5]}, "image_std = .*: give positive numbers"),
        ({"image_std": [0.5, 0.5]}, "image_std = .*three finite numbers"),
        ({"image_mean": [0.5, float("nan"), 0.5]}, "image_mean = .*three finite numbers"),
    ],
)
def test_pixels_are_read_in_the_unit_in_which_noise_is_measured(folder, changes, message):
    edit(folder, "processor_config.json", "image_processor", **changes)
    refused(folder, message)


PARTS = "{% for m in messages %}<s> <user> <image> "
LOOPS = "".join(f"{{% for {c} in range(9999) %}}" for c in "abcde") + "x" + "{% endfor %}" * 5


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (PARTS + "{{ m['content'] }} {% endfor %}", "chat template = .*prints the message as a list"),
        (PARTS + "{{ m['content'][1] | tojson }} {% endfor %}", "chat template = .*prints the message as a list"),
        (PARTS + "{{ 'USER: ' + m['content'] }} {% endfor %}", "chat template: it cannot be used"),
        (CHAT_TEMPLATE + LOOPS, "chat template: it cannot be used.*it takes over 20000 steps"),
        (CHAT_TEMPLATE + "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", "chat template: it cannot be used"),
        (CHAT_TEMPLATE + "{% set n = namespace(s='x') %}" + "{% set n.s = n.s ~ n.s %}{% set s = n.s %}" * 60,
         "chat template: it cannot be used.*letters"),
        (CHAT_TEMPLATE + "{{ 'x' * 999999 }}", r"chat template = '\*' in line 1: it must not multiply"),
        (CHAT_TEMPLATE + "{{ 'x' | center(1000000000) }}", "chat template = .*large numbers"),
        (CHAT_TEMPLATE + "{% for %}", "chat template"),
        (CHAT_TEMPLATE + "{{ raise_exception('no') }}", r"chat template: it cannot be used.*\(no\)"),
        ("<s> <user> <image> hello", "chat template = .*it must show the user's text exactly once"),
    ],
)  # fmt: skip
def test_a_template_is_bounded_and_shows_the_text_and_nothing_else_of_the_message(folder, template, message):
    (folder / "chat_template.jinja").write_text(template)
    refused(folder, message)


def index(folder, to):
    weights = folder / "model.safetensors"
    names = load_file(weights)
    shutil.move(weights, folder.parent / "w.safetensors")
    torch.save(names, folder / "w.bin")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, to)})
    )


@pytest.mark.parametrize("to", ["../w.safetensors", "w.bin", "none.safetensors", "", "sub/w.safetensors", 5])
def test_an_index_names_safetensors_of_its_own_folder_alone(folder, to):
    index(folder, to)
    refused(folder, r"path = .*model.safetensors.index.json")


def test_an_index_of_files_in_the_folder_is_read(folder, guard):
    index(folder, "w-1.safetensors")
    shutil.move(folder.parent / "w.safetensors", folder / "w-1.safetensors")
    assert VisionLanguageGuard.from_pretrained(folder).identity == guard.identity


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", lambda data: data[: len(data) // 2]),
        ("model.safetensors", lambda data: data[:4]),
        ("model.safetensors", lambda data: b"\xff" * 8 + data[8:]),
        ("model.safetensors", lambda data: b""),
        ("config.json", lambda data: data[:100]),
        ("config.json", lambda data: b"[]"),
        ("config.json", lambda data: b"[" * 100_000),
        ("tokenizer.json", lambda data: data[:100]),
        ("processor_config.json", lambda data: b"\xff\xfe"),
    ],
)
def test_a_file_that_is_cut_off_or_garbled_is_named(folder, file, content):
    path = folder / file
    path.write_bytes(content(path.read_bytes()))
    refused(folder, f"path = .*{file}" if file.startswith(("model", "config")) else "path = ")


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("text_config", {"num_hidden_layers": 10**6}, "num_hidden_layers = 1000000: the files have only 73 weights"),
        (
            "vision_config",
            {"num_hidden_layers": 10**9},
            "num_hidden_layers = 1000000000: the files have only 73 weights",
        ),
        ("text_config", {"intermediate_size": 10**7}, "config.json = .* weights: the files have"),
        ("text_config", {"vocab_size": 10**12}, "path = "),
    ],
)
def test_a_configuration_is_no_larger_than_its_weights(folder, part, changes, message):
    edit(folder, "config.json", part, **changes)
    refused(folder, message)


class TestLength:
    """The model reads 128 tokens: the prompt with its image, the text and the slot."""

    def test_a_text_that_the_model_cannot_read_whole_is_refused(self, guard):
        example = bay_notes.examples("test", 1, unsafe=True)[0]
        room = 128 - len(guard.before) - len(guard.after)
        assert guard.max_length == room
        texts = np.full((1, room + 1), guard.pad_id)
        assert np.isfinite(guard.scores(texts[:, 1:], example.image[None])).all()
        for question in (guard.scores, guard.unsafe, guard.gradients):
            with pytest.raises(
                ValueError, match=f"token_ids = {room + 1} tokens in a text: the model can read at most"
            ):
                question(texts, example.image[None])

    def test_the_slot_counts(self, guard):
        smoothed = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, guard.alphabet.size), 0.5, hrs.SuffixThreat(3))
        image = np.full((3, 32, 32), 128 / 255, np.float32)
        smoothed.sample(hrs.Example("fits", np.full(guard.max_length - 3, guard.pad_id), image), 1)
        with pytest.raises(ValueError, match=f"example 'long' = {guard.max_length + 1} tokens with its slot"):
            smoothed.sample(hrs.Example("long", np.full(guard.max_length - 2, guard.pad_id), image), 1)

    def test_a_window_of_attention_limits_as_positions_do(self):
        narrow = load_bay_guard()
        narrow.model.config.text_config.sliding_window = 20
        assert narrow.max_length == 20 - len(narrow.before) - len(narrow.after)

    def test_a_prompt_that_leaves_no_room_is_refused_at_loading(self):
        with pytest.raises(ValueError, match=r"prompt = 2.. tokens before any text: the model can read no more"):
            load_bay_guard(policy="acids " * 200)


def test_a_margin_is_finite():
    with pytest.raises(ValueError, match="margin = nan"):
        load_bay_guard(margin=float("nan"))
