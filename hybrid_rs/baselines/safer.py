r"""The synonym kernel of SAFER: every word is replaced by a random member of its set of synonyms.

The word x at one position becomes a uniform member of :math:`P_x`, a set that contains x. The adversary writes another
word x' from the allowed substitutes of x. On the intersection of both sets, the two noisy words have the same law up
to a factor. With several edited positions, all of them show a common member with probability
:math:`\prod |P_x \cap P_{x'}| / |P_x|` under the clean law, and with :math:`\prod |P_x \cap P_{x'}| / |P_{x'}|` under
attack. Elsewhere one of the laws gives no mass. So the noisy text is a random function of one of three outcomes, as in
:mod:`hybrid_rs.certificates.deletion`, and the two laws of these outcomes give a sound certificate. For text alone and
sets of one size it is

.. math:: g(x') \ge p_A - 1 + \prod_i q_i, \qquad q_i = \min_{x'} |P_{x_i} \cap P_{x'}| / |P_{x_i}|,

over the d positions of smallest q: SAFER's bound. With the ratio of this module, :func:`hybrid_rs.p_adv` extends it to
an image under Gaussian noise. The threat is narrower than that of the uniform kernel: only synonyms can be written.

References:
    Ye, Gong and Liu (2020), SAFER, ACL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, kind, nonnegative, one, require
from hybrid_rs.certificates.kernels import DIGITS, ratio_of_decimals
from hybrid_rs.certificates.likelihood_ratio import LikelihoodRatio
from hybrid_rs.evidence.counts import Counts, smoothing_text
from hybrid_rs.smoothing.deletion import Groups, verdicts_of
from hybrid_rs.smoothing.draws import BLOCK, SAMPLERS, Noise
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.guard import Guard
from hybrid_rs.smoothing.lattice import rounded_gaussian

SYNONYMS = 6  # kind of random stream; see hybrid_rs.smoothing.deletion
SETS = "give for each token its replacements, the token itself among them"


@dataclass(frozen=True, eq=False)
class SynonymKernel:
    """Replace each token by a uniform member of its own set.

    Args:
        sets: for each token, the tokens that may replace it, itself included. A token that is not listed is kept.
        substitutes: for each token, what an adversary may write in its place; by default, its set. A token that is not
            listed stays.

    Raises:
        ValueError: if a set does not contain its token.

    Example:
        >>> kernel = SynonymKernel({1: (1, 2, 3), 2: (1, 2, 3), 3: (2, 3, 4), 4: (3, 4)})
        >>> kernel.overlaps(1), kernel.overlaps(9)
        ((Fraction(2, 3), Fraction(2, 3)), (Fraction(1, 1), Fraction(1, 1)))
        >>> import hybrid_rs as hrs
        >>> hrs.p_adv(0.9, 0.0, kernel.likelihood_ratio([1, 9], d=1), sigma=1.0).round(6)
        np.float64(0.566667)
    """

    sets: Mapping[int, Sequence[int]]
    substitutes: Mapping[int, Sequence[int]] | None = None

    def __post_init__(self) -> None:
        kind("sets", self.sets, Mapping, SETS)
        for token, members in self.sets.items():
            require(token in members and len(set(members)) == len(members), f"sets[{token}]", members, SETS)

    def replacements(self, token: int) -> tuple[int, ...]:
        """Return the members of a token's set, in ascending order."""
        return tuple(sorted(self.sets.get(token, (token,))))

    def overlaps(self, token: int) -> tuple[Fraction, Fraction]:
        """Return the least share that both sets have in common, of the token's set and of a substitute's."""
        own = {*self.replacements(token)}
        allowed = (self.sets if self.substitutes is None else self.substitutes).get(token, (token,))
        others = [{*self.replacements(other)} for other in {token, *allowed}]
        clean = min(Fraction(len(own & other), len(own)) for other in others)
        return clean, min(Fraction(len(own & other), len(other)) for other in others)

    def likelihood_ratio(self, tokens: Sequence[int], d: int) -> LikelihoodRatio:
        """Return the law of the ratio for the worst ``d`` substitutions in a text.

        Args:
            tokens: the clean text.
            d: number of substituted tokens; all of them if the text has fewer.
        """
        edits = integer("d", d, at_least=0)
        pairs = [self.overlaps(int(token)) for token in tokens]
        clean, attacked = (sorted(side)[:edits] for side in zip(*pairs, strict=True)) if pairs else ([], [])
        with localcontext(prec=DIGITS):
            p, q = (_product(side) for side in (clean, attacked))
            if p == q == 1:
                return LikelihoodRatio.identity()
            ratio = (q / p).ln() if p and q else Decimal(0)
            return ratio_of_decimals([ratio, Decimal(0), Decimal(0)], [p, 1 - p, Decimal(0)], [q, Decimal(0), 1 - q])

    def sample(self, tokens: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return ``n`` noisy copies of a text, shape ``(n, length)``."""
        sets = [np.array(self.replacements(int(token)), dtype=np.int64) for token in tokens]
        chosen = rng.integers(0, [len(members) for members in sets], size=(integer("n", n, at_least=0), len(sets)))
        columns = [members[chosen[:, i]] for i, members in enumerate(sets)]
        return np.stack(columns, axis=1) if columns else np.zeros((n, 0), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class SynonymGuard:
    """A guard smoothed by synonyms and image noise.

    Args:
        guard: the base classifier.
        kernel: the synonyms.
        sigma: standard deviation of the image noise in pixel units; 0 leaves images alone.
        noise: how image noise is drawn; see :class:`hybrid_rs.SmoothedGuard`.
    """

    guard: Guard
    kernel: SynonymKernel
    sigma: float
    noise: Noise = "float32"

    def __post_init__(self) -> None:
        kind("kernel", self.kernel, SynonymKernel, "give SynonymKernel(...)")
        object.__setattr__(self, "sigma", one("sigma", nonnegative("sigma", self.sigma)))
        require(self.noise in SAMPLERS, "noise", self.noise, f"give one of {', '.join(SAMPLERS)}", repr)

    def sample(self, example: Example, n: int, *, seed: int = 0, batch_draws: int = 256) -> Counts:
        """Draw noise ``n`` times and count the guard's unsafe verdicts.

        NumPy's integers from a range are exactly uniform, so the law of the texts is that of the theorem.

        Args:
            example: the input.
            n: number of draws, at least 1.
            seed: a non-negative whole number.
            batch_draws: draws given to the guard at a time, rounded up to a multiple of 64.
        """
        tokens = kind("example", example, Example, "give a hybrid_rs.Example").token_ids

        def noisy(blocks: list[np.random.Generator], draws: int) -> Groups:
            texts = np.concatenate([self.kernel.sample(tokens, BLOCK, rng) for rng in blocks])[:draws]
            yield texts, np.arange(draws)

        draws = integer("n", n, at_least=1)
        batches = verdicts_of(self, example, draws, seed, batch_draws, SYNONYMS, noisy)
        unsafe = sum(int(verdicts.sum()) for verdicts in batches)
        off = example.image.size * rounded_gaussian(self.sigma).distance if self.noise == "lattice" else 0.0
        noise = smoothing_text({"name": "SynonymKernel"}, self.sigma)  # without its sets, which may be long
        return Counts((unsafe,), n, example.id, seed, float(np.nextafter(off, 1.0)) if off else 0.0, noise)


def _product(factors: Sequence[Fraction]) -> Decimal:
    total = Fraction(1)
    for factor in factors:
        total *= factor
    return Decimal(total.numerator) / total.denominator
