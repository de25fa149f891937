"""Table T1: image-only, text-only and hybrid smoothing, plain and masked, against suffixes and l0.

The notebook T1 draws the counts and shows the table; other tables and figures use the same columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from hybrid_rs.certificates.frontier import Frontier
from hybrid_rs.certificates.frontier_of import frontiers_of
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.threshold import threshold
from hybrid_rs.decisions.calibrate import Calibration, calibrate, flagged_share
from hybrid_rs.evidence.counts import Counts, MaskedCounts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts
from hybrid_rs.experiments.alarms import alarm_shares


@dataclass(frozen=True)
class Column:
    """One way of smoothing, with the counts of three sets of examples.

    Args:
        name: its name in the table.
        threat: the name of the threat in the table.
        kernel: the token kernel.
        sigma: standard deviation of the image noise; 0 for text-only smoothing.
        d_max: the largest text budget it certifies; 0 for image-only smoothing.
        counts: counts by set: "unsafe" (examples to certify; of any kind), "safe" (examples that measure
            false alarms) and "calibration" (further safe examples, on which tau may be chosen).
        edits_are_free: the guard never sees the adversary's tokens, so every d has the radius of d = 0.
    """

    name: str
    threat: str
    kernel: UniformKernel
    sigma: float
    d_max: int
    counts: dict[str, list[Any]]
    edits_are_free: bool = False
    _made: dict[tuple[float | Calibration, float], list[Frontier]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def without_slot(self) -> Column:
        """Return the baseline that never shows the slot to the guard; ``self`` has one classifier per d."""
        return replace(self, name="slot removed", counts=_only(self.counts, 0), edits_are_free=True)

    def frontiers(self, tau: float | Calibration, alpha: float) -> list[Frontier]:
        """Return the frontier of every unsafe example; a calibrated tau must not have used their draws."""
        if (tau, alpha) not in self._made:  # a page asks for the same ones several times
            self._made[tau, alpha] = self._frontiers(tau, alpha)
        return list(self._made[tau, alpha])

    def _frontiers(self, tau: float | Calibration, alpha: float) -> list[Frontier]:
        d_max = 0 if self.edits_are_free else self.d_max
        found = frontiers_of(self.counts["unsafe"], self.kernel, sigma=self.sigma, tau=tau, d_max=d_max, alpha=alpha)
        if self.edits_are_free:
            every = np.zeros(self.d_max + 1, dtype=int)
            found = [replace(f, radii=f.radii[every], p=f.p[every], masked=f.masked[every]) for f in found]
        return found

    def by_budget(self, tau: float | Calibration, alpha: float) -> pd.DataFrame:
        """Return for every d the certified share, the mean radius of these, and the false alarms of the classifier.

        False alarms are counted by both rules of :mod:`hybrid_rs.experiments.alarms`.
        """
        radii = np.array([front.radii for front in self.frontiers(tau, alpha)])
        certified = ~np.isnan(radii)
        with np.errstate(invalid="ignore"):
            mean = np.nansum(radii, axis=0) / certified.sum(axis=0)
        alarms = alarm_shares(self.counts["safe"], tau, alpha)
        return pd.DataFrame(
            {
                "threat": self.threat,
                "smoothing": self.name,
                "sigma": self.sigma,
                "tau": threshold(tau, [(counts.example, counts.seed) for counts in self.counts["safe"]]),
                "d": np.arange(self.d_max + 1),
                "certified": certified.mean(axis=0),
                "mean radius": mean,
            }
            | {rule: np.broadcast_to(shares, (self.d_max + 1,)) for rule, shares in alarms.items()}
        )

    def mean_edits(self, tau: float | Calibration, alpha: float) -> float:
        """Return the mean over all unsafe examples of the largest certified d; an example with none counts as 0."""
        return float(np.mean([max(front.edits(), 0) for front in self.frontiers(tau, alpha)]))

    def thresholds(self, tau: float, false_alarms: float, alpha: float) -> dict[str, float | Calibration]:
        """Return :func:`thresholds`, calibrated on the column's calibration examples."""
        return thresholds(self.counts["calibration"], tau, false_alarms, alpha)


def thresholds(
    benign: Sequence[Counts], tau: float, false_alarms: float, alpha: float
) -> dict[str, float | Calibration]:
    """Return the two thresholds of a table: "paper", and "calibrated" on benign examples for a share of false alarms.

    If more than that share of the benign examples are unsafe in all draws, no threshold has this share of false alarms.
    The second threshold is then 1, at which nothing is certified.
    """
    always = float(flagged_share(benign, 1.0).max())
    least = calibrate(benign, false_alarms, alpha=alpha) if always <= false_alarms else 1.0
    return {"paper": tau, "calibrated": least}


def columns(
    kernel: UniformKernel,
    nested: dict[float, dict[str, list[Counts]]],
    masked: dict[float, list[MaskedCounts]],
    l0: dict[float, dict[str, list[Any]]],
    several: dict[float, list[SubsetTextCounts]],
) -> list[Column]:
    """Sort counts into the table's ways of smoothing.

    Args:
        kernel: the token kernel.
        nested: by sigma (0 is text-only), then by "unsafe", "safe" and "calibration": one entry per example, each with
            a count for every d = 0, 1, ..., m, as ``SuffixThreat(m, one_shot=False)`` gives them.
        masked: by sigma, of the unsafe examples, as ``SuffixThreat(m)`` gives them with ``masked=True``.
        l0: by sigma, as ``nested``, from ``L0Threat``: SubsetCounts of the unsafe examples, Counts of the others.
        several: by sigma, of the unsafe examples, from ``L0Threat`` with several texts for each image.
    """
    found = []
    for sigma, sets in nested.items():
        m = len(sets["unsafe"][0].unsafe) - 1
        first, last = _only(sets, 0), _only(sets, m)
        if sigma == 0:
            text = Column("text only", "suffix", kernel, 0.0, m, sets)
            found += [text, text.without_slot()]
            continue
        hybrid = Column("hybrid, one classifier per d", "suffix", kernel, sigma, m, sets)
        found += [Column("image only", "none", kernel, sigma, 0, first), hybrid.without_slot(), hybrid]
        found.append(Column("hybrid, one-shot", "suffix", kernel, sigma, m, last))
        found.append(Column("hybrid, masked", "suffix", kernel, sigma, m, last | {"unsafe": masked[sigma]}))
        anywhere, d_max = l0[sigma], len(l0[sigma]["unsafe"][0].safe) - 1
        clean = anywhere | {"unsafe": [counts.clean for counts in anywhere["unsafe"]]}
        found.append(Column("hybrid", "l0", kernel, sigma, d_max, clean))
        found.append(Column("hybrid, best of plain and masked", "l0", kernel, sigma, d_max, anywhere))
        name = f"hybrid, {several[sigma][0].texts} texts an image"
        found.append(Column(name, "l0", kernel, sigma, d_max, anywhere | {"unsafe": several[sigma]}))
    return found


def _only(sets: dict[str, list[Counts]], d: int) -> dict[str, list[Any]]:
    """Keep the classifier of one text budget."""
    return {name: [counts.of_budget(d) for counts in group] for name, group in sets.items()}
