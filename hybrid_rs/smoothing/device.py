"""The noise of :mod:`hybrid_rs.smoothing.lattice`, computed on the guard's device with the same bits.

The words are those of ``numpy.random.Philox``, that is Philox4x64-10 of Salmon et al. (2011). Torch has no unsigned
64-bit arithmetic. So words are int64 here, and a product of 64-bit words is computed from products of 32-bit halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np

from hybrid_rs._extras import needs
from hybrid_rs.smoothing.lattice import FIRST, LEVELS, RoundedGaussian, rounded_gaussian

with needs("guard"):
    import torch

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROUNDS = 10
HALF, LOW = 32, (1 << 32) - 1
BLOCK = 64  # draws that share their streams, as in hybrid_rs.smoothing.draws


def philox_words(key: tuple[int, int], start: int, count: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return words ``start`` to ``start + count - 1`` of ``numpy.random.Philox(key=key)``.

    Args:
        key: the two 64-bit words of the key, as ``numpy.random.Philox().state`` gives them.
        start: number of the first word, less than 2^63.
        count: the number of words.
        device: the device on which they are computed.

    Returns:
        int64 of shape ``(count,)``: each has the bits of an unsigned word.

    References:
        Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3".

    Example:
        >>> ours = philox_words((1, 2), start=3, count=5).numpy().view(np.uint64)
        >>> bool((ours == np.random.Philox(key=np.array([1, 2], np.uint64)).random_raw(8)[3:]).all())
        True
    """
    first, last = start // 4, -(-(start + count) // 4)
    counter = torch.arange(first + 1, last + 1, dtype=torch.int64, device=device)  # NumPy counts before it draws
    zero = torch.zeros_like(counter)
    lanes, keys = [counter, zero, zero, zero], list(key)
    for _ in range(ROUNDS):
        high0, low0 = _product(lanes[0], MULTIPLIERS[0])
        high1, low1 = _product(lanes[2], MULTIPLIERS[1])
        lanes = [high1 ^ lanes[1] ^ _signed(keys[0]), low1, high0 ^ lanes[3] ^ _signed(keys[1]), low0]
        keys = [k + w for k, w in zip(keys, WEYL, strict=True)]
    words = torch.stack(lanes, dim=1).reshape(-1)
    return words[start - 4 * first :][:count]


class DeviceNoise:
    """Draws from a :class:`RoundedGaussian` on a device.

    Args:
        law: the law.
        device: the device that keeps the tables and draws the noise.

    Example:
        >>> from hybrid_rs.smoothing.lattice import rounded_gaussian
        >>> law, key = rounded_gaussian(0.5), np.random.Philox(7).state["state"]["key"]
        >>> here = law.values(np.random.Philox(7).random_raw(25).view(np.uint16), np.random.Philox(8).random_raw)
        >>> keys = [tuple(int(k) for k in np.random.Philox(seed).state["state"]["key"]) for seed in (7, 8)]
        >>> bool((DeviceNoise(law).values(*keys, n=100).numpy() == here).all())
        True
    """

    def __init__(self, law: RoundedGaussian, device: torch.device | str = "cpu") -> None:
        self.law, self.device = law, torch.device(device)
        values, _, _ = law.cells
        self._first = torch.as_tensor(values.astype(np.int32), device=self.device)
        flipped = law.thresholds ^ np.uint64(1 << 63)  # now signed order is unsigned order
        self._thresholds = torch.as_tensor(flipped.view(np.int64), device=self.device)

    @cached_property
    def _pixels(self) -> torch.Tensor:
        """The pixel of each sum of level and noise; divided on the host, as a device may round differently."""
        levels = np.arange(-self.law.most, LEVELS + self.law.most + 1)
        return torch.as_tensor(levels.astype(np.float32) / np.float32(LEVELS), device=self.device)

    def values(
        self, key: tuple[int, int], more: tuple[int, int], n: int, start: int = 0, used: int = 0
    ) -> torch.Tensor:
        """Return ``n`` values of the law, as :meth:`RoundedGaussian.values` does.

        Args:
            key: the key of the stream of first bits.
            more: the key of the stream of further bits, for the values that need them.
            n: the number of values.
            start: number of the first word to use of the stream of first bits; a word serves four values.
            used: the number of words of the stream of further bits that were used before.

        Returns:
            int32, shape ``(n,)``.
        """
        return self._completed(self._bits(key, start, n), more, used)

    def _bits(self, key: tuple[int, int], start: int, n: int) -> torch.Tensor:
        """Return the first bits of n values."""
        words = philox_words(key, start, -(-n // 4), self.device)
        shifts = torch.arange(0, 64, FIRST, device=self.device)
        return ((words[:, None] >> shifts) & ((1 << FIRST) - 1)).reshape(-1)[:n]

    def _completed(self, bits: torch.Tensor, more: tuple[int, int], used: int) -> torch.Tensor:
        """Return the values, using further words where the first bits do not determine them."""
        found = self._first[bits]
        at = torch.nonzero(found == self.law.unknown).reshape(-1)
        rest = (philox_words(more, used, at.numel(), self.device) >> FIRST) & ((1 << (64 - FIRST)) - 1)
        u = ((bits[at] ^ (1 << (FIRST - 1))) << (64 - FIRST)) | rest  # the highest bit flipped, as in the thresholds
        count = torch.searchsorted(self._thresholds, u, right=True)
        found[at] = (count - self.law.most).to(found.dtype)
        return found

    def images(self, keys: Sequence[tuple[tuple[int, int], tuple[int, int]]], levels: torch.Tensor) -> torch.Tensor:
        """Return the noisy images of whole blocks of draws, with the same bits as on the host.

        Args:
            keys: for every block, the keys of the streams of first bits and of further bits.
            levels: the image as whole numbers from 0 to 255, shape ``(channels, height, width)``.

        Returns:
            float32, shape ``(64 * blocks, channels, height, width)``.
        """
        n, padded = levels.numel(), 16 * -(-levels.numel() // 16)  # each draw begins with a new counter
        shown = []
        for key, more in keys:
            bits = self._bits(key, 0, BLOCK * padded).reshape(BLOCK, padded)[:, :n]
            noise = self._completed(bits.reshape(-1), more, 0).reshape(BLOCK, *levels.shape)
            shown.append(self.pixels(levels, noise))
        return torch.cat(shown)

    def pixels(self, levels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return the noisy pixels (levels + noise) / 255, float32, with the same bits as on the host.

        Args:
            levels: whole numbers from 0 to 255.
            noise: values of the law, of a shape that broadcasts with ``levels``.
        """
        return self._pixels[(levels + noise + self.law.most).long()]


@lru_cache(maxsize=8)
def device_noise(sigma: float, device: str) -> DeviceNoise:
    """Return the noise of :func:`rounded_gaussian` on a device; its tables are kept."""
    return DeviceNoise(rounded_gaussian(sigma), device)


def _product(factor: torch.Tensor, constant: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the high and the low word of an unsigned product of 128 bits."""
    low, high = factor & LOW, (factor >> HALF) & LOW
    c_low, c_high = constant & LOW, constant >> HALF
    cross = high * c_low  # below 2^64, so its bits are right; the shifts below treat it as unsigned
    first = low * c_low
    middle = ((first >> HALF) & LOW) + (cross & LOW) + ((low * c_high) & LOW)
    top = high * c_high + ((cross >> HALF) & LOW) + (((low * c_high) >> HALF) & LOW) + (middle >> HALF)
    return top, factor * _signed(constant)


def _signed(word: int) -> int:
    """Return the int64 that has the bits of an unsigned 64-bit word."""
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >> 63 else word
