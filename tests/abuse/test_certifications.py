"""Whole certifications of guards whose value is known; benchmarks/full_abuse.py makes many thousands."""

import numpy as np
import pytest
from abuse import certifications, certifications_texts

import hybrid_rs as hrs

KINDS = certifications.KINDS | certifications_texts.KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_false_certificates_are_at_most_alpha(kind: str) -> None:
    runs = 60
    assert not certifications.too_many(KINDS[kind](runs, 0), runs)


def test_the_guard_of_both_probabilities_attains_their_bound() -> None:
    """It has p_A and p_S; its value under the attack is what both allow, and no other word has a smaller one."""
    t = certifications_texts
    p_a, p_s = t.tight(62, 1 / 2), t.tight(60, 1 / 2)
    guard = t.extremal(p_a, p_s)
    assert t.value_at(guard, (0, 0), 0.0) == pytest.approx(p_a, abs=1e-9)
    inside = t.law_of((0, 0))[1:, 1:] * t.ndtr(guard.cuts[1:, 1:] / t.SIGMA)
    assert inside.sum() / t.BETA**t.D == pytest.approx(p_s, abs=1e-9)
    bound, _, outside = t.joint_bound(*map(np.array, (p_a, p_s)), t.KERNEL, t.D, t.D, np.array(t.SHIFT))
    assert outside > -np.inf
    assert t.value_at(guard, (3, 4), t.SHIFT) == pytest.approx(float(bound), abs=1e-9)


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
