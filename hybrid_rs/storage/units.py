"""Units of work: what an engine does, in this process or in a worker.

A unit is the counts of one example (:class:`Unit`), one attack, or one stream of verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.certificates.threats import Threat
from hybrid_rs.evidence.kinds import AnyCounts
from hybrid_rs.smoothing.deletion import DeletionSmoothedGuard, smooth
from hybrid_rs.smoothing.draws import Noise
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.margins import sample_margins
from hybrid_rs.smoothing.together import sample_together

Evidence: TypeAlias = AnyCounts
R = TypeVar("R", covariant=True)


class Work(Protocol[R]):
    """A unit of work, which any copy of the guard can do. A worker receives it pickled."""

    @property
    def example(self) -> Example:
        """The input; its id names the unit in errors."""
        ...

    def draw(self, guard: Guard, *, progress: bool = False) -> R:
        """Return the result, a function of this unit and the guard."""
        ...


@dataclass(frozen=True, eq=False)
class Unit:
    """One piece of work: the counts of one example under noises that differ only in kernel.

    Args:
        example: the input.
        kernels: the token kernels.
        sigma: standard deviation of the image noise.
        threat: what is noised, and what the adversary may touch.
        n: number of draws.
        seed: seed of the draws.
        masked: draw evidence for the masked certificate; see :meth:`hybrid_rs.SmoothedGuard.sample`.
        margins: count at each of these margins, with one kernel; by default only at the guard's own margin.
        texts: noisy texts for each noisy image.
        noise: how image noise is drawn; see :class:`hybrid_rs.SmoothedGuard`.
    """

    example: Example
    kernels: tuple[UniformKernel | AbsorbingKernel | DeletionKernel, ...]
    sigma: float
    threat: Threat
    n: int
    seed: int
    masked: bool = False
    margins: tuple[float, ...] = ()
    texts: int = 1
    noise: Noise = "lattice"

    def draw(self, guard: Guard, *, progress: bool = False) -> list[Evidence]:
        """Return the counts for each kernel, or for each margin."""
        smoothed: list[Any] = [smooth(guard, each, self.sigma, self.threat, self.noise) for each in self.kernels]
        if self.margins:
            (one,) = smoothed
            return [*sample_margins(one, self.example, self.n, self.margins, seed=self.seed, progress=progress)]
        law: dict[str, Any] = {"masked": self.masked, "seed": self.seed}
        if self.texts > 1 or isinstance(smoothed[0], DeletionSmoothedGuard):
            law["texts"] = self.texts
            return [each.sample(self.example, self.n, progress=progress, **law) for each in smoothed]
        return sample_together(smoothed, self.example, self.n, progress=progress, **law)
