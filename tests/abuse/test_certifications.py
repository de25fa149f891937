"""Whole certifications of guards whose value is known; benchmarks/full_abuse.py makes many thousands."""

import numpy as np
import pytest
from abuse import certifications

import hybrid_rs as hrs


@pytest.mark.parametrize("kind", certifications.KINDS)
def test_false_certificates_are_at_most_alpha(kind: str) -> None:
    runs = 60
    assert not certifications.too_many(certifications.KINDS[kind](runs, 0), runs)


@pytest.mark.parametrize("hits", [60, 61, 62])
def test_the_guards_are_as_hard_as_can_be(hits: int) -> None:
    """Just below a value of the bound, a certificate is false with probability alpha, to a thousandth of it."""
    p = certifications.tight(hits)
    chance = certifications.binom.sf(hits - 1, certifications.DRAWS, p)
    assert certifications.ALPHA * (1 - 1e-3) < chance <= certifications.ALPHA


def test_a_bound_that_is_too_large_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the share of unsafe draws in place of its lower bound, most certificates are false."""
    monkeypatch.setattr(hrs.Counts, "p_a", lambda self, alpha: np.array(self.unsafe) / self.n)
    assert certifications.too_many(certifications.one_shot(60, 0), 60)
