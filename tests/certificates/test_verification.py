"""The checker accepts what the package certifies, proves it tightly, and refuses anything beyond it."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mpf
from random_certificates import KINDS, random_certificates as of_kind

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.certificate import certify  # of one probability
from hybrid_rs.certificates.verification import shown_by

UNIFORM = hrs.UniformKernel(0.25, 32_000)


def random_certificates(cases, seed):
    """Of one probability: p_A, and for a third of the cases p_S."""
    yield from of_kind("one text", cases - cases // 3, seed)
    yield from of_kind("masked", cases // 3, seed)


@pytest.mark.seconds
@pytest.mark.parametrize("kind", KINDS)
def test_certificates_of_every_kind_are_proved(kind):
    for certificate in of_kind(kind, 6, seed=0):
        assert hrs.verify(certificate) >= certificate.p_adv


@pytest.mark.seconds
def test_every_certificate_is_proved_by_its_witness():
    loose = []
    for certificate in random_certificates(1000, seed=1):
        proved = hrs.verify(certificate)
        assert proved >= certificate.p_adv
        if certificate.p_adv > 0:
            loose.append(proved / certificate.p_adv - 1)
    assert max(loose) < 1e-9


@pytest.mark.parametrize("masked", [False, True])
def test_a_classifier_that_is_always_right_is_proved_exactly(masked):
    for kernel in (UNIFORM, hrs.UniformKernel(0.1, 3), hrs.UniformKernel(1.0, 5), hrs.AbsorbingKernel(0.25)):
        for d in (0, 1, 5):
            certificate = hrs.certify(1.0, kernel, d=d, epsilon=1.0, sigma=1.0, tau=0.1, masked=masked)
            assert hrs.verify(certificate) >= certificate.p_adv
            if not masked and isinstance(kernel, hrs.UniformKernel) and kernel.beta < 1:
                assert certificate.p_adv == 1.0  # every word is shown on both sides


@pytest.mark.parametrize(("vocab_size", "beta"), [(2, 0.5), (4, 0.75), (1_024, 1 - 1 / 1_024)])
def test_tokens_that_tell_nothing_are_proved_to_tell_nothing(vocab_size, beta):
    for d in (1, 2, 7):
        certificate = hrs.certify(0.9, hrs.UniformKernel(beta, vocab_size), d=d, epsilon=0.0, sigma=1.0, tau=0.1)
        assert hrs.verify(certificate) >= certificate.p_adv == 0.9


@pytest.mark.seconds
@pytest.mark.parametrize("d", [100, pytest.param(512, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("vocab_size", "beta", "masked"), [(2, 0.3, False), (32_000, 0.995, False), (500, 0.9, True)])
def test_hundreds_of_edits_are_proved_too(d, vocab_size, beta, masked):
    for p_a, shift in ((0.9, 0.0), (1 - 1e-9, 0.7))[d == 512 :]:  # the last takes seconds
        law = {"d": d, "epsilon": shift, "sigma": 1.0, "tau": 1e-5, "masked": masked}
        certificate = hrs.certify(p_a, hrs.UniformKernel(beta, vocab_size), **law)
        assert hrs.verify(certificate) >= certificate.p_adv


def test_what_is_proved_is_below_the_exact_value():
    for certificate in random_certificates(25, seed=2):
        if certificate.d > 8 or certificate.masked:
            continue
        if isinstance(certificate.kernel, hrs.UniformKernel):
            law = oracle.uniform_law(certificate.kernel.beta, certificate.kernel.vocab_size, certificate.d)
        else:
            law = oracle.absorbing_law(certificate.kernel.beta, certificate.d)
        assert mpf(hrs.verify(certificate)) <= oracle.value(certificate.p, certificate.epsilon, law)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: {"p_adv": c.p_adv * (1 + 1e-9)},
        lambda c: {"epsilon": c.epsilon * (1 + 1e-6)},
        lambda c: {"p": c.p - 1e-9},
        lambda c: {"d": c.d + 1},
        lambda c: {"sigma": c.sigma * (1 - 1e-6)},
        lambda c: {"kernel": hrs.UniformKernel(0.25 - 1e-9, 32_000)},
        lambda c: {"log_t": c.log_t + 1e-2},
        lambda c: {"log_t": -np.inf},
        lambda c: {"log_t": np.inf},
    ],
)
def test_a_claim_beyond_the_witness_is_refused(change):
    certificate = hrs.certify(0.9995, UNIFORM, d=2, epsilon=1.0, sigma=0.5, tau=4.6e-5)
    with pytest.raises(hrs.VerificationError, match="log_t"):
        hrs.verify(replace(certificate, **change(certificate)))


@pytest.mark.parametrize(
    "kernel", [UNIFORM, hrs.AbsorbingKernel(0.5), hrs.UniformKernel(1.0, 2), hrs.UniformKernel(0.0, 5)]
)
@pytest.mark.parametrize("p_a", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("epsilon", "sigma"), [(0.0, 1.0), (0.0, 0.0), (1.0, 0.0), (1.0, np.inf), (2.0, 1.0)])
@pytest.mark.parametrize("d", [0, 1, 3])
def test_the_extremes_verify(kernel, p_a, epsilon, sigma, d):
    certificate = hrs.certify(p_a, kernel, d=d, epsilon=epsilon, sigma=sigma, tau=0.1)
    assert hrs.verify(certificate) >= certificate.p_adv


def test_the_precision_of_the_caller_is_left_alone():
    from flint import ctx

    before = ctx.prec
    hrs.verify(hrs.certify(0.9995, UNIFORM, d=2, epsilon=1.0, sigma=0.5, tau=4.6e-5))
    assert ctx.prec == before


def test_a_certificate_comes_back_from_json_as_it_was():
    for certificate in random_certificates(200, seed=4):
        assert hrs.Certificate.from_json(certificate.to_json()) == certificate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 0}',
        '{"schema": 1, "p": 0.9}',
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace("false", '"false"'),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace('"d": 1', '"d": 1.0'),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace('"d": 1', '"d": 1000000000'),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace('"p": 0.9', '"p": NaN'),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace('"sigma": 1.0', '"sigma": 1e999'),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace('"p": 0.9', '"p": 0.9, "p": 0.8'),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace('"n": null', '"n": 10'),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace("0.25", "1.25"),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace('"d": 1', '"d": -1'),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace('"p": 0.9', '"p": "nan"'),
        hrs.certify(0.9, UNIFORM, d=1, epsilon=1, sigma=1, tau=0.1).to_json().replace("Uniform", "Magic"),
    ],
)
def test_what_is_no_certificate_is_refused(text):
    with pytest.raises(ValueError, match="not one that to_json wrote"):
        hrs.Certificate.from_json(text)


def test_an_older_schema_is_named():
    with pytest.raises(ValueError, match=r"schema = 1 .an older format with fewer fields: certify again"):
        hrs.Certificate.from_json('{"schema": 1}')


def test_what_the_mask_hides_is_not_proved_by_an_infinite_witness():
    true = hrs.certify(1.0, hrs.AbsorbingKernel(0.5), d=2, epsilon=1.0, sigma=0.5, tau=0.9)
    assert true.log_t == np.inf
    assert hrs.verify(true) >= true.p_adv
    with pytest.raises(hrs.VerificationError, match=r"proves only 0.25"):
        hrs.verify(replace(true, p_adv=1.0))


DRAWN = [
    hrs.certify(hrs.Counts((9_300,), n=10_000), UNIFORM, d=2, epsilon=0.5, sigma=0.5, tau=1e-5),
    hrs.certify(hrs.MaskedCounts((9_900, 9_300, 9_000), n=10_000), UNIFORM, d=2, epsilon=0.5, sigma=0.5, tau=1e-5),
    certify(
        hrs.SubsetCounts((1_500, 220, 41), n=10_000, length=20, beta=0.25),
        UNIFORM,
        d=2,
        epsilon=0.5,
        sigma=0.5,
        tau=1e-5,
    ),
]


@pytest.mark.parametrize("drawn", DRAWN)
def test_evidence_is_checked_from_its_counts(drawn):
    assert hrs.verify(drawn) >= drawn.p_adv > 0
    assert hrs.Certificate.from_json(drawn.to_json()) == drawn
    for change in (
        {"p": drawn.p + 1e-6},
        {"k": drawn.k - 1},
        {"n": drawn.n + 1},
        {"alpha": drawn.alpha * 0.999},
        {"k": 0},
    ):
        with pytest.raises(hrs.VerificationError, match="do not support it"):
            hrs.verify(replace(drawn, **change))


def test_evidence_that_no_draws_can_give_is_refused():
    with pytest.raises(hrs.VerificationError, match="k = 10 of n = 10 draws"):
        hrs.verify(replace(DRAWN[0], p=0.99, n=10, k=10))
    for change in ({"alpha": np.nan}, {"alpha": 0.0}, {"alpha": 1.0}, {"masked": "false"}, {"k": None}, {"k": 10_001}):
        with pytest.raises(ValueError, match=r"alpha|masked|k = "):
            replace(DRAWN[0], **change)


def test_no_tampered_certificate_passes():
    from abuse.tampering import run

    figures = run(40, seed=1)
    assert figures["passed"] == figures["honest refused"] == 0
    assert figures["refused by verify"] == figures["false"] == 40


def test_a_tail_is_decided_as_by_exact_fractions():
    """At floats next to the probability where the tail equals the risk, and for risks next to a tail."""
    flint = pytest.importorskip("flint")
    rng, before, decided = np.random.default_rng(5), flint.ctx.prec, []
    for _ in range(100):
        n = int(rng.integers(1, 90))
        k, risk = int(rng.integers(1, n + 1)), float(10 ** rng.uniform(-9, -0.1))
        at = float(hrs.clopper_pearson_lower(k, n, risk))
        for p in (at, np.nextafter(at, 0), np.nextafter(at, 1), float(rng.random())):
            exact = tail(Fraction(float(p)), k, n)
            for level in (risk, float(exact), float(np.nextafter(float(exact), 1))):
                found = shown_by(flint.arb(float(p)), k, n, flint.arb(level))
                assert found == (exact <= Fraction(level))
                decided.append(found)
    assert flint.ctx.prec == before
    assert 0.2 < np.mean(decided) < 0.9


def tail(p, k, n):
    """The probability of k or more hits in n draws, as a fraction."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
