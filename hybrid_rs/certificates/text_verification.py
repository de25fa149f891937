r"""Checking a certificate from several texts without trusting the solver that made it.

Each level has a witness :math:`u_k` of its image test, which leaves the level at least

.. math:: D_k = e^{u_k} P_k + \Phi(z_k - s) - e^{u_k} \Phi(z_k), \qquad z_k = u_k / s + s / 2

under attack (for s = 0: :math:`e^{u_k} P_k + \min(1 - e^{u_k}, 0)`), and so does the share of flagged texts their mean.
The text channel has a witness of its own: with :math:`t = e^u`, the smoothed value is at least

.. math:: t \, \frac1m \sum_k D_k + \sum_z \min(q_z - t p_z, 0)

for every adversary. All of it in ball arithmetic, like :mod:`hybrid_rs.certificates.verification`, whose laws these
are. Where the certificate carries its counts, each level is checked against them: some count at or above it must have
at most its share of the risk to be reached by a smaller probability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_rs._extras import needs
from hybrid_rs.certificates.text_certificate import TextCertificate
from hybrid_rs.certificates.verification import (
    MAX_CHECKED_DRAWS,
    Atom,
    VerificationError,
    ball_arithmetic,
    dual,
    laws_of,
    least,
    proved_by,
    shift_of,
)

if TYPE_CHECKING:
    from flint import arb


def verify_texts(certificate: TextCertificate) -> float:
    """Re-check a certificate from several texts rigorously and return the lower bound that its witnesses prove.

    Args:
        certificate: the claim; its numbers are taken as the exact values of their float64.

    Returns:
        a float64 not above the worst-case value, and not below ``certificate.p_adv``.

    Raises:
        VerificationError: if the witnesses do not prove ``certificate.p_adv``, or the counts do not give the levels.
        ImportError: if python-flint is missing.

    Example:
        >>> import hybrid_rs as hrs
        >>> from hybrid_rs.certificates.text_certificate import certify_texts
        >>> counts = hrs.TextCounts(((1_000, 990, 940), (1_000, 980, 900)), n=1_000)
        >>> kernel = hrs.UniformKernel(beta=0.25, vocab_size=32_000)
        >>> certificate = certify_texts(counts, kernel, d=1, epsilon=0.5, sigma=0.5, tau=0.05)
        >>> verify_texts(certificate) >= certificate.p_adv >= certificate.tau
        True
    """
    with ball_arithmetic() as context:
        _check_levels(certificate, context)
        return proved_by(lambda: _bound(certificate), certificate, context)


def _bound(certificate: TextCertificate) -> arb:
    """What the witnesses prove, as a ball, against every adversary."""
    shift, witnesses = shift_of(certificate.epsilon, certificate.sigma), (certificate.image_log_t, certificate.log_t)
    return least(text_dual(certificate.levels, *witnesses, shift, law) for law in laws_of(certificate))


def text_dual(
    levels: tuple[float, ...], image_log_t: tuple[float, ...], log_t: float, shift: arb | None, law: list[Atom]
) -> arb:
    """What the witnesses prove of levels, as a ball, against one adversary."""
    from flint import arb

    share = sum(map(arb, levels), arb(0))
    if image_log_t:
        alone: list[Atom] = [(arb(1), arb(1), arb(0))]  # the text as it is
        pairs = zip(levels, image_log_t, strict=True)
        share = sum((dual(p, u, shift, alone).max(arb(0)) for p, u in pairs), arb(0))
        shift = arb(0)  # it is spent
    return dual(share / len(levels), log_t, shift, law)


def _check_levels(certificate: TextCertificate, context: Any) -> None:
    """Refuse levels that the counts do not give."""
    with needs("verify"):
        from flint import arb

    if certificate.reached is None or certificate.n is None or certificate.alpha is None:
        return
    risk, off = arb(certificate.alpha), arb(certificate.distance)
    check_levels(certificate.levels, certificate.reached, certificate.n, risk, off, context)


def check_levels(
    levels: tuple[float, ...], reached: tuple[int, ...], n: int, alpha: arb, distance: arb, context: Any
) -> None:
    """Refuse levels that counts of n images do not give at risk alpha, shared as by ``level_shares``.

    The images have a law within ``distance`` of the one that the levels speak of.
    """
    if n > MAX_CHECKED_DRAWS:
        raise VerificationError(f"n = {n}: the bound of at most {MAX_CHECKED_DRAWS} images can be checked")
    context.prec = 256
    m = len(levels)
    shares = [alpha / (2 * (m - 1)) for _ in range(m - 1)] + [alpha / 2 if m > 1 else alpha]
    for k, level in enumerate(levels):
        given = any(
            count > 0 and (level + distance).beta_lower(count, n - count + 1, regularized=True) <= share
            for count, share in list(zip(reached, shares, strict=True))[k:]
        )
        if level > 0 and not given:
            raise VerificationError(
                f"levels[{k}] = {level!r}: the counts {reached} of {n} images do not give it at its share of alpha; "
                "do not rely on this certificate, and make it anew with hybrid_rs.certify"
            )
