"""Counts of verdicts; their type says from which law the draws came.

A certificate transports evidence from a law that can be sampled to the law of the attacked input. :class:`Counts` come
from the clean law and bound p_A. :class:`MaskedCounts` bound p_S: the probability of "unsafe" given that all positions
which the adversary edits were replaced. The counts of :mod:`hybrid_rs.evidence.subset_counts` bound p_S, too. Each kind
has its own type, so that one kind is never mistaken for another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import (
    integer,
    nonnegative_or_infinite,
    one,
    probability,
    require,
    risk,
    several,
    shown,
    text,
)
from hybrid_rs.evidence.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """How often the base classifier said "unsafe" under the noise of each smoothed classifier.

    Args:
        unsafe: one count per smoothed classifier. If there is only one, it serves every text budget; otherwise entry d
            belongs to the classifier that is smoothed for text budget d.
        n: number of draws behind every count.
        example: the example's id.
        seed: the seed of the draws; None if unknown.
        distance: total variation between the law of a draw and that of the theorem; taken off every bound.
        smoothing: kernel and sigma of the draws, in words; a certificate for others is refused. "" if unknown.

    Raises:
        ValueError: if a count is not in 0..n.

    Example:
        >>> Counts((10_000, 9_990), n=10_000).p_a(alpha=0.01).round(5)
        array([0.99954, 0.99799])
    """

    unsafe: tuple[int, ...]
    n: int
    example: str = field(default="", compare=False)
    seed: int | None = field(default=None, compare=False)
    distance: float = 0.0
    smoothing: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        unsafe = self.unsafe if isinstance(self.unsafe, Sequence | np.ndarray) else (self.unsafe,)
        object.__setattr__(self, "unsafe", whole_counts("unsafe", unsafe, self.n))
        object.__setattr__(self, "distance", source(self.example, self.seed, self.distance, self.smoothing))

    masked: ClassVar[bool] = False
    texts: ClassVar[int] = 1

    @property
    def one_classifier(self) -> bool:
        """Whether a single smoothed classifier serves every text budget."""
        return not self.by_budget

    @property
    def by_budget(self) -> bool:
        """Whether each text budget has its own bound and its own risk."""
        return len(self.unsafe) > 1

    def drawn(self) -> dict[str, Any]:
        """Return the drawn fields by name, as a store writes them."""
        return {"unsafe": self.unsafe} | far(self.distance)

    def p_a(self, alpha: float = 0.01) -> FloatArray:
        """Return lower bounds of the smoothed probabilities, shape ``(classifiers,)``, each at risk alpha."""
        bounds = clopper_pearson_lower(np.array(self.unsafe), self.n, risk("alpha", alpha))
        return lowered(bounds, self.distance)

    bounds = p_a  # a certificate starts from these

    def p_a_upper(self, alpha: float = 0.01) -> FloatArray:
        """Return upper bounds of the smoothed probabilities, each at risk alpha."""
        bounds = clopper_pearson_upper(np.array(self.unsafe), self.n, risk("alpha", alpha))
        raised = np.minimum(np.nextafter(bounds + self.distance, 2.0), 1.0)
        return raised if self.distance else np.asarray(bounds)

    def of_budget(self, d: int) -> Counts:
        """Return the counts of the classifier that serves text budget ``d``."""
        budget = integer("d", d, at_least=0)
        if self.one_classifier:
            return self
        require(budget < len(self.unsafe), "d", d, f"give at most {len(self.unsafe) - 1}, the largest budget sampled")
        return replace(self, unsafe=(self.unsafe[budget],))


@dataclass(frozen=True)
class MaskedCounts:
    """How often the base classifier said "unsafe", given that the first d pads were replaced; one smoothed classifier.

    Args:
        unsafe: entry d is the count given that pads 1 to d were replaced, d = 0, 1, ...; entry 0 has no condition.
        n: number of draws behind every count; one noise draw may serve all of them.
        example: the example's id.
        seed: the seed of the draws; None if unknown.
        distance: total variation between the law of a draw and that of the theorem; taken off every bound.
        smoothing: kernel and sigma of the draws, in words; a certificate for others is refused. "" if unknown.

    Raises:
        ValueError: if a count is not in 0..n.

    Example:
        >>> MaskedCounts((9_990, 9_700), n=10_000).p_s(alpha=0.01).round(5)
        array([0.99799, 0.96579])
    """

    unsafe: tuple[int, ...]
    n: int
    example: str = field(default="", compare=False)
    seed: int | None = field(default=None, compare=False)
    distance: float = 0.0
    smoothing: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "unsafe", whole_counts("unsafe", self.unsafe, self.n))
        object.__setattr__(self, "distance", source(self.example, self.seed, self.distance, self.smoothing))

    masked: ClassVar[bool] = True
    texts: ClassVar[int] = 1
    by_budget: ClassVar[bool] = True

    def drawn(self) -> dict[str, Any]:
        """Return the drawn fields by name, as a store writes them."""
        return {"unsafe": self.unsafe} | far(self.distance)

    def p_s(self, alpha: float = 0.01) -> FloatArray:
        """Return lower confidence bounds of p_S by d, shape ``(d_max + 1,)``, each at risk alpha."""
        bounds = clopper_pearson_lower(np.array(self.unsafe), self.n, risk("alpha", alpha))
        return lowered(bounds, self.distance)

    bounds = p_s  # a certificate starts from these

    @property
    def clean(self) -> Counts:
        """The counts without a condition: the evidence of the plain certificate."""
        return Counts((self.unsafe[0],), self.n, self.example, self.seed, self.distance, self.smoothing)


def lowered(bounds: FloatArray, distance: float) -> FloatArray:
    """Return lower bounds under any law within ``distance`` of the law of the draws."""
    if distance == 0:
        return np.asarray(bounds)
    return np.maximum(np.nextafter(np.asarray(bounds) - distance, 0.0), 0.0)


def far(distance: float) -> dict[str, float]:
    """Return the distance as a store writes it: as no field if it is 0."""
    return {"distance": distance} if distance else {}


def smoothing_text(kernel: Any, sigma: float) -> str:
    """Return the text by which counts remember their noise; the kind of edits is left out, as it changes no draw.

    Args:
        kernel: the token kernel, or its fields as a store writes them.
        sigma: standard deviation of the image noise.

    Example:
        >>> import hybrid_rs as hrs
        >>> smoothing_text(hrs.UniformKernel(beta=0.5, vocab_size=9), sigma=1)
        'UniformKernel(beta=0.5, vocab_size=9) and sigma = 1.0'
    """
    law = kernel if isinstance(kernel, dict) else {"name": type(kernel).__name__} | getattr(kernel, "__dict__", {})
    fields = ", ".join(f"{name}={law[name]!r}" for name in sorted(law) if name not in ("name", "edits"))
    return f"{law['name']}({fields}) and sigma = {one('sigma', nonnegative_or_infinite('sigma', sigma))}"


def require_smoothing(counts: Any, kernel: Any, sigma: float) -> None:
    """Refuse counts, of any kind, that were drawn with another kernel or sigma; counts that were typed in are believed.

    Example:
        >>> import hybrid_rs as hrs
        >>> drawn = Counts((9,), n=10, smoothing=smoothing_text(hrs.AbsorbingKernel(0.5), sigma=1.0))
        >>> require_smoothing(drawn, hrs.AbsorbingKernel(0.5), sigma=0.25)
        Traceback (most recent call last):
        ValueError: kernel, sigma = AbsorbingKernel(beta=0.5) and sigma = 0.25: the counts were drawn with \
AbsorbingKernel(beta=0.5) and sigma = 1.0; give that kernel and sigma
    """
    beta, given = getattr(counts, "beta", None), getattr(kernel, "beta", None)
    require(beta in (None, given), "kernel", kernel, f"give the kernel of the draws, with beta = {beta}")
    if counts.smoothing:
        made = is_dataclass(kernel) and not isinstance(kernel, type)
        require(made, "kernel", kernel, f"give the kernel of the draws, {shown(counts.smoothing)}", repr)
        asked = smoothing_text(kernel, sigma)
        remedy = f"the counts were drawn with {shown(counts.smoothing)}; give that kernel and sigma"
        require(counts.smoothing == asked, "kernel, sigma", asked, remedy)


def source(example: object, seed: object, distance: float, smoothing: object) -> float:
    """Check where draws come from, and return the distance of their law as a float."""
    text("example", example)
    text("smoothing", smoothing)
    if seed is not None:
        integer("seed", seed, at_least=0)
    return one("distance", probability("distance", distance))


def whole_counts(name: str, values: Iterable[int], n: int) -> tuple[int, ...]:
    """Return counts as a tuple of ints; there must be at least one, and all must be in 0..n."""
    each = several(name, values, "give one count per smoothed classifier or text budget")
    counts, draws = tuple(integer(name, k, at_least=0) for k in each), integer("n", n, at_least=1)
    require(len(counts) > 0, name, counts, "give one count per smoothed classifier or text budget")
    require(max(counts) <= draws, name, max(counts), f"give counts from 0 to n = {draws}")
    return counts
