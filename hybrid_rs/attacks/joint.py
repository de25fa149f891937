"""Attacks on text and image together, and their evaluation on fresh draws."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import kind, nonnegative, one, require, risk
from hybrid_rs.attacks import Attack, Effort, Objective, chosen, under_attack
from hybrid_rs.attacks.edits import EditObjective, lower_edits, random_edits
from hybrid_rs.attacks.image import lower_image, random_image
from hybrid_rs.attacks.text import lower_text, random_text
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.smoothing.answers import about
from hybrid_rs.smoothing.deletion import AnySmoothed, DeletionSmoothedGuard
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard


def attack_jointly(
    smoothed: AnySmoothed, example: Example, d: int, epsilon: float, *, effort: Effort | None = None, seed: int = 0
) -> Attack:
    """Search for the input within both budgets with the lowest smoothed value.

    Text and image are improved in turn, from several starting points. At the end, the clean input and all intermediate
    inputs are compared.

    Args:
        smoothed: the smoothed guard; its threat says where edits are allowed, and which classifier belongs to d. A
            guard smoothed by deletion is attacked with the edits that its kernel covers.
        example: the clean input.
        d: text budget, up to the threat's ``max_edits``; 0 leaves the text alone.
        epsilon: image budget, l2, pixel units; the attacked image also stays in [0, 1].
        effort: how hard to search.
        seed: of the search.

    Raises:
        ValueError: if a budget is out of range.

    Example:
        >>> import hybrid_rs as hrs
        >>> class Guard:  # unsafe unless dark and full of sevens
        ...     alphabet, pad_id, mask_id = np.arange(10), 0, None
        ...     def unsafe(self, token_ids, images):
        ...         return images.mean(axis=(1, 2, 3)) * 8 > (token_ids == 7).sum(axis=1) + 2
        >>> threat = hrs.SuffixThreat(max_edits=2)
        >>> smoothed = hrs.SmoothedGuard(Guard(), hrs.UniformKernel(0.25, 10), sigma=0.5, threat=threat)
        >>> example = hrs.Example("grey", np.array([1, 2]), np.full((3, 4, 4), 128 / 255, np.float32))
        >>> found = attack_jointly(smoothed, example, d=2, epsilon=1.0, effort=Effort(draws=500))
        >>> clean = smoothed.sample(example, n=10_000).unsafe[0] / 10_000
        >>> evaluate(smoothed, example, found, n=10_000).upper < 0.5 * clean
        True
        >>> found.token_ids, found.edits, round(found.epsilon_used, 3)
        (array([1, 2, 7, 7]), 2, 1.0)
    """
    effort, budget = chosen(effort), one("epsilon", nonnegative("epsilon", epsilon))
    deletes = isinstance(smoothed, DeletionSmoothedGuard)
    kind_of: Any = EditObjective if deletes else Objective
    lower, scattered = (lower_edits, random_edits) if deletes else (lower_text, random_text)
    kind("example", example, Example, "give a hybrid_rs.Example")
    with about(example.id):
        objective = kind_of(smoothed, example, d=d, seed=seed, draws=effort.draws, uses=effort.uses)
        return _searched(objective, budget, effort, lower, scattered)


def _searched(objective: Any, budget: float, effort: Effort, lower: Any, scattered: Any) -> Attack:
    budget = min(budget, math.sqrt(objective.image.size))  # no image is further away
    found = [(objective.text, objective.image)]
    for restart in range(effort.restarts):
        tokens, image = found[0]
        if restart:
            tokens, image = scattered(objective), random_image(objective, budget)
        for turn in range(effort.rounds):
            image = lower_image(objective, tokens, image, budget, effort=effort, reach=1 / (1 + turn))
            found.append((tokens, image))
            tokens = lower(objective, tokens, image, effort=effort)
            found.append((tokens, image))
    return objective.best(found, effort.select)


@dataclass(frozen=True)
class Estimate:
    """The smoothed value at an attacked input: unsafe verdicts among n draws, and Clopper-Pearson bounds."""

    unsafe: int
    n: int
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class _Filled:
    """A threat for one classifier after the adversary has filled the slot: no pads are added."""

    where: NDArray[np.bool_]
    slot: int = 0
    max_edits: int = 0  # not used for drawing

    def noised(self, length: int) -> NDArray[np.bool_]:
        return self.where[None]

    def conditions(self, length: int) -> None:
        return None


def evaluate(
    smoothed: AnySmoothed,
    example: Example,
    attack: Attack,
    n: int,
    seed: int = 0,
    *,
    d: int | None = None,
    alpha: float = 0.01,
) -> Estimate:
    """Estimate the smoothed value at an attacked input on draws that neither the search nor the certificate used.

    The classifier is the certified one: it noises the attacked slot like any other.

    Args:
        smoothed: the smoothed guard that was attacked.
        example: the clean input.
        attack: the attack.
        n: number of draws.
        seed: of the draws.
        d: the budget whose classifier was attacked; needed if there is one for each d.
        alpha: risk that the value is outside the bounds, half of it on each side.

    Raises:
        ValueError: if the attack does not belong to this example, d is missing, or the noise is on the 8-bit lattice
            and the attacked image is not.
    """
    kind("smoothed", smoothed, (SmoothedGuard, DeletionSmoothedGuard), "give a hybrid_rs.SmoothedGuard")
    kind("example", example, Example, "give a hybrid_rs.Example")
    kind("attack", attack, Attack, "give what an attack found")
    alpha = risk("alpha", alpha)
    attacked = Example(f"{example.id}/attacked", attack.token_ids, attack.image)
    if smoothed.noise == "lattice":
        off = attacked.off_lattice()
        remedy = "lattice noise needs an attacked image of 8 bits per channel; see hybrid_rs.attacks.on_lattice"
        require(not off, "attack.image", f"{off} of {attack.image.size} pixels are not whole numbers of 255ths", remedy)
    if isinstance(smoothed, DeletionSmoothedGuard):
        return _estimate(smoothed.sample(attacked, n, seed=seed), alpha)
    several = len(smoothed.threat.noised(example.token_ids.size)) > 1
    require(d is not None or not several, "d", d, "say which smoothed classifier was attacked: there is one for each d")
    text, noised, _ = under_attack(smoothed, example, 0 if d is None else d)
    require(attack.token_ids.shape == text.shape, "attack.token_ids", attack.token_ids.shape, f"give {text.shape}")
    stray = np.flatnonzero((attack.token_ids != text) & ~noised)
    require(stray.size == 0, "attack.token_ids", f"edits at {stray}", "the attack may edit only noised positions")
    return _estimate(replace(smoothed, threat=_Filled(noised)).sample(attacked, n, seed=seed), alpha)


def _estimate(counts: Counts, alpha: float) -> Estimate:
    lower, upper = counts.p_a(alpha / 2)[0], counts.p_a_upper(alpha / 2)[0]
    return Estimate(counts.unsafe[0], counts.n, float(lower), float(upper))


def without_noise(smoothed: AnySmoothed) -> AnySmoothed:
    """Return the guard for an attack that is not adaptive: the same threat without noise on text or image."""
    kind("smoothed", smoothed, (SmoothedGuard, DeletionSmoothedGuard), "give a hybrid_rs.SmoothedGuard")
    if isinstance(smoothed, DeletionSmoothedGuard):
        return replace(smoothed, kernel=replace(smoothed.kernel, beta=0.0), sigma=0.0)
    return replace(smoothed, kernel=UniformKernel(0.0, smoothed.guard.alphabet.size), sigma=0.0)
