"""Counts at several margins from one set of draws are those of each margin by itself."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from toys import EXAMPLE, KERNEL, NESTED, SUFFIX, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.smoothing.margins import at_margin, sample_margins
from hybrid_rs.storage.counts import CountsStore

MARGINS = (-0.1, 0.0, 0.013, 0.3)


@dataclass(frozen=True, eq=False)
class Scored:
    """A score of few float32 values, some of which equal a margin only after the margin is rounded to float32."""

    margin: float = 0.0
    alphabet: np.ndarray = field(default_factory=lambda: np.arange(10, 30))
    pad_id: int = 12
    mask_id: int | None = None
    asked: list = field(default_factory=list)

    def scores(self, token_ids, images):
        self.asked.append(len(images))
        pads = (token_ids == self.pad_id).sum(axis=1)
        values = np.float32([-0.1, 0.013, 0.0, 0.3, 0.5])
        return values[(pads + (images.mean(axis=(1, 2, 3)) > 0.45)) % 5]

    def unsafe(self, token_ids, images):
        return self.scores(token_ids, images) > self.margin


@pytest.mark.parametrize("threat", [SUFFIX, NESTED, hrs.L0Threat(2)])
@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_every_margin_has_the_counts_that_it_has_by_itself(threat, sigma):
    smoothed = hrs.SmoothedGuard(Scored(), KERNEL, sigma=sigma, threat=threat)
    together = sample_margins(smoothed, EXAMPLE, 300, MARGINS, seed=2)
    assert together == [at_margin(smoothed, margin).sample(EXAMPLE, 300, seed=2) for margin in MARGINS]
    assert len(set(together)) > 1
    assert {(c.example, c.seed) for c in together} == {(EXAMPLE.id, 2)}
    hits = np.array([c.unsafe for c in together])
    assert np.all(np.diff(hits, axis=0) <= 0)


def test_one_forward_pass_serves_all_margins():
    guard = Scored()
    sample_margins(hrs.SmoothedGuard(guard, KERNEL, sigma=0.2, threat=SUFFIX), EXAMPLE, 300, MARGINS)
    assert sum(guard.asked) == 300


def test_the_small_guard_agrees():
    from hybrid_rs.small_guard import notes as bay_notes
    from hybrid_rs.small_guard.guard import load_bay_guard

    guard = load_bay_guard()
    kernel = hrs.UniformKernel(beta=0.25, vocab_size=guard.alphabet.size)
    smoothed = hrs.SmoothedGuard(guard, kernel, sigma=1.0, threat=hrs.SuffixThreat(8))
    example = bay_notes.examples("test", 2, unsafe=True)[1]
    together = sample_margins(smoothed, example, 256, (0.0, 2.0, 4.0))
    assert together == [at_margin(smoothed, margin).sample(example, 256) for margin in (0.0, 2.0, 4.0)]
    assert together[0].unsafe > together[1].unsafe > together[2].unsafe


class Counting:
    """An engine that knows what it drew."""

    def __init__(self):
        self.drawn = []

    def draw(self, guard, units):
        for unit in units:
            self.drawn.append(unit.example.id)
            yield unit, unit.draw(guard)


def test_the_store_keeps_every_margin_as_a_unit_of_its_own_and_draws_none_twice(tmp_path):
    guard = Scored()
    smoothed = hrs.SmoothedGuard(guard, KERNEL, sigma=0.2, threat=SUFFIX)
    examples = [replace(EXAMPLE, id=f"toy/{i}") for i in range(2)]
    path, law = tmp_path / "c.jsonl", {"n": 100, "progress": False}
    first = CountsStore(path, "a").sample_margins(smoothed, examples, margins=MARGINS[:2], **law)
    guard.asked.clear()
    assert CountsStore(path, "a").sample_margins(smoothed, examples, margins=MARGINS[:2], **law) == first
    assert CountsStore(path, "a").sample(at_margin(smoothed, MARGINS[0]), examples, **law) == first[MARGINS[0]]
    assert guard.asked == []
    more = CountsStore(path, "a").sample_margins(smoothed, examples, margins=MARGINS, **law)
    assert list(more) == list(MARGINS)
    engine = Counting()
    store = CountsStore(tmp_path / "e.jsonl", "a", engine)
    assert store.sample_margins(smoothed, examples, margins=MARGINS, **law) == more
    assert engine.drawn == [example.id for example in examples]
    assert more[MARGINS[3]] == [sample_margins(smoothed, example, 100, MARGINS[3:])[0] for example in examples]
    assert len(path.read_text().splitlines()) == len(MARGINS) * len(examples)


def test_a_guard_without_scores_and_a_margin_without_meaning_are_refused():
    toy = hrs.SmoothedGuard(ToyGuard(), KERNEL, sigma=0.2, threat=SUFFIX)
    with pytest.raises(ValueError, match=r"smoothed\.guard = ToyGuard"):
        sample_margins(toy, EXAMPLE, 10, [0.0])
    smoothed = hrs.SmoothedGuard(Scored(), KERNEL, sigma=0.2, threat=SUFFIX)
    with pytest.raises(ValueError, match="margins = nan"):
        sample_margins(smoothed, EXAMPLE, 10, [float("nan")])
    with pytest.raises(ValueError, match=r"margins = \[\]"):
        sample_margins(smoothed, EXAMPLE, 10, [])
