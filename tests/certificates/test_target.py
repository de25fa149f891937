"""Every certificate is one statement about numbers: texts, truth values and arrays are refused, not converted."""

import pytest

import hybrid_rs as hrs
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
