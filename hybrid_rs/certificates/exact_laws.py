"""The laws of the token ratio in ball arithmetic, from each kernel's definition, for checking certificates.

An atom is a triple of balls: clean mass, adversarial mass, and log-ratio (None where the ratio is 0 or infinite).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate, pairwise, product
from typing import TYPE_CHECKING, TypeAlias

from hybrid_rs._extras import needs
from hybrid_rs.certificates.certificate import Certificate
from hybrid_rs.certificates.deletion import DeletionKernel
from hybrid_rs.certificates.feature_kernel import FeatureKernel
from hybrid_rs.certificates.kernels import AbsorbingKernel, UniformKernel
from hybrid_rs.certificates.likelihood_ratio import MAX_ATOMS

if TYPE_CHECKING:
    from flint import arb

    from hybrid_rs.certificates.text_certificate import TextCertificate

Atom: TypeAlias = "tuple[arb, arb, arb | None]"


class VerificationError(ValueError):
    """A certificate claims more than its witness proves."""


def laws_of(certificate: Certificate | TextCertificate) -> list[list[Atom]]:
    """Return the atoms of every adversary who may be the worst one that the certificate covers."""
    kernel, d = certificate.kernel, certificate.d
    if isinstance(kernel, AbsorbingKernel):
        return [_masked_absorbing(kernel, d) if certificate.masked else _absorbing(kernel, d)]
    if isinstance(kernel, UniformKernel):
        if certificate.masked:
            return [_masked_uniform(kernel, d, edited) for edited in range(d + 1)]
        return [_uniform(kernel, d)]
    if isinstance(kernel, FeatureKernel) and not certificate.masked:
        return [_features(kernel.beta, arities) for arities in _choices(kernel, d)]
    if isinstance(kernel, DeletionKernel) and not certificate.masked:
        return [_deletion(kernel.beta, lost, gained) for lost, gained in _changed(kernel.edits, d)]
    raise VerificationError(f"kernel = {kernel}, masked = {certificate.masked}: this certificate cannot be checked")


def law_of(kernel: UniformKernel | AbsorbingKernel, edited: int, *, replaced: int) -> list[Atom]:
    """Return the atoms of exactly ``edited`` edits; P is the clean law given that ``replaced`` positions were replaced.

    The replaced positions include all edited ones or, if there are fewer of them, are among the edited ones.
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
    """Return the atoms if ``edited`` of d positions are edited; P is given that not all d positions were replaced.

    As in the plain law, there is one atom for each surplus of the adversary's tokens over clean ones. Outcomes in which
    all d positions were replaced are left out: those that show no clean token at any of them. Q is not rescaled.
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
    """Return one atom for each surplus of adversarial over clean tokens among those shown.

    Where a noisy token is uniform whatever the clean one, no edit changes the law: one atom, without rounding.
    """
    with needs("verify"):
        from flint import arb

    if Fraction(kernel.beta) * kernel.vocab_size == kernel.vocab_size - 1:
        return [(arb(1), arb(1), arb(0))]
    beta = arb(kernel.beta)
    atoms: list[Atom] = []
    keep, hit = 1 - beta, beta / (kernel.vocab_size - 1)
    other = hit * (kernel.vocab_size - 2)
    step = (keep / hit).log() if keep != 0 and hit != 0 else None
    # d! / (i! j! k!) outcomes have i clean tokens, j of the adversary's and k others: each power takes its factorial
    keeps, hits, others = ([base**i / arb(i).fac() for i in range(d + 1)] for base in (keep, hit, other))
    for surplus in range(-d, d + 1):
        p = q = arb(0)
        for ours in range(max(0, -surplus), (d - surplus) // 2 + 1):
            theirs, rest = ours + surplus, others[d - 2 * ours - surplus]
            p += keeps[ours] * hits[theirs] * rest
            q += hits[ours] * keeps[theirs] * rest
        ratio = surplus * step if step is not None else arb(0) if surplus == 0 else None
        atoms.append((p * arb(d).fac(), q * arb(d).fac(), ratio))
    return atoms


def _changed(edits: str, d: int) -> Iterator[tuple[int, int]]:
    """Yield the numbers of tokens that exactly d edits may take away and add; fewer edits are never worse."""
    for lost, gained in product(range(d + 1), repeat=2):
        both = {"all": (d, d), "insertions": (0, d), "deletions": (d, 0), "insertions and deletions": (lost, d - lost)}
        if (lost, gained) == both[edits]:
            yield lost, gained


def _deletion(beta: float, lost: int, gained: int) -> list[Atom]:
    """Return three atoms: all lost tokens (under P) or all gained ones (under Q) are deleted; the rest of P; of Q."""
    from flint import arb

    p, q = arb(beta) ** lost, arb(beta) ** gained
    step = (q / p).log() if p > 0 and q > 0 else None
    return [(p, q, step), (1 - p, arb(0), None), (arb(0), 1 - q, None)]


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
    """Return one atom for each number ``theirs`` of adversarial tokens; P is given that all d positions were replaced.

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
