"""Smoothing one modality alone, and what its certificate is worth once the other modality is touched.

A unimodal certificate holds the other modality fixed. It is right as it stands, and silent about everything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_rs.attacks import Effort
from hybrid_rs.attacks.joint import attack_jointly, evaluate
from hybrid_rs.example import Example
from hybrid_rs.guards.protocol import Guard
from hybrid_rs.kernels import UniformKernel
from hybrid_rs.smoothing import SmoothedGuard
from hybrid_rs.threats import Threat

if TYPE_CHECKING:
    import pandas as pd

ASKED = ("classifier", "smoothing", "example", "d", "epsilon", "n", "seed")  # what tells one trial from another


def image_only(guard: Guard, sigma: float, threat: Threat) -> SmoothedGuard:
    """Return the guard smoothed by image noise alone; the threat says which tokens an attack may edit nevertheless.

    Its certificate is Cohen's, and speaks of d = 0 alone.
    """
    return SmoothedGuard(guard, UniformKernel(beta=0.0, vocab_size=len(guard.alphabet)), sigma, threat)


def text_only(guard: Guard, kernel: UniformKernel, threat: Threat) -> SmoothedGuard:
    """Return the guard smoothed by token noise alone; its certificate speaks of epsilon = 0 alone."""
    return SmoothedGuard(guard, kernel, 0.0, threat)


@dataclass(frozen=True)
class Trial:
    """What an attack within (d, epsilon) made of a smoothed guard's value, counted on fresh draws.

    Args:
        classifier: what tells one base classifier from another, as in the counts store.
        smoothing: a name for the smoothed guard.
        example: the example's id.
        d: text budget of the attack.
        epsilon: image budget of the attack, l2, pixel units.
        n: draws, which the search did not see, by which the attacked input is judged.
        seed: of the search; the judging draws have the next one.
        edits: tokens that the attack changed.
        epsilon_used: how far it moved the image.
        text: the token ids that it left, slot included.
        unsafe: unsafe verdicts among the n draws.
    """

    classifier: str
    smoothing: str
    example: str
    d: int
    epsilon: float
    n: int
    seed: int
    edits: int
    epsilon_used: float
    text: list[int]
    unsafe: int


def trials(
    smoothing: str,
    smoothed: SmoothedGuard,
    examples: Iterable[Example],
    budgets: Iterable[tuple[int, float]],
    *,
    n: int,
    classifier: str,
    store: Path,
    effort: Effort | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Attack every example within every pair of budgets, or read what a file already holds.

    The file gets one JSON object a line for every finished attack.

    Args:
        smoothing: a name for the smoothed guard, in the file and in the table.
        smoothed: the smoothed guard that is attacked.
        examples: the clean inputs.
        budgets: pairs of a text and an image budget; (0, 0) judges the clean input.
        n: fresh draws by which an attacked input is judged.
        classifier: what tells one base classifier from another, as in the counts store.
        store: the file.
        effort: how hard to search.
        seed: of the search; the judging draws have the next one.

    Returns:
        one row per trial, columns as :class:`Trial`.
    """
    import pandas as pd

    kept: dict[tuple[object, ...], dict[str, object]] = {}
    if store.exists():
        with store.open() as file:
            kept = {tuple(row[name] for name in ASKED): row for row in map(json.loads, file)}
    found, pairs = [], list(budgets)
    for example in examples:
        for d, epsilon in pairs:
            asked = (classifier, smoothing, example.id, d, epsilon, n, seed)
            if asked not in kept:
                attack = attack_jointly(smoothed, example, d, epsilon, effort=effort, seed=seed)
                judged = evaluate(smoothed, example, attack, n, seed=seed + 1)
                text = [int(i) for i in attack.token_ids]
                kept[asked] = asdict(Trial(*asked, attack.edits, round(attack.epsilon_used, 6), text, judged.unsafe))
                store.parent.mkdir(parents=True, exist_ok=True)
                with store.open("a") as file:
                    file.write(json.dumps(kept[asked]) + "\n")
            found.append(kept[asked])
    return pd.DataFrame(found)
