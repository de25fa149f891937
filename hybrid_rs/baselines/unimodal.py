"""Smoothing one modality alone, and what its certificate is worth once the other modality is touched.

A unimodal certificate holds the other modality fixed. It is right as it stands, and silent about everything else.
"""

from __future__ import annotations

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
        smoothing: a name for the smoothed guard.
        example: the example's id.
        d: text budget of the attack.
        epsilon: image budget of the attack, l2, pixel units.
        edits: tokens that it changed.
        epsilon_used: how far it moved the image.
        text: the token ids that it left, slot included.
        unsafe: unsafe verdicts there, of draws that the search did not see.
        n: those draws.
        lower: Clopper-Pearson bound of the value there.
        upper: the other one; both hold with probability 0.99.
    """

    smoothing: str
    example: str
    d: int
    epsilon: float
    edits: int
    epsilon_used: float
    text: list[int]
    unsafe: int
    n: int
    lower: float
    upper: float


def trials(
    smoothing: str,
    smoothed: SmoothedGuard,
    examples: Iterable[Example],
    budgets: Iterable[tuple[int, float]],
    *,
    n: int,
    effort: Effort | None = None,
    seed: int = 0,
    store: Path,
) -> pd.DataFrame:
    """Attack every example within every pair of budgets, or read what a file already holds.

    The file gets one JSON object a line for every finished attack.

    Args:
        smoothing: a name for the smoothed guard, in the file and in the table.
        smoothed: the smoothed guard that is attacked.
        examples: the clean inputs.
        budgets: pairs of a text and an image budget.
        n: fresh draws by which an attacked input is judged.
        effort: how hard to search.
        seed: of the search; the judging draws have the next one.
        store: the file.

    Returns:
        one row per trial, columns as :class:`Trial`.
    """
    import pandas as pd

    def key(row: Trial) -> tuple[str, str, int, float, int]:
        return row.smoothing, row.example, row.d, row.epsilon, row.n

    kept: dict[tuple[str, str, int, float, int], Trial] = {}
    if store.exists():
        rows = [Trial(**row) for row in pd.read_json(store, lines=True, dtype=False).to_dict("records")]
        kept = {key(row): row for row in rows}
    found = []
    for example in examples:
        for d, epsilon in budgets:
            wanted = (smoothing, example.id, d, epsilon, n)
            if wanted not in kept:
                attack = attack_jointly(smoothed, example, d, epsilon, effort=effort, seed=seed)
                judged = evaluate(smoothed, example, attack, n, seed=seed + 1)
                text = [int(i) for i in attack.token_ids]
                kept[wanted] = Trial(
                    smoothing, example.id, d, epsilon, attack.edits, round(attack.epsilon_used, 6), text,
                    judged.unsafe, judged.n, judged.lower, judged.upper,
                )  # fmt: skip
                store.parent.mkdir(parents=True, exist_ok=True)
                with store.open("a") as file:
                    file.write(pd.Series(asdict(kept[wanted])).to_json(double_precision=12) + "\n")
            found.append(kept[wanted])
    return pd.DataFrame([asdict(row) for row in found])
