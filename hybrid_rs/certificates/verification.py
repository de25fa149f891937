r"""Checking a certificate without trusting the solver that made it.

A certificate carries a witness, :math:`u = \log t`. By weak duality every classifier with clean value at least p_A has,
under attack, a value of at least

.. math::
    D(u) = e^u (p_A - p_0) + \sum_k \left( q_k \Phi(z_k - s) - e^u p_k \Phi(z_k) \right),
    \qquad z_k = (u - \log\gamma_k) / s + s / 2,

and for s = 0 the same with :math:`\min(q_k - e^u p_k, 0)` as summand. :func:`verify` evaluates D in ball arithmetic
(Arb, through python-flint): every number is an interval that contains the true one, and each float64 of the certificate
is taken as an exact number. The masses are computed here from the kernel's definition, independently of the solver. A
masked certificate is checked against every number of edits 0..d. A certificate for features of different arity is
checked against every choice of d features that may be the worst. If p comes from draws, the binomial tail shows that k
of n draws bound it at risk alpha; the distance between the law of the draws and that of the theorem is taken off.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import reduce
from itertools import accumulate, pairwise, product
from typing import TYPE_CHECKING, Any, TypeAlias

from hybrid_rs._checks import kind
from hybrid_rs._extras import needs
from hybrid_rs.certificates.certificate import Certificate
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.certificates.likelihood_ratio import MAX_ATOMS
from hybrid_rs.certificates.worst_case import LEAST_SHIFT

if TYPE_CHECKING:
    from flint import arb

    from hybrid_rs.certificates.committed_certificate import CommittedCertificate
    from hybrid_rs.certificates.subset_text_certificate import SubsetTextCertificate
    from hybrid_rs.certificates.text_certificate import TextCertificate

    AnyCertificate: TypeAlias = Certificate | TextCertificate | CommittedCertificate | SubsetTextCertificate

Atom: TypeAlias = "tuple[arb, arb, arb | None]"  # clean mass, adversarial mass, log-ratio (None: 0 or infinite)
DIGITS_AGREED = 12  # the lower end is reported once the ball is this narrow, relative to its middle
MAX_BITS = 1 << 14
MAX_CHECKED_DRAWS = 10**10  # for more draws, the binomial tail takes too long in interval arithmetic


class VerificationError(ValueError):
    """A certificate claims more than its witness proves."""


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
    return bool(k > 0 and p < 1 and (p.beta_lower(k, n - k + 1, True) if k < n else p**n) <= risk)


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


def laws_of(certificate: Certificate | TextCertificate) -> list[list[Atom]]:
    """Return the atoms of every adversary that the certificate covers."""
    kernel, d = certificate.kernel, certificate.d
    if isinstance(kernel, AbsorbingKernel):
        return [_masked_absorbing(kernel, d) if certificate.masked else _absorbing(kernel, d)]
    if isinstance(kernel, UniformKernel):
        if certificate.masked:
            return [_masked_uniform(kernel, d, edited) for edited in range(d + 1)]
        return [_uniform(kernel, d)]
    if isinstance(kernel, FeatureKernel) and not certificate.masked:
        return [_features(kernel.beta, arities) for arities in _choices(kernel, d)]
    raise VerificationError(f"kernel = {kernel}, masked = {certificate.masked}: this certificate cannot be checked")


def law_of(kernel: UniformKernel | AbsorbingKernel, edited: int, *, replaced: int) -> list[Atom]:
    """Return the atoms of exactly ``edited`` edits; P is given that ``replaced`` positions were replaced, if not 0.

    The replaced positions are around the edited ones or, where there are fewer of them, among the edited ones.
    """
    beyond = max(edited - replaced, 0)  # edits of clean text
    if isinstance(kernel, AbsorbingKernel):
        within, clean = _masked_absorbing(kernel, replaced), _absorbing(kernel, beyond)
    else:
        within, clean = _masked_uniform(kernel, replaced, edited - beyond), _uniform(kernel, beyond)
    if not replaced:
        return clean
    return _both(within, clean) if beyond else within


def outside_law(kernel: UniformKernel, d: int, edited: int) -> list[Atom]:
    """Return the atoms of exactly ``edited`` of d edits, given under P that not all d positions were replaced.

    They are those of the plain law by surplus, less the ways in which all were: those without a clean token on show,
    with the unedited positions replaced. Q is not divided by anything.
    """
    from flint import arb

    beta = arb(kernel.beta)
    keep, hit = 1 - beta, beta / (kernel.vocab_size - 1)
    other, kept, total = hit * (kernel.vocab_size - 2), 1 - beta ** (d - edited), 1 - beta**d
    step = (keep / hit).log() if keep != 0 and hit != 0 else None
    atoms: list[Atom] = []
    for surplus in range(-edited, edited + 1):
        p = q = arb(0)
        for ours in range(max(0, -surplus), (edited - surplus) // 2 + 1):
            theirs, rest = ours + surplus, edited - 2 * ours - surplus
            ways = math.comb(edited, ours) * math.comb(edited - ours, theirs) * other**rest * (1 if ours else kept)
            p += ways * keep**ours * hit**theirs / total
            q += ways * hit**ours * keep**theirs
        atoms.append((p, q, None if step is None else surplus * step + total.log()))
    return atoms


def _absorbing(kernel: AbsorbingKernel, d: int) -> list[Atom]:
    from flint import arb

    masked = arb(kernel.beta) ** d
    shared = (masked, masked, arb(0) if d == 0 or kernel.beta > 0 else None)
    return [shared, (1 - masked, arb(0), None), (arb(0), 1 - masked, None)]


def _masked_absorbing(kernel: AbsorbingKernel, d: int) -> list[Atom]:
    """Return the atoms given that all d are masked: P shows only masks, and Q does so with probability beta^d."""
    from flint import arb

    masked = arb(kernel.beta) ** d
    return [(arb(1), masked, masked.log() if masked > 0 else None), (arb(0), 1 - masked, None)]


def _uniform(kernel: UniformKernel, d: int) -> list[Atom]:
    """Return one atom for each difference between the numbers of adversarial and of clean tokens that show."""
    from flint import arb

    beta = arb(kernel.beta)
    atoms: list[Atom] = []
    keep, hit = 1 - beta, beta / (kernel.vocab_size - 1)
    other = hit * (kernel.vocab_size - 2)
    step = (keep / hit).log() if keep != 0 and hit != 0 else None
    for surplus in range(-d, d + 1):
        p = q = arb(0)
        for clean in range(max(0, -surplus), (d - surplus) // 2 + 1):
            ours, theirs, rest = clean, clean + surplus, d - 2 * clean - surplus
            ways = math.comb(d, ours) * math.comb(d - ours, theirs) * other**rest
            p += ways * keep**ours * hit**theirs
            q += ways * hit**ours * keep**theirs
        if step is not None:
            atoms.append((p, q, surplus * step))
        else:
            atoms.append((p, q, arb(0) if surplus == 0 else None))
    return atoms


def _choices(kernel: FeatureKernel, d: int) -> Iterator[tuple[int, ...]]:
    """Yield the choices of d features that may be the worst, as arities.

    This does not use the formula of the kernel. By Blackwell's theorem, editing one feature is worse than editing
    another if its trade-off curve lies below. This order is checked exactly along two chains of arities. A choice that
    edits a feature of a chain but not a worse feature of the same chain cannot be the worst.
    """
    beta, edits = Fraction(kernel.beta), min(d, len(kernel.sizes))
    small = sorted(size for size in kernel.sizes if (1 - beta) * (size - 1) <= beta)
    large = sorted((size for size in kernel.sizes if (1 - beta) * (size - 1) > beta), reverse=True)
    for chain in (small, large):
        for worse, better in pairwise(dict.fromkeys(chain)):
            if not _below(_curve(beta, worse), _curve(beta, better)):
                raise VerificationError(f"kernel = {kernel}: arity {worse} is not worse than {better}")
    for count in range(max(0, edits - len(large)), min(edits, len(small)) + 1):
        yield (*small[:count], *large[: edits - count])


def _curve(beta: Fraction, size: int) -> list[tuple[Fraction, Fraction]]:
    """Return the corners of the trade-off curve of one edited feature: least adversarial mass by clean mass."""
    hit = beta / (size - 1)
    law = [(1 - beta, hit), (hit, 1 - beta), (hit * (size - 2), hit * (size - 2))]
    rising = sorted((atom for atom in law if atom[0] > 0), key=lambda atom: atom[1] / atom[0])
    return list(accumulate(rising, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(Fraction(0), Fraction(0))))


def _below(lower: list[tuple[Fraction, Fraction]], upper: list[tuple[Fraction, Fraction]]) -> bool:
    """Return whether a convex polygonal curve lies nowhere above another; the corners of the upper one decide."""

    def at(x: Fraction) -> Fraction:
        return max(
            (y0 + (y1 - y0) * (x - x0) / (x1 - x0) for (x0, y0), (x1, y1) in pairwise(lower)), default=Fraction(0)
        )

    return all(at(x) <= y for x, y in upper)


def _features(beta: float, arities: tuple[int, ...]) -> list[Atom]:
    """Return the atoms of the product of the laws of single features."""
    from flint import arb

    atoms = math.prod(2 * count + 1 for count in Counter(arities).values())
    if atoms > MAX_ATOMS:
        raise VerificationError(f"d = {len(arities)}: these arities make {atoms} atoms, more than {MAX_ATOMS}")
    law: list[Atom] = [(arb(1), arb(1), arb(0))]
    for size, count in Counter(arities).items():
        law = _both(law, _uniform(UniformKernel(beta, size), count))
    return law


def _both(law: list[Atom], other: list[Atom]) -> list[Atom]:
    """Return the atoms of two independent channels."""
    return [
        (p * p_other, q * q_other, None if log is None or log_other is None else log + log_other)
        for (p, q, log), (p_other, q_other, log_other) in product(law, other)
    ]


def _masked_uniform(kernel: UniformKernel, d: int, edited: int) -> list[Atom]:
    """Return the atoms given under P that all d are replaced: one for each number ``theirs`` of adversarial tokens.

    Under Q an unedited position has the same law as under P with probability beta, and shows the clean token otherwise.
    """
    from flint import arb

    beta, others = arb(kernel.beta), arb(kernel.vocab_size - 1)
    atoms: list[Atom] = []
    for theirs in range(edited + 1):
        rest, ways = edited - theirs, math.comb(edited, theirs)
        p = ways * (1 / others) ** theirs * ((others - 1) / others) ** rest
        q = ways * (1 - beta) ** theirs * (beta * (others - 1) / others) ** rest * beta ** (d - edited)
        atoms.append((p, q, (q / p).log() if p > 0 and q > 0 else None))
    never = 1 - (1 - beta / others) ** edited * beta ** (d - edited)
    return [*atoms, (arb(0), never, None)]


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
