"""The experiments of the book: running their notebooks, and computing their tables.

A table of the book is computed in the module of its name (``table1``, ``figure2``, ``table7``) or subject (``costs``,
``decisions``, ``alarms``, ``noisy_accuracy``). ``setting`` prepares what they share. ``runner`` executes notebooks at
the size of a profile, and ``provenance`` prints under each result where it came from.
"""

from hybrid_rs.experiments.profiles import PROFILES, Profile, get_profile
from hybrid_rs.experiments.provenance import Provenance, provenance
from hybrid_rs.experiments.runner import ExperimentFailed, run_experiment, run_experiments

__all__ = [
    "PROFILES",
    "ExperimentFailed",
    "Profile",
    "Provenance",
    "get_profile",
    "provenance",
    "run_experiment",
    "run_experiments",
]
