"""Garbage into every public function, a few thousand calls; benchmarks/full_abuse.py makes hundreds of thousands."""

import inspect

import pytest
from abuse import garbage

import hybrid_rs as hrs
from hybrid_rs import datasets


def test_every_public_name_and_parameter_has_a_strategy() -> None:
    called = {target.name.partition(".")[0] for target in garbage.targets()}
    things = {thing.__name__ for room in garbage.ROOMS for thing in room.things}
    assert things - called == {name for room in garbage.ROOMS for name in room.silent}
    assert set(hrs.__all__) - things == {"__version__", "citation"}  # which takes nothing
    assert set(datasets.__all__) - things == {"Entry", "Problem"}  # plain records
    for target in garbage.targets():
        assert target.parameters == tuple(target.good)


def test_a_valid_result_or_one_error_that_names_the_parameter() -> None:
    found = garbage.run(count=1660, seed=0)
    assert found["faults"] == []
    assert found["targets"] >= 150


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_no_text_is_taken_for_a_number_and_no_number_for_a_truth_value(seed: int) -> None:
    assert garbage.mistyped(seed) == []


def RULE(given, result) -> None:
    assert result <= 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (lambda p_a: 1 / 0, "ZeroDivisionError"),
        (lambda p_a: float(p_a), "names no parameter"),
        (lambda p_a: _fail("p_a = " + "x" * 3_000 + ": give less"), "3017 characters"),
        (lambda p_a: 2.0, "not valid"),
        (lambda p_a: _warn(), "UserWarning"),
    ],
    ids=["another exception", "no name", "long", "result", "warning"],
)
def test_the_run_sees_every_kind_of_fault(body, said: str) -> None:
    target = garbage.Target("p_adv", ("p_a",), {}, lambda random, given: body(given["p_a"]), RULE)
    given = {"p_a": "no number"}
    assert said in garbage.fault(target, given, garbage.Random(0))


def test_a_hang_is_ended_and_told() -> None:
    def forever() -> None:
        while True:
            pass

    with pytest.raises(garbage.Hang), garbage.bounded(0.2):
        forever()
    assert inspect.isclass(garbage.Hang)


def _fail(message: str) -> None:
    raise ValueError(message)


def _warn() -> None:
    import warnings

    warnings.warn("beware", stacklevel=1)
