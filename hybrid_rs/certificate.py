"""A certificate: one statement about one smoothed classifier, with the witness that lets anyone check it."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

import numpy as np

from hybrid_rs import neyman_pearson
from hybrid_rs._checks import integer, nonnegative, probability, require
from hybrid_rs.evidence import Counts, MaskedCounts, SubsetCounts
from hybrid_rs.feature_kernel import FeatureKernel, worst_ratios
from hybrid_rs.kernels import AbsorbingKernel, Kernel, UniformKernel
from hybrid_rs.threshold import CalibratedThreshold, threshold
from hybrid_rs.worst_case import attack_shift

SCHEMA = 1  # of a certificate's JSON


@dataclass(frozen=True)
class Certificate:
    """One statement about one smoothed classifier, with the witness that lets anyone check it.

    Args:
        p: the evidence: p_A, the clean smoothed probability, or where ``masked`` p_S, the same given that the positions
            edited were replaced; or a lower confidence bound of it.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold.
        log_t: the witness: by weak duality any number here gives a valid bound, and this one the best.
        p_adv: the bound: no attack within the budgets takes the smoothed value below it.
        masked: whether the evidence is p_S.
        alpha: risk that ``p`` is wrong; None if it was given as a known probability.
        n: draws behind ``p``; None likewise.
    """

    p: float
    kernel: Kernel
    d: int
    epsilon: float
    sigma: float
    tau: float
    log_t: float
    p_adv: float
    masked: bool = False
    alpha: float | None = None
    n: int | None = None

    @property
    def certified(self) -> bool:
        """Whether the worst case stays at or above the threshold."""
        return self.p_adv >= self.tau

    def to_json(self) -> str:
        """Return the certificate as one line of JSON; a file of such lines is what ``hybrid-rs verify`` reads.

        Example:
            >>> import hybrid_rs as hrs
            >>> made = hrs.certify(0.9995, hrs.AbsorbingKernel(0.25), d=1, epsilon=1.0, sigma=1.0, tau=0.01)
            >>> hrs.Certificate.from_json(made.to_json()) == made
            True
        """
        fields = dataclasses.asdict(self) | {"kernel": {"name": type(self.kernel).__name__} | vars(self.kernel)}
        plain = {name: str(x) if isinstance(x, float) and math.isinf(x) else x for name, x in fields.items()}
        return json.dumps({"schema": SCHEMA} | plain)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Read a certificate that :meth:`to_json` wrote; nothing in it is believed before it is verified.

        Raises:
            ValueError: if the text is not such a certificate.
        """
        try:
            fields = json.loads(text)
            if fields.pop("schema") != SCHEMA:
                raise ValueError(f"this version reads schema {SCHEMA}")
            law = dict(fields["kernel"])
            fields["kernel"] = {k.__name__: k for k in (UniformKernel, AbsorbingKernel, FeatureKernel)}[
                law.pop("name")
            ](**law)
            for name in ("p", "epsilon", "sigma", "tau", "log_t", "p_adv"):
                fields[name] = float(fields[name])
                require(not math.isnan(fields[name]), name, fields[name], "give a number")
            for name in ("p", "tau", "p_adv"):
                probability(name, fields[name])
            nonnegative("epsilon", fields["epsilon"])
            require(fields["sigma"] >= 0, "sigma", fields["sigma"], "give a standard deviation")
            fields["d"] = integer("d", fields["d"], at_least=0)
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"certificate = {text[:80]!r}: not one that to_json wrote ({error})") from error

    def __str__(self) -> str:
        verdict = "certified" if self.certified else "not certified"
        evidence = "p_S" if self.masked else "p_A"
        source = "as given" if self.alpha is None else f"with confidence {1 - self.alpha:g}, {self.n} draws"
        return (
            f"{verdict} at d = {self.d}, epsilon = {self.epsilon:g}: p_adv >= {self.p_adv:.6g} against "
            f"tau = {self.tau:g} (smoothed with {self.kernel} and sigma = {self.sigma:g}; {evidence} {source})"
        )


def certify(
    counts_or_p_a: Counts | MaskedCounts | SubsetCounts | float,
    kernel: Kernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = 0.01,
    masked: bool | None = None,
) -> Certificate:
    """Return the statement for one pair of budgets, certified or not, with its witness.

    Args:
        counts_or_p_a: draws (then ``alpha`` is the risk of their confidence bound), or a known probability.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        alpha: risk, in (0, 1); not used with a known probability.
        masked: whether a known probability is p_S (default: p_A). Draws know which of the two they bound.

    Raises:
        ValueError: if an argument is outside its range, or ``masked`` contradicts the draws.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> law = {"d": 2, "epsilon": 1.0, "sigma": 0.5, "tau": 4.6e-5}
        >>> hrs.certify(hrs.Counts((9_300,), n=10_000), kernel, **law).certified
        False
        >>> hrs.certify(hrs.MaskedCounts((9_300, 8_000, 7_000), n=10_000), kernel, **law).certified
        True
    """
    counts = None if isinstance(counts_or_p_a, float | int | np.number | np.ndarray) else counts_or_p_a
    budget, risk = integer("d", d, at_least=0), (alpha, counts.n) if counts else (None, None)
    evidence = bool(masked) if counts is None else not isinstance(counts, Counts)
    require(masked in (None, evidence), "masked", masked, "the draws are of the other law; leave it out")
    if counts is None:
        given = probability("p_a", counts_or_p_a)
    elif isinstance(counts, Counts):
        given = counts.of_budget(budget).p_a(alpha)[0]
    else:
        bounds = counts.p_s(alpha)
        require(budget < len(bounds), "d", d, f"give at most {len(bounds) - 1}, the largest budget sampled")
        given = bounds[budget]
    level = threshold(tau, [(counts.example, counts.seed)] if counts else [])
    for name, number in (("p_a", given), ("epsilon", epsilon), ("sigma", sigma), ("tau", probability("tau", level))):
        require(np.asarray(number).ndim == 0, name, number, "give one number: a certificate is one statement")
    p, shift, ratios = float(given), attack_shift(epsilon, sigma), worst_ratios(kernel, budget, masked=evidence)
    at = np.array(p)
    value, log_t = max(  # one witness for all laws that may be the worst: that of the worst, nearly always
        (min(float(neyman_pearson.lower_bound(at, u, law, shift)) for law in ratios), float(u))
        for u in (neyman_pearson.log_threshold(at, ratio, shift) for ratio in ratios)
    )
    return Certificate(p, kernel, budget, float(epsilon), float(sigma), float(level), log_t, value, evidence, *risk)
