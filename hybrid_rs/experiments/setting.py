"""What the experiments share: a guard, three sets of examples, and the store of their counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hybrid_rs.datasets import bay_notes
from hybrid_rs.example import Example
from hybrid_rs.experiments.counts import CountsStore, fingerprint
from hybrid_rs.experiments.engines import get_engine
from hybrid_rs.experiments.profiles import Profile, get_profile
from hybrid_rs.guards.bay_guard import CHECKPOINT, load_bay_guard
from hybrid_rs.guards.protocol import Guard
from hybrid_rs.kernels import UniformKernel
from hybrid_rs.smoothing import SmoothedGuard
from hybrid_rs.threats import Threat

COUNTS = CHECKPOINT.parent / "counts"


@dataclass(frozen=True)
class Setting:
    """A guard, the examples of a profile, and the store in which their counts are kept.

    Args:
        guard: the base classifier.
        sets: by "unsafe" (the examples to certify), "safe" (those on which false alarms are measured) and
            "calibration" (further safe examples, on which a threshold may be chosen).
        store: where counts are read from, and appended to.
        size: the profile.
        seed: seed of the draws.
    """

    guard: Guard
    sets: dict[str, list[Example]]
    store: CountsStore
    size: Profile
    seed: int = 0

    def smoothed(self, sigma: float, threat: Threat, beta: float = 0.25) -> SmoothedGuard:
        """Return the guard smoothed by the uniform kernel over its alphabet."""
        return SmoothedGuard(self.guard, UniformKernel(beta, len(self.guard.alphabet)), sigma, threat)

    def counts(self, name: str, smoothed: SmoothedGuard, *, masked: bool = False) -> list[Any]:
        """Return the counts of a set's examples, one entry each; those that the store lacks are drawn."""
        return self.store.sample(smoothed, self.sets[name], n=self.size.n, seed=self.seed, masked=masked)

    def counts_together(self, name: str, smoothed: Sequence[SmoothedGuard]) -> list[list[Any]]:
        """Return :meth:`counts` under smoothed guards that differ in kernel alone, drawn with one noise."""
        return self.store.sample_together(smoothed, self.sets[name], n=self.size.n, seed=self.seed)


def bay_setting(profile: str, *, seed: int = 0, resample: bool = False, engine: str = "local") -> Setting:
    """Return the setting of the book: the small guard on BayNotes.

    Args:
        profile: "quick", "standard" or "full".
        seed: seed of the draws.
        resample: draw all counts again, into a file of their own; by default those in ``data/counts`` are used.
        engine: where missing counts are drawn; see :func:`hybrid_rs.experiments.engines.get_engine`.

    Raises:
        ValueError: if there is no such profile or engine.
    """
    size = get_profile(profile)
    sets = {
        "unsafe": bay_notes.examples("test", size.n_unsafe, unsafe=True),
        "safe": bay_notes.examples("test", size.n_safe, unsafe=False),
        "calibration": bay_notes.examples("validation", size.n_calibration, unsafe=False),
    }
    folder = Path(mkdtemp()) if resample else COUNTS
    store = CountsStore(folder / f"{profile}.jsonl", fingerprint(CHECKPOINT), get_engine(engine, load_bay_guard))
    return Setting(load_bay_guard(), sets, store, size, seed)
