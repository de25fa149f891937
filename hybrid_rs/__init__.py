"""Hybrid randomized smoothing: certificates for text edits and image perturbations at the same time."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from hybrid_rs.calibration import Calibration, calibrate
    from hybrid_rs.certificate import Certificate
    from hybrid_rs.decisions import Decision
    from hybrid_rs.estimation import clopper_pearson_lower, clopper_pearson_upper
    from hybrid_rs.evidence import Counts, MaskedCounts, SubsetCounts
    from hybrid_rs.example import Example
    from hybrid_rs.feature_kernel import FeatureKernel
    from hybrid_rs.frontiers import Frontier, frontier, frontier_of, frontiers_of
    from hybrid_rs.guards.protocol import Guard
    from hybrid_rs.kernels import AbsorbingKernel, UniformKernel
    from hybrid_rs.likelihood_ratio import LikelihoodRatio
    from hybrid_rs.margins import sample_margins
    from hybrid_rs.means import ScoreEvidence, bounded_mean_lower
    from hybrid_rs.multiclass import certified_radius_top, p_adv_upper
    from hybrid_rs.planning import Plan, ceiling, plan
    from hybrid_rs.sampling import sample_together
    from hybrid_rs.selection import Candidate, choose, robustness_curve
    from hybrid_rs.sequential import mixture_lower, mixture_upper
    from hybrid_rs.several_texts import certified_radius_texts, p_adv_texts
    from hybrid_rs.smoothing import SmoothedGuard
    from hybrid_rs.soft import layer_bounds, p_adv_layers
    from hybrid_rs.statements import certify, read_certificate, verify
    from hybrid_rs.text_certificate import TextCertificate
    from hybrid_rs.text_counts import TextCounts
    from hybrid_rs.threats import L0Threat, SuffixThreat
    from hybrid_rs.verification import VerificationError
    from hybrid_rs.worst_case import ceiled, certified_edits, certified_radius, floored, log_p_adv, p_adv, required_p_a

# Where each name lives. A module is imported when one of its names is first asked for: so the package is imported
# at once, and the command line answers a Ctrl-C from the beginning.
_MODULES = {
    "calibration": "Calibration calibrate",
    "certificate": "Certificate",
    "decisions": "Decision",
    "estimation": "clopper_pearson_lower clopper_pearson_upper",
    "evidence": "Counts MaskedCounts SubsetCounts",
    "example": "Example",
    "feature_kernel": "FeatureKernel",
    "frontiers": "Frontier frontier frontier_of frontiers_of",
    "guards.protocol": "Guard",
    "kernels": "AbsorbingKernel UniformKernel",
    "likelihood_ratio": "LikelihoodRatio",
    "margins": "sample_margins",
    "means": "ScoreEvidence bounded_mean_lower",
    "multiclass": "certified_radius_top p_adv_upper",
    "planning": "Plan ceiling plan",
    "sampling": "sample_together",
    "selection": "Candidate choose robustness_curve",
    "sequential": "mixture_lower mixture_upper",
    "several_texts": "certified_radius_texts p_adv_texts",
    "smoothing": "SmoothedGuard",
    "soft": "layer_bounds p_adv_layers",
    "statements": "certify read_certificate verify",
    "text_certificate": "TextCertificate",
    "text_counts": "TextCounts",
    "threats": "L0Threat SuffixThreat",
    "verification": "VerificationError",
    "worst_case": "ceiled certified_edits certified_radius floored log_p_adv p_adv required_p_a",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "AbsorbingKernel",
    "Calibration",
    "Candidate",
    "Certificate",
    "Counts",
    "Decision",
    "Example",
    "FeatureKernel",
    "Frontier",
    "Guard",
    "L0Threat",
    "LikelihoodRatio",
    "MaskedCounts",
    "Plan",
    "ScoreEvidence",
    "SmoothedGuard",
    "SubsetCounts",
    "SuffixThreat",
    "TextCertificate",
    "TextCounts",
    "UniformKernel",
    "VerificationError",
    "__version__",
    "bounded_mean_lower",
    "calibrate",
    "ceiled",
    "ceiling",
    "certified_edits",
    "certified_radius",
    "certified_radius_texts",
    "certified_radius_top",
    "certify",
    "choose",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "floored",
    "frontier",
    "frontier_of",
    "frontiers_of",
    "layer_bounds",
    "log_p_adv",
    "mixture_lower",
    "mixture_upper",
    "p_adv",
    "p_adv_layers",
    "p_adv_texts",
    "p_adv_upper",
    "plan",
    "read_certificate",
    "required_p_a",
    "robustness_curve",
    "sample_margins",
    "sample_together",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _HOME:
        globals()[name] = found = getattr(import_module(f"hybrid_rs.{_HOME[name]}"), name)
        return found
    if not name.startswith("__") and find_spec(f"hybrid_rs.{name}"):
        return import_module(f"hybrid_rs.{name}")
    raise AttributeError(f"module 'hybrid_rs' has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("hybrid_rs")
    except PackageNotFoundError:  # used from the source tree without being installed
        return "unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
