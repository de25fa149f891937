"""Smoothing one modality alone, and how its certificate fails when the other modality is attacked, too.

A unimodal certificate assumes that the other modality is fixed. It is correct, but says nothing about other attacks.
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
from hybrid_rs.storage.questions import described
from hybrid_rs.storage.records import records

if TYPE_CHECKING:
    import pandas as pd

PAIRS = "give pairs of a text budget and an image budget"
FOUND = ("edits", "epsilon_used", "text", "unsafe")


def image_only(guard: Guard, sigma: float, threat: Threat) -> SmoothedGuard:
    """Return the guard smoothed by image noise alone; the threat says which tokens an attack may still edit.

    Its certificate is that of Cohen et al. and covers only d = 0.
    """
    members = "give an object with alphabet, pad_id, mask_id and unsafe(...)"
    require(hasattr(guard, "alphabet"), "guard", guard, members, repr)
    return SmoothedGuard(guard, UniformKernel(beta=0.0, vocab_size=np.size(guard.alphabet)), sigma, threat)


def text_only(guard: Guard, kernel: UniformKernel, threat: Threat) -> SmoothedGuard:
    """Return the guard smoothed by token noise alone; its certificate covers only epsilon = 0."""
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
    """Attack every example within every pair of budgets, or read the attacks that a file already has.

    The file is append-only and has one JSON object per line for every finished attack: everything that it depends on,
    and its result. See :class:`hybrid_rs.storage.records.Records`.

    Args:
        smoothing: the name of the smoothed guard in the table.
        smoothed: the smoothed guard to attack.
        examples: the clean inputs.
        budgets: pairs of a text and an image budget; (0, 0) evaluates the clean input.
        n: number of fresh draws that evaluate an attacked input.
        classifier: a name that distinguishes the base classifier from all others, as in the counts store.
        store: the file.
        effort: how hard to search.
        seed: seed of the search; the fresh draws have the next one.
        search: make the attacks that the file lacks; if False, a missing attack is an error.

    Returns:
        one row per trial: ``smoothing`` and the fields of the file, including ``edits`` and ``epsilon_used`` (the part
        of the budgets that was used), ``text`` (the attacked token ids) and ``unsafe`` (verdicts among the n draws).

    Raises:
        ValueError: if the file does not contain such attacks, has another schema, or lacks an attack without
            ``search``.
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
            asked = described(classifier, smoothed, example) | how

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
    """Require a line to be possible for a trial."""
    integer("edits", row["edits"], at_least=0)
    nonnegative("epsilon_used", row["epsilon_used"])
    Counts((row["unsafe"],), row["n"])  # from 0 to n
    for each in row["text"]:
        integer("text", each, at_least=0)
