"""A guard, an example, a kernel and threats that are small enough to reason about; shared by tests of sampling."""

from dataclasses import dataclass, field

import numpy as np

import hybrid_rs as hrs


@dataclass
class ToyGuard:
    """Unsafe where the mean pixel exceeds a threshold or too few pads are left; keeps what it was shown."""

    alphabet: np.ndarray = field(default_factory=lambda: np.arange(10, 30))
    pad_id: int = 12
    mask_id: int | None = 5
    seen: list = field(default_factory=list)

    def unsafe(self, token_ids, images):
        self.seen.append((token_ids.copy(), images.copy()))
        return (images.mean(axis=(1, 2, 3)) > 0.5) | ((token_ids == self.pad_id).sum(axis=1) < 2)

    def shown(self):
        texts, images = zip(*self.seen, strict=True)
        return np.concatenate(texts), np.concatenate(images)


EXAMPLE = hrs.Example("toy/0", np.array([11, 13, 29]), np.full((3, 4, 4), 115 / 255, np.float32), unsafe=True)
KERNEL = hrs.UniformKernel(beta=0.4, vocab_size=20)
SUFFIX, NESTED = hrs.SuffixThreat(4), hrs.SuffixThreat(4, one_shot=False)
