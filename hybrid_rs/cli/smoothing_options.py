"""The options about noise and threat: they give a smoothed guard, and sentences about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid_rs._checks import nonnegative, probability, require
from hybrid_rs.cli import guard_options as g, options as o
from hybrid_rs.cli.token_text import spelled
from hybrid_rs.guards.wording import PRESETS

if TYPE_CHECKING:
    from hybrid_rs.smoothing.deletion import AnySmoothed
    from hybrid_rs.smoothing.example import Example
    from hybrid_rs.smoothing.guard import Guard

MOST_EDITS = 8  # where nothing else is asked for, and a text is read
EDITS = {
    "all": "insertions, deletions and substitutions",
    "insertions": "insertions",
    "deletions": "deletions",
    "insertions-and-deletions": "insertions and deletions",
}


@dataclass(frozen=True)
class Smoothing:
    """The noise and the threat; a group of options."""

    sigma: o.Sigma = 0.5
    kernel: o.KernelOption = None
    beta: o.Beta = 0.25
    threat: o.ThreatOption = "suffix"
    edits: o.EditsOption = "all"
    max_edits: o.MaxEdits = None
    noise: o.NoiseOption = "lattice"
    preset: g.PresetOption = None  # the same two options as those of the guard: is there a text to edit?
    reads_text: g.ReadsText = None
    per_d: bool = False  # an option only of the commands that can use it

    def __post_init__(self) -> None:
        nonnegative("sigma", self.sigma)
        probability("beta", self.beta)
        alone = "this guard judges the image alone, so no text can be edited"
        remedy = f"{alone}; leave it out, or give --max-edits 0"
        require(self.edits_text or not self.max_edits, "max_edits", self.max_edits, remedy)
        require(self.edits_text or not self.deletes, "threat", self.threat, f"{alone}; leave it out")
        twice = self.per_d and self.threat != "suffix"
        require(not twice, "per_d", True, f"{self.threat} has one classifier for all d; leave it out")
        deletes = self.threat == "edit-distance"
        fits = self.kernel is None or (self.kernel == "deletion") == deletes
        remedy = "edit-distance needs deletion" if deletes else "deletion is for --threat edit-distance"
        require(fits, "kernel", self.kernel, f"{remedy}; leave it out")
        require(deletes or self.edits == "all", "edits", self.edits, "it is for --threat edit-distance; leave it out")

    @property
    def edits_text(self) -> bool:
        """Whether the guard reads a text, as far as its options say."""
        preset = PRESETS[self.preset].wording.reads_text if self.preset else True
        return preset if self.reads_text is None else self.reads_text

    @property
    def most_edits(self) -> int:
        """The largest text budget."""
        return (MOST_EDITS if self.edits_text else 0) if self.max_edits is None else self.max_edits

    @property
    def deletes(self) -> bool:
        """Whether the noise deletes tokens, and the adversary may change the length of the text."""
        return self.threat == "edit-distance"

    def of(self, guard: Guard) -> AnySmoothed:
        """Return the smoothed guard; the uniform kernel is over the guard's alphabet."""
        import hybrid_rs as hrs
        from hybrid_rs.certificates.deletion import DeletionKernel
        from hybrid_rs.certificates.threats import EditDistanceThreat, InPlaceThreat, Threat
        from hybrid_rs.smoothing.deletion import DeletionSmoothedGuard

        if self.deletes:
            edits: Any = self.edits.replace("-", " ")
            threat_of, deletion = EditDistanceThreat(self.most_edits), DeletionKernel(self.beta, edits)
            return DeletionSmoothedGuard(guard, deletion, self.sigma, threat_of, self.noise)
        suffix = hrs.SuffixThreat(self.most_edits, one_shot=not self.per_d)
        others: dict[str, Callable[[int], Threat]] = {"in-place": InPlaceThreat, "l0": hrs.L0Threat}
        anywhere = self.threat in others and self.most_edits > 0  # without edits all three threats are the same one
        threat = others[self.threat](self.most_edits) if anywhere else suffix
        absorbing = self.kernel == "absorbing"
        remedy = "this guard has no mask token; choose one with --mask, such as <unk> (in Python: mask_id)"
        require(not absorbing or guard.mask_id is not None, "kernel", self.kernel, remedy)
        kernel = hrs.AbsorbingKernel(self.beta) if absorbing else hrs.UniformKernel(self.beta, len(guard.alphabet))
        return hrs.SmoothedGuard(guard, kernel, self.sigma, threat, self.noise)

    def __str__(self) -> str:
        kinds = {
            "suffix": f"a suffix of {self.most_edits} tokens",
            "in-place": f"the last {self.most_edits} tokens of the text overwritten",
            "l0": f"up to {self.most_edits} tokens replaced anywhere",
            "edit-distance": f"up to {self.most_edits} {EDITS[self.edits]} anywhere",
        }
        kind = kinds[self.threat] if self.most_edits else "the image alone"
        one = ", a classifier for each d" if self.per_d else ""
        noise = " on the 8-bit lattice" if self.noise == "lattice" else ""
        kernel = ", tokens deleted" if self.deletes else ", absorbing kernel" if self.kernel == "absorbing" else ""
        return f"sigma = {self.sigma:g}{noise}, beta = {self.beta:g}{kernel}, threat: {kind}{one}"


def replaces(smoothed: AnySmoothed) -> bool:
    """Return whether the noise replaces tokens, so that an alphabet matters; otherwise it deletes them."""
    return hasattr(smoothed.kernel, "replacements")


def alphabet_said(smoothed: AnySmoothed) -> str:
    """Say what noise writes, and what an edit may write.

    A token outside the alphabet is read as the pad wherever the threat allows edits. So a certificate for edits within
    the alphabet covers edits to any token.
    """
    if not replaces(smoothed):
        return "Noise deletes tokens. An edit may write any token."
    if smoothed.threat.max_edits == 0:
        return "No token is noised, and none may be edited: the adversary changes the image alone."
    guard, size = smoothed.guard, len(smoothed.guard.alphabet)
    uniform = hasattr(smoothed.kernel, "vocab_size")
    writes = f"another of the alphabet's V = {size} tokens" if uniform else f"the mask, {spelled(guard, guard.mask_id)}"
    edits = f"An edit writes one of the alphabet's {size} tokens; where edits are allowed, any other token is read as"
    return f"Noise writes {writes}. {edits} {spelled(guard, guard.pad_id)}."


def outside_alphabet(smoothed: AnySmoothed, example: Example) -> int:
    """Return how many tokens of an example are read as the pad: noised by replacement, and not in the alphabet."""
    if not replaces(smoothed):
        return 0
    ids = example.token_ids
    noised = np.asarray(smoothed.threat.noised(ids.size).any(axis=0))[: ids.size]
    return int((noised & ~np.isin(ids, smoothed.guard.alphabet)).sum())
