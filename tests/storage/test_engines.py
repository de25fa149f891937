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
from workers import EXAMPLES, MortalGuard, PlacedGuard, SlowGuard, smoothed

import hybrid_rs as hrs
from hybrid_rs.attacks import Effort
from hybrid_rs.storage import engines
from hybrid_rs.storage.attacks import AttackStore
from hybrid_rs.storage.counts import CountsStore
from hybrid_rs.storage.engines import Local, Ray, engine_name, get_engine
from hybrid_rs.storage.streams import StreamStore
from hybrid_rs.storage.units import Unit

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
UNITS = [Unit(example, (KERNEL,), 0.2, NESTED, 100, 0, False) for example in EXAMPLES]


@pytest.fixture(scope="module")
def cluster():
    """Two nodes, each with a processor and a GPU in name only; one cluster for all tests: it takes seconds to start."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: the tests of its engine did not run")
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(workers.__file__).parent), *filter(None, [before])])
    node = {"num_cpus": 1, "num_gpus": 1}
    nodes = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    nodes.add_node(**node)
    engines.start_ray(address=nodes.address)
    yield
    ray.shutdown()
    nodes.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def make(cluster):
    """Make engines that end with the test."""
    made = []

    def engine(load, number=2, gpus=0.0):
        made.append(Ray(load, number, gpus=gpus))
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


def test_workers_with_gpus_are_placed_on_the_nodes_that_have_them(make, tmp_path):
    guard = PlacedGuard(folder=tmp_path)
    engine = make(partial(PlacedGuard, folder=tmp_path), None, gpus=1.0)  # as many as there is room for
    found = list(engine.draw(guard, UNITS))
    assert [counts for _, counts in found] == [counts for _, counts in Local().draw(ToyGuard(), UNITS)]
    nodes, gpus = zip(*(mark.name.split() for mark in tmp_path.iterdir()), strict=True)
    assert (len({*nodes}), gpus) == (2, ("0", "0"))


@pytest.mark.parametrize(("number", "gpus", "room"), [(3, 0, "2, each with a processor"), (1, 2, "0, .* and 2 GPU")])
def test_more_workers_than_there_is_room_for_are_refused(make, number, gpus, room):
    """A worker without room would be waited for without end."""
    with pytest.raises(ValueError, match=f"workers = {number}: the cluster has room for {room}"):
        list(make(ToyGuard, number, gpus).draw(ToyGuard(), UNITS))


@pytest.mark.parametrize(
    ("gpus", "node", "room"),
    [(0.25, {"CPU": 16, "GPU": 2}, 8), (0.75, {"CPU": 16, "GPU": 2}, 2), (2, {"CPU": 16, "GPU": 5}, 2),
     (0.25, {"CPU": 3, "GPU": 2}, 3), (1, {"CPU": 16}, 0), (0, {"CPU": 16}, 16), (0, {}, 0)],
)  # fmt: skip
def test_a_worker_needs_a_processor_and_its_share_of_one_gpu(gpus, node, room):
    assert Ray(ToyGuard, address="auto", gpus=gpus)._room(node) == room


@pytest.mark.parametrize("gpus", [-1, 1.5, 1e-5, 1e-320, float("nan"), float("inf"), "1", [1]])
def test_gpus_that_no_worker_can_be_given_are_refused(gpus):
    with pytest.raises(ValueError, match="gpus = "):
        Ray(ToyGuard, gpus=gpus)


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
        ((None, 2, "auto", 0.25), "ray:2:0.25@auto"),
        ((None, None, None, 1), "ray::1"),
        ((None, None, None, 1 / 3), "ray::0.3333333333333333"),
        ((None, None, None, 1e-4), "ray::0.0001"),
    ],
)
def test_an_engine_is_named_in_full(options, name, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert engine_name(*options) == name
    made = get_engine(name, ToyGuard)
    assert isinstance(made, Local if name == "local" else Ray)
    given = [getattr(made, each, None) for each in ("workers", "address", "gpus")]
    assert [*given[:2], given[2] or None] == [*options, None, None, None][1:4]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "dask",
        "local:2",
        "local@auto",
        "ray:0",
        "ray:two",
        "ray@",
        "ray:",
        "ray:@auto",
        "ray:2:",
        "ray:2:-1",
        "local::1",
    ],
)
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
