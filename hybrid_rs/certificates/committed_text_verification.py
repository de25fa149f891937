"""Checking a certificate from several texts for each number of edits, without trusting the solver that made it.

For every number of edits the witnesses are evaluated in ball arithmetic, as in
:mod:`hybrid_rs.certificates.text_verification`. The law is that of edits of clean text, or the law given that a set of
positions was replaced. Every row of levels is checked against its counts, at its share of the risk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybrid_rs._extras import needs
from hybrid_rs.certificates.committed_text_certificate import CommittedTextCertificate
from hybrid_rs.certificates.exact_laws import law_of
from hybrid_rs.certificates.text_verification import check_levels, text_dual
from hybrid_rs.certificates.verification import ball_arithmetic, least, proved_by, shift_of
from hybrid_rs.evidence.text_counts import TextCounts

if TYPE_CHECKING:
    from flint import arb


def verify_committed_texts(certificate: CommittedTextCertificate) -> float:
    """Re-check a certificate rigorously and return the lower bound that its witnesses prove.

    Args:
        certificate: the claim; each float64 in it is taken as an exact number.

    Returns:
        a float64 not above the worst-case value, and not below ``certificate.p_adv``.

    Raises:
        hybrid_rs.VerificationError: if the witnesses do not prove ``certificate.p_adv``, or the counts do not support
            the levels.
        ImportError: if python-flint is missing.

    Example:
        >>> import hybrid_rs as hrs
        >>> from hybrid_rs.certificates.committed_text_certificate import certify_committed_texts
        >>> from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts
        >>> counts = SubsetTextCounts(((1_000, 990), (640, 600)), n=1_000, texts=2, length=20, beta=0.9)
        >>> law = {"d": 1, "epsilon": 0.5, "sigma": 0.5, "tau": 0.05}
        >>> certificate = certify_committed_texts(counts, hrs.UniformKernel(beta=0.9, vocab_size=32_000), **law)
        >>> verify_committed_texts(certificate) >= certificate.p_adv >= certificate.tau
        True
    """
    with needs("verify"):
        from flint import arb

    counts = certificate.counts
    with ball_arithmetic() as context:
        context.prec = 256
        for size, levels in zip(certificate.sizes, certificate.levels, strict=True):
            if isinstance(counts, TextCounts):
                images, parts = counts.n, 2  # the two rows share the risk equally
            else:
                images, parts = counts.images(size), counts.subsets(size).parts
            share = arb(certificate.alpha) / parts
            check_levels(levels, counts.reached[size], images, share, arb(counts.distance), context)
        return proved_by(lambda: _bound(certificate), certificate, context)


def _bound(certificate: CommittedTextCertificate) -> arb:
    """Return the bound that the witnesses prove against every number of edits, as a ball."""
    shift, kernel = shift_of(certificate.epsilon, certificate.sigma), certificate.kernel
    return least(
        text_dual(certificate.levels_of(w.size), w.image_log_t, w.log_t, shift, law_of(kernel, edits, replaced=w.size))
        for edits, w in enumerate(certificate.witnesses)
    )
