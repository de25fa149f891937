r"""Checking a certificate from p_A and p_S without trusting the solver that made it.

For every number of edits e within the budget, the certificate names one of its bounds and a witness. The dual bound of
that witness is evaluated in ball arithmetic, as in :mod:`hybrid_rs.certificates.verification`. The laws are those of
:mod:`hybrid_rs.certificates.exact_laws`: of e edits of clean text, or of e edits given that some positions were all
replaced. Where p_A is joined with p_S, a second witness is for the draws in which not all of these were replaced. The
least dual bound must be at least ``p_adv``. Every bound is checked against its counts, at its share of the risk.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hybrid_rs._extras import needs
from hybrid_rs.certificates.committed_certificate import Bound, CommittedCertificate
from hybrid_rs.certificates.exact_laws import VerificationError, law_of, outside_law
from hybrid_rs.certificates.kernels import UniformKernel
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


def verify_committed(certificate: CommittedCertificate) -> float:
    """Re-check a certificate from p_A and p_S rigorously and return the lower bound that its witnesses prove.

    Args:
        certificate: the claim; each float64 in it is taken as an exact number.

    Returns:
        a float64 not above the worst-case value, and not below ``certificate.p_adv``.

    Raises:
        VerificationError: if the witnesses do not prove ``certificate.p_adv``, or the counts do not support the bounds.
        ImportError: if python-flint is missing.

    Example:
        >>> import hybrid_rs as hrs
        >>> from hybrid_rs.certificates.committed_certificate import certify_committed
        >>> counts, kernel = hrs.MaskedCounts((9_995, 9_990, 9_980, 9_970), n=10_000), hrs.UniformKernel(0.25, 376)
        >>> certificate = certify_committed(counts, kernel, d=3, epsilon=0.2, sigma=0.5, tau=0.05)
        >>> verify_committed(certificate) >= certificate.p_adv >= certificate.tau
        True
    """
    with ball_arithmetic() as context:
        _check_bounds(certificate, context)
        return proved_by(lambda: _bound(certificate), certificate, context)


def _bound(certificate: CommittedCertificate) -> arb:
    """Return the bound that the witnesses prove against every number of edits, as a ball."""
    shift, kernel = shift_of(certificate.epsilon, certificate.sigma), certificate.kernel
    sides, bounds = [], certificate.bounds
    for edits, (i, log_t, outside) in enumerate(
        zip(certificate.choices, certificate.log_t, certificate.log_t_outside, strict=True)
    ):
        law = law_of(kernel, edits, replaced=bounds[i].replaced)
        sides.append(dual(bounds[i].p, log_t, shift, law))
        if outside > -math.inf and isinstance(kernel, UniformKernel):
            sides[-1] += _outside(certificate, bounds[i], edits, (log_t, outside), shift)
    return least(sides)


def _outside(
    certificate: CommittedCertificate, bound: Bound, edits: int, log_t: tuple[float, float], shift: arb | None
) -> arb:
    """Return what p_A adds on draws that did not replace all positions; refuse thresholds in the wrong order."""
    from flint import arb

    kernel, inside = certificate.kernel, arb(certificate.kernel.beta) ** bound.replaced
    ordered = inside < 1 and arb(log_t[0]) - inside.log() >= arb(log_t[1]) - (1 - inside).log()
    if not (ordered and isinstance(kernel, UniformKernel) and certificate.bounds[0].replaced == 0):
        raise VerificationError(f"log_t, log_t_outside = {log_t}: the threshold outside is above the one inside")
    share = (arb(certificate.bounds[0].p) - inside * arb(bound.p)) / (1 - inside)
    return dual(share, log_t[1], shift, outside_law(kernel, bound.replaced, edits))


def _check_bounds(certificate: CommittedCertificate, context: Any) -> None:
    """Refuse bounds that the counts do not support, or that do not share one risk."""
    with needs("verify"):
        from flint import arb

    if certificate.n > MAX_CHECKED_DRAWS:
        raise VerificationError(f"n = {certificate.n}: a bound can be checked for at most {MAX_CHECKED_DRAWS} draws")
    context.prec = 256
    bounds = certificate.bounds
    counted = {(bound.subsets.length, bound.subsets.largest) if bound.subsets else None for bound in bounds}
    sizes, known = [bound.replaced for bound in bounds], None in counted
    together = len(counted) == 1 and len({*sizes}) == len(sizes) and (not known or len(sizes) == 2)
    if not together:
        raise VerificationError(f"bounds = {bounds}: they are not bounds that share one risk")
    for bound in bounds:
        x, risk = arb(bound.p), arb(certificate.alpha)
        if bound.subsets is None:
            risk /= len(bounds)
        else:  # a draw counts as a hit unless a set of j of these positions was replaced and the guard said safe
            x = 1 - arb(certificate.kernel.beta) ** bound.replaced * (1 - x)
            risk /= bound.subsets.parts
        if bound.p > 0 and not shown_by(x + arb(certificate.distance), bound.k, certificate.n, risk):
            _refuse(bound, certificate)


def _refuse(bound: Bound, certificate: CommittedCertificate) -> None:
    raise VerificationError(
        f"p = {bound.p!r}: k = {bound.k} of n = {certificate.n} draws do not support it at its share of "
        f"alpha = {certificate.alpha!r}; do not rely on this certificate, and make a new one with hybrid_rs.certify"
    )
