"""Attacks with insertions, deletions and substitutions, on a guard smoothed by deletion: a greedy search.

An edited text is an array of shape ``(2, length)``. Its first row has the tokens. Its second row says which random
numbers decide about their deletion: a token of the clean text keeps its own, an inserted one has new ones. So
candidates of different lengths are compared on the same deletions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hybrid_rs._checks import integer, kind, require
from hybrid_rs.attacks import Draws, Effort, Objective
from hybrid_rs.smoothing.deletion import DeletionSmoothedGuard, by_length
from hybrid_rs.smoothing.example import Example

Edited = NDArray[np.int64]
HEAT = 4  # one of this many candidates is compared on all draws
STEPS = {
    "all": ("delete", "insert", "replace"),
    "insertions": ("insert",),
    "deletions": ("delete",),
    "insertions and deletions": ("delete", "insert"),
}


class EditObjective(Objective):
    """The smoothed value near an example, for texts of any length under deletion; see :class:`Objective`."""

    smoothed: Any

    def _start(self, smoothed: Any, example: Example, d: int) -> None:
        kind("smoothed", smoothed, DeletionSmoothedGuard, "give a DeletionSmoothedGuard")
        kind("example", example, Example, "give a hybrid_rs.Example")
        most = smoothed.threat.max_edits
        require(integer("d", d, at_least=0) <= most, "d", d, f"give at most the threat's max_edits = {most}")
        self.length = example.token_ids.size
        self.text = np.stack([example.token_ids, np.arange(self.length)])
        self.noised = self.editable = np.ones(self.length, dtype=bool)

    @property
    def steps(self) -> tuple[str, ...]:
        """What one edit may do."""
        return STEPS[self.smoothed.kernel.edits]

    def edits(self, tokens: Edited) -> int:
        """Return the number of edits that make this text from the clean one."""
        words, columns = tokens
        own = columns < self.length
        replaced = int((words[own] != self.text[0, columns[own]]).sum())
        return replaced + self.length - int(own.sum()) + int((~own).sum())

    def ids(self, tokens: Edited) -> NDArray[np.int64]:
        """Return the token ids of an edited text."""
        return tokens[0]

    def kept(self, tokens: Edited, draws: Draws) -> NDArray[np.bool_]:
        """Return which tokens remain in each draw, shape ``(n, length)``."""
        uniforms = self.rng(draws, 0).random((self.length + self.d, draws.n))
        return np.asarray(self.smoothed.kernel.beta <= uniforms[tokens[1]].T)

    def parts(self, tokens: Edited, draws: Draws) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Return the noisy texts of each length, and the numbers of their draws."""
        return list(by_length(tokens[0], self.kept(tokens, draws)))

    def margins(
        self, texts: Sequence[Edited] | NDArray[np.int64], image: NDArray[np.float32], draws: Draws
    ) -> NDArray[np.float64]:
        """Return the margin of each candidate in each draw, shape ``(candidates, n)``."""
        alike: dict[int, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {}
        for number, tokens in enumerate(texts):
            for shown, which in self.parts(tokens, draws):
                alike.setdefault(shown.shape[1], []).append((shown, number * draws.n + which))
        images, found = self.images(image, draws), np.empty(len(texts) * draws.n)
        for group in alike.values():
            shown, place = (np.concatenate(each) for each in zip(*group, strict=True))
            found[place] = self.ask_at(shown, images, place % draws.n)
        return found.reshape(len(texts), draws.n)


def lower_edits(objective: EditObjective, tokens: Edited, image: NDArray[np.float32], *, effort: Effort) -> Edited:
    """Return the text after d moves; each makes the best of its candidate edits, or none if none is better.

    The candidates are compared on the same fresh draws in two rounds: a quarter of the draws selects a quarter of them.
    Deletions and substitutions are tried first where the noise shows that a missing token lowers the value. Inserted
    tokens and their positions are random.
    """
    for _ in range(objective.d):
        if objective.edits(tokens) == objective.d:
            break
        options = candidates(objective, tokens, image, effort=effort)
        first = in_order(objective, options, image, max(1, effort.draws // HEAT))[: -(-len(options) // HEAT)]
        tokens = in_order(objective, [*first, tokens], image, effort.draws)[0]
    return tokens


def in_order(
    objective: EditObjective, options: Sequence[Edited], image: NDArray[np.float32], draws: int
) -> list[Edited]:
    """Return the texts sorted by their value on the same fresh draws, the lowest first; ties keep their order."""
    values = objective.value(objective.margins(options, image, objective.draws(draws)))
    return [options[i] for i in np.argsort(values, kind="stable")]


def candidates(objective: EditObjective, tokens: Edited, image: NDArray[np.float32], *, effort: Effort) -> list[Edited]:
    """Return texts with one more edit, equally many of each allowed kind if there are enough positions."""
    rng, steps = objective.rng(objective.draws(1), 2), objective.steps
    worst = np.argsort(effects(objective, tokens, image, objective.draws(effort.probes)), kind="stable")
    share = -(-effort.candidates * (1 + effort.sweeps) // len(steps))
    found: list[Edited] = []
    for step in steps:
        if step == "insert":
            places = rng.integers(tokens.shape[1] + 1, size=share)
            found += [edited(objective, tokens, step, int(place), rng) for place in places]
        elif worst.size:
            places = worst[:share] if step == "delete" else np.resize(worst, share)
            found += [edited(objective, tokens, step, int(place), rng) for place in places]
    return found or [tokens]


def effects(objective: EditObjective, tokens: Edited, image: NDArray[np.float32], draws: Draws) -> NDArray[np.float64]:
    """Return, for each token, how much the value changes when the noise deletes it, shape ``(length,)``."""
    kept = objective.kept(tokens, draws)
    f = expit(objective.margins([tokens], image, draws)[0] / objective.scale)
    gone = ~kept
    return np.asarray((gone.T @ f + f.mean()) / (gone.sum(axis=0) + 1) - f.mean())


def edited(objective: EditObjective, tokens: Edited, step: str, place: int, rng: np.random.Generator) -> Edited:
    """Return the text after one step at a position; new tokens are random members of the alphabet."""
    if step == "delete":
        return np.delete(tokens, place, axis=1)
    written = rng.choice(objective.guard.alphabet)
    if step == "replace":
        made = tokens.copy()
        made[0, place] = written
        return made
    unused = np.setdiff1d(objective.length + np.arange(objective.d), tokens[1])[0]
    return np.insert(tokens, place, [written, unused], axis=1)


def random_edits(objective: EditObjective) -> Edited:
    """Return the clean text with up to d random edits."""
    rng, tokens = objective.rng(objective.draws(1), 2), objective.text
    for _ in range(objective.d):
        step = objective.steps[int(rng.integers(len(objective.steps)))]
        room = tokens.shape[1] + (step == "insert")
        if room and objective.edits(tokens) < objective.d:
            tokens = edited(objective, tokens, step, int(rng.integers(room)), rng)
    return tokens
