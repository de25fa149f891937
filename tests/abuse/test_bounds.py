"""No confidence bound takes more risk than it was given; benchmarks/full_abuse.py sweeps a hundred thousand."""

from abuse import bounds


def test_no_bound_is_too_bold() -> None:
    assert bounds.run(25, seed=2) == {"bounds": 50, "too bold": 0}


def test_a_bound_that_is_too_bold_is_found(monkeypatch) -> None:
    bold = bounds.hrs.clopper_pearson_lower
    monkeypatch.setattr(bounds.hrs, "clopper_pearson_lower", lambda k, n, alpha: bold(k, n, alpha) * (1 + 1e-9))
    assert bounds.run(6, seed=2)["too bold"] > 0
