"""The masked reference law: exact against the definition, the worst of all adversaries, and its closed form."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.special import ndtr, ndtri

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle

mp.dps = oracle.DIGITS
LAWS = [(0.25, 32_000), (0.25, 2), (0.5, 2), (0.6, 2), (0.6, 3), (0.9, 3), (0.95, 10), (1.0, 2), (1.0, 7), (0.001, 50)]


@pytest.mark.seconds
@pytest.mark.parametrize(("beta", "vocab_size"), LAWS)
@pytest.mark.parametrize("d", [0, 1, 3])
def test_the_value_is_that_of_the_worst_adversary_within_the_set(beta, vocab_size, d):
    ratio = hrs.UniformKernel(beta, vocab_size).likelihood_ratio(d, masked=True)
    assert ratio.masked
    for p, s in product((0.3, 0.99, 1 - 1e-6), (0.0, 0.4, 3.0)):
        everyone = [oracle.value(p, s, oracle.masked_law(beta, vocab_size, e, d - e)) for e in range(d + 1)]
        value = hrs.p_adv(p, s, ratio, sigma=1.0)
        assert value <= min(everyone)
        assert value >= min(everyone) * (1 - 1e-10) - mpf(10) ** -290


@pytest.mark.parametrize("beta", [0.1, 0.25, 0.75])
def test_closed_form_and_no_trace_of_the_vocabulary(beta):
    p, s = np.array([0.1, 0.7, 0.9, 0.99954]), 1.3
    for d in (1, 2, 5):
        exact = beta**d * ndtr(ndtri(p) - s)
        for kernel in (hrs.UniformKernel(beta, 32_000), hrs.UniformKernel(beta, 10), hrs.AbsorbingKernel(beta)):
            assert hrs.p_adv(p, s, kernel.likelihood_ratio(d, masked=True), sigma=1.0) == pytest.approx(
                exact, rel=1e-10
            )


@pytest.mark.parametrize(("beta", "vocab_size"), [(0.25, 2), (0.25, 5), (0.25, 1000), (0.7, 10)])
def test_showing_the_mask_to_the_classifier_only_weakens_the_bound(beta, vocab_size):
    o = (vocab_size - 2) / (vocab_size - 1)  # of P: the replacement is not the adversary's token
    seen = hrs.LikelihoodRatio.from_masses([o, 1 - o, 0.0], [beta * o, 0.0, 1 - beta * o])
    hidden = hrs.UniformKernel(beta, vocab_size).likelihood_ratio(1, masked=True)
    p, s = np.linspace(0.01, 0.99, 21), 0.7
    assert np.all(hrs.p_adv(p, s, seen, sigma=1.0) <= hrs.p_adv(p, s, hidden, sigma=1.0) + 1e-12)


def test_no_classifier_and_no_adversary_goes_below_it_exhaustively():
    """All words over a small alphabet, all edits within the set, all 0/1 classifiers of the noisy word."""
    vocab_size, beta, clean = 3, Fraction(1, 4), (0, 0)
    words = list(product(range(vocab_size), repeat=2))

    def law(word, given=()):
        def position(i, token):
            hit = token == word[i]
            if i in given:
                return Fraction(0) if hit else Fraction(1, vocab_size - 1)
            return 1 - beta if hit else beta / (vocab_size - 1)

        return np.array([position(0, z[0]) * position(1, z[1]) for z in words], dtype=object)

    verdicts = np.array(list(product((0, 1), repeat=len(words))), dtype=object)
    for chosen in [(0,), (1,), (0, 1)]:
        p_s = verdicts @ law(clean, chosen)
        ratio = hrs.UniformKernel(0.25, 3).likelihood_ratio(len(chosen), masked=True)
        bound = np.asarray(hrs.p_adv(p_s.astype(float), 0.0, ratio, sigma=1.0))
        for word in words:
            if all(word[i] == clean[i] for i in (0, 1) if i not in chosen):
                attacked = verdicts @ law(word)
                assert all(Fraction(float(b)) <= a for b, a in zip(bound, attacked, strict=True))


def test_laws_do_not_mix():
    kernel = hrs.UniformKernel(0.25, 100)
    plain, masked = kernel.likelihood_ratio(1), kernel.likelihood_ratio(1, masked=True)
    with pytest.raises(ValueError, match="masked = True"):
        plain.compose(masked)
    assert hrs.LikelihoodRatio.identity().compose(masked).masked
    two = kernel.likelihood_ratio(1, masked=True).compose(hrs.UniformKernel(0.25, 7).likelihood_ratio(1, masked=True))
    assert two.p_finite == pytest.approx(1)
    assert two.q_at_infinity == pytest.approx(1 - 0.25**2)
    counts, given = hrs.MaskedCounts((99, 98), n=100), {"d": 1, "epsilon": 0.1, "sigma": 1.0, "tau": 0.01}
    made = hrs.certify(counts, kernel, **given)
    assert made.masked
    assert "p_S with confidence 0.99" in str(made)
    assert hrs.verify(made) >= made.p_adv > 0
    with pytest.raises(ValueError, match="masked = False"):
        hrs.certify(counts, kernel, **given, masked=False)
    with pytest.raises(ValueError, match="masked = True"):
        hrs.certify(hrs.Counts((99,), n=100), kernel, **given, masked=True)


def test_required_p_is_the_least_that_certifies():
    ratio = hrs.UniformKernel(0.25, 1000).likelihood_ratio(3, masked=True)
    least = hrs.required_p_a(1.0, ratio, sigma=1.0, tau=1e-3)
    assert hrs.p_adv(least, 1.0, ratio, sigma=1.0) >= 1e-3 > hrs.p_adv(least - 1e-9, 1.0, ratio, sigma=1.0)
    assert least == pytest.approx(ndtr(ndtri(1e-3 / 0.25**3) + 1), rel=1e-9)
