"""Experiment F2: attacks kept one finished line each, and what they reached beside what is certified."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hybrid_rs._checks import integer, nonnegative, probability, require
from hybrid_rs.attacks import Effort
from hybrid_rs.attacks.joint import attack_jointly, evaluate
from hybrid_rs.estimation import clopper_pearson_upper
from hybrid_rs.evidence import Counts, MaskedCounts, SubsetCounts
from hybrid_rs.example import Example
from hybrid_rs.experiments.counts import described
from hybrid_rs.experiments.records import DATA, records
from hybrid_rs.kernels import UniformKernel
from hybrid_rs.smoothing import SmoothedGuard
from hybrid_rs.worst_case import p_adv

ATTACKS = DATA / "attacks"
GRID = ((0.5, 1, 1.0), (0.5, 2, 2.0), (1.0, 1, 1.0), (1.0, 2, 2.0))  # sigma, d, epsilon
ALONE = ((0.5, 2, 0.0), (0.5, 0, 2.0), (1.0, 2, 0.0), (1.0, 0, 2.0))  # one modality at a time
ADAPTIVE = Effort(draws=32, probes=512, candidates=48, sweeps=0, steps=12, rounds=2, restarts=1, select=256)
STRONGER = dataclasses.replace(ADAPTIVE, draws=64, sweeps=1, steps=24, restarts=2, select=512)
PLAIN = Effort(draws=1, probes=1, candidates=384, sweeps=1, steps=50, rounds=1, restarts=1, select=1)
FOUND = ("token_ids", "edits", "epsilon_used", "queries", "estimate", "unsafe")


class AttackStore:
    """An append-only file of attacks, one JSON object a line; what is there is not searched for again.

    The attacked image is not kept: the search is a function of the example, the budgets, the effort and the seed.

    Args:
        path: the file; made when the first attack is finished.
        classifier: as in :class:`hybrid_rs.experiments.counts.CountsStore`.

    Raises:
        ValueError: if the file is none of attacks, or was written with another schema.
    """

    def __init__(self, path: Path, classifier: str) -> None:
        self.path, self.classifier = path, classifier
        self._kept = records(path, FOUND, _checked)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, smoothed: SmoothedGuard, example: Example, d: int, epsilon: float, **how: Any) -> Any:
        """Return an attack, its arguments as in :meth:`attack`, or None if it is not in the store."""
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
        """Return one attack and its verdicts on fresh draws, searching for it if it is not in the store.

        Args:
            smoothed: the smoothed guard.
            example: the clean input.
            d: text budget.
            epsilon: image budget, l2, pixel units.
            adaptive: search on the smoothed value; if False on the guard's own answer, without any noise.
            effort: how hard to search; by default ``ADAPTIVE`` or ``PLAIN``.
            seed: of the search, and of the fresh draws, which share nothing.
            n: number of fresh draws at the attacked input, of the smoothed guard in either case.
        """
        asked = self._asked(smoothed, example, d, epsilon, adaptive=adaptive, effort=effort, seed=seed, n=n)
        if (known := self._kept.get(asked)) is not None:
            return known
        searched = smoothed if adaptive else without_noise(smoothed)
        found = attack_jointly(searched, example, d, epsilon, effort=Effort(**asked["effort"]), seed=seed)
        row = asked | {name: getattr(found, name) for name in FOUND[1:-1]} | {"token_ids": found.token_ids.tolist()}
        row["unsafe"] = evaluate(smoothed, example, found, n, seed=seed, d=d).unsafe
        self._kept.append([row])
        return self._kept.get(asked) or row

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
        chosen = dataclasses.asdict(effort or (ADAPTIVE if adaptive else PLAIN))
        budgets = {"d": d, "epsilon": float(epsilon), "adaptive": adaptive, "effort": chosen}
        return described(self.classifier, smoothed, example) | budgets | {"seed": seed, "n": n}


def _checked(row: Mapping[str, Any]) -> None:
    """Refuse what no attack can find."""
    integer("edits", row["edits"], at_least=0)
    integer("queries", row["queries"], at_least=0)
    nonnegative("epsilon_used", row["epsilon_used"])
    probability("estimate", row["estimate"])
    Counts((row["unsafe"],), row["n"])  # from 0 to n
    for each in row["token_ids"]:
        integer("token_ids", each, at_least=0)
    require(row["edits"] <= row["d"], "edits", row["edits"], f"the budget was {row['d']}")


def without_noise(smoothed: SmoothedGuard) -> SmoothedGuard:
    """Return the guard as an attack sees it that is not adaptive: the same threat, and no noise on text or image."""
    return dataclasses.replace(smoothed, kernel=UniformKernel(0.0, smoothed.guard.alphabet.size), sigma=0.0)


def beside_bounds(
    attacks: Sequence[Mapping[str, Any]],
    evidence: Sequence[MaskedCounts | SubsetCounts],
    kernel: UniformKernel,
    *,
    alpha: float = 0.01,
    risk: float = 0.01,
) -> pd.DataFrame:
    """Put what every attack reached beside what is certified there, from p_A and from p_S.

    ``certified`` and ``certified, masked`` are the bounds as they would be published, at risk ``alpha`` each; ``g`` is
    the frequency of unsafe verdicts at the attacked input. The columns ``floor`` (the larger of the two certificates)
    and ``upper`` (a bound of the attacked value) are for a test: both certificates and the attacked value, of every
    attack, hold at once except with probability ``risk`` (Bonferroni). If the mathematics is right, ``upper`` lies
    below ``floor`` nowhere.

    Args:
        attacks: rows of an :class:`AttackStore`.
        evidence: for each of them, the counts of its example under its smoothing.
        kernel: the token kernel of all of them.
        alpha: risk of each published bound.
        risk: risk shared by all of them in the test.
    """
    each = risk / (3 * len(attacks))
    rows = []
    for attack, counts in zip(attacks, evidence, strict=True):
        k, n = attack["unsafe"], attack["n"]
        plain, masked = _certified(attack, counts, kernel, alpha)
        rows.append(
            {name: attack[name] for name in ("example", "sigma", "d", "epsilon", "adaptive", "edits", "queries")}
            | {"threat": "l0" if attack["threat"]["name"] == "L0Threat" else "suffix"}
            | {"clean": counts.clean.unsafe[0] / counts.n, "certified": plain, "certified, masked": masked}
            | {"g": k / n, "upper": float(clopper_pearson_upper(k, n, each))}
            | {"floor": max(_certified(attack, counts, kernel, each)), "unsmoothed": attack["estimate"]}
        )
    return pd.DataFrame(rows)


def _certified(
    attack: Mapping[str, Any], counts: MaskedCounts | SubsetCounts, kernel: UniformKernel, alpha: float
) -> tuple[float, float]:
    """The least values certified at the attack's budgets, from p_A and from p_S, each at risk alpha."""
    d, epsilon, sigma = (attack[name] for name in ("d", "epsilon", "sigma"))
    p_a, p_s = counts.clean.p_a(alpha)[0], counts.p_s(alpha)[d]
    plain, masked = kernel.likelihood_ratio(d), kernel.likelihood_ratio(d, masked=True)
    return float(p_adv(p_a, epsilon, plain, sigma=sigma)), float(p_adv(p_s, epsilon, masked, sigma=sigma))
