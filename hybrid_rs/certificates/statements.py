"""Make, read and verify one statement about one pair of budgets, from draws of any kind."""

from __future__ import annotations

import json
from typing import Any, TypeAlias, cast, overload

from hybrid_rs._checks import kind, one, probability, require, risk
from hybrid_rs.certificates import certificate as of_one_text, verification
from hybrid_rs.certificates.certificate import Certificate
from hybrid_rs.certificates.commitment import pays
from hybrid_rs.certificates.committed_certificate import CommittedCertificate, certify_committed
from hybrid_rs.certificates.committed_text_certificate import CommittedTextCertificate, certify_committed_texts
from hybrid_rs.certificates.committed_text_verification import verify_committed_texts
from hybrid_rs.certificates.committed_verification import verify_committed
from hybrid_rs.certificates.kernels import AbsorbingKernel, Kernel, UniformKernel, text_budget
from hybrid_rs.certificates.text_certificate import TextCertificate, certify_texts
from hybrid_rs.certificates.text_verification import verify_texts
from hybrid_rs.certificates.threshold import CalibratedThreshold, threshold
from hybrid_rs.evidence.counts import Counts, MaskedCounts
from hybrid_rs.evidence.kinds import AnyCounts
from hybrid_rs.evidence.subset_counts import SubsetCounts
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts
from hybrid_rs.evidence.text_counts import TextCounts

AnyCertificate: TypeAlias = Certificate | TextCertificate | CommittedCertificate | CommittedTextCertificate


@overload
def certify(
    counts_or_p_a: TextCounts,
    kernel: Kernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = ...,
    masked: bool | None = ...,
) -> TextCertificate | CommittedTextCertificate: ...


@overload
def certify(
    counts_or_p_a: SubsetTextCounts,
    kernel: Kernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = ...,
    masked: bool | None = ...,
) -> CommittedTextCertificate: ...


@overload
def certify(
    counts_or_p_a: MaskedCounts | SubsetCounts,
    kernel: Kernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = ...,
    masked: bool | None = ...,
) -> Certificate | CommittedCertificate: ...


@overload
def certify(
    counts_or_p_a: Counts | float,
    kernel: Kernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = ...,
    masked: bool | None = ...,
) -> Certificate: ...


def certify(
    counts_or_p_a: AnyCounts | float,
    kernel: Kernel,
    *,
    d: int,
    epsilon: float,
    sigma: float,
    tau: float | CalibratedThreshold,
    alpha: float = 0.01,
    masked: bool | None = None,
) -> AnyCertificate:
    """Return the statement for one pair of budgets, certified or not, with its witnesses.

    Args:
        counts_or_p_a: draws of any kind (then ``alpha`` is the risk of their bounds), or a known probability.
        kernel: the token kernel.
        d: text budget.
        epsilon: image budget, l2, in the units of sigma.
        sigma: standard deviation of the image noise.
        tau: decision threshold, in [0, 1], or the calibration that chose it from other draws.
        alpha: risk, in (0, 1); not used with a known probability.
        masked: whether a known probability is p_S (default: p_A). For counts, their type says which of the two it is.

    Returns:
        The kind of the draws decides the kind of the certificate.

        - a known probability or plain counts: a :class:`hybrid_rs.Certificate`;
        - masked or subset counts, which bound p_A and p_S: a :class:`CommittedCertificate`, or a ``Certificate`` from
          p_S alone where both together cannot be better (:func:`hybrid_rs.certificates.commitment.pays`);
        - counts of several texts for each image: a :class:`CommittedTextCertificate` where they bound p_A and p_S
          together, by the same rule as for one text; otherwise a :class:`hybrid_rs.TextCertificate`.

    Raises:
        ValueError: if an argument is outside its range, or contradicts the draws.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> law = {"d": 2, "epsilon": 1.0, "sigma": 0.5, "tau": 4.6e-5}
        >>> hrs.certify(hrs.Counts((9_300,), n=10_000), kernel, **law).certified
        False
        >>> hrs.certify(hrs.MaskedCounts((9_300, 8_000, 7_000), n=10_000), kernel, **law).certified
        True
        >>> type(hrs.certify(hrs.MaskedCounts((9_980, 9_950, 9_900), n=10_000), hrs.UniformKernel(0.25, 376), **law))
        <class 'hybrid_rs.certificates.committed_certificate.CommittedCertificate'>
        >>> hrs.certify(hrs.TextCounts(((950, 800), (900, 700), (850, 600)), n=1_000), kernel, **law).texts
        2
    """
    law: dict[str, Any] = {"d": d, "epsilon": epsilon, "sigma": sigma, "tau": tau, "alpha": alpha, "masked": masked}
    counts = counts_or_p_a
    together = isinstance(counts, MaskedCounts | SubsetCounts | SubsetTextCounts | TextCounts) and counts.masked
    if together and masked is not False and _commits(counts, kernel, d, tau, alpha):
        del law["masked"]
        made = certify_committed if isinstance(counts, MaskedCounts | SubsetCounts) else certify_committed_texts
        return made(cast(Any, counts), cast(Any, kernel), **law)
    if isinstance(counts, TextCounts):
        return certify_texts(counts, cast(Any, kernel), **law)  # certify_texts refuses other kernels
    if isinstance(counts, SubsetTextCounts):
        require(masked is not False, "masked", masked, "the draws come from the other law; leave it out")
    return of_one_text.certify(cast(Any, counts), kernel, **law)


def _commits(counts: Any, kernel: Kernel, d: int, tau: float | CalibratedThreshold, alpha: float) -> bool:
    """Return whether to use the certificate from p_A and p_S; the answer does not depend on the values counted."""
    budget = text_budget("d", d)
    if isinstance(counts, SubsetTextCounts):
        return True
    if budget == 0 or not isinstance(kernel, UniformKernel | AbsorbingKernel):
        return False
    if isinstance(counts, SubsetCounts):
        return True
    level = float(one("tau", probability("tau", threshold(tau, [(counts.example, counts.seed)]))))
    return pays(kernel, budget, counts.n, risk("alpha", alpha), level, counts.texts)


def read_certificate(text: str) -> AnyCertificate:
    """Read a certificate of any kind that ``to_json`` wrote.

    It does not check the claim; :func:`verify` does.

    Raises:
        ValueError: if the text is not such a certificate.

    Example:
        >>> import hybrid_rs as hrs
        >>> made = hrs.certify(0.9995, hrs.AbsorbingKernel(0.25), d=1, epsilon=1.0, sigma=1.0, tau=0.01)
        >>> read_certificate(made.to_json()) == made
        True
    """
    kind("text", text, str, "give the line of JSON that to_json wrote")
    try:
        fields = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        fields = None  # from_json below reports the error
    if isinstance(fields, dict) and "witnesses" in fields:
        return CommittedTextCertificate.from_json(text)
    if isinstance(fields, dict) and "levels" in fields:
        return TextCertificate.from_json(text)
    if isinstance(fields, dict) and "bounds" in fields:
        return CommittedCertificate.from_json(text)
    return Certificate.from_json(text)


def verify(certificate: AnyCertificate) -> float:
    """Re-check a certificate of any kind rigorously and return the lower bound that its witnesses prove.

    Args:
        certificate: the claim; each float64 in it is taken as an exact number.

    Returns:
        a float64 not above the worst-case value, and not below ``certificate.p_adv``.

    Raises:
        hybrid_rs.VerificationError: if the witnesses do not prove ``certificate.p_adv``, or the draws do not support
            the probabilities behind it. A known probability is taken as given.
        ImportError: if python-flint is missing.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> certificate = hrs.certify(0.9995, kernel, d=2, epsilon=1.0, sigma=0.5, tau=4.6e-5)
        >>> verify(certificate) >= certificate.p_adv >= certificate.tau
        True
    """
    kinds = (Certificate, TextCertificate, CommittedCertificate, CommittedTextCertificate)
    kind("certificate", certificate, kinds, "give what certify returned")
    if isinstance(certificate, CommittedTextCertificate):
        return verify_committed_texts(certificate)
    if isinstance(certificate, CommittedCertificate):
        return verify_committed(certificate)
    if isinstance(certificate, TextCertificate):
        return verify_texts(certificate)
    return verification.verify(certificate)
