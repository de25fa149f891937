"""Hybrid randomized smoothing: certificates for text edits and image perturbations at the same time."""

from hybrid_rs.certificate import certified_edits, certified_radius, floored, log_p_adv, p_adv, required_p_a
from hybrid_rs.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.likelihood_ratio import LikelihoodRatio

__all__ = [
    "AbsorbingKernel",
    "LikelihoodRatio",
    "UniformKernel",
    "certified_edits",
    "certified_radius",
    "floored",
    "log_p_adv",
    "p_adv",
    "required_p_a",
]
