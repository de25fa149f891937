"""Loading a checkpoint unpickles nothing and runs none of its code, whatever it says and whoever says yes."""

import json

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from small_models import save_llava, save_onevision

from hybrid_rs.guards.denoised import DenoisedGuard
from hybrid_rs.guards.vlm import VisionLanguageGuard
from hybrid_rs.small_guard.guard import load_bay_guard

SAVE = {"llava": save_llava, "onevision": save_onevision}


@pytest.fixture
def denoiser(tmp_path):
    unet = UNet2DModel(
        sample_size=8, block_out_channels=(8,), layers_per_block=1, norm_num_groups=4, attention_head_dim=4,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    return tmp_path / "ddpm"


@pytest.fixture
def pickles(monkeypatch):
    """What torch was asked to unpickle."""
    asked = []
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: asked.append(arguments))
    return asked


@pytest.mark.parametrize("kind", SAVE)
def test_weights_that_are_pickled_are_refused(kind, tmp_path, pickles):
    weights = SAVE[kind](tmp_path) / "model.safetensors"
    torch.save(VisionLanguageGuard.from_pretrained(tmp_path).model.state_dict(), tmp_path / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ValueError, match=r"^path = .*with its weights in safetensors"):
        VisionLanguageGuard.from_pretrained(tmp_path)
    assert not pickles


def test_a_denoiser_that_is_pickled_is_refused(denoiser, pickles):
    weights = denoiser / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(UNet2DModel.from_pretrained(denoiser / "unet").state_dict(), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ValueError, match=r"^path = .*with its weights in safetensors"):
        DenoisedGuard.from_pretrained(load_bay_guard(), denoiser, 0.5)
    assert not pickles


@pytest.fixture
def willing(monkeypatch):
    """Somebody who says yes to every question."""
    asked = []
    monkeypatch.setattr("builtins.input", lambda *question: asked.append(question) or "y")
    return asked


@pytest.mark.parametrize("model_type", [None, "mine"])
@pytest.mark.parametrize("kind", SAVE)
def test_code_that_a_checkpoint_brings_is_not_run(kind, model_type, tmp_path, willing):
    SAVE[kind](tmp_path)
    (tmp_path / "mine.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom transformers import LlavaConfig\nclass Mine(LlavaConfig): pass\n"
    )
    parts = ("Config", "ModelForImageTextToText", "Processor", "ImageProcessor", "VideoProcessor")
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        file = tmp_path / name
        values = json.loads(file.read_text())
        values["auto_map"] = {f"Auto{part}": "mine.Mine" for part in parts} | {"AutoTokenizer": ["mine.Mine"] * 2}
        if model_type and name == "config.json":
            values["model_type"] = model_type
        file.write_text(json.dumps(values))
    if model_type:
        with pytest.raises(ValueError, match=r"^path = .*without its own code"):
            VisionLanguageGuard.from_pretrained(tmp_path)
    else:  # of a class that transformers has; what the checkpoint says beside is passed over
        guard = VisionLanguageGuard.from_pretrained(tmp_path)
        named = "config.json, processor_config.json, tokenizer_config.json"
        assert f"; code of the checkpoint is not run: auto_map in {named})" in repr(guard)
        assert np.isfinite(guard.scores(guard.alphabet[None, :3], np.zeros((1, 3, *guard.image_size)))).all()
    assert not (tmp_path / "ran").exists()
    assert not willing


def test_code_that_a_denoiser_brings_is_not_run(denoiser, tmp_path, willing):
    (denoiser / "unet" / "mine.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom diffusers import UNet2DModel\nclass Mine(UNet2DModel): pass\n"
    )
    index = json.loads((denoiser / "model_index.json").read_text())
    (denoiser / "model_index.json").write_text(json.dumps(index | {"unet": ["mine", "Mine"]}))
    with pytest.raises(ValueError, match=r"^path = .*without its own code"):
        DenoisedGuard.from_pretrained(load_bay_guard(), denoiser, 0.5)
    assert not (tmp_path / "ran").exists()
    assert not willing


def test_entries_that_the_stock_classes_do_not_know_change_no_score(tmp_path):
    """As the docstring says; real checkpoints have many of them."""
    guards = []
    for folder, more in ((tmp_path / "plain", {}), (tmp_path / "more", {"rope_twist": True})):
        file = save_llava(folder) / "config.json"
        values = json.loads(file.read_text())
        file.write_text(
            json.dumps(values | more | {part: values[part] | more for part in ("text_config", "vision_config")})
        )
        guards.append(VisionLanguageGuard.from_pretrained(folder))
    texts, images = guards[0].alphabet[None, :3], np.full((1, 3, *guards[0].image_size), 0.5)
    np.testing.assert_array_equal(*(guard.scores(texts, images) for guard in guards))
    assert not any("auto_map" in repr(guard) for guard in guards)
