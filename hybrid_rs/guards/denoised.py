"""Denoised smoothing: a diffusion model removes the noise from the image before the guard sees it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, one, positive, require
from hybrid_rs._extras import needs
from hybrid_rs.guards import identity
from hybrid_rs.guards.forwarding import forwarded
from hybrid_rs.smoothing.guard import Guard

with needs("guard"):
    import torch

    from hybrid_rs.guards.batches import BatchSize
    from hybrid_rs.guards.loading import loaded, reading, require_whole
    from hybrid_rs.guards.weights import located, require_plausible, shapes


@dataclass(frozen=True, eq=False, repr=False)
class DenoisedGuard:
    r"""A guard behind a denoiser; it satisfies :class:`hybrid_rs.Guard` and is smoothed and certified like any other.

    Noise of standard deviation ``sigma`` on pixels in [0, 1] is noise of standard deviation :math:`2\sigma` on
    pixels in [-1, 1], where diffusion models work. Such a model was trained on

    .. math:: x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \eta,

    whose ratio of noise to signal is :math:`\sqrt{(1 - \bar\alpha_t) / \bar\alpha_t}`. The two match where
    :math:`\bar\alpha = 1 / (1 + 4\sigma^2)`. The image in [-1, 1] is scaled by :math:`\sqrt{\bar\alpha}`. The network
    predicts the noise at the step whose :math:`\bar\alpha_t` is nearest, and the noise is subtracted in one step. The
    result is clipped to [-1, 1] and mapped back to [0, 1].

    All of this happens after the noise is added, so it is part of the base classifier. The certificate is in pixel
    units [0, 1] and holds whatever the denoiser does, even if the two noise levels do not match. Only the accuracy
    depends on the match.

    Args:
        guard: a :class:`hybrid_rs.Guard` that sees the denoised image; its optional members are available here, too.
        unet: an unconditional network of ``diffusers`` that predicts the noise.
        alphas: shape ``(steps,)``, the schedule's cumulative products, decreasing.
        sigma: standard deviation of the image noise in pixel units [0, 1], as in the smoothing.
        batch_size: images in one forward pass to begin with; halved when the device runs out of memory.

    Raises:
        ValueError: if sigma is not positive, or outside the noise levels of the schedule.

    References:
        Carlini et al. (2023), Algorithm 1, for images in [-1, 1].
    """

    guard: Any
    unet: Any
    alphas: NDArray[np.float64]
    sigma: float
    batch_size: int = 64

    # an optional member that the guard lacks is missing here, too
    alphabet, pad_id, mask_id = map(forwarded, ("alphabet", "pad_id", "mask_id"))
    encode, image_size, embeddings = map(forwarded, ("encode", "image_size", "embeddings"))
    margin, max_length, fit = forwarded("margin", 0.0), forwarded("max_length", None), forwarded("fit", "stretch")

    def __post_init__(self) -> None:
        sigma, levels = one("sigma", positive("sigma", self.sigma)), np.sqrt(1 / np.asarray(self.alphas) - 1) / 2
        inside = levels[0] <= sigma <= levels[-1]
        remedy = (
            f"give a value in the range of this denoiser, {levels[0]:.3g} to {levels[-1]:.3g} in pixel units [0, 1]"
        )
        require(bool(inside), "sigma", sigma, remedy)

    def __repr__(self) -> str:
        return f"DenoisedGuard(sigma {self.sigma:g} at step {self.step} of {len(self.alphas)}, before {self.guard!r})"

    @classmethod
    def from_pretrained(
        cls,
        guard: Guard,
        path: str | Path,
        sigma: float,
        *,
        device: str = "cpu",
        batch_size: int = 64,
        download: bool = False,
    ) -> DenoisedGuard:
        """Load a DDPM pipeline in the layout of ``diffusers`` and put it before a guard.

        Args:
            guard: the guard that sees the denoised image.
            path: a folder, or a name on the hub.
            sigma: standard deviation of the image noise in pixel units [0, 1].
            device: "cpu", "cuda", ...
            batch_size: images in one forward pass to begin with.
            download: whether files may be downloaded from the hub; by default only files on disk are used.

        Raises:
            ValueError: if the pipeline cannot be loaded, has weights in another format than safetensors, needs its own
                code or does not predict the noise, or an argument is out of range.
        """
        with needs("denoise"):
            from diffusers import DDPMPipeline
        how = {"use_safetensors": True, "low_cpu_mem_usage": False}
        with reading(path, "DDPM pipeline"):
            folder = located(path, download)
            held = shapes(folder / "unet", "diffusion_pytorch_model")
            require_plausible(folder / "unet" / "config.json", held)
            pipeline = loaded(DDPMPipeline, folder, **how)
            own = pipeline.unet.state_dict()
            other = [name for name in own.keys() & held.keys() if tuple(own[name].shape) != held[name]]
            require_whole(own.keys() - held.keys(), held.keys() - own.keys(), other)
        kind = pipeline.scheduler.config.prediction_type
        require(kind == "epsilon", "prediction_type", kind, "give a model that predicts the noise (epsilon)")
        unet, alphas = pipeline.unet.to(device).eval(), pipeline.scheduler.alphas_cumprod.double().numpy()
        size = integer("batch_size", batch_size, at_least=1)
        return cls(guard, unet, alphas, float(sigma), size)

    @cached_property
    def identity(self) -> str:
        """A digest of everything that the scores depend on, if the guard has one: guard, network and noise level."""
        facts = {"guard": self.guard.identity, "weights": identity.weights(self.unet), "sigma": self.sigma}
        shape = identity.configuration(dict(getattr(self.unet, "config", {})))
        return identity.digest(facts | {"configuration": shape, "alphas": np.asarray(self.alphas).tolist()})

    @cached_property
    def batch(self) -> BatchSize:
        """Current batch size; it shrinks when memory runs out."""
        return BatchSize(self.batch_size)

    @property
    def step(self) -> int:
        """The step of the schedule with the nearest noise level."""
        return int(np.abs(np.asarray(self.alphas) - 1 / (1 + 4 * self.sigma**2)).argmin())

    def unsafe(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """Return the guard's verdicts on denoised images; ``image_index`` says which image goes with which text."""
        return self._ask(self.guard.unsafe, token_ids, images, image_index)

    @property
    def scores(self) -> Callable[..., NDArray[np.float32]]:
        """The guard's scores on denoised images, if it has scores; a function of the arguments of :meth:`unsafe`."""
        return partial(self._ask, self.guard.scores)

    @property
    def gradients(self) -> Callable[..., tuple[Any, Any, Any]]:
        """The guard's gradients through the denoiser, if it has gradients; a function of texts and images."""
        return partial(self._gradients, self.guard.gradients)

    def denoised(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the denoised images.

        Args:
            images: shape ``(batch, channels, height, width)``, pixel units [0, 1], noise of ``sigma`` added.

        Returns:
            the same shape, in [0, 1].
        """
        clean = np.empty(images.shape, dtype=np.float32)

        def work(rows: slice) -> None:
            clean[rows] = self._clean(self._tensor(images[rows])).cpu().numpy()

        with torch.inference_mode():
            self.batch.run(len(images), work)
        return clean

    def _tensor(self, images: NDArray[np.float32]) -> Any:
        return torch.tensor(images, dtype=torch.float32, device=next(self.unet.parameters()).device)

    def _clean(self, images: Any) -> Any:
        noise, scale = 2 * self.sigma, 1 / np.sqrt(1 + 4 * self.sigma**2)  # for pixels in [-1, 1]
        noisy, dtype = 2 * images - 1, next(self.unet.parameters()).dtype
        predicted = self.unet((scale * noisy).to(dtype), self.step).sample
        found = noisy - noise * predicted[:, : noisy.shape[1]].float()  # some networks predict a variance, too
        return (found.clamp(-1, 1) + 1) / 2

    def _gradients(
        self, question: Callable[..., Any], token_ids: NDArray[np.int64], images: NDArray[np.float32]
    ) -> tuple[Any, Any, Any]:
        scores, by_token, by_clean = question(token_ids, self.denoised(images))
        by_pixel = np.empty(images.shape, dtype=np.float32)

        def work(rows: slice) -> None:
            with torch.enable_grad():
                shown = self._tensor(images[rows]).requires_grad_()
                (slope,) = torch.autograd.grad(self._clean(shown), shown, self._tensor(by_clean[rows]))
            by_pixel[rows] = slope.cpu().numpy()

        self.batch.run(len(images), work)
        return scores, by_token, by_pixel

    def _ask(
        self,
        question: Callable[..., Any],
        token_ids: NDArray[np.int64],
        images: NDArray[np.float32],
        image_index: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        clean = self.denoised(images)
        if image_index is None:
            return np.asarray(question(token_ids, clean))
        if "image_index" in inspect.signature(question).parameters:
            return np.asarray(question(token_ids, clean, image_index=image_index))
        return np.asarray(question(token_ids, clean[image_index]))
