"""Noise made by torch: the same bits as on the host, at odd sizes, at borders of blocks, for any key."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from toys import EXAMPLE, KERNEL, ToyGuard

import hybrid_rs as hrs
from hybrid_rs.small_guard import notes as bay_notes
from hybrid_rs.small_guard.guard import load_bay_guard
from hybrid_rs.smoothing.device import DeviceNoise, philox_words
from hybrid_rs.smoothing.draws import IMAGE, MORE, Stream
from hybrid_rs.smoothing.lattice import rounded_gaussian

word = st.integers(0, 2**64 - 1)


def philox(key):
    return np.random.Philox(key=np.array(key, np.uint64))


@settings(max_examples=40)
@given(st.tuples(word, word), st.integers(0, 50), st.integers(0, 50))
def test_words_are_those_of_numpy(key, start, count):
    ours = philox_words(key, start, count).numpy().view(np.uint64)
    np.testing.assert_array_equal(ours, philox(key).random_raw(start + count)[start:])


def test_words_far_into_a_stream_are_those_of_numpy():
    there = philox((5, 6)).advance(2**40)
    ours = philox_words((5, 6), 4 * 2**40, 101).numpy().view(np.uint64)
    np.testing.assert_array_equal(ours, there.random_raw(101))


@pytest.mark.seconds
@pytest.mark.parametrize("sigma", [0.01, 0.5, 1.0, 20.0])
@pytest.mark.parametrize("n", [1, 5, 1_000_003])
def test_values_are_those_of_the_host_with_the_keys_of_its_streams(sigma, n):
    law, (first,), (rest,) = rounded_gaussian(sigma), *(Stream(0, "a").blocks(kind, 64, 65) for kind in (IMAGE, MORE))
    keys = [tuple(int(k) for k in rng.bit_generator.state["state"]["key"]) for rng in (first, rest)]
    bits = first.bit_generator.random_raw(-(-n // 4)).view("<u2")[:n]
    here = law.values(bits, rest.bit_generator.random_raw)
    noise = DeviceNoise(law)
    there = noise.values(*keys, n=n)
    np.testing.assert_array_equal(there.numpy(), here)
    levels = np.random.default_rng(0).integers(0, 256, n)
    shown = noise.pixels(torch.as_tensor(levels), there).numpy()
    np.testing.assert_array_equal(shown, (here + levels).astype(np.float32) / np.float32(255))


def test_values_go_on_where_they_were_left():
    law, keys = rounded_gaussian(0.5), ((1, 2), (3, 4))
    whole, noise = DeviceNoise(law).values(*keys, n=4_000), DeviceNoise(law)
    used = int((law.cells[0][philox(keys[0]).random_raw(300).view("<u2")] == law.unknown).sum())
    np.testing.assert_array_equal(whole[1_200:], noise.values(*keys, n=2_800, start=300, used=used))


class OnDevice(ToyGuard):
    """A guard that takes torch tensors; keeps them as arrays."""

    images_on = "cpu"

    def unsafe(self, token_ids, images):
        assert isinstance(images, torch.Tensor)
        return super().unsafe(token_ids, images.numpy())


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 4), (3, 17, 19)])
def test_a_guard_that_takes_tensors_is_shown_the_same_draws(shape):
    example = hrs.Example("odd", EXAMPLE.token_ids, np.full(shape, 0.2, np.float32))
    law, seen, counts = (KERNEL, 0.5, hrs.L0Threat(2), "lattice"), [], []
    for guard in (ToyGuard(seen=[]), OnDevice(seen=[])):
        smoothed = hrs.SmoothedGuard(guard, *law)
        counts.append([smoothed.sample(example, 200, batch_draws=b, masked=True) for b in (64, 256)])
        seen.append(guard.shown())
    assert counts[0] == counts[1]
    for here, there in zip(*seen, strict=True):
        np.testing.assert_array_equal(here, there)


def test_a_device_that_is_no_name_is_refused():
    guard = OnDevice()
    guard.images_on = 3
    with pytest.raises(ValueError, match=r"guard.images_on = 3"):
        hrs.SmoothedGuard(guard, KERNEL, 0.5, hrs.L0Threat(1), "lattice").sample(EXAMPLE.rounded(), 10)


def test_a_model_reads_tensors_and_arrays_alike(monkeypatch):
    guard = load_bay_guard()
    assert guard.images_on is None
    example = bay_notes.examples("test", 1, unsafe=True)[0].rounded()
    kernel = hrs.UniformKernel(0.25, guard.alphabet.size)
    smoothed = hrs.SmoothedGuard(guard, kernel, 0.5, hrs.SuffixThreat(2), "lattice")
    here = [smoothed.sample(example, 64), smoothed.sample(example, 64, texts=2)]
    monkeypatch.setattr(type(guard), "images_on", "cpu")
    assert [smoothed.sample(example, 64), smoothed.sample(example, 64, texts=2)] == here
