"""Bounds by the thousand against SciPy's forward function; benchmarks/full_abuse.py sweeps millions."""

from abuse import sweep


def test_no_bound_is_too_bold_or_too_timid() -> None:
    found = sweep.run(20_000, seed=3)
    assert (found["too bold"], found["too timid"]) == (0, 0)


def test_the_sweep_sees_what_is_off_by_a_billionth_and_more(monkeypatch) -> None:
    right = sweep.hrs.clopper_pearson_lower
    for factor, kind in ((1 + 1e-8, "too bold"), (1 - 1e-5, "too timid")):
        monkeypatch.setattr(sweep.hrs, "clopper_pearson_lower", lambda k, n, a, by=factor: right(k, n, a) * by)
        assert sweep.run(500, seed=3)[kind] > 250
