"""Every certificate is one statement about numbers: texts, truth values and arrays are refused. Print holds."""

import re
from dataclasses import replace

import pytest

import hybrid_rs as hrs
from hybrid_rs.certificates.rounding import confidence_text, floored_text
from hybrid_rs.evidence.subset_text_counts import SubsetTextCounts

KERNEL = hrs.UniformKernel(beta=0.9, vocab_size=376)
EVIDENCE = {
    "a number": 0.99,
    "p_A": hrs.Counts((990,), 1_000),
    "p_A and p_S": hrs.MaskedCounts((990, 900), 1_000),
    "several texts": hrs.TextCounts(((1_000, 990),), 1_000),
    "several texts, known positions": hrs.TextCounts(((1_000, 990), (1_000, 900)), 1_000),
    "several texts, any positions": SubsetTextCounts(((1_000, 990), (640, 600)), 1_000, texts=2, length=20, beta=0.9),
}


@pytest.mark.parametrize("evidence", EVIDENCE.values(), ids=EVIDENCE)
def test_only_single_numbers_are_certified(evidence):
    law = {"d": 1, "epsilon": 0.1, "sigma": 0.5, "tau": 0.05}
    assert hrs.certify(evidence, KERNEL, **law).certified
    for name in ("epsilon", "sigma", "tau"):
        for wrong in ("0.5", True, [0.5], None, 0.5j):
            with pytest.raises(ValueError, match=f"^{name} = "):
                hrs.certify(evidence, KERNEL, **law | {name: wrong})


@pytest.mark.parametrize("evidence", EVIDENCE.values(), ids=EVIDENCE)
def test_what_a_certificate_prints_is_no_more_than_it_proves(evidence):
    for epsilon, tau in ((0.123_456_9, 0.012_345_69), (0.3, 0.07), (2 / 3, 1e-5 * 2 / 3)):
        made = hrs.certify(evidence, KERNEL, d=1, epsilon=epsilon, sigma=0.5, tau=tau, alpha=1e-7)
        printed = re.match(r".*epsilon = (.*): p_adv >= (.*) against tau = (.*) \(smoothed", str(made))
        assert printed, str(made)
        for text, exact in zip(printed.groups(), (epsilon, made.p_adv, tau), strict=True):
            assert exact * (1 - 1e-5) <= float(text) <= exact
        assert "confidence 1," not in str(made)


def test_a_number_in_a_sentence_is_rounded_to_the_safe_side():
    assert [floored_text(x) for x in (0.3, 1.0, 0.05, 4.6e-5, 2 / 3, 1e-300, float("inf"))] == [
        *("0.3", "1", "0.05", "4.6e-05", "0.666666", "1e-300", "inf")
    ]
    assert [floored_text(x, up=True) for x in (0.3, 2 / 3, 1 - 1e-9)] == ["0.3", "0.666667", "1"]
    assert [confidence_text(x) for x in (0.01, 0.07, 1e-9, 1e-40)] == ["0.99", "0.93", "0.999999", "0.999999"]
    front = hrs.frontier(0.99, KERNEL, sigma=0.5, tau=0.012_345_69, d_max=1)
    assert str(front).startswith("Certified at tau = 0.0123456,")
    assert "confidence 0.999999 " in replace(front, alpha=1e-7, n=10).claim
