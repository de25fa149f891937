r"""Checking a certificate from several texts without trusting the solver that made it.

Each level has a witness :math:`u_k` of its image test. Under attack the probability of the level is at least

.. math:: D_k = e^{u_k} P_k + \Phi(z_k - s) - e^{u_k} \Phi(z_k), \qquad z_k = u_k / s + s / 2

(for s = 0: :math:`e^{u_k} P_k + \min(1 - e^{u_k}, 0)`). So the share of flagged texts is at least the mean of the
:math:`D_k`. The text channel has its own witness u. With :math:`t = e^u`, the smoothed value is at least

.. math:: t \, \frac1m \sum_k D_k + \sum_z \min(q_z - t p_z, 0)

for every adversary. All this is evaluated in ball arithmetic, as in :mod:`hybrid_rs.certificates.verification`, with
the laws of :mod:`hybrid_rs.certificates.exact_laws`. If the certificate has counts, each level is checked against them:
the bound for k must be supported by the count of some k' >= k, at the share of the risk of k'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid_rs._extras import needs
from hybrid_rs.certificates.exact_laws import Atom, VerificationError, laws_of
from hybrid_rs.certificates.text_certificate import TextCertificate
from hybrid_rs.certificates.verification import (
    MAX_CHECKED_DRAWS,
    ball_arithmetic,
    dual,
    least,
    proved_by,
    shift_of,
    shown_by,
)

if TYPE_CHECKING:
    from flint import arb


def verify_texts(certificate: TextCertificate) -> float:
    """Re-check a certificate from several texts rigorously and return the lower bound that its witnesses prove.

    Args:
        certificate: the claim; each float64 in it is taken as an exact number.

    Returns:
        a float64 not above the worst-case value, and not below ``certificate.p_adv``.

    Raises:
        VerificationError: if the witnesses do not prove ``certificate.p_adv``, or the counts do not support the levels.
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
    """Return the bound that the witnesses prove against every adversary, as a ball."""
    shift, witnesses = shift_of(certificate.epsilon, certificate.sigma), (certificate.image_log_t, certificate.log_t)
    return least(text_dual(certificate.levels, *witnesses, shift, law) for law in laws_of(certificate))


def text_dual(
    levels: tuple[float, ...], image_log_t: tuple[float, ...], log_t: float, shift: arb | None, law: list[Atom]
) -> arb:
    """Return the bound that the witnesses prove from levels against one adversary, as a ball."""
    from flint import arb

    share = sum(map(arb, levels), arb(0))
    if image_log_t:
        alone: list[Atom] = [(arb(1), arb(1), arb(0))]  # an unedited text
        pairs = zip(levels, image_log_t, strict=True)
        share = sum((dual(p, u, shift, alone).max(arb(0)) for p, u in pairs), arb(0))
        shift = arb(0)  # the image shift is already taken into account
    return dual(share / len(levels), log_t, shift, law)


def _check_levels(certificate: TextCertificate, context: Any) -> None:
    """Refuse levels that the counts do not support."""
    with needs("verify"):
        from flint import arb

    if certificate.reached is None or certificate.n is None or certificate.alpha is None:
        return
    risk, off = arb(certificate.alpha), arb(certificate.distance)
    check_levels(certificate.levels, certificate.reached, certificate.n, risk, off, context)


def check_levels(
    levels: tuple[float, ...], reached: tuple[int, ...], n: int, alpha: arb, distance: arb, context: Any
) -> None:
    """Refuse levels that counts of n images do not support at risk alpha, shared as in ``level_shares``.

    The law of the images is within ``distance`` of the law of the levels, in total variation.
    """
    if n > MAX_CHECKED_DRAWS:
        raise VerificationError(f"n = {n}: a bound can be checked for at most {MAX_CHECKED_DRAWS} images")
    context.prec = 256
    m = len(levels)
    shares = [alpha / (2 * (m - 1)) for _ in range(m - 1)] + [alpha / 2 if m > 1 else alpha]
    for k, level in enumerate(levels):
        given = any(
            shown_by(level + distance, count, n, share) for count, share in list(zip(reached, shares, strict=True))[k:]
        )
        if level > 0 and not given:
            raise VerificationError(
                f"levels[{k}] = {level!r}: the counts {reached} of {n} images do not support it at its share of alpha; "
                "do not rely on this certificate, and make a new one with hybrid_rs.certify"
            )
