"""Guards in 8 and 4 bits, on tiny random checkpoints; run where the extra ``quantised`` is installed.

It is not in the locked environment, so ``make test`` skips this file; ``make optional`` runs it.
"""

import numpy as np
import pytest
import torch
from small_families import save_family
from small_models import save_llava, save_onevision

import hybrid_rs as hrs
from hybrid_rs.guards import identity
from hybrid_rs.guards.measured import measured
from hybrid_rs.guards.quantised import same_everywhere
from hybrid_rs.guards.reasoning import ReasoningGuard
from hybrid_rs.guards.vlm import VisionLanguageGuard

bitsandbytes = pytest.importorskip("bitsandbytes")
KINDS = ("llava", "llava_onevision", "qwen2_5_vl")
SAVED = {"llava": save_llava, "llava_onevision": save_onevision}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:MatMul8bitLt")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    homes = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    return {kind: SAVED[kind](homes[kind]) if kind in SAVED else save_family(kind, homes[kind]) for kind in KINDS}


@pytest.fixture(scope="module", params=[(kind, bits) for kind in KINDS for bits in (8, 4)], ids=str)
def pair(request, folders):
    """A guard in fewer bits, and the same in 32 bits."""
    kind, bits = request.param
    size = {"image_size": None if kind == "llava" else (56, 56), "policy": "Say safe or unsafe.\n"}
    return tuple(VisionLanguageGuard.from_pretrained(folders[kind], bits=b, **size) for b in (bits, None))


def drawn(guard, n=6):
    rng = np.random.default_rng(0)
    texts, images = rng.choice(guard.alphabet, (n, 5)), rng.random((n, 3, *guard.image_size), dtype=np.float32)
    images[0] *= 8  # large inputs, far from those of the other rows
    return texts, images


def test_linear_layers_are_in_fewer_bits_and_scores_near_those_in_32(pair):
    fewer = pair[0]
    kinds = {type(layer).__name__ for layer in fewer.model.modules()}
    assert kinds & {"Linear8bitLt", "Linear4bit"}
    scores, exact = (guard.scores(*drawn(guard)) for guard in pair)
    assert 0 < np.abs(scores - exact).max() < 1.5 * np.ptp(exact)
    assert np.corrcoef(scores, exact)[0, 1] > 0.5


def test_a_score_depends_on_no_other_row_of_its_batch(pair):
    guard = pair[0]
    texts, images = drawn(guard)
    alone = np.concatenate([guard.scores(texts[i : i + 1], images[i : i + 1]) for i in range(len(texts))])
    np.testing.assert_allclose(guard.scores(texts, images), alone, atol=2e-2)
    for other in (slice(0, 3), slice(2, 6)):
        np.testing.assert_allclose(guard.scores(texts[other], images[other]), alone[other], atol=2e-2)


def test_its_identity_has_the_bits_and_does_not_change_with_use(pair, folders):
    guard, whole = pair
    before = guard.identity
    guard.scores(*drawn(guard))
    del guard.__dict__["identity"]  # computed again
    assert guard.identity == before != whole.identity
    bits = 8 if guard.model.config.quantization_config.load_in_8bit else 4
    folder = folders[guard.model.config.model_type]
    size = {"image_size": guard.image_size, "policy": "Say safe or unsafe.\n"}
    assert VisionLanguageGuard.from_pretrained(folder, bits=bits, **size).identity == before
    assert VisionLanguageGuard.from_pretrained(folder, bits=12 - bits, **size).identity != before


@pytest.mark.parametrize("packs", [True, False])
def test_4_bit_weights_change_with_use_only_where_they_are_packed(packs):
    """Left alone, the library packs them in the first pass on a CPU with AVX512-BF16, and rounds their scales."""
    layer = bitsandbytes.nn.Linear4bit(128, 64, quant_type="nf4", compute_dtype=torch.float32)
    model = torch.nn.Sequential(layer).to("cpu").eval()
    if not (packs and layer.support_avx512bf16_for_cpu):
        same_everywhere(model)
    before, asked = identity.weights(model), torch.randn(3, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model(asked)
    assert (identity.weights(model) == before) is not layer.support_avx512bf16_for_cpu


def test_it_reads_what_the_stock_model_in_the_same_bits_reads(pair):
    guard = pair[0]
    found = measured(guard)
    assert found["prompt"]
    assert found["answer"]
    assert found["score"] < 1e-2
    assert found["branches"] is None or found["branches"] < 5e-2


def test_it_is_smoothed_and_certified(pair, folders):
    guard = pair[0]
    smoothed = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, guard.alphabet.size), 0.5, hrs.L0Threat(2))
    image = np.full((3, *guard.image_size), 128 / 255, np.float32)
    example = hrs.Example("a", guard.encode("is it"), image)
    assert smoothed.sample(example, 32) == smoothed.sample(example, 32)
    reasoning = ReasoningGuard(guard, 3, "unsafe")
    assert reasoning.unsafe(example.token_ids[None], image[None]).shape == (1,)
