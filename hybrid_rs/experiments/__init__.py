"""Running the experiment notebooks at a chosen size, and saying under each result where it came from."""

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
