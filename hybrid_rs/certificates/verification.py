r"""Checking a certificate without trusting the solver that made it.

A certificate carries a witness, :math:`u = \log t`. By weak duality every classifier with clean value at least p_A has,
under attack, a value of at least

.. math::
    D(u) = e^u (p_A - p_0) + \sum_k \left( q_k \Phi(z_k - s) - e^u p_k \Phi(z_k) \right),
    \qquad z_k = (u - \log\gamma_k) / s + s / 2,

and for s = 0 the same with :math:`\min(q_k - e^u p_k, 0)` as summand. :func:`verify` evaluates D in ball arithmetic
(Arb, through python-flint): every number is an interval that contains the true one, and each float64 of the certificate
is taken as an exact number. The masses are computed in :mod:`hybrid_rs.certificates.exact_laws` from the kernel's
definition, independently of the solver. A masked certificate is checked against every number of edits 0..d. A
certificate for features of different arity is checked against every choice of d features that may be the worst. If p
comes from draws, the binomial tail shows that k of n draws bound it at risk alpha; the distance between the law of the
draws and that of the theorem is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

from hybrid_rs._checks import kind
from hybrid_rs._extras import needs
from hybrid_rs.certificates.certificate import Certificate
from hybrid_rs.certificates.exact_laws import Atom, VerificationError, laws_of
from hybrid_rs.certificates.worst_case import LEAST_SHIFT

if TYPE_CHECKING:
    from flint import arb

    from hybrid_rs.certificates.committed_certificate import CommittedCertificate
    from hybrid_rs.certificates.committed_text_certificate import CommittedTextCertificate
    from hybrid_rs.certificates.text_certificate import TextCertificate

    AnyCertificate: TypeAlias = Certificate | TextCertificate | CommittedCertificate | CommittedTextCertificate

DIGITS_AGREED = 12  # the lower end is reported once the ball is this narrow, relative to its middle
MAX_BITS = 1 << 14
MAX_CHECKED_DRAWS = 10**10  # for more draws, the binomial tail takes too long in interval arithmetic


def verify(certificate: Certificate) -> float:
    """Re-check a certificate rigorously and return the lower bound that its witness proves.

    Args:
        certificate: the claim; each float64 in it is taken as an exact number.

    Returns:
        a float64 not above the worst-case value, and not below ``certificate.p_adv``.

    Raises:
        VerificationError: if the witness does not prove ``certificate.p_adv``, or the draws do not support
            ``certificate.p``. A known probability (k, n and alpha are None) is taken as given.
        ImportError: if python-flint is missing.

    Example:
        >>> import hybrid_rs as hrs
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> certificate = hrs.certify(0.9995, kernel, d=2, epsilon=1.0, sigma=0.5, tau=4.6e-5)
        >>> verify(certificate) >= certificate.p_adv >= certificate.tau
        True
    """
    kind("certificate", certificate, Certificate, "give a hybrid_rs.Certificate")

    def bound() -> arb:
        at = shift_of(certificate.epsilon, certificate.sigma)
        return least(dual(certificate.p, certificate.log_t, at, law) for law in laws_of(certificate))

    with ball_arithmetic() as context:
        _check_evidence(certificate, context)
        return proved_by(bound, certificate, context)


def proved_by(bound: Callable[[], arb], certificate: AnyCertificate, context: Any) -> float:
    """Evaluate a bound with as many bits as it needs; return its lower end, which must not be below ``p_adv``."""
    bits = 128
    while True:
        context.prec = bits
        ball = bound()
        if not ball.is_finite():
            raise VerificationError(f"{_witness(certificate)}: a witness of this size gives no bound")
        if ball.rel_accuracy_bits() > DIGITS_AGREED * math.log2(10) or bits >= MAX_BITS:
            break
        bits *= 2
    low = float(ball.lower())
    proved = max(0.0, math.nextafter(low, -math.inf) if ball.lower() < low else low)
    if not (ball >= certificate.p_adv or certificate.p_adv == 0):
        raise VerificationError(
            f"p_adv = {certificate.p_adv!r}: the witness {_witness(certificate)} proves only {proved!r}; "
            "do not rely on this certificate, and make a new one with hybrid_rs.certify"
        )
    return proved


def _witness(certificate: AnyCertificate) -> str:
    """Return the witness or witnesses as an error message names them."""
    name = "log_t" if hasattr(certificate, "log_t") else "witnesses"
    return f"{name} = {getattr(certificate, name)!r}"


def _check_evidence(certificate: Certificate, context: Any) -> None:
    """Refuse a p above the confidence bound of the counts: k or more hits must have probability at most alpha at p."""
    from flint import arb

    n, k = certificate.n, certificate.k
    if n is None or k is None or certificate.alpha is None or certificate.p == 0:
        return
    if n > MAX_CHECKED_DRAWS:
        raise VerificationError(f"n = {n}: a bound can be checked for at most {MAX_CHECKED_DRAWS} draws")
    context.prec = 256
    x, risk, subsets = arb(certificate.p), arb(certificate.alpha), certificate.subsets
    if subsets is not None:  # a draw is a hit unless a set of j of the d was replaced and the guard said safe
        x = 1 - arb(certificate.kernel.beta) ** certificate.d * (1 - x)
        risk /= subsets.parts
    if shown_by(x + arb(certificate.distance), k, n, risk):
        return
    raise VerificationError(
        f"p = {certificate.p!r}: k = {k} of n = {n} draws do not support it at risk alpha = {certificate.alpha!r}; "
        "do not rely on this certificate, and make a new one with hybrid_rs.certify"
    )


def shown_by(p: arb, k: int, n: int, risk: arb) -> bool:
    """Return whether k or more hits in n draws have probability at most ``risk`` if a hit has probability p."""
    from flint import ctx

    if not (k > 0 and p < 1):
        return False
    before = ctx.prec
    try:
        for bits in (128, 512):  # the first decides unless the tail is within its rounding error of the risk
            ctx.prec = bits
            tail = _binomial_tail(p, k, n)
            if tail <= risk or tail > risk:
                break
        return bool(tail <= risk)
    finally:
        ctx.prec = before


def _binomial_tail(p: arb, k: int, n: int) -> arb:
    """Return the probability of k or more hits in n draws, 0 < k <= n, as a ball."""
    if k == n:
        return p**n
    if 2 * k <= n:
        return p.beta_lower(k, n - k + 1, regularized=True)
    return 1 - (1 - p).beta_lower(n - k + 1, k, regularized=True)  # a hundred times faster where n is large


def dual(evidence: float | arb, log_t: float, shift: arb | None, atoms: list[Atom]) -> arb:
    """Return D at the witness against one adversary, as a ball; the evidence is p_A, p_S or a share of texts."""
    from flint import arb

    if log_t == -math.inf:
        return arb(0)
    if shift is None:  # sigma = 0: the shifted image never equals the clean one
        return arb(0)
    if log_t == math.inf:  # the limit of t to infinity: p_A must be 1
        if not evidence >= 1:
            raise VerificationError(f"log_t = inf: a finite witness is needed where p = {evidence!r} < 1")
        seen = sum((q for p, q, _ in atoms if p > 0), arb(0))
        rest = 1 - sum((q for p, q, _ in atoms if not p > 0), arb(0))
        return rest if rest.overlaps(seen) else seen  # both are the same number; rest is exact if P excludes nothing
    u, t = arb(log_t), arb(log_t).exp()
    total = t * arb(evidence)
    for p, q, log_gamma in atoms:
        if log_gamma is None:  # ratio 0 counts against p in full; ratio infinity contributes nothing
            total -= t * p
        elif shift == 0:
            total += (q - t * p).min(arb(0))
        else:
            z = (u - log_gamma) / shift + shift / 2
            total += q * _normal_cdf(z - shift) - t * p * _normal_cdf(z)
    return total


def least(bounds: Iterable[arb]) -> arb:
    """Return the least of some balls, as a ball."""
    return reduce(lambda a, b: a.min(b), bounds)


def shift_of(epsilon: float, sigma: float) -> arb | None:
    """Return epsilon / sigma as a ball, None for infinity; a positive one is at least the least shift of the solver."""
    from flint import arb

    if epsilon == 0 or sigma == math.inf:
        return arb(0)
    if sigma == 0:
        return None
    return (arb(epsilon) / arb(sigma)).max(arb(LEAST_SHIFT))


def _normal_cdf(z: arb) -> arb:
    from flint import arb

    return (-z / arb(2).sqrt()).erfc() / 2


@contextmanager
def ball_arithmetic() -> Iterator[Any]:
    """Yield the flint context, and restore its precision afterwards."""
    with needs("verify"):
        from flint import ctx
    before = ctx.prec
    try:
        yield ctx
    finally:
        ctx.prec = before
