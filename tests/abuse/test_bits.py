"""No flipped bit of a store changes a value in silence."""

from abuse import bits


def test_a_flipped_bit_is_refused_or_changes_nothing():
    figures = bits.run(1500, seed=0)
    assert figures["flips"] == 1500 < figures["bits"]
    assert figures["silent"] == 0
    assert figures["refused"] + figures["unchanged"] == figures["flips"]  # and each refusal names the file
    assert figures["refused"] > 0.99 * figures["flips"]
