"""The store of attacks: each search is made once and stored as one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from hybrid_rs._checks import flag, integer, nonnegative, one, probability, require
from hybrid_rs.attacks import ADAPTIVE, PLAIN, Effort, chosen
from hybrid_rs.attacks.joint import attack_jointly, evaluate, without_noise
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.smoothing.deletion import AnySmoothed, smooth
from hybrid_rs.smoothing.draws import MAX_DRAWS
from hybrid_rs.smoothing.example import Example, require_own_ids
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.storage.engines import Engine, engine_or_local
from hybrid_rs.storage.questions import described
from hybrid_rs.storage.records import key, records

FOUND = ("token_ids", "edits", "epsilon_used", "queries", "estimate", "unsafe")


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """One attack, as a unit of work.

    Args:
        example: the clean input.
        smoothing: kernel, sigma, threat and noise of the smoothed guard.
        asked: the fields that say what is asked for, as the store writes them.
    """

    example: Example
    smoothing: tuple[Any, ...]
    asked: dict[str, Any]

    def draw(self, guard: Guard, *, progress: bool = False) -> dict[str, Any]:
        """Search, and return the attack with its verdicts on fresh draws."""
        asked, smoothed = self.asked, smooth(guard, *self.smoothing)
        searched = smoothed if asked["adaptive"] else without_noise(smoothed)
        budget, law, how = asked["d"], {name: asked[name] for name in ("n", "seed")}, Effort(**asked["effort"])
        found = attack_jointly(searched, self.example, budget, asked["epsilon"], effort=how, seed=law["seed"])
        row = {name: getattr(found, name) for name in FOUND[1:-1]} | {"token_ids": found.token_ids.tolist()}
        return row | {"unsafe": evaluate(smoothed, self.example, found, **law, d=budget).unsafe}


class AttackStore:
    """An append-only file of attacks, one JSON object per line; an attack that is in the file is not searched again.

    The attacked image is not stored: the search is a function of the example, the budgets, the effort and the seed.

    Args:
        path: the file; made when the first attack is finished.
        classifier: as in :class:`hybrid_rs.storage.counts.CountsStore`.
        engine: where attacks are searched; by default in this process.

    Raises:
        ValueError: if the file does not contain attacks, or was written with another schema.
    """

    def __init__(self, path: Path, classifier: str, engine: Engine | None = None) -> None:
        self.path, self.classifier, self.engine = path, classifier, engine_or_local(engine)
        self._kept = records(path, FOUND, _checked)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, smoothed: AnySmoothed, example: Example, d: int, epsilon: float, **how: Any) -> Any:
        """Return an attack, or None if it is not in the store; arguments as in :meth:`attack`."""
        return self._kept.get(self._asked(smoothed, example, d, epsilon, **how))

    def attack(
        self,
        smoothed: AnySmoothed,
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
        how: dict[str, Any] = {"adaptive": adaptive, "effort": effort, "seed": seed, "n": n}
        return self.attack_each([(smoothed, example, d, epsilon)], **how)[0]

    def attack_each(
        self, attacks: Iterable[tuple[AnySmoothed, Example, int, float]], **how: Any
    ) -> list[dict[str, Any]]:
        """Return many attacks; the engine searches those that are not in the store, and each is stored when done.

        Args:
            attacks: smoothed guard, example, d and epsilon of each; all smoothed guards have one base.
            how: the keyword arguments of :meth:`attack`, for all of them.
        """
        asked = [(each, self._asked(*each, **how)) for each in attacks]
        require_own_ids(example for (_, example, *_), _ in asked)
        self._kept.read()
        left = {key(question, FOUND): (each, question) for each, question in asked if not self._kept.get(question)}
        if left:
            self._kept.require_writable()
            bases = {id(smoothed.guard): smoothed.guard for (smoothed, *_), _ in left.values()}
            require(len(bases) == 1, "attacks", len(bases), "give attacks of one guard, smoothed in any ways")
            units = [Search(each[1], _smoothing(each[0]), question) for each, question in left.values()]
            with closing(self.engine.draw(next(iter(bases.values())), units)) as searching:
                for unit, row in searching:
                    self._kept.append([unit.asked | row])
        return [found for _, question in asked if (found := self._kept.get(question)) is not None]

    def _asked(
        self,
        smoothed: AnySmoothed,
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
        return described(self.classifier, smoothed, example) | budgets | law


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


def _smoothing(smoothed: AnySmoothed) -> tuple[Any, ...]:
    """Return what a worker needs to smooth its own copy of the guard."""
    return smoothed.kernel, smoothed.sigma, smoothed.threat, smoothed.noise
