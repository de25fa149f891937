"""Attacks on the text: greedy coordinate search, with candidates from the guard's gradient or from the noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import expit

from hybrid_rs.attacks import Attack, Draws, Effort, Objective, chosen
from hybrid_rs.attacks.image import draw_weights, margin_gradients
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

HEAT = 4  # one of this many candidates is compared on all draws


def attack_text(
    smoothed: SmoothedGuard, example: Example, d: int, *, effort: Effort | None = None, seed: int = 0
) -> Attack:
    """Attack only the text.

    Args:
        smoothed: the smoothed guard; its threat says where edits may be: the first d pads of a slot, or anywhere.
        example: the clean input.
        d: text budget, up to the threat's ``max_edits``.
        effort: how hard to search.
        seed: of the search.

    Raises:
        ValueError: if d is out of range.
    """
    effort = chosen(effort)
    objective = Objective(smoothed, example, d=d, seed=seed, draws=effort.draws, uses=effort.uses)
    found = [objective.text]
    for restart in range(effort.restarts):
        start = random_text(objective) if restart else objective.text
        found.append(lower_text(objective, start, objective.image, effort=effort))
    return objective.best([(tokens, objective.image) for tokens in found], effort.select)


def lower_text(
    objective: Objective, tokens: NDArray[np.int64], image: NDArray[np.float32], *, effort: Effort
) -> NDArray[np.int64]:
    """Return the text after d moves, and d more per sweep; each move makes an edit, or replaces one by a better edit.

    A move takes the best of its candidates and the previous text, compared on the same fresh draws in two rounds: a
    quarter of the draws selects a quarter of the candidates. In a tie, the candidate with the better rank wins, so that
    the search can cross a plateau.
    """
    budget = min(objective.d, int(objective.editable.sum()))
    for move in range(budget * (1 + effort.sweeps)):
        base, edited = tokens.copy(), np.flatnonzero(tokens != objective.text)
        if edited.size == budget:
            again = edited[move % budget]
            base[again] = objective.text[again]
        options = candidates(objective, base, image, effort=effort)
        kept = in_order(objective, options, image, max(1, effort.draws // HEAT))[: -(-len(options) // HEAT)]
        tokens = in_order(objective, np.concatenate([kept, tokens[None]]), image, effort.draws)[0]
    return tokens


def in_order(
    objective: Objective, options: NDArray[np.int64], image: NDArray[np.float32], draws: int
) -> NDArray[np.int64]:
    """Return the texts sorted by their value on the same fresh draws, the lowest first; ties keep their order."""
    values = objective.value(objective.margins(options, image, objective.draws(draws)))
    return options[np.argsort(values, kind="stable")]


def candidates(
    objective: Objective, tokens: NDArray[np.int64], image: NDArray[np.float32], *, effort: Effort
) -> NDArray[np.int64]:
    """Return texts with at most one more edit, the most promising first, shape ``(candidates, length)``.

    They are the best by the noise, the best by the gradient (if it is used), and as many random ones.
    """
    alphabet, where = objective.guard.alphabet, np.flatnonzero(objective.editable)
    own = objective.canonical(tokens)[where]
    rankings = [noise_ranks(objective, tokens, image, own, where, objective.draws(effort.probes))]
    if objective.differentiable:
        ranks = gradient_ranks(objective, tokens, image, own, where, objective.draws(effort.draws))
        rankings += [] if ranks is None else [ranks]
    rng, share = objective.rng(objective.draws(1), 2), -(-effort.candidates // (len(rankings) + 1))
    cells = []
    for ranks in rankings:
        ranks[np.arange(where.size), np.searchsorted(alphabet, own)] = np.inf
        cells.append(np.lexsort((rng.random(ranks.size), ranks.ravel()))[:share])  # ties in random order
    cells.append(rng.integers(rankings[0].size, size=share))
    position, token = np.divmod(np.concatenate(cells)[: effort.candidates], alphabet.size)
    options = np.tile(tokens, (position.size, 1))
    options[np.arange(position.size), where[position]] = alphabet[token]
    return options


def noise_ranks(
    objective: Objective,
    tokens: NDArray[np.int64],
    image: NDArray[np.float32],
    own: NDArray[np.int64],
    where: NDArray[np.int64],
    draws: Draws,
) -> NDArray[np.float64]:
    """Return the mean value over the draws whose noise shows a token at a position, shape ``(positions, V)``.

    For a uniform kernel this determines the effect of an edit: if position l has token a, the smoothed value is
    (1 - beta) E[f | Z_l = a] + h sum over b != a of E[f | Z_l = b], h = beta / (V - 1). So one set of
    draws tests all edits at once. The mean includes one artificial draw as a prior: the average where the position was
    replaced, plus the average where the token was shown at any position, minus the average of all. So a token that was
    never shown at a position is ranked by its effect elsewhere, and masks rank positions.
    """
    texts, size = objective.texts(tokens, draws), objective.guard.alphabet.size
    f = expit(objective.ask(texts, objective.images(image, draws), 1) / objective.scale)
    seen, f_of = texts[:, where], np.broadcast_to(f[:, None], (draws.n, where.size))
    token = np.searchsorted(objective.guard.alphabet, seen)
    replaced, inside = seen != own, seen != objective.guard.mask_id
    at_position = (np.where(replaced, f_of, 0).sum(axis=0) + f.mean()) / (replaced.sum(axis=0) + 1)
    of_token = mean_of(token[replaced & inside], f_of[replaced & inside], size, prior=f.mean())
    cell = (np.arange(where.size) * size + token)[inside]
    prior = (at_position[:, None] + of_token - f.mean()).ravel()
    return mean_of(cell, f_of[inside], where.size * size, prior=prior).reshape(where.size, size)


def mean_of(group: NDArray[np.int64], values: NDArray[np.float64], groups: int, *, prior: Any) -> NDArray[np.float64]:
    """Return the mean of each group's values and the prior, shape ``(groups,)``."""
    total, count = np.bincount(group, values, groups), np.bincount(group, minlength=groups)
    return np.asarray((total + prior) / (count + 1))


def gradient_ranks(
    objective: Objective,
    tokens: NDArray[np.int64],
    image: NDArray[np.float32],
    own: NDArray[np.int64],
    where: NDArray[np.int64],
    draws: Draws,
) -> NDArray[np.float64] | None:
    """Return the slope of the value from each token's embedding towards every other one, shape ``(positions, V)``.

    An edit is visible in the draws that keep the position, so the gradients are averaged over these. The slope is per
    unit of distance: the first-order change over the whole distance would favour far tokens, where it is least
    accurate.

    References:
        Zou et al. (2023), greedy coordinate gradient; here in expectation over both noises.
    """
    guard: Any = objective.guard
    margins, by_token, _ = margin_gradients(objective, tokens, image, draws)
    if by_token is None:
        return None
    kept, table = objective.texts(tokens, draws)[:, where] == own, guard.embeddings
    slopes = np.einsum("n,nl,nlw->lw", draw_weights(objective, margins), kept, by_token[:, where], optimize=True)
    here = table[np.searchsorted(guard.alphabet, own)]
    change = slopes @ table.T - (slopes * here).sum(axis=1, keepdims=True)
    return np.asarray(change / np.maximum(cdist(here, table), 1e-9))


def random_text(objective: Objective) -> NDArray[np.int64]:
    """Return the clean text with d random edits."""
    rng, where = objective.rng(objective.draws(1), 2), np.flatnonzero(objective.editable)
    places = rng.permutation(where)[: objective.d]
    tokens = objective.text.copy()
    tokens[places] = rng.choice(objective.guard.alphabet, places.size)
    return tokens
