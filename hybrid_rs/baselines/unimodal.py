"""Smoothing one modality alone, and what its certificate is worth once the other modality is touched.

A unimodal certificate holds the other modality fixed. It is right as it stands, and silent about everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid_rs._checks import flag, integer, nonnegative, one, path, require, several, text
from hybrid_rs.attacks import Effort, chosen
from hybrid_rs.attacks.joint import attack_jointly, evaluate
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.threats import Threat
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.smoothing.draws import MAX_DRAWS
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
from hybrid_rs.storage.counts import described
from hybrid_rs.storage.records import records

if TYPE_CHECKING:
    import pandas as pd

PAIRS = "give pairs of a text budget and an image budget"
FOUND = ("edits", "epsilon_used", "text", "unsafe")


def image_only(guard: Guard, sigma: float, threat: Threat) -> SmoothedGuard:
    """Return the guard smoothed by image noise alone; the threat says which tokens an attack may edit nevertheless.

    Its certificate is Cohen's, and speaks of d = 0 alone.
    """
    members = "give an object with alphabet, pad_id, mask_id and unsafe(...)"
    require(hasattr(guard, "alphabet"), "guard", guard, members, repr)
    return SmoothedGuard(guard, UniformKernel(beta=0.0, vocab_size=np.size(guard.alphabet)), sigma, threat)


def text_only(guard: Guard, kernel: UniformKernel, threat: Threat) -> SmoothedGuard:
    """Return the guard smoothed by token noise alone; its certificate speaks of epsilon = 0 alone."""
    return SmoothedGuard(guard, kernel, 0.0, threat)


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
    search: bool = True,
) -> pd.DataFrame:
    """Attack every example within every pair of budgets, or read what a file already holds.

    The file is append-only and gets one JSON object a line for every finished attack: all that it depends on, and what
    it left. See :class:`hybrid_rs.storage.records.Records`.

    Args:
        smoothing: a name for the smoothed guard, in the table.
        smoothed: the smoothed guard that is attacked.
        examples: the clean inputs.
        budgets: pairs of a text and an image budget; (0, 0) judges the clean input.
        n: fresh draws by which an attacked input is judged.
        classifier: what tells one base classifier from another, as in the counts store.
        store: the file.
        effort: how hard to search.
        seed: of the search; the judging draws have the next one.
        search: make the attacks that the file lacks; if False, one that it lacks is an error.

    Returns:
        one row per trial: ``smoothing`` and the fields of the file, among them ``edits`` and ``epsilon_used`` (what the
        attack used of its budgets), ``text`` (the token ids it left) and ``unsafe`` (verdicts among the n draws).

    Raises:
        ValueError: if the file is none of such attacks, was written with another schema, or lacks one and may not.
    """
    import pandas as pd

    text("smoothing", smoothing)
    flag("search", search)
    n, seed = integer("n", n, at_least=1, at_most=MAX_DRAWS), integer("seed", seed, at_least=0)
    law, pairs = {"effort": asdict(chosen(effort)), "n": n, "seed": seed}, [_pair(pair) for pair in _listed(budgets)]
    kept, rows = records(path("store", store), FOUND, _checked), []
    for example in several("examples", examples, "give examples", Example):
        for d, epsilon in pairs:
            how = {"d": d, "epsilon": epsilon} | law
            asked = described(classifier, smoothed, example.id) | how

            def attacked(example: Example = example, d: int = d, epsilon: float = epsilon) -> dict[str, Any]:
                lacks = f"it lacks {example.id} at d = {d}, epsilon = {epsilon:g}: make it first"
                require(search, "store", store, lacks)
                attack = attack_jointly(smoothed, example, d, epsilon, effort=effort, seed=seed)
                judged = evaluate(smoothed, example, attack, n, seed=seed + 1, d=d)
                used = {"edits": attack.edits, "epsilon_used": round(attack.epsilon_used, 6)}
                return used | {"text": attack.token_ids.tolist(), "unsafe": judged.unsafe}

            rows.append({"smoothing": smoothing} | kept.get_or_make(asked, attacked))
    return pd.DataFrame(rows)


def _listed(budgets: Any) -> list[Any]:
    return several("budgets", budgets, PAIRS)


def _pair(pair: Any) -> tuple[int, float]:
    both = several("budgets", pair, PAIRS)
    require(len(both) == 2, "budgets", pair, PAIRS, repr)
    return integer("budgets", both[0], at_least=0), one("budgets", nonnegative("budgets", both[1]))


def _checked(row: Mapping[str, Any]) -> None:
    """Refuse what no trial can find."""
    integer("edits", row["edits"], at_least=0)
    nonnegative("epsilon_used", row["epsilon_used"])
    Counts((row["unsafe"],), row["n"])  # from 0 to n
    for each in row["text"]:
        integer("text", each, at_least=0)
