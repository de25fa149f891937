"""Hybrid randomized smoothing: certificates for text edits and image perturbations at the same time.

The names below are those that most users need. Everything else is public in its room:

- :mod:`hybrid_rs.evidence`: from counts of draws to bounds of a probability;
- :mod:`hybrid_rs.certificates`: from a probability to a certificate;
- :mod:`hybrid_rs.decisions`: how many draws to make, and which design to choose;
- :mod:`hybrid_rs.smoothing`: a guard and its noise;
- :mod:`hybrid_rs.datasets`, :mod:`hybrid_rs.guards`: the inputs and the guards that are certified;
- :mod:`hybrid_rs.attacks`, :mod:`hybrid_rs.baselines`: attacks on smoothed guards, and other certificates;
- :mod:`hybrid_rs.storage`: counts on disk, and the engines that draw them;
- :mod:`hybrid_rs.small_guard`, :mod:`hybrid_rs.tables`: two small tasks with classifiers trained for them;
- :mod:`hybrid_rs.experiments`, :mod:`hybrid_rs.ledger`: the tables and the claims of the book.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from hybrid_rs._citation import citation as citation
    from hybrid_rs.certificates.certificate import Certificate as Certificate
    from hybrid_rs.certificates.exact_laws import VerificationError as VerificationError
    from hybrid_rs.certificates.feature_kernel import FeatureKernel as FeatureKernel
    from hybrid_rs.certificates.frontier import Frontier as Frontier, frontier as frontier
    from hybrid_rs.certificates.frontier_of import frontier_of as frontier_of
    from hybrid_rs.certificates.kernels import AbsorbingKernel as AbsorbingKernel, UniformKernel as UniformKernel
    from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio as LikelihoodRatio
    from hybrid_rs.certificates.rounding import ceiled as ceiled, floored as floored
    from hybrid_rs.certificates.statements import (
        certify as certify,
        read_certificate as read_certificate,
        verify as verify,
    )
    from hybrid_rs.certificates.text_certificate import TextCertificate as TextCertificate
    from hybrid_rs.certificates.threats import L0Threat as L0Threat, SuffixThreat as SuffixThreat
    from hybrid_rs.certificates.worst_case import (
        certified_edits as certified_edits,
        certified_radius as certified_radius,
        p_adv as p_adv,
        required_p_a as required_p_a,
    )
    from hybrid_rs.decisions.calibrate import calibrate as calibrate
    from hybrid_rs.decisions.plan import ceiling as ceiling, plan as plan
    from hybrid_rs.evidence.clopper_pearson import (
        clopper_pearson_lower as clopper_pearson_lower,
        clopper_pearson_upper as clopper_pearson_upper,
    )
    from hybrid_rs.evidence.counts import Counts as Counts, MaskedCounts as MaskedCounts
    from hybrid_rs.evidence.subset_counts import SubsetCounts as SubsetCounts
    from hybrid_rs.evidence.text_counts import TextCounts as TextCounts
    from hybrid_rs.smoothing.example import Example as Example
    from hybrid_rs.smoothing.guard import Guard as Guard
    from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard as SmoothedGuard

# The module of each name. A module is imported when one of its names is first used. So importing the package is fast,
# and the command line can answer a Ctrl-C from the beginning.
_MODULES = {
    "_citation": "citation",
    "certificates.certificate": "Certificate",
    "certificates.feature_kernel": "FeatureKernel",
    "certificates.frontier": "Frontier frontier",
    "certificates.frontier_of": "frontier_of",
    "certificates.kernels": "AbsorbingKernel UniformKernel",
    "certificates.likelihood_ratio": "LikelihoodRatio",
    "certificates.statements": "certify read_certificate verify",
    "certificates.text_certificate": "TextCertificate",
    "certificates.threats": "L0Threat SuffixThreat",
    "certificates.exact_laws": "VerificationError",
    "certificates.rounding": "ceiled floored",
    "certificates.worst_case": "certified_edits certified_radius p_adv required_p_a",
    "decisions.calibrate": "calibrate",
    "decisions.plan": "ceiling plan",
    "evidence.clopper_pearson": "clopper_pearson_lower clopper_pearson_upper",
    "evidence.counts": "Counts MaskedCounts",
    "evidence.subset_counts": "SubsetCounts",
    "evidence.text_counts": "TextCounts",
    "smoothing.example": "Example",
    "smoothing.guard": "Guard",
    "smoothing.smoothed_guard": "SmoothedGuard",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted({*_HOME, "__version__"})


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("hybrid_rs._citation").version()
    if name in _HOME:
        globals()[name] = found = getattr(import_module(f"hybrid_rs.{_HOME[name]}"), name)
        return found
    if not name.startswith("__") and find_spec(f"hybrid_rs.{name}"):
        return import_module(f"hybrid_rs.{name}")
    raise AttributeError(f"module 'hybrid_rs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
