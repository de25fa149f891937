"""Guards that are put on devices by ``accelerate``, on tiny random checkpoints; run where the extra ``spread`` is.

It is not in the locked environment, so ``make test`` skips this file; ``make optional`` runs it.

Here all parts are on the CPU. No machine with several cards was at hand.
"""

import numpy as np
import pytest
from small_families import save_family
from small_models import save_llava, save_onevision

from hybrid_rs.guards import trial
from hybrid_rs.guards.measured import measured
from hybrid_rs.guards.vlm import VisionLanguageGuard

accelerate = pytest.importorskip("accelerate")
SAVED = {"llava": save_llava, "llava_onevision": save_onevision}
KINDS = (*SAVED, "qwen2_5_vl", "gemma3", "mllama", "llama4", "paligemma")
MAPS = ("auto", "whole", "hooks")


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    home = tmp_path_factory.mktemp(request.param)
    return SAVED[request.param](home) if request.param in SAVED else save_family(request.param, home)


def loaded(folder, device_map=None):
    size = None if "llava" in folder.name and "onevision" not in folder.name else (56, 56)
    return VisionLanguageGuard.from_pretrained(
        folder, image_size=size, policy="Say safe or unsafe.\n", device_map=device_map
    )


@pytest.mark.parametrize("how", MAPS)
def test_it_is_the_same_guard(folder, how):
    """With hooks, every part of the network is wrapped as on several cards, though all are on one device."""
    plain, guard = loaded(folder), loaded(folder, "auto" if how == "auto" else {"": "cpu"})
    if how == "hooks":
        accelerate.dispatch_model(guard.model, {"": "cpu"}, force_hooks=True)
        assert all(hasattr(part, "_hf_hook") for part in guard.model.modules() if list(part.parameters(recurse=False)))
    assert guard.identity == plain.identity
    assert guard.reuse is plain.reuse
    trial.require_stock(guard)
    rng = np.random.default_rng(0)
    texts, images = rng.choice(guard.alphabet, (6, 5)), rng.random((2, 3, *guard.image_size), dtype=np.float32)
    texts[1:3, :3] = texts[0, :3]
    index = np.array([0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(guard.scores(texts, images, index), plain.scores(texts, images, index))
    for found, expected in zip(guard.gradients(texts[:2], images), plain.gradients(texts[:2], images), strict=True):
        np.testing.assert_array_equal(found, expected)
    row = measured(guard)
    assert (row["prompt"], row["answer"]) == (True, True)
    assert row["score"] < 1e-4
    assert row["branches"] is None or row["branches"] < 1e-4
