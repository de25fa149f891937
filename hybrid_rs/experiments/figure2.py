"""Experiment F2: the settings of the attacks, and the folder of their results."""

from __future__ import annotations

from hybrid_rs.storage.records import DATA

ATTACKS = DATA / "attacks"
GRID = ((0.5, 1, 1.0), (0.5, 2, 2.0), (1.0, 1, 1.0), (1.0, 2, 2.0))  # sigma, d, epsilon
ALONE = ((0.5, 2, 0.0), (0.5, 0, 2.0), (1.0, 2, 0.0), (1.0, 0, 2.0))  # one modality at a time
