"""Attacks on the image: descent in an l2 ball under both noises, by the model's gradient or by the noise itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from hybrid_rs._checks import nonnegative
from hybrid_rs.attacks import Attack, Draws, Effort, Objective, distance
from hybrid_rs.example import Example
from hybrid_rs.smoothing import SmoothedGuard

MOMENTUM = 0.75
HALVINGS = 40


def attack_image(
    smoothed: SmoothedGuard, example: Example, epsilon: float, *, effort: Effort | None = None, seed: int = 0
) -> Attack:
    """Attack the image alone.

    Args:
        smoothed: the smoothed guard; where the threat has a classifier for each d, that of d = 0 is attacked.
        example: the clean input.
        epsilon: image budget, l2, pixel units; the attacked image also stays in [0, 1].
        effort: how hard to search.
        seed: of the search.

    Raises:
        ValueError: if epsilon is negative or not a number.
    """
    effort, budget = effort or Effort(), float(nonnegative("epsilon", epsilon))
    objective, found = Objective(smoothed, example, d=0, seed=seed, draws=effort.draws), []
    for restart in range(effort.restarts):
        start = random_image(objective, budget) if restart else objective.image
        found.append(lower_image(objective, objective.text, start, budget, effort=effort))
    return objective.best([(objective.text, image) for image in (objective.image, *found)], effort.select)


def lower_image(
    objective: Objective,
    tokens: NDArray[np.int64],
    image: NDArray[np.float32],
    epsilon: float,
    *,
    effort: Effort,
    reach: float = 1.0,
) -> NDArray[np.float32]:
    """Return the image after a projected descent, every step on fresh draws of both noises.

    Args:
        objective: what is lowered.
        tokens: the text, held fixed.
        image: where to begin.
        epsilon: radius of the ball around the clean image.
        effort: steps, draws per step, and whether gradients are used.
        reach: length of the first step as a share of epsilon; steps shrink linearly.
    """
    if epsilon == 0:
        return objective.image
    width = objective.smoothed.sigma or epsilon / math.sqrt(image.size)
    course = np.zeros(image.shape)
    for step in range(effort.steps):
        draws = objective.draws(effort.draws)
        if effort.gradients and is_differentiable(objective):
            slope = gradient_slope(objective, tokens, image, draws)
        else:
            slope = noise_slope(objective, tokens, image, draws, width)
            if not slope.any():
                width *= 2  # all draws have one verdict: look further away
        course = MOMENTUM * course + slope / (np.linalg.norm(slope) or 1.0)
        length = reach * epsilon * (1 - step / effort.steps)
        moved = image - length * course / (np.linalg.norm(course) or 1.0)
        image = project(moved, objective.image, epsilon)
    return image


def project(image: NDArray[Any], centre: NDArray[np.float32], epsilon: float) -> NDArray[np.float32]:
    """Return the nearest image in the pixel box and in the ball, in float32; rounding never takes it out of the ball.

    The nearest point of the intersection is, for some t, the point of the box nearest to centre + t (image - centre).

    Example:
        >>> project(np.array([[[3.0, -4.0]]]), np.zeros((1, 1, 2), np.float32), epsilon=0.5)
        array([[[0.5, 0. ]]], dtype=float32)
    """
    start = centre.astype(np.float64)
    towards = np.asarray(image, dtype=np.float64) - start

    def at(t: float) -> NDArray[np.float32]:
        return np.clip(start + t * towards, 0.0, 1.0).astype(np.float32)

    if distance(at(1.0), centre) <= epsilon:
        return at(1.0)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if distance(at(middle), centre) <= epsilon else (low, middle)
    return at(low)


def random_image(objective: Objective, epsilon: float) -> NDArray[np.float32]:
    """Return a random image on the sphere, or where that leaves the pixel box, inside it."""
    direction = objective.noise(objective.draws(1))[0].astype(np.float64)
    return project(objective.image + epsilon * direction / np.linalg.norm(direction), objective.image, epsilon)


def gradient_slope(
    objective: Objective, tokens: NDArray[np.int64], image: NDArray[np.float32], draws: Draws
) -> NDArray[np.float64]:
    """Return the direction of steepest ascent by the model's gradients."""
    margins, _, slopes = margin_gradients(objective, tokens, image, draws)
    return np.tensordot(draw_weights(objective, margins), slopes.astype(np.float64), axes=1)


def noise_slope(
    objective: Objective, tokens: NDArray[np.int64], image: NDArray[np.float32], draws: Draws, width: float
) -> NDArray[np.float64]:
    """Return the same by verdicts alone: the smoothed value's gradient is E[f(Z) (Z - x)] / width^2, by parts.

    With ``width`` the noise of the smoothed guard, what is estimated is the gradient of its own value, however rough
    the base classifier is. Zero if all verdicts agree.
    """
    noise = objective.noise(draws)
    margins = objective.ask(objective.texts(tokens, draws), image + np.float32(width) * noise, 1)
    f = expit(margins / objective.scale)
    return np.tensordot(f - f.mean(), noise.astype(np.float64), axes=1)


def draw_weights(objective: Objective, margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much each draw's margin counts in the gradient of the value, up to scale: the weights sum to 1."""
    steep = np.abs(margins) / objective.scale
    return np.asarray(softmax(-steep - 2 * np.log1p(np.exp(-steep))))


def is_differentiable(objective: Objective) -> bool:
    """Whether the guard is a model whose gradients we know how to take."""
    if not hasattr(objective.guard, "model"):
        return False
    from hybrid_rs.guards.vlm import VisionLanguageGuard  # imports torch

    return isinstance(objective.guard, VisionLanguageGuard)


def margin_gradients(
    objective: Objective, tokens: NDArray[np.int64], image: NDArray[np.float32], draws: Draws
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Differentiate a vision-language guard's margin at noisy inputs.

    The guard's ``batch_size`` bounds the memory.

    Returns:
        margins, shape ``(n,)``; their gradients by the embedding of each token, ``(n, length, width)``; and by the
        pixels, ``(n, channels, height, width)``.
    """
    import torch

    guard: Any = objective.guard
    model, words = guard.model, guard.model.get_input_embeddings()
    weight = next(model.parameters())
    texts, images = objective.texts(tokens, draws), objective.images(image, draws)
    images = np.broadcast_to(images, (draws.n, *image.shape))
    ends = [np.tile(end, (draws.n, 1)) for end in (guard.before, guard.after)]
    ids, first = np.concatenate([ends[0], texts, ends[1]], axis=1), len(guard.before)
    pictures = np.flatnonzero(guard.before == model.config.image_token_id)
    found: list[tuple[Any, Any, Any]] = []
    for start in range(0, draws.n, guard.batch_size):
        rows = slice(start, start + guard.batch_size)
        with torch.enable_grad():
            pixels = torch.tensor(images[rows], device=weight.device, requires_grad=True)
            features = guard.features(pixels)
            embedded = words(torch.from_numpy(ids[rows]).to(weight.device)).detach().requires_grad_()
            prompt = embedded.clone()
            prompt[:, pictures] = features.to(prompt.dtype)
            hidden = model.model.language_model(inputs_embeds=prompt, use_cache=False).last_hidden_state[:, -1]
            logits = model.lm_head(hidden).float()
            unsafe = torch.logsumexp(logits[:, list(guard.unsafe_ids)], dim=1)
            margins = unsafe - torch.logsumexp(logits[:, list(guard.safe_ids)], dim=1) - guard.margin
            # rows do not see each other, so the gradient of the sum is each row's own
            by_word, by_pixel = torch.autograd.grad(margins.sum(), (embedded, pixels))
        by_word = by_word[:, first : first + texts.shape[1]]
        found.append(tuple(part.detach().float().cpu().numpy() for part in (margins, by_word, by_pixel)))
    objective.queries += draws.n
    margins, by_word, by_pixel = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return margins.astype(np.float64), by_word, by_pixel
