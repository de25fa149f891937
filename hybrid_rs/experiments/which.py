"""Which method for which threat: all methods on the same examples, at the same false alarm rate and cost.

A decision of every method may ask the guard about the same number of pairs of text and image. The threshold of each
method is calibrated on the same further benign examples, to the same rate of false alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybrid_rs.baselines.composition import composed_radius
from hybrid_rs.baselines.erase_and_check import EraseAndCheck, questions
from hybrid_rs.baselines.safer import SynonymGuard, SynonymKernel
from hybrid_rs.baselines.subsampling import SubsampledGuard, Subsampling
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.frontier import frontier
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.certificates.threats import EditDistanceThreat, InPlaceThreat, L0Threat, SuffixThreat, Threat
from hybrid_rs.certificates.worst_case import certified_radius
from hybrid_rs.decisions.calibrate import Calibration, calibrate, flagged_share
from hybrid_rs.evidence.counts import Counts
from hybrid_rs.experiments.alarms import alarm_shares
from hybrid_rs.experiments.setting import COUNTS
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard
from hybrid_rs.small_guard.language import FAMILIES, encode
from hybrid_rs.smoothing.deletion import DeletionSmoothedGuard
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard
from hybrid_rs.storage.counts import CountsStore
from hybrid_rs.storage.records import SCHEMA, records

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
Radii: TypeAlias = Callable[[Any, float, Example], FloatArray]
SIZES = {"quick": (4, 500), "standard": (12, 500), "full": (400, 10_000)}  # examples per set, guard calls per example
SIGMA, BETA, EDITS, TEXTS = 0.5, 0.25, 3, 10
ALPHA, FALSE_ALARMS = 0.01, 0.05
KEPT = Subsampling(keep_tokens=5, keep_pixels=128, token_fill=0)


@dataclass(frozen=True)
class Method:
    """One method against one threat.

    Args:
        threat: what the adversary may do to the text.
        name: the method.
        draws: the name of the draws that its decisions use.
        assumes: what must be true for the certificate.
        radii: a function of the counts of an unsafe example, tau and the example. It returns the image radius by number
            of edits, shape ``(EDITS + 1,)``; nan where nothing is certified.
        evidence: the name of the draws that certify, if they differ from those of a decision.
        cost: pairs of text and image in one draw of a decision.
    """

    threat: str
    name: str
    draws: str
    assumes: str
    radii: Radii
    evidence: str = ""
    cost: int = 1


class Comparison:
    """The counts of the comparison; those that are not stored are drawn.

    Args:
        profile: "quick", "standard" or "full".
    """

    def __init__(self, profile: str) -> None:
        self.many, self.budget = SIZES[profile]
        self._path = COUNTS / "which.jsonl"
        self._others = records(COUNTS / "which_others.jsonl", made=("unsafe", "distance"))

    @cached_property
    def guard(self) -> Any:
        """The small guard."""
        return load_bay_guard()

    @cached_property
    def store(self) -> CountsStore:
        """The counts of the package's own smoothing."""
        return CountsStore(self._path, self.guard.identity)

    @cached_property
    def sets(self) -> dict[str, list[Example]]:
        """Examples to certify, to choose thresholds, and to count false alarms; images of 8 bits a channel."""
        made = {
            "unsafe": bay_notes.examples("test", self.many, unsafe=True),
            "calibration": bay_notes.examples("validation", self.many, unsafe=False),
            "safe": bay_notes.examples("test", self.many, unsafe=False),
        }
        return {name: [example.rounded() for example in group] for name, group in made.items()}

    @cached_property
    def smoothed(self) -> dict[str, tuple[SmoothedGuard, dict[str, Any]]]:
        """The package's own smoothed guards by the name of their draws, and how they are drawn."""
        uniform = UniformKernel(BETA, len(self.guard.alphabet))

        def of(threat: Threat, kernel: Any = uniform) -> SmoothedGuard:
            return SmoothedGuard(self.guard, kernel, SIGMA, threat, "lattice")

        n, anywhere, slot = self.budget, of(L0Threat(EDITS)), of(SuffixThreat(EDITS))
        in_place = of(InPlaceThreat(EDITS))
        return {
            "image": (of(L0Threat(1), UniformKernel(0.0, len(self.guard.alphabet))), {"n": n}),
            "slot": (slot, {"n": n}),
            "slot, masked": (slot, {"n": n // (EDITS + 1), "masked": True}),
            "in place": (in_place, {"n": n}),
            "in place, masked": (in_place, {"n": n // (EDITS + 1), "masked": True}),
            "anywhere": (anywhere, {"n": n}),
            "anywhere, sets": (anywhere, {"n": n, "masked": True}),
            "anywhere, texts": (anywhere, {"n": n // TEXTS, "masked": True, "texts": TEXTS}),
            "masks": (of(L0Threat(EDITS), AbsorbingKernel(BETA)), {"n": n}),
        }

    @cached_property
    def others(self) -> dict[str, tuple[Any, int]]:
        """The smoothed guards of other methods by the name of their draws, and how often each is drawn."""
        erasing = EraseAndCheck(self.guard, EDITS, "suffix")
        deleting = DeletionSmoothedGuard(self.guard, DeletionKernel(BETA), SIGMA, EditDistanceThreat(EDITS))
        image_only = SmoothedGuard(erasing, UniformKernel(0.0, len(self.guard.alphabet)), SIGMA, L0Threat(1), "lattice")
        return {
            "erased": (image_only, self.budget // questions(EDITS, EDITS, "suffix")),
            "deleted": (deleting, self.budget),
            "synonyms": (SynonymGuard(self.guard, synonyms(), SIGMA, "lattice"), self.budget),
            "subsamples": (SubsampledGuard(self.guard, replace(KEPT, token_fill=self.guard.pad_id)), self.budget),
        }

    def counts(self, draws: str, name: str) -> list[Any]:
        """Return the counts of a set of examples, one entry each; what is not stored is drawn.

        Args:
            draws: the name of the draws.
            name: "unsafe", "calibration" or "safe".
        """
        if draws in self.smoothed:
            smoothed, how = self.smoothed[draws]
            return self.store.sample(smoothed, self.sets[name], **how)
        return [self._other(draws, example) for example in self.sets[name]]

    def _other(self, draws: str, example: Example) -> Counts:
        smoothed, n = self.others[draws]
        asked = {"schema": SCHEMA, "classifier": self.guard.identity, "draws": draws, "example": example.id, "n": n}
        asked |= {"seed": 0, "edits": EDITS, "sigma": SIGMA, "beta": BETA}

        def make() -> dict[str, Any]:
            found = smoothed.sample(example, n, seed=0)
            return {"unsafe": list(found.unsafe), "distance": found.distance}

        row = self._others.get_or_make(asked, make)
        return Counts(tuple(row["unsafe"]), n, example.id, 0, row["distance"])

    def threshold(self, method: Method) -> Calibration | float:
        """Return the least threshold at which a method flags at most a twentieth of the calibration examples.

        If more of them are unsafe in all draws, there is no such threshold, and 1 is returned.
        """
        benign = self.counts(method.draws, "calibration")
        if float(flagged_share(benign, 1.0).max()) > FALSE_ALARMS:
            return 1.0
        return calibrate(benign, FALSE_ALARMS, alpha=ALPHA)

    def row(self, method: Method) -> dict[str, Any]:
        """Return what a method certifies at its threshold, and what it costs."""
        chosen = self.threshold(method)
        tau = chosen if isinstance(chosen, float) else chosen.tau
        unsafe = zip(self.counts(method.evidence or method.draws, "unsafe"), self.sets["unsafe"], strict=True)
        radii = np.array([method.radii(counts, tau, example) for counts, example in unsafe])
        safe = self.counts(method.draws, "safe")
        held = ~np.isnan(radii)
        share = {f"d = {d}": float(held[:, d].mean()) for d in range(EDITS + 1)}
        mean = float(radii[held[:, 1], 1].mean()) if held[:, 1].any() else float("nan")
        alarms = {rule: float(shares[0]) for rule, shares in alarm_shares(safe, chosen, ALPHA).items()}
        return {
            "threat": method.threat,
            "method": method.name,
            "tau": tau,
            **alarms,
            **share,
            "radius at d = 1": mean,
            "questions": safe[0].n * method.cost,
            "assumes": method.assumes,
        }

    def table(self) -> pd.DataFrame:
        """Return one row for each method and threat."""
        import pandas as pd

        return pd.DataFrame([self.row(method) for method in methods(self.guard)])


def synonyms() -> SynonymKernel:
    """Return the synonyms of the notes: a word for goods may become any other of its family."""
    families = [tuple(int(encode(word)[0]) for word in words) for words in FAMILIES.values()]
    return SynonymKernel({token: family for family in families for token in family})


def methods(guard: Guard) -> list[Method]:
    """Return every method, in the order of the table."""
    uniform, size = UniformKernel(BETA, len(guard.alphabet)), EDITS + 1

    def own(kernel: Any) -> Radii:
        """The frontier that the counts support, with the certificates of this package."""
        from hybrid_rs.certificates.frontier_of import frontier_of

        law: dict[str, Any] = {"sigma": SIGMA, "d_max": EDITS, "alpha": ALPHA}
        return lambda counts, tau, _: np.asarray(frontier_of(counts, kernel, tau=tau, **law).radii)

    def plain(kernel: Any) -> Radii:
        law: dict[str, Any] = {"sigma": SIGMA, "d_max": EDITS}
        return lambda counts, tau, _: np.asarray(frontier(clean(counts), kernel, tau=tau, **law).radii)

    def image_alone(edits: bool) -> Radii:
        """Cohen's radius; with ``edits`` at every number of edits, since the method undoes them all."""

        def radii(counts: Any, tau: float, _: Example) -> FloatArray:
            radius = certified_radius(clean(counts), LikelihoodRatio.identity(), sigma=SIGMA, tau=tau)
            return np.where((np.arange(size) == 0) | edits, radius, np.nan)

        return radii

    def in_sequence(counts: Any, tau: float, _: Example) -> FloatArray:
        p = clean(counts)
        ratios = [uniform.likelihood_ratio(d) for d in range(size)]
        return np.array([float(composed_radius(p, ratio, sigma=SIGMA, tau=tau)) for ratio in ratios])

    def subsampled(counts: Any, tau: float, example: Example) -> FloatArray:
        """Return 0 where edits are certified with an unchanged image: if all pixels change, nothing is certified."""
        law = replace(KEPT, token_fill=0).law(example)
        held = [int(law.certified_pixels(counts.p_a(ALPHA), d, tau=tau)[0]) >= 0 for d in range(size)]
        return np.where(held, 0.0, np.nan)

    deletion = [DeletionKernel(BETA, edits) for edits in ("insertions", "all")]
    slot, anywhere, end = "suffix, known slot", "tokens replaced anywhere", "last tokens overwritten"
    inserted, any_edit, same = "tokens added anywhere", "any edits", "words replaced by synonyms"
    known = "the place of the slot"
    return [
        Method("image alone", "Gaussian (Cohen)", "image", "the text is fixed", image_alone(edits=False)),
        Method(slot, "slot removed", "image", f"{known}, and that it holds nothing", image_alone(edits=True)),
        Method(slot, "hybrid, plain", "slot", known, plain(uniform)),
        Method(slot, "two certificates in sequence", "slot", known, in_sequence),
        Method(slot, "hybrid, committed", "slot", known, own(uniform), evidence="slot, masked"),
        Method(end, "hybrid, plain", "in place", "the last tokens are untrusted", plain(uniform)),
        Method(
            end,
            "hybrid, committed",
            "in place",
            "the last tokens are untrusted",
            own(uniform),
            evidence="in place, masked",
        ),
        Method("tokens appended", "erase-and-check", "erased", "nothing", image_alone(edits=True), "image", size),
        Method("tokens appended", "deletion", "deleted", "nothing", plain(deletion[0])),
        Method(inserted, "deletion", "deleted", "nothing", plain(deletion[0])),
        Method(any_edit, "deletion", "deleted", "nothing", plain(deletion[1])),
        Method(anywhere, "hybrid, plain", "anywhere", "the length", plain(uniform), evidence="anywhere, sets"),
        Method(anywhere, "hybrid, all sets", "anywhere", "the length", own(uniform), evidence="anywhere, sets"),
        Method(anywhere, "hybrid, several texts", "anywhere", "the length", own(uniform), evidence="anywhere, texts"),
        Method(anywhere, "absorbing", "masks", "a mask that the guard knows", plain(AbsorbingKernel(BETA))),
        Method(anywhere, "deletion", "deleted", "nothing", plain(deletion[1])),
        Method(anywhere, "MMCert", "subsamples", "few pixels change, but by any amount", subsampled),
        Method(same, "SAFER", "synonyms", "a table of synonyms", synonym_radii),
    ]


def clean(counts: Any) -> float:
    """Return the lower bound of the smoothed value, from counts with or without conditions."""
    return float(getattr(counts, "clean", counts).p_a(ALPHA)[0])


def synonym_radii(counts: Any, tau: float, example: Example) -> FloatArray:
    """Return the radii against synonyms. The families are closed: a substitute has the same synonyms."""
    kernel = synonyms()
    ratios = [kernel.likelihood_ratio(example.token_ids.tolist(), d) for d in range(EDITS + 1)]
    return np.array([float(certified_radius(clean(counts), ratio, sigma=SIGMA, tau=tau)) for ratio in ratios])
