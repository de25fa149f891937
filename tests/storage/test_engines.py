"""Engines: the same counts from every one of them, whatever dies on the way."""

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import workers
from toys import KERNEL, NESTED, ToyGuard
from workers import EXAMPLES, MortalGuard, SlowGuard, smoothed

import hybrid_rs as hrs
from hybrid_rs.attacks import Effort
from hybrid_rs.storage import engines
from hybrid_rs.storage.attacks import AttackStore
from hybrid_rs.storage.counts import CountsStore
from hybrid_rs.storage.engines import Local, Ray, Unit, engine_name, get_engine
from hybrid_rs.storage.streams import StreamStore

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
UNITS = [Unit(example, (KERNEL,), 0.2, NESTED, 100, 0, False) for example in EXAMPLES]


@pytest.fixture(scope="module")
def cluster():
    """One cluster for all tests that need one: it takes seconds to start, and minutes where the machine is busy."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: the tests of its engine did not run")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(workers.__file__).parent), *filter(None, [before])])
    engines.start_ray(workers=2)
    yield
    ray.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def make(cluster):
    """Make engines that end with the test."""
    made = []

    def engine(load, number=2):
        made.append(Ray(load, number))
        return made[-1]

    yield engine
    for each in made:
        each.close()


def drawn_with(path, engine, guard):
    """The counts and the bytes of a store, drawn with two kernels together."""
    first = smoothed(guard)
    both = [first, replace(first, kernel=hrs.UniformKernel(0.1, 20))]
    counts = CountsStore(path, "a", engine).sample_together(both, EXAMPLES, n=100, progress=False)
    return counts, path.read_bytes()


@pytest.mark.slow
def test_ray_gives_the_counts_and_the_bytes_of_one_process_although_a_worker_dies(tmp_path, make):
    load = partial(MortalGuard, death=tmp_path / "death")
    found = drawn_with(tmp_path / "ray.jsonl", make(load), load())
    assert (tmp_path / "death").exists()
    assert found == drawn_with(tmp_path / "1.jsonl", None, load())


def test_ray_finds_the_attacks_and_streams_of_one_process(tmp_path, make):
    engine, guard, found = make(ToyGuard), ToyGuard(), []
    one_shot = hrs.SmoothedGuard(guard, KERNEL, sigma=0.2, threat=hrs.SuffixThreat(2))
    tiny = {"effort": Effort(draws=4, probes=4, candidates=2, steps=1, rounds=1, select=4), "n": 32}
    for name, where in (("ray", engine), ("here", None)):
        attacks, streams = (tmp_path / f"{name}.{kind}.jsonl" for kind in ("attacks", "streams"))
        asked = [(one_shot, example, d, 0.1) for example in EXAMPLES[:2] for d in (0, 1)]
        AttackStore(attacks, "a", where).attack_each([*asked, asked[0]], **tiny)
        StreamStore(streams, "a", where).until_each(one_shot, EXAMPLES[:3], lambda row: row.size >= 64, max_draws=128)
        found.append((attacks.read_bytes(), streams.read_bytes()))
    assert found[0] == found[1]
    assert found[0][0].count(b"\n") == 4


def test_units_are_read_as_workers_become_free(make):
    read = []

    def units():
        for unit in UNITS:
            read.append(unit)
            yield unit

    found = []
    for unit, counts in make(ToyGuard, 1).draw(ToyGuard(), units()):
        found.append((unit, counts))
        assert len(read) <= len(found) + 1  # the next one waits for the only worker
    assert found == list(Local().draw(ToyGuard(), UNITS))


def test_a_unit_on_which_every_worker_dies_is_given_up_by_name(make, monkeypatch):
    monkeypatch.setattr(engines, "ATTEMPTS", 2)  # each takes seconds
    engine = make(MortalGuard, 1)
    with pytest.raises(RuntimeError, match="example = 'toy/0': 2 workers died drawing it"):
        list(engine.draw(MortalGuard(), UNITS))
    assert engine._actors == []


def test_leaving_early_ends_the_workers_without_waiting_for_them(make):
    load = partial(SlowGuard, seconds=600.0)
    engine = make(load)

    def units():
        yield UNITS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(engine.draw(load(), units()))
    assert engine._actors == []


def test_what_a_unit_raises_in_a_worker_reaches_the_caller(make):
    bad = replace(UNITS[0], kernels=(hrs.UniformKernel(0.1, 21),))
    with pytest.raises(ValueError, match=r"^kernel.vocab_size = 21"):
        list(make(ToyGuard, 1).draw(ToyGuard(), [bad]))


def test_more_workers_than_processors_are_refused(make):
    with pytest.raises(ValueError, match="workers = 3: the cluster has 2 processors"):
        list(make(ToyGuard, 3).draw(ToyGuard(), UNITS))


@pytest.mark.parametrize("other", [ToyGuard(pad_id=13), ToyGuard(mask_id=6), MortalGuard()])
def test_a_loader_of_another_guard_is_refused(other):
    with pytest.raises(ValueError, match=r"load = .* it must load the smoothed guard"):
        engines._Drawer(ToyGuard).draw(UNITS[0], engines._traits(other))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ((None,), "local"),
        (("local",), "local"),
        (("ray",), "ray"),
        ((None, 2), "ray:2"),
        (("ray", None, "auto"), "ray@auto"),
        ((None, 2, "ray://host:10001"), "ray:2@ray://host:10001"),
    ],
)
def test_an_engine_is_named_in_full(options, name, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert engine_name(*options) == name
    made = get_engine(name, ToyGuard)
    assert isinstance(made, Local if name == "local" else Ray)
    assert [getattr(made, "workers", None), getattr(made, "address", None)] == [*options, None, None][1:3]


@pytest.mark.parametrize("name", ["", "dask", "local:2", "local@auto", "ray:0", "ray:two", "ray@"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=r"engine = |workers = 0"):
        get_engine(name, ToyGuard)


class SlowRay(ModuleType):
    """Stands for the package where the machine is busy: a cluster starts at the attempt of this number."""

    def __init__(self, starts):
        super().__init__("ray")
        self.starts, self.attempts, self.asked = starts, 0, None

    def is_initialized(self):
        return False

    def init(self, **options):
        self.attempts, self.asked = self.attempts + 1, options
        if self.attempts < self.starts:
            raise Exception("timed out during startup")

    def shutdown(self):
        pass


def test_a_slow_start_is_waited_for_and_said(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", slow := SlowRay(starts=3))
    engines.start_ray(workers=2)
    assert (slow.attempts, slow.asked["num_cpus"]) == (3, 2)
    assert capsys.readouterr().err.count("Ray did not start in time") == 2
    assert set(engines.PATIENCE) <= set(os.environ)


@pytest.mark.parametrize(("address", "attempts"), [(None, engines.STARTS), ("ray://host:10001", 1)])
def test_a_cluster_that_does_not_answer_is_one_message(monkeypatch, address, attempts):
    monkeypatch.setitem(sys.modules, "ray", slow := SlowRay(starts=100))
    with pytest.raises(RuntimeError, match=r"engine = 'ray': no cluster answered \(timed out during startup\)"):
        list(Ray(ToyGuard, workers=1, address=address).draw(ToyGuard(), []))
    assert slow.attempts == attempts


def test_more_workers_than_this_machine_has_are_refused_before_anything_starts(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", slow := SlowRay(starts=1))
    with pytest.raises(ValueError, match=r"workers = 100000: this machine has \d+ processors"):
        get_engine("ray:100000", ToyGuard)
    assert slow.attempts == 0
    assert get_engine("ray:100000@auto", ToyGuard).workers == 100_000
