"""Questions of a store: a guard of the user's own that reads or is noised otherwise has counts of its own."""

from dataclasses import replace

import numpy as np
import pytest

import hybrid_rs as hrs
from hybrid_rs.storage.attacks import AttackStore
from hybrid_rs.storage.counts import CountsStore, recorded
from hybrid_rs.storage.questions import described
from hybrid_rs.storage.records import SCHEMA, records, sealed
from hybrid_rs.storage.streams import StreamStore
from tests.toys import EXAMPLE, KERNEL, SUFFIX, ToyGuard

OTHERS = {
    "pad": ToyGuard(pad_id=13),
    "mask": ToyGuard(mask_id=0),
    "no mask": ToyGuard(mask_id=None),
    "alphabet of the same size": ToyGuard(alphabet=np.arange(11, 31)),
}


def smoothed(guard):
    return hrs.SmoothedGuard(guard, KERNEL, 0.5, SUFFIX)


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_other_tokens_make_other_counts_under_the_same_name(other, tmp_path):
    store = CountsStore(tmp_path / "counts.jsonl", "weights, version 1")
    for guard in (ToyGuard(), other):
        (kept,) = store.sample(smoothed(guard), [EXAMPLE], n=64, progress=False)
        assert kept == smoothed(guard).sample(EXAMPLE, 64, seed=0)
    assert len(store) == 2
    assert recorded(store.path)["run"].nunique() == 2


def test_another_tokenizer_and_another_image_make_other_counts_of_the_same_id(tmp_path):
    store, guard = CountsStore(tmp_path / "counts.jsonl", "weights, version 1"), ToyGuard()
    read_otherwise = replace(EXAMPLE, token_ids=np.array([11, 13, 28]))
    darker = replace(EXAMPLE, image=EXAMPLE.image / 5)
    for example in (EXAMPLE, read_otherwise, darker):
        (kept,) = store.sample(smoothed(guard), [example], n=64, progress=False)
        assert kept == smoothed(guard).sample(example, 64, seed=0)
    assert len(store) == 3
    assert recorded(store.path)["run"].nunique() == 1  # the runs differ in examples only


def test_streams_and_attacks_are_kept_apart_too(tmp_path):
    streams, attacks = StreamStore(tmp_path / "s.jsonl", "toy"), AttackStore(tmp_path / "a.jsonl", "toy")
    for guard in (ToyGuard(), ToyGuard(pad_id=13)):
        streams.until(smoothed(guard), EXAMPLE, lambda row: row.size >= 64, max_draws=64)
        attacks.attack(smoothed(guard), EXAMPLE, 1, 0.1, adaptive=False, n=8)
    assert len(streams) == len(attacks) == 2


def test_guards_of_this_package_cover_their_alphabet_by_their_identity():
    from hybrid_rs.small_guard.guard import load_bay_guard

    guard = load_bay_guard()
    law = hrs.UniformKernel(0.25, guard.alphabet.size), 0.5, SUFFIX
    ours = described(guard.identity, hrs.SmoothedGuard(guard, *law), EXAMPLE)
    assert set(described("toy", smoothed(ToyGuard()), EXAMPLE)) - set(ours) == {"alphabet"}


def test_a_store_that_cannot_be_written_is_an_error_before_the_guard_is_asked(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    place, guard = tmp_path / "file" / "kept.jsonl", ToyGuard()
    with pytest.raises(ValueError, match=r"store = '.*kept.jsonl': it cannot be written"):
        CountsStore(place, "toy").sample(smoothed(guard), [EXAMPLE], n=64, progress=False)
    with pytest.raises(ValueError, match="it cannot be written"):
        StreamStore(place, "toy").until(smoothed(guard), EXAMPLE, lambda row: True, max_draws=64)
    with pytest.raises(ValueError, match="it cannot be written"):
        AttackStore(place, "toy").attack(smoothed(guard), EXAMPLE, 1, 0.1, n=8)
    with pytest.raises(ValueError, match="it cannot be written"):
        records(place, ["square"]).get_or_make({"schema": SCHEMA, "of": 3}, lambda: pytest.fail("it was made"))
    assert not guard.seen


def test_a_store_of_another_kind_is_not_to_be_cut(tmp_path):
    counts = CountsStore(tmp_path / "kept.jsonl", "toy")
    counts.sample(smoothed(ToyGuard()), [EXAMPLE], n=64, progress=False)
    for opened in (StreamStore, AttackStore):
        with pytest.raises(ValueError, match=r"kept.jsonl, line 1: there is no .*: give another file$"):
            opened(counts.path, "toy")


@pytest.mark.parametrize("margin", [1, 1.0, np.float32(1), np.int64(1)])
def test_a_margin_of_any_kind_of_number_is_one_question(tmp_path, margin):
    guard = ToyGuard()
    guard.margin = margin
    assert sealed(described("toy", smoothed(guard), EXAMPLE)).count('"margin": 1.0') == 1


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(("margin", value) for value in (None, "0", np.nan, lambda: 0)),
        *(("max_length", value) for value in ("5", 5.5, lambda: 5)),
    ],
)
def test_an_optional_member_of_the_wrong_kind_is_named(member, value):
    guard = ToyGuard()
    setattr(guard, member, value)
    with pytest.raises(ValueError, match=rf"^guard\.{member} = .*: give "):
        smoothed(guard)
