"""Engines: the same counts from every one of them, whatever dies on the way."""

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import workers
from test_smoothing import KERNEL, NESTED, ToyGuard
from workers import EXAMPLES, MortalGuard, SlowGuard, smoothed

import hybrid_rs as hrs
from hybrid_rs.experiments import engines
from hybrid_rs.experiments.counts import CountsStore
from hybrid_rs.experiments.engines import Local, Ray, Unit, get_engine

UNITS = [Unit(example, (KERNEL,), 0.2, NESTED, 100, 0, False) for example in EXAMPLES]


def drawn_with(path, engine, guard=None):
    """The counts and the bytes of a store, drawn with two kernels together."""
    both = [smoothed(guard or SlowGuard()), replace(smoothed(guard or SlowGuard()), kernel=hrs.UniformKernel(0.1, 20))]
    both = [replace(each, guard=both[0].guard) for each in both]
    counts = CountsStore(path, "a", engine).sample_together(both, EXAMPLES, n=100, progress=False)
    return counts, path.read_bytes()


def test_processes_give_the_counts_and_the_bytes_of_one_process_although_one_dies(tmp_path):
    load = partial(MortalGuard, death=tmp_path / "death")
    engine = Local(2, load)
    found = drawn_with(tmp_path / "2.jsonl", engine, load())
    engine.close()
    assert (tmp_path / "death").exists()
    assert found == drawn_with(tmp_path / "1.jsonl", None, load())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_counts_and_the_bytes_of_one_process_although_an_actor_dies(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(workers.__file__).parent), prepend=":")
    load = partial(MortalGuard, death=tmp_path / "death")
    engine = Ray(load, workers=2)
    try:
        found = drawn_with(tmp_path / "ray.jsonl", engine, load())
    finally:
        engine.close()
    assert (tmp_path / "death").exists()
    assert found == drawn_with(tmp_path / "1.jsonl", None, load())


class Worker:
    """Draws in this process; dies on the examples of a list, once for each time that they are in it."""

    def __init__(self, dies_on=(), entered=None):
        self.dies_on, self.drawer, self.stopped = dies_on, engines._Drawer(ToyGuard), threading.Event()
        self.entered = entered

    def draw(self, unit, guard):
        if unit.example.id in self.dies_on:
            self.dies_on.remove(unit.example.id)
            raise engines._WorkerDied
        if self.entered:
            self.entered.set()
            self.stopped.wait(60)
            raise engines._WorkerDied
        return self.drawer.draw(unit, guard)

    def stop(self):
        self.stopped.set()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_deaths_and_numbers_of_workers_change_neither_counts_nor_order(size):
    deaths, hired = ["toy/0", "toy/3", "toy/3", "toy/11"], []

    def hire():
        hired.append(Worker(deaths))
        return hired[-1]

    found = list(engines._Crew(hire, size).draw(ToyGuard(), UNITS))
    assert found == [(unit, unit.draw(ToyGuard())) for unit in UNITS]
    assert deaths == []
    assert 5 <= len(hired) <= size + 4  # four were replaced; no more than needed were hired


def test_a_unit_on_which_every_worker_dies_is_given_up_by_name():
    crew = engines._Crew(lambda: Worker(["toy/3"] * 9), 2)
    with pytest.raises(RuntimeError, match="example = 'toy/3': 3 workers died drawing it"):
        list(crew.draw(ToyGuard(), UNITS))
    assert crew.closed


def test_units_are_read_as_workers_become_free():
    read = []

    def units():
        for unit in UNITS:
            read.append(unit)
            yield unit

    drawing = engines._Crew(Worker, 2).draw(ToyGuard(), units())
    for done in range(1, 6):
        next(drawing)
        assert len(read) <= done + 4
    drawing.close()


def test_leaving_early_stops_the_workers_without_waiting_for_them():
    entered, workers = threading.Event(), []

    def hire():
        workers.append(Worker(entered=entered))
        return workers[-1]

    def units():
        yield UNITS[0]
        entered.wait(60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(engines._Crew(hire, 2).draw(ToyGuard(), units()))
    assert all(worker.stopped.is_set() for worker in workers)
    assert len(workers) == 1  # none is hired in place of one that was stopped


@pytest.mark.parametrize("other", [ToyGuard(pad_id=13), ToyGuard(mask_id=6), MortalGuard()])
def test_a_loader_of_another_guard_is_refused(other):
    with pytest.raises(ValueError, match=r"load = .* it must make the guard that is smoothed"):
        engines._Drawer(ToyGuard).draw(UNITS[0], engines._traits(other))


def test_what_a_unit_raises_in_a_process_reaches_the_caller():
    engine = Local(2, ToyGuard)
    bad = replace(UNITS[0], kernels=(hrs.UniformKernel(0.1, 21),))
    with pytest.raises(ValueError, match=r"kernel.vocab_size = 21"):
        list(engine.draw(ToyGuard(), [bad]))


@pytest.mark.parametrize("name", ["local", "local:3", "ray", "ray:2", "ray@auto", "ray:2@ray://host:10001"])
def test_an_engine_is_named_in_full(name):
    engine = get_engine(name, ToyGuard)
    workers = f":{engine.workers}" if engine.workers and name != "local" else ""
    address = f"@{engine.address}" if getattr(engine, "address", None) else ""
    assert name == type(engine).__name__.lower() + workers + address


@pytest.mark.parametrize("name", ["", "dask", "local:0", "local:-1", "local:two", "local@auto", "ray:0", "ray@"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=r"engine = |workers = 0"):
        get_engine(name, ToyGuard)


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_cluster_that_does_not_answer_is_one_message(monkeypatch):
    ray = pytest.importorskip("ray")

    def init(**options):
        raise Exception("timed out during startup")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RuntimeError, match=r"engine = 'ray': no cluster answered \(timed out during startup\)"):
        list(Ray(ToyGuard, workers=1).draw(ToyGuard(), []))
