"""Arguments are checked, never coerced, and a complaint is one short line."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from hybrid_rs import floored
from hybrid_rs._checks import broadcast, flag, integer, probability, require, risk, shown, successes, text

NO_NUMBERS = [
    "0.5",
    b"0.5",
    None,
    True,
    np.True_,
    [True, 0.5],
    [[0.5, True]],
    0.5 + 0j,
    Fraction(1, 2),
    Decimal("0.5"),
    [Fraction(1, 2)],
    np.ma.array([0.5, 0.5], mask=[True, False]),
    [[0.5], [0.5, 0.5]],
    np.array(["0.5"]),
    np.array([0.5], dtype=object),
    np.datetime64("2020"),
    {0.5},
    {"p": 0.5},
    (p for p in [0.5]),
    np.nan,
    10**30,
    10**5000,
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_no_number_is_not_read_as_one(value: object) -> None:
    with pytest.raises(ValueError, match=r"^p_a = .+: give probabilities in \[0, 1\]$"):
        probability("p_a", value)


@pytest.mark.parametrize("value", [0.5, np.float16(0.5), np.float32(0.5), np.longdouble(0.5), [0.5], pd.Series([0.5])])
def test_numbers_are_taken_as_they_are(value: object) -> None:
    assert np.all(probability("p_a", value) == 0.5)


def test_a_number_that_float64_would_round_is_refused() -> None:
    with pytest.raises(ValueError, match="p_a"):
        probability("p_a", np.longdouble(1) / 3)
    with pytest.raises(ValueError, match="n = "):
        successes(1, 2**53 + 1, at_least=1)


@pytest.mark.parametrize("value", [3, 3.0, np.int8(3), np.uint64(3), np.float32(3), np.array(3)])
def test_whole_numbers(value: object) -> None:
    assert integer("d", value, at_least=0) == 3


@pytest.mark.parametrize("value", [True, "3", 3.5, np.nan, np.inf, 3 + 0j, Fraction(3), [3], np.array([3]), None, -1])
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(ValueError, match=r"^d = .+: give a whole number of at least 0$"):
        integer("d", value, at_least=0)


def test_flags_and_texts_are_of_their_type() -> None:
    assert flag("masked", np.True_) is True
    assert text("id", "a") == "a"
    for value in ("false", 1, 0, None, []):
        with pytest.raises(ValueError, match=r"^masked = .+: give True or False$"):
            flag("masked", value)
    with pytest.raises(ValueError, match=r"^id = 7: give a string$"):
        text("id", 7)


def test_a_risk_is_one_number() -> None:
    with pytest.raises(ValueError, match=r"^alpha = \[0.01 0.02\]: give one number$"):
        risk("alpha", [0.01, 0.02])


def test_shapes_that_do_not_meet_are_named() -> None:
    with pytest.raises(ValueError, match=r"^p_a, sigma = arrays of shapes \(2,\), \(3,\): give shapes that broadcast$"):
        broadcast(p_a=np.zeros(2), sigma=np.zeros(3))


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value",
    [np.zeros(10**6), list(range(10**6)), "x" * 10**6, 10**5000, "a\nb\x1b[2J", Mute(), np.full((50, 50), 0.1)],
    ids=lambda value: type(value).__name__,
)
def test_a_message_is_one_short_line(value: object) -> None:
    assert len(shown(value)) <= 200
    assert shown(value).isprintable()
    with pytest.raises(ValueError, match=r"^x = .+: mend it$"):
        require(False, "x", value, "mend it")


def test_a_number_too_large_for_decimals_is_floored_to_itself() -> None:
    assert floored(1e308, 3) == 1e308
    assert np.isnan(floored(np.nan, 3))
    assert floored(np.inf, 3) == np.inf
