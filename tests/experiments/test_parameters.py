import pytest

from hybrid_rs.cli.experiments import _assignment
from hybrid_rs.experiments.parameters import check, declared, declared_in

CELL = """
profile = "quick"  # size of the run
sigma: float = 0.5
d = 2
betas: list[float] = [
    0.1,
    0.25,
]
guard: str | None = None
masked = False
shift = -1.5
"""


def test_every_assignment_of_the_cell_is_declared_with_its_default():
    defaults = {name: parameter.default for name, parameter in declared(CELL).items()}
    assert defaults == {
        "profile": "quick",
        "sigma": 0.5,
        "d": 2,
        "betas": [0.1, 0.25],
        "guard": None,
        "masked": False,
        "shift": -1.5,
    }


@pytest.mark.parametrize(
    "given",
    [{"sigma": 1.0}, {"sigma": 1}, {"d": 3}, {"betas": []}, {"guard": "vlm"}, {"guard": None}, {"masked": True}, {}],
)
def test_a_value_of_the_declared_type_passes(given):
    check(given, declared(CELL))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sgima": 1.0}, r"sgima = 1.0: no such parameter; known are profile \(str\), sigma \(float\)"),
        ({"sigma": "1.0"}, "sigma = '1.0': this is str; give float"),
        ({"d": 2.5}, "d = 2.5: this is float; give int"),
        ({"d": True}, "d = True: this is bool; give int"),
        ({"guard": 3}, "guard = 3: this is int; give str or None"),
        ({"masked": 1}, "masked = 1: this is int; give bool"),
    ],
)
def test_a_mistyped_name_or_value_is_refused_with_its_remedy(given, message):
    with pytest.raises(ValueError, match=message):
        check(given, declared(CELL))


@pytest.mark.parametrize("source", ["import numpy", "n = 2 * 3", "a, b = 1, 2", "a = b = 1", "a.b = 1", "n: int"])
def test_a_cell_that_papermill_could_misread_is_refused(source):
    with pytest.raises(ValueError, match="only assignments of literals"):
        declared(source)


def test_a_parameter_may_be_a_dict_and_its_command_gives_it_back():
    known = declared("guard = {}")
    name, value = _assignment("guard={'device': 'cuda', 'margin': 1.5}")
    assert value == {"device": "cuda", "margin": 1.5}
    check({name: value}, known)
    with pytest.raises(ValueError, match="guard = 'cuda': this is str; give dict"):
        check({"guard": "cuda"}, known)


def test_a_hint_that_is_no_builtin_type_is_refused():
    with pytest.raises(ValueError, match="type hint = Path"):
        declared("root: Path = '.'")


@pytest.mark.parametrize("text", ["[]", "{}", '{"cells": 1}', '{"cells": [{}]}'])
def test_what_is_no_notebook_declares_nothing(tmp_path, text):
    (tmp_path / "T.ipynb").write_text(text)
    with pytest.raises(ValueError, match=r"T.ipynb': it is no notebook; give one of format 4"):
        declared_in(tmp_path / "T.ipynb")
