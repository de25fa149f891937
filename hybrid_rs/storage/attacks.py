"""The store of attacks: each search is made once and stored as one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid_rs._checks import flag, integer, nonnegative, one, probability, require
from hybrid_rs.attacks import ADAPTIVE, PLAIN, Effort, chosen
from hybrid_rs.attacks.joint import attack_jointly, evaluate, without_noise
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.smoothing.draws import MAX_DRAWS
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
from hybrid_rs.storage.counts import described, name_of
from hybrid_rs.storage.records import records

FOUND = ("token_ids", "edits", "epsilon_used", "queries", "estimate", "unsafe")


class AttackStore:
    """An append-only file of attacks, one JSON object per line; an attack that is in the file is not searched again.

    The attacked image is not stored: the search is a function of the example, the budgets, the effort and the seed.

    Args:
        path: the file; made when the first attack is finished.
        classifier: as in :class:`hybrid_rs.storage.counts.CountsStore`.

    Raises:
        ValueError: if the file does not contain attacks, or was written with another schema.
    """

    def __init__(self, path: Path, classifier: str) -> None:
        self.path, self.classifier = path, classifier
        self._kept = records(path, FOUND, _checked)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, smoothed: SmoothedGuard, example: Example, d: int, epsilon: float, **how: Any) -> Any:
        """Return an attack, or None if it is not in the store; arguments as in :meth:`attack`."""
        return self._kept.get(self._asked(smoothed, example, d, epsilon, **how))

    def attack(
        self,
        smoothed: SmoothedGuard,
        example: Example,
        d: int,
        epsilon: float,
        *,
        adaptive: bool = True,
        effort: Effort | None = None,
        seed: int = 0,
        n: int = 1000,
    ) -> dict[str, Any]:
        """Return one attack and its verdicts on fresh draws; an attack that is not in the store is searched.

        Args:
            smoothed: the smoothed guard.
            example: the clean input.
            d: text budget.
            epsilon: image budget, l2, pixel units.
            adaptive: search on the smoothed value; if False, on the guard's own answer without noise.
            effort: how hard to search; by default ``ADAPTIVE`` or ``PLAIN``.
            seed: seed of the search and of the fresh draws; the two are independent.
            n: number of fresh draws of the smoothed guard at the attacked input.
        """
        asked = self._asked(smoothed, example, d, epsilon, adaptive=adaptive, effort=effort, seed=seed, n=n)

        def search() -> dict[str, Any]:
            searched = smoothed if adaptive else without_noise(smoothed)
            budget, law = asked["d"], {name: asked[name] for name in ("n", "seed")}
            how = Effort(**asked["effort"])
            found = attack_jointly(searched, example, budget, epsilon, effort=how, seed=law["seed"])
            row = {name: getattr(found, name) for name in FOUND[1:-1]} | {"token_ids": found.token_ids.tolist()}
            return row | {"unsafe": evaluate(smoothed, example, found, **law, d=budget).unsafe}

        return self._kept.get_or_make(asked, search)

    def _asked(
        self,
        smoothed: SmoothedGuard,
        example: Example,
        d: int,
        epsilon: float,
        *,
        adaptive: bool = True,
        effort: Effort | None = None,
        seed: int = 0,
        n: int = 1000,
    ) -> dict[str, Any]:
        usual = ADAPTIVE if flag("adaptive", adaptive) else PLAIN
        searched = dataclasses.asdict(usual if effort is None else chosen(effort))
        budget = one("epsilon", nonnegative("epsilon", epsilon))
        budgets = {"d": integer("d", d, at_least=0), "epsilon": budget, "adaptive": adaptive, "effort": searched}
        law = {"seed": integer("seed", seed, at_least=0), "n": integer("n", n, 1, MAX_DRAWS)}
        return described(self.classifier, smoothed, name_of(example)) | budgets | law


def _checked(row: Mapping[str, Any]) -> None:
    """Require a line to be possible for an attack."""
    integer("edits", row["edits"], at_least=0)
    integer("queries", row["queries"], at_least=0)
    nonnegative("epsilon_used", row["epsilon_used"])
    probability("estimate", row["estimate"])
    Counts((row["unsafe"],), row["n"])  # from 0 to n
    for each in row["token_ids"]:
        integer("token_ids", each, at_least=0)
    require(row["edits"] <= row["d"], "edits", row["edits"], f"the budget was {row['d']}")
