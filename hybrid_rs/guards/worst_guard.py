"""The classifier that attains the certificate. An attack that fails elsewhere should first succeed on this one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs.certificates.kernels import UniformKernel
from hybrid_rs.certificates.neyman_pearson import log_threshold


@dataclass(frozen=True, eq=False)
class WorstGuard:
    r"""Unsafe where the likelihood ratio of a noisy input, attacked over clean, is at most a threshold.

    Under the kernel's noise and real Gaussian noise, its smoothed value is ``p_a`` at the clean input and p_adv at the
    attacked one; noise on the lattice changes both a little, since the threshold lies between two levels. No
    classifier with that p_A has a lower value there. It also has scores and gradients (a token's embedding is a one-hot
    vector), so that an attack can use on it everything that it can use on a network.

    Args:
        kernel: the token kernel for which it is the worst case, 0 < beta < 1; its alphabet is ``0..V-1``, the pad is 0.
        sigma: standard deviation of the image noise for which it is the worst case, above 0.
        p_a: smoothed value at the clean input, in (0, 1).
        clean_ids: shape ``(length,)``, the clean text with its slot.
        attacked_ids: shape ``(length,)``, the attacked text.
        clean_image: shape ``(channels, height, width)``.
        attacked_image: the same shape, not equal to it.

    Raises:
        ValueError: if beta, sigma or p_a is at the end of its range, or the two images are equal.

    References:
        Neyman and Pearson (1933); the book's page on tightness proves that it attains the certificate.

    Example:
        >>> grey, ids = np.full((3, 4, 4), 0.5, np.float32), np.array([3, 4])
        >>> guard = WorstGuard(UniformKernel(0.25, 10), 0.5, 0.9, ids, np.array([3, 7]), grey, grey + 0.05)
        >>> guard.unsafe(np.array([[3, 4], [3, 7]]), np.stack([grey, grey]))
        array([ True, False])
    """

    kernel: UniformKernel
    sigma: float
    p_a: float
    clean_ids: NDArray[np.int64]
    attacked_ids: NDArray[np.int64]
    clean_image: NDArray[np.float32]
    attacked_image: NDArray[np.float32]

    pad_id = 0
    mask_id = None

    def __post_init__(self) -> None:
        require(0 < self.kernel.beta < 1, "kernel.beta", self.kernel.beta, "give a beta in (0, 1)")
        require(0 < self.p_a < 1, "p_a", self.p_a, "give a value in (0, 1)")
        require(self.sigma > 0, "sigma", self.sigma, "give a positive value")
        require(
            self.epsilon > 0,
            "attacked_image",
            "equal to clean_image",
            "move the image: if only the text moves, the worst case is randomised",
        )

    @property
    def alphabet(self) -> NDArray[np.int64]:
        """The token ids, shape ``(V,)``."""
        return np.arange(self.kernel.vocab_size)

    @property
    def d(self) -> int:
        """Number of edited tokens."""
        return int((self.clean_ids != self.attacked_ids).sum())

    @cached_property
    def epsilon(self) -> float:
        """The l2 distance of the two images."""
        return float(np.linalg.norm(self._step))

    @cached_property
    def _step(self) -> NDArray[np.float64]:
        return self.attacked_image.astype(np.float64) - self.clean_image

    @cached_property
    def _log_t(self) -> float:
        shift = np.asarray(self.epsilon / self.sigma)
        return float(log_threshold(np.asarray(self.p_a), self.kernel.likelihood_ratio(self.d), shift))

    def unsafe(self, token_ids: NDArray[np.int64], images: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the verdicts, shape ``(batch,)``."""
        return self.scores(token_ids, images) > 0

    def scores(self, token_ids: NDArray[np.int64], images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the threshold minus the log likelihood ratio, shape ``(batch,)``."""
        shows = (token_ids == self.attacked_ids).astype(int) - (token_ids == self.clean_ids)
        shift, along = self.epsilon / self.sigma, np.tensordot(images - self.clean_image, self._step, axes=3)
        log_gamma = self._log_odds * shows.sum(axis=1) + along / self.sigma**2 - shift**2 / 2
        return np.asarray(self._log_t - log_gamma)

    def gradients(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
        """Return the scores, and their constant gradients with respect to one-hot tokens and pixels."""
        by_token = np.zeros((self.clean_ids.size, self.alphabet.size), dtype=np.float32)
        np.add.at(by_token, (np.arange(self.clean_ids.size), self.attacked_ids), -self._log_odds)
        np.add.at(by_token, (np.arange(self.clean_ids.size), self.clean_ids), self._log_odds)
        by_pixel = (-self._step / self.sigma**2).astype(np.float32)
        scores, n = self.scores(token_ids, images), len(token_ids)
        return scores, np.broadcast_to(by_token, (n, *by_token.shape)), np.broadcast_to(by_pixel, images.shape)

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """One-hot vectors, shape ``(V, V)``."""
        return np.eye(self.alphabet.size, dtype=np.float32)

    @property
    def _log_odds(self) -> float:
        return math.log((1 - self.kernel.beta) * (self.kernel.vocab_size - 1) / self.kernel.beta)
