"""Attacks on the image: descent in an l2 ball, with the guard's gradient or a gradient estimated from the noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from hybrid_rs._checks import nonnegative, numbers, one, probability, require
from hybrid_rs.attacks import Attack, Draws, Effort, Objective, chosen, distance
from hybrid_rs.smoothing.answers import gradients
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

MOMENTUM = 0.75
HALVINGS = 40


def attack_image(
    smoothed: SmoothedGuard, example: Example, epsilon: float, *, effort: Effort | None = None, seed: int = 0
) -> Attack:
    """Attack only the image.

    Args:
        smoothed: the smoothed guard; if there is a classifier for each d, that of d = 0 is attacked.
        example: the clean input.
        epsilon: image budget, l2, pixel units; the attacked image also stays in [0, 1].
        effort: how hard to search.
        seed: of the search.

    Raises:
        ValueError: if epsilon is negative or not a number.
    """
    effort, budget = chosen(effort), one("epsilon", nonnegative("epsilon", epsilon))
    objective, found = Objective(smoothed, example, d=0, seed=seed, draws=effort.draws, uses=effort.uses), []
    budget = min(budget, math.sqrt(objective.image.size))  # no image is further away
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
    """Return the image after a projected descent; every step uses fresh draws of both noises.

    Args:
        objective: the value to lower.
        tokens: the text, which is fixed.
        image: the starting point.
        epsilon: radius of the ball around the clean image.
        effort: steps, and draws per step.
        reach: length of the first step as a share of epsilon; steps shrink linearly.
    """
    if epsilon == 0:
        return objective.image
    width = objective.smoothed.sigma or epsilon / math.sqrt(image.size)
    course = np.zeros(image.shape)
    for step in range(effort.steps):
        draws = objective.draws(effort.draws)
        if objective.differentiable:
            slope = gradient_slope(objective, tokens, image, draws)
        else:
            slope = noise_slope(objective, tokens, image, draws, width)
            if not slope.any():
                width *= 2  # all draws have the same verdict: widen the noise
        course = MOMENTUM * course + slope / (np.linalg.norm(slope) or 1.0)
        length = reach * epsilon * (1 - step / effort.steps)
        moved = image - length * course / (np.linalg.norm(course) or 1.0)
        image = project(moved, objective.image, epsilon)
    return image


def project(image: NDArray[Any], centre: NDArray[np.float32], epsilon: float) -> NDArray[np.float32]:
    """Return the nearest image in the pixel box and in the ball, in float32; rounding never moves it out of the ball.

    The nearest point of the intersection is, for some t, the point of the box nearest to centre + t (image - centre).

    Args:
        image: finite numbers, of any shape.
        centre: of the same shape, in [0, 1].
        epsilon: radius of the ball, l2.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> project(np.array([[[3.0, -4.0]]]), np.zeros((1, 1, 2), np.float32), epsilon=0.5)
        array([[[0.5, 0. ]]], dtype=float32)
    """
    start, far = probability("centre", centre), numbers("image", image)
    require(start.shape == far.shape, "image", far.shape, f"give the centre's shape, {start.shape}")
    require(bool(np.isfinite(far).all()), "image", image, "give finite numbers")
    budget = one("epsilon", nonnegative("epsilon", epsilon))
    towards = far - start

    def at(t: float) -> NDArray[np.float32]:
        return np.clip(start + t * towards, 0.0, 1.0).astype(np.float32)

    if distance(at(1.0), centre) <= budget:
        return at(1.0)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if distance(at(middle), centre) <= budget else (low, middle)
    return at(low)


def random_image(objective: Objective, epsilon: float) -> NDArray[np.float32]:
    """Return a random image on the sphere; if that is outside the pixel box, its projection."""
    direction = objective.noise(objective.draws(1))[0].astype(np.float64)
    return project(objective.image + epsilon * direction / np.linalg.norm(direction), objective.image, epsilon)


def gradient_slope(
    objective: Objective, tokens: NDArray[np.int64], image: NDArray[np.float32], draws: Draws
) -> NDArray[np.float64]:
    """Return the direction of steepest ascent, from the guard's gradients."""
    margins, _, slopes = margin_gradients(objective, tokens, image, draws)
    return np.tensordot(draw_weights(objective, margins), slopes.astype(np.float64), axes=1)


def noise_slope(
    objective: Objective, tokens: NDArray[np.int64], image: NDArray[np.float32], draws: Draws, width: float
) -> NDArray[np.float64]:
    """Return the direction of steepest ascent from answers alone: the gradient is E[f(Z) (Z - x)] / width^2.

    If ``width`` is the noise of the smoothed guard, this estimates the gradient of the smoothed value, however rough
    the base classifier is. It is zero if all verdicts agree.
    """
    noise = objective.noise(draws)
    images, margins = image + np.float32(width) * noise, np.empty(draws.n)
    for texts, which in objective.parts(tokens, draws):
        margins[which] = objective.ask_at(texts, images, which)
    f = expit(margins / objective.scale)
    return np.tensordot(f - f.mean(), noise.astype(np.float64), axes=1)


def draw_weights(objective: Objective, margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of each draw's margin in the gradient of the value, up to scale; the weights sum to 1."""
    steep = np.abs(margins) / objective.scale
    return np.asarray(softmax(-steep - 2 * np.log1p(np.exp(-steep))))


def margin_gradients(
    objective: Objective, tokens: NDArray[np.int64], image: NDArray[np.float32], draws: Draws
) -> tuple[NDArray[np.float64], NDArray[np.float32] | None, NDArray[np.float32]]:
    """Return the margins at noisy inputs, and the guard's gradients by token (None if lengths differ) and by pixel."""
    objective.queries += draws.n
    shown = np.broadcast_to(objective.images(image, draws), (draws.n, *image.shape))
    parts = objective.parts(tokens, draws)
    found = [gradients(objective.guard, texts, shown[which]) for texts, which in parts]
    order = np.argsort(np.concatenate([which for _, which in parts]), kind="stable")
    scores, by_pixel = (np.concatenate([each[i] for each in found])[order] for i in (0, 2))
    by_token = found[0][1] if len(found) == 1 else None
    return scores.astype(np.float64) - objective.margin, by_token, by_pixel
