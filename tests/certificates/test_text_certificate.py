"""Certificates from several texts: every one is proved by its witnesses, and none that claims more."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf

import hybrid_rs as hrs
from hybrid_rs.certificates import oracle
from hybrid_rs.certificates.text_certificate import certify_texts

mp.dps = oracle.DIGITS
KERNEL = hrs.UniformKernel(0.25, 32_000)
COUNTS = hrs.TextCounts(((1_000, 990, 940), (1_000, 980, 900)), n=1_000)
LAW = {"d": 1, "epsilon": 0.5, "sigma": 0.5, "tau": 0.05}


def random_certificates(cases, seed):
    """Certificates over the extreme ranges, of known levels and of counts, masked and plain."""
    rng = np.random.default_rng(seed)
    for _ in range(cases):
        texts, d = int(rng.integers(1, 17)), int(rng.integers(0, 9))
        low, high = 10 ** rng.uniform(-6, -0.3, texts), 1 - 10 ** rng.uniform(-9, -0.3, texts)
        levels = np.sort(np.where(rng.random(texts) < 0.4, low, high))[::-1]
        if rng.random() < 0.1:
            levels[: rng.integers(0, texts + 1)] = 1.0
        if rng.random() < 0.1:
            levels[rng.integers(0, texts + 1) :] = 0.0
        beta = rng.uniform(1e-3, 1) if rng.random() < 0.9 else rng.choice([0.0, 1.0])
        vocab_size = 2 if rng.random() < 0.15 else int(np.exp(rng.uniform(np.log(2), np.log(1e6))))
        kernel = hrs.UniformKernel(beta, vocab_size) if rng.random() < 0.8 else hrs.AbsorbingKernel(beta)
        shift = rng.uniform(0, 12) if rng.random() < 0.7 else rng.choice([0.0, 10 ** rng.uniform(-9, 1)])
        law = {"d": d, "epsilon": shift, "sigma": 1.0 if rng.random() < 0.9 else rng.choice([0.0, np.inf]), "tau": 1e-5}
        if rng.random() < 0.3:
            n = int(rng.integers(1, 20_000))
            row = tuple(np.floor(levels * n + 0.5).astype(int).tolist())
            counts = hrs.TextCounts((row,) * (d + 1 if rng.random() < 0.7 else 1), n)
            yield certify_texts(counts, kernel, alpha=float(rng.choice([0.01, 0.05, 1e-6])), **law)
        else:
            yield certify_texts(levels, kernel, masked=bool(rng.random() < 0.6), **law)


@pytest.mark.slow
def test_every_certificate_is_proved_by_its_witnesses():
    loose, pooled = [], 0
    for certificate in random_certificates(200, seed=1):
        proved = hrs.verify(certificate)
        assert proved >= certificate.p_adv
        pooled += not certificate.image_log_t
        if certificate.p_adv > 0:
            loose.append(proved / certificate.p_adv - 1)
    assert max(loose) < 2e-9
    assert 0 < pooled < 67  # both kinds occur


def test_what_is_proved_is_below_the_exact_value():
    for certificate in random_certificates(40, seed=2):
        uniform = isinstance(certificate.kernel, hrs.UniformKernel)
        if certificate.sigma != 1 or certificate.d > 3 or not uniform or certificate.kernel.beta in (0, 1):
            continue
        beta, size, d, s = certificate.kernel.beta, certificate.kernel.vocab_size, certificate.d, certificate.epsilon
        laws = [oracle.uniform_law(beta, size, d)]
        if certificate.masked:
            laws = [oracle.masked_law(beta, size, edited, d - edited) for edited in range(d + 1)]
        share = mp.fsum(oracle.value(p, s, oracle.atoms([])) for p in certificate.levels) / certificate.texts
        pooled = mp.fsum(map(mpf, certificate.levels)) / certificate.texts
        exact = max(min(oracle.value(p, at, law) for law in laws) for p, at in ((share, 0), (pooled, s)))
        assert mpf(hrs.verify(certificate)) <= exact


def test_the_statement_is_that_of_the_frontier():
    front = hrs.frontier_of(COUNTS, KERNEL, sigma=0.5, tau=0.05, d_max=1)
    for d in (0, 1):
        at, beyond = (
            hrs.certify(COUNTS, KERNEL, **LAW | {"d": d, "epsilon": front.radius(d) * x}) for x in (1, 1 + 1e-8)
        )
        assert (at.certified, beyond.certified) == (True, False)
        assert hrs.verify(at) >= at.tau
        assert (at.reached, at.n, at.alpha, at.masked, at.texts) == (COUNTS.reached[d], 1000, 0.01, True, 3)
    assert "3 texts for each image" in str(at)


def test_counts_of_the_clean_law_serve_every_budget():
    plain = hrs.TextCounts(((1_000, 999, 998),), n=1_000)
    for d in (0, 1, 2):
        certificate = hrs.certify(plain, hrs.UniformKernel(0.6, 100), **LAW | {"d": d, "epsilon": 0.1})
        assert not certificate.masked
        assert hrs.verify(certificate) >= certificate.p_adv > 0


def test_what_the_witnesses_and_counts_do_not_prove_is_refused():
    made = hrs.certify(COUNTS, KERNEL, **LAW)
    assert hrs.verify(made) >= made.p_adv
    up = math.nextafter(hrs.verify(made), 1) * (1 + 1e-10)
    wrong = [
        replace(made, p_adv=up),
        replace(made, p_adv=made.p_adv * 1.01, tau=0.0),
        replace(made, d=2),
        replace(made, epsilon=made.epsilon * (1 + 1e-9)),
        replace(made, sigma=made.sigma * (1 - 1e-9)),
        replace(made, kernel=hrs.UniformKernel(0.2499, 32_000)),
        replace(made, masked=False),
        replace(made, log_t=made.log_t + 1e-3),
        replace(made, log_t=-math.inf),
        replace(made, image_log_t=()),
        replace(made, image_log_t=(*made.image_log_t[:2], made.image_log_t[2] + 0.1)),
        replace(made, alpha=0.0099),
        replace(made, n=1001),
        replace(made, reached=(1_000, 980, 899)),
        *(replace(made, levels=tuple(np.array(made.levels) * (1 + 1e-6 * (np.arange(3) == k)))) for k in range(3)),
        replace(made, image_log_t=(math.inf, *made.image_log_t[1:])),
        replace(made, log_t=math.inf),
        replace(made, log_t=1e6),
    ]
    for certificate in wrong:
        with pytest.raises(hrs.VerificationError):
            hrs.verify(certificate)


def test_certificates_survive_json_and_only_what_was_written_is_read():
    for certificate in random_certificates(100, seed=3):
        line = certificate.to_json()
        assert "\n" not in line
        assert hrs.TextCertificate.from_json(line) == certificate
        assert hrs.read_certificate(line) == certificate
    one = hrs.certify(0.9, KERNEL, **LAW)
    assert hrs.read_certificate(one.to_json()) == one
    fields = json.loads(hrs.certify(COUNTS, KERNEL, **LAW).to_json())
    for change in (
        {"schema": 99}, {"levels": []}, {"levels": [0.5, "0.4", 0.3]}, {"levels": [1.5, 0.5, 0.5]}, {"d": 1.0},
        {"masked": "false"}, {"sigma": -1.0}, {"log_t": None}, {"image_log_t": [0.0]}, {"n": None}, {"alpha": 1.0},
        {"reached": [1, 2, 3]}, {"reached": [1001, 5, 4]}, {"reached": [5, 4]}, {"reached": [5.5, 4, 3]}, {"extra": 1},
        {"kernel": {"name": "FeatureKernel", "beta": 0.25, "sizes": [3, 4]}}, {"p_adv": 2.0}, {"epsilon": "0.5"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="not one that to_json wrote"):
            hrs.read_certificate(json.dumps(fields | change))
    for text in ("", "[]", "3", '"levels"', '["levels"]', "{", "null"):
        with pytest.raises(ValueError, match="not one that to_json wrote"):
            hrs.read_certificate(text)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: hrs.certify(COUNTS, KERNEL, **LAW | {"d": 2}), "d"),
        (lambda: hrs.certify(COUNTS, KERNEL, **LAW, masked=False), "masked"),
        (lambda: hrs.certify(COUNTS, KERNEL, **LAW, alpha=0.0), "alpha"),
        (lambda: hrs.certify(COUNTS, KERNEL, **LAW | {"tau": 1.5}), "tau"),
        (lambda: hrs.certify(COUNTS, KERNEL, **LAW | {"epsilon": [0.1, 0.2]}), "epsilon"),
        (lambda: certify_texts(0.5, KERNEL, **LAW), "levels"),
        (lambda: certify_texts([0.5, 1.5], KERNEL, **LAW), "levels"),
        (lambda: certify_texts([0.5], hrs.FeatureKernel(0.25, (3, 4)), **LAW), "kernel"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} = "):
        call()
