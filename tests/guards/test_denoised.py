"""The denoiser is asked about the noise that is there: sigma in [0, 1] is 2 sigma in [-1, 1]."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

import hybrid_rs as hrs
from hybrid_rs.guards.denoised import DenoisedGuard
from hybrid_rs.smoothing.margins import at_margin

ALPHAS = DDPMScheduler().alphas_cumprod.double().numpy()
SIGMAS = [0.05, 0.25, 0.5, 1.0]


class Bright:
    """Unsafe where the image is more bright than dark."""

    alphabet, pad_id, mask_id = np.arange(10), 0, None

    def scores(self, token_ids, images):
        return images.mean(axis=(1, 2, 3)) - np.float32(0.5)

    def unsafe(self, token_ids, images):
        return self.scores(token_ids, images) > 0


class Stub(torch.nn.Module):
    """A network that answers as told, and remembers what it was asked."""

    def __init__(self, answer):
        super().__init__()
        self.weight, self.answer, self.asked = torch.nn.Parameter(torch.zeros(1)), answer, []

    def forward(self, images, step):
        self.asked.append((images, step))
        return SimpleNamespace(sample=self.answer(images, step))


@pytest.fixture
def noisy():
    rng = np.random.default_rng(0)
    clean = rng.random((6, 3, 16, 16), dtype=np.float32)
    return clean, rng.standard_normal(clean.shape, dtype=np.float32)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_a_network_that_knows_the_noise_gives_the_clean_image_back(noisy, sigma):
    clean, noise = noisy
    unet = Stub(lambda images, step: torch.from_numpy(noise))
    found = DenoisedGuard(Bright(), unet, ALPHAS, sigma).denoised(clean + np.float32(sigma) * noise)
    np.testing.assert_allclose(found, clean, atol=1e-5)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_network_sees_what_it_was_trained_on(noisy, sigma):
    """At its step, the schedule's own forward process gives the image that the network is shown."""
    clean, noise = noisy
    unet = Stub(lambda images, step: images)
    guard = DenoisedGuard(Bright(), unet, ALPHAS, sigma)
    guard.denoised(clean + np.float32(sigma) * noise)
    [(shown, step)] = unet.asked
    pair = torch.from_numpy(2 * clean - 1), torch.from_numpy(noise)
    expected = DDPMScheduler().add_noise(*pair, torch.full((6,), step))
    assert (shown - expected).abs().max() < 0.02  # half a step of the schedule
    assert np.sqrt((1 - ALPHAS[step]) / ALPHAS[step]) == pytest.approx(2 * sigma, rel=0.05)


@pytest.mark.parametrize("sigma", [0.25, 0.5])
def test_the_best_linear_denoiser_of_the_schedule_is_best_at_its_own_noise(sigma):
    """Images of Gaussian pixels, and the network that is optimal on them: half or twice the noise does worse."""
    rng, spread = np.random.default_rng(1), 0.25  # of pixels in [-1, 1]
    clean = np.clip(0.5 + spread / 2 * rng.standard_normal((64, 3, 16, 16)), 0, 1).astype(np.float32)
    noise = rng.standard_normal(clean.shape, dtype=np.float32)

    def optimal(images, step):
        alpha = ALPHAS[step]
        return images * np.sqrt(1 - alpha) / (alpha * spread**2 + 1 - alpha)

    def error(assumed):
        guard = DenoisedGuard(Bright(), Stub(optimal), ALPHAS, assumed)
        return float(((guard.denoised(clean + np.float32(sigma) * noise) - clean) ** 2).mean())

    variance = (spread / 2) ** 2
    least = 1 / (1 / variance + 1 / sigma**2)  # of the posterior, in pixel units [0, 1]
    assert error(sigma) == pytest.approx(least, rel=0.05)
    assert min(error(sigma / 2), error(2 * sigma)) > 1.02 * error(sigma)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=16, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("ddpm")
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder)
    return folder


def test_a_saved_pipeline_denoises_as_its_own_scheduler_predicts(pipeline, noisy):
    clean, noise = noisy
    images = clean + np.float32(0.5) * noise
    guard = DenoisedGuard.from_pretrained(Bright(), pipeline, 0.5, batch_size=4)
    assert isinstance(guard, hrs.Guard)
    stock = DDPMPipeline.from_pretrained(pipeline, low_cpu_mem_usage=False)
    with torch.inference_mode():
        shown = torch.from_numpy(2 * images - 1) * stock.scheduler.alphas_cumprod[guard.step].sqrt()
        predicted = stock.unet(shown, guard.step).sample
        expected = stock.scheduler.step(predicted, guard.step, shown).pred_original_sample
    np.testing.assert_allclose(guard.denoised(images), (expected + 1) / 2, atol=0.01)
    assert guard.denoised(images[:0]).shape == (0, 3, 16, 16)


def test_what_the_guard_behind_is_shown_goes_by_the_index(pipeline, noisy):
    images = noisy[0]
    guard = DenoisedGuard.from_pretrained(Bright(), pipeline, 0.5)
    texts, index = np.zeros((8, 3), dtype=np.int64), np.array([5, 5, 0, 1, 2, 2, 2, 4])
    shared = guard.scores(texts, images, index)
    np.testing.assert_allclose(shared, Bright().scores(texts, guard.denoised(images)[index]), atol=1e-6)
    np.testing.assert_allclose(shared, guard.scores(texts, images[index]), atol=1e-5)
    np.testing.assert_array_equal(guard.unsafe(texts, images, index), shared > 0)


def test_it_is_smoothed_and_certified_in_units_of_the_pixels(pipeline):
    guard = DenoisedGuard.from_pretrained(Bright(), pipeline, 0.5)
    smoothed = hrs.SmoothedGuard(guard, hrs.UniformKernel(0.25, 10), 0.5, hrs.SuffixThreat(2))
    example = hrs.Example("white", np.array([1, 2]), np.ones((3, 16, 16), np.float32))
    front, p_a = smoothed.certify(example, n=256, tau=0.01), hrs.clopper_pearson_lower(256, 256, 0.01)
    assert front.radius(0) == pytest.approx(0.5 * hrs.certified_radius(
        p_a, smoothed.kernel.likelihood_ratio(0), sigma=1.0, tau=0.01))  # fmt: skip


def test_memory_that_runs_out_changes_nothing(noisy):
    def answer(images, step):
        if len(images) > 2:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return images

    few, all_at_once = (DenoisedGuard(Bright(), Stub(f), ALPHAS, 0.5) for f in (answer, lambda images, step: images))
    np.testing.assert_array_equal(few.denoised(noisy[0]), all_at_once.denoised(noisy[0]))
    assert few.batch.size == 1  # six, three, one


def test_the_denoiser_is_part_of_the_classifier(pipeline):
    named = type("Named", (Bright,), {"identity": "bright"})()
    one, other, again = (DenoisedGuard.from_pretrained(named, pipeline, sigma) for sigma in (0.5, 1.0, 0.5))
    assert one.identity == again.identity != other.identity
    with torch.no_grad():
        next(iter(again.unet.parameters())).flatten()[0] += 1
    assert replace(again).identity != one.identity
    assert not hasattr(DenoisedGuard.from_pretrained(Bright(), pipeline, 0.5), "identity")
    smoothed = hrs.SmoothedGuard(one, hrs.UniformKernel(0.25, 10), 0.5, hrs.SuffixThreat(2))
    with pytest.raises(ValueError, match="field margin"):
        at_margin(smoothed, 1.0)


def test_bad_input_is_named_with_its_value(pipeline, tmp_path):
    cases = [
        (lambda: DenoisedGuard(Bright(), None, ALPHAS, 0.0), "sigma = 0"),
        (lambda: DenoisedGuard(Bright(), None, ALPHAS, 1e-3), "sigma = 0.001"),
        (lambda: DenoisedGuard(Bright(), None, ALPHAS, 100.0), "in the range of this denoiser"),
        (lambda: DenoisedGuard.from_pretrained(Bright(), tmp_path, 0.5), "path = "),
        (lambda: DenoisedGuard.from_pretrained(Bright(), pipeline, 0.5, batch_size=0), "batch_size = 0"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()
    other = DDPMPipeline.from_pretrained(pipeline, low_cpu_mem_usage=False)
    other.scheduler.register_to_config(prediction_type="v_prediction")
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="prediction_type = v_prediction"):
        DenoisedGuard.from_pretrained(Bright(), tmp_path, 0.5)


class Sloped(Bright):
    """Bright in the middle of the image, with all that a guard may offer."""

    image_size, embeddings = (16, 16), np.ones((10, 2), np.float32)

    def encode(self, text):
        return np.arange(len(text)) % 10

    def scores(self, token_ids, images):
        return np.tanh(images[:, :, 4:12, 4:12]).sum(axis=(1, 2, 3))

    def gradients(self, token_ids, images):
        slopes = np.zeros_like(images)
        slopes[:, :, 4:12, 4:12] = 1 - np.tanh(images[:, :, 4:12, 4:12]) ** 2
        return self.scores(token_ids, images), np.zeros((*token_ids.shape, 2), np.float32), slopes


def test_it_offers_what_the_guard_behind_offers_and_nothing_else(pipeline):
    bare, whole = (DenoisedGuard.from_pretrained(guard, pipeline, 0.5) for guard in (Bright(), Sloped()))
    assert [hasattr(bare, name) for name in ("scores", "gradients", "encode", "image_size", "embeddings")] == [True] + [
        False
    ] * 4
    assert whole.image_size == (16, 16)
    np.testing.assert_array_equal(whole.encode("abc"), [0, 1, 2])
    np.testing.assert_array_equal(whole.embeddings, Sloped.embeddings)


def test_gradients_go_through_the_denoiser(pipeline):
    guard = DenoisedGuard.from_pretrained(Sloped(), pipeline, 0.5, batch_size=2)
    rng = np.random.default_rng(0)
    images, texts = 0.5 + 0.1 * rng.standard_normal((3, 3, 16, 16), dtype=np.float32), np.zeros((3, 2), dtype=np.int64)
    scores, by_token, by_pixel = guard.gradients(texts, images)
    np.testing.assert_allclose(scores, guard.scores(texts, images), rtol=1e-5)
    assert by_token.shape == (3, 2, 2)
    step = 1e-2 * by_pixel / np.linalg.norm(by_pixel.reshape(3, -1), axis=1)[:, None, None, None]
    rise = (guard.scores(texts, images + step) - guard.scores(texts, images - step)) / 2
    np.testing.assert_allclose(rise, (step * by_pixel).sum(axis=(1, 2, 3)), rtol=0.02)
