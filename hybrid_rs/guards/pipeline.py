"""A guard made of any scikit-learn classifier, with word counts and pixels as features."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, nonnegative, one, probability, require, shown
from hybrid_rs.datasets.entries import Entry
from hybrid_rs.datasets.images import Fit, read_image
from hybrid_rs.smoothing.answers import verdicts

PAD = ","


@dataclass(frozen=True, eq=False)
class PipelineGuard:
    """A scikit-learn classifier of (text, image) pairs; satisfies :class:`hybrid_rs.Guard`.

    A token is a word; texts are split at white space. The features are the number of occurrences of each word of the
    vocabulary, and the pixels. The pixels are divided by the square root of their number, so that neither part
    dominates where features are penalised or projected. The order of words is lost, and words outside the vocabulary
    are ignored.

    Make one with :meth:`fit`.

    Args:
        classifier: any object with ``predict(features)``, shape ``(batch, V + channels * height * width)``.
        vocabulary: V different words, including the pad; a word's id is its position.
        image_size: (height, width).
        positive: the classifier's label of unsafe pairs, such as ``"unsafe"`` or ``1``. It may be left out where the
            labels are bool, or 0 and 1 with 1 for unsafe; other labels are refused without it.
    """

    classifier: Any
    vocabulary: tuple[str, ...] = field(repr=False)
    image_size: tuple[int, int]
    positive: Any = None

    def __post_init__(self) -> None:
        words = self.vocabulary
        require(len(set(words)) == len(words), "vocabulary", f"{len(words)} words", "give every word only once")
        require(PAD in words, "vocabulary", f"{len(words)} words", f"include the pad, {PAD!r}")

    @property
    def alphabet(self) -> NDArray[np.int64]:
        """The ids of the vocabulary."""
        return np.arange(len(self.vocabulary), dtype=np.int64)

    @property
    def pad_id(self) -> int:
        """The id of the comma."""
        return self.vocabulary.index(PAD)

    @property
    def unknown_id(self) -> int:
        """The id of all words outside the vocabulary; it is outside the alphabet."""
        return len(self.vocabulary)

    @property
    def mask_id(self) -> int:
        """The id of the mask; it is not a word, and not in the alphabet."""
        return len(self.vocabulary) + 1

    @cached_property
    def identity(self) -> str:
        """A digest of the pickled classifier, the vocabulary, the image size and ``positive``, for stores of counts.

        Raises:
            ValueError: if the classifier cannot be pickled.
        """
        try:
            # pickled twice: the first time equal strings may be one object or several, by how the classifier was made
            classifier = pickle.dumps(pickle.loads(pickle.dumps(self.classifier, protocol=5)), protocol=5)
        except Exception as error:  # a foreign object may raise anything
            remedy = f"it cannot be pickled ({error}); use functions that can be imported, not a lambda"
            raise ValueError(f"classifier = {shown(self.classifier, repr)}: {remedy}") from error
        rest = repr((self.vocabulary, tuple(self.image_size), self.positive))
        return hashlib.sha256(classifier + rest.encode()).hexdigest()

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the ids of the words of a text, shape ``(length,)``."""
        ids = {word: i for i, word in enumerate(self.vocabulary)}
        return np.array([ids.get(word, self.unknown_id) for word in text.split()], dtype=np.int64)

    def features(self, token_ids: NDArray[np.int64], images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features, shape ``(batch, V + channels * height * width)``."""
        words = len(self.vocabulary)
        known = token_ids.size == 0 or (token_ids.min() >= 0 and token_ids.max() <= self.mask_id)
        require(bool(known), "token_ids", token_ids, "give ids that this guard's encode made")
        counts = np.zeros((len(token_ids), words + 2), dtype=np.float32)
        np.add.at(counts, (np.arange(len(token_ids))[:, None], token_ids), 1)
        pixels = images.reshape(len(images), -1)
        return np.concatenate([counts[:, :words], pixels / np.float32(np.sqrt(pixels.shape[1]))], axis=1)

    def unsafe(self, token_ids: NDArray[np.int64], images: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the verdicts, shape ``(batch,)``; arguments as in :class:`hybrid_rs.Guard`.

        Raises:
            ValueError: if ``positive`` is not one of the classifier's labels, or is needed and missing.
        """
        found, name = self.classifier.predict(self.features(token_ids, images)), "PipelineGuard.classifier.predict"
        labels = np.asarray(getattr(self.classifier, "classes_", [])).tolist()
        if self.positive is None:
            plain = all(label in (0, 1) for label in labels)
            require(plain, "positive", None, f"say which of the classifier's labels means unsafe: {labels}")
            return verdicts(found, len(token_ids), name)
        require(
            self.positive in labels, "positive", self.positive, f"give one of the classifier's labels: {labels}", repr
        )
        return verdicts(np.asarray(found) == self.positive, len(token_ids), name)

    @classmethod
    def fit(
        cls,
        classifier: Any,
        entries: Sequence[Entry],
        image_size: tuple[int, int],
        *,
        sigma: float,
        beta: float,
        slot: int,
        copies: int = 10,
        fit: Fit = "stretch",
        seed: int = 0,
    ) -> PipelineGuard:
        """Train a classifier on noisy copies, like those that smoothing will show it.

        Args:
            classifier: an estimator of scikit-learn, not yet fitted; it is fitted in place.
            entries: all with labels; their words and the pad become the vocabulary.
            image_size: (height, width).
            sigma: standard deviation of the image noise.
            beta: probability that a token is replaced by another word of the vocabulary.
            slot: pads after every text.
            copies: noisy copies of each entry.
            fit: how images of another aspect ratio are resized.
            seed: seed of the noise.

        Raises:
            ValueError: if an entry has no label, all labels are equal, or an argument is out of range.
        """
        labels = [entry.unsafe for entry in entries]
        require(set(labels) == {True, False}, "entries", set(labels), "give safe and unsafe entries, all with labels")
        level, scale = one("beta", probability("beta", beta)), one("sigma", nonnegative("sigma", sigma))
        words = sorted({PAD}.union(*(entry.text.split() for entry in entries)))
        guard = cls(classifier, tuple(words), image_size)
        images = [read_image(entry.image, image_size, fit=fit) for entry in entries]
        pads = np.full(integer("slot", slot, at_least=0), guard.pad_id)
        texts = [np.append(guard.encode(entry.text), pads) for entry in entries]
        rng = np.random.default_rng(integer("seed", seed, at_least=0))
        seen = []
        for _ in range(integer("copies", copies, at_least=1)):
            for text, image in zip(texts, images, strict=True):
                noised = np.where(rng.random(text.size) < level, rng.choice(guard.alphabet, text.size), text)
                noisy = image + np.float32(scale) * rng.standard_normal(image.shape, dtype=np.float32)
                seen.append(guard.features(noised[None], noisy[None])[0])
        classifier.fit(np.array(seen), np.array(labels * copies))
        return guard
