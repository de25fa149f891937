"""Adaptive attacks on a smoothed guard: the value that they lower, the effort of the search, and its result.

``joint`` attacks text and image, ``text`` and ``image`` one of them. Any :class:`hybrid_rs.Guard` can be attacked. The
search uses everything that the guard offers, unless :class:`Effort` forbids it:

* ``unsafe`` alone: verdicts; the search probes text and image with the noise of the smoothing.
* ``scores`` (and ``margin``): the same with scores, which are smoother than verdicts.
* ``gradients`` (and ``embeddings``): gradients guide the image and suggest words. A guard that is differentiable only
  in the image returns None for the tokens' gradient and needs no ``embeddings``. See
  :class:`hybrid_rs.smoothing.guard.DifferentiableGuard` for shapes.

Example:
    A joint attack on a linear guard that is differentiable only in the image:

    >>> import hybrid_rs as hrs
    >>> from hybrid_rs.attacks.joint import attack_jointly, evaluate
    >>> class Linear:
    ...     alphabet, pad_id, mask_id = np.arange(10), 0, None
    ...     def unsafe(self, token_ids, images):
    ...         return self.scores(token_ids, images) > 0
    ...     def scores(self, token_ids, images):
    ...         return images.sum(axis=(1, 2, 3)) / 8 - (token_ids == 7).sum(axis=1) - 2
    ...     def gradients(self, token_ids, images):
    ...         return self.scores(token_ids, images), None, np.full(images.shape, 1 / 8, np.float32)
    >>> smoothed = hrs.SmoothedGuard(Linear(), hrs.UniformKernel(0.25, 10), sigma=0.5, threat=hrs.L0Threat(1))
    >>> example = hrs.Example("grey", np.array([1, 2]), np.full((3, 4, 4), 128 / 255, np.float32))
    >>> found = attack_jointly(smoothed, example, d=1, epsilon=1.0)
    >>> found.edits, round(found.epsilon_used, 3)
    (1, 0.978)
    >>> clean = smoothed.sample(example, n=2000).unsafe[0] / 2000
    >>> evaluate(smoothed, example, found, n=2000).upper < 0.5 * clean
    True
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hybrid_rs._checks import choice, integer, kind, require
from hybrid_rs.certificates.kernels import AbsorbingKernel
from hybrid_rs.smoothing.answers import asked, takes_index
from hybrid_rs.smoothing.example import Example
from hybrid_rs.smoothing.smoothed_guard import SmoothedGuard

USES = ("verdicts", "scores", "gradients")
SEARCH = 2  # the kind of random stream for searches; smoothing uses kinds 0, 1 and 8
MOST = 2**20  # largest value of each number in an effort
CALL = 2**26  # bytes of images handed to a guard at a time, if each text needs its own copy


@dataclass(frozen=True, eq=False)
class Attack:
    """An attacked input, and statistics of the search.

    Args:
        token_ids: shape ``(length + slot,)``, int64: the attacked text and slot; of any length if tokens may be
            inserted or deleted.
        image: shape ``(channels, height, width)``, float32, in [0, 1].
        edits: number of tokens that differ from the clean text followed by pads; if tokens may be inserted or deleted,
            of insertions, deletions and substitutions.
        epsilon_used: l2 distance of the image from the clean one.
        estimate: frequency of unsafe verdicts at the attacked input, on the draws that selected it, so it is biased
            downwards; ``joint.evaluate`` uses fresh draws.
        queries: number of pairs of text and image that the guard evaluated.
    """

    token_ids: NDArray[np.int64]
    image: NDArray[np.float32]
    edits: int
    epsilon_used: float
    estimate: float
    queries: int


@dataclass(frozen=True)
class Effort:
    """How hard to search.

    Args:
        draws: noise draws for each gradient and each comparison of candidates.
        probes: noise draws that rank edits; each replacement in a draw tests one edit.
        candidates: texts compared for every edit.
        sweeps: how often every edit is reconsidered.
        steps: steps of the image in one descent.
        rounds: alternations of text and image, in a joint attack.
        restarts: starting points, the clean input first.
        select: draws that choose the best of all inputs that were found.
        uses: what the search may use of the guard: only its "verdicts", also its "scores", or also its "gradients"; it
            uses less if the guard offers less.

    Raises:
        ValueError: if a count is below 1 (sweeps: 0), above 2^20 or not whole, or ``uses`` is none of the three.
    """

    draws: int = 64
    probes: int = 512
    candidates: int = 32
    sweeps: int = 1
    steps: int = 20
    rounds: int = 2
    restarts: int = 2
    select: int = 512
    uses: Literal["verdicts", "scores", "gradients"] = "gradients"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "uses":
                integer(name, value, at_least=0 if name == "sweeps" else 1, at_most=MOST)
        choice("uses", self.uses, USES)


def chosen(effort: Effort | None) -> Effort:
    """Return the effort, or the default one if it is None."""
    return Effort() if effort is None else kind("effort", effort, Effort, "give hybrid_rs.attacks.Effort(...)")


ADAPTIVE = Effort(draws=32, probes=512, candidates=48, sweeps=0, steps=12, rounds=2, restarts=1, select=256)
STRONGER = replace(ADAPTIVE, draws=64, sweeps=1, steps=24, restarts=2, select=512)
PLAIN = Effort(draws=1, probes=1, candidates=384, sweeps=1, steps=50, rounds=1, restarts=1, select=1)


class Draws(NamedTuple):
    """A number of noise draws; they are the same for every input."""

    n: int
    number: int


class Objective:
    """The smoothed value near an example, on draws that candidates share; it also counts queries to the guard.

    The attack lowers the certified value, the probability of an unsafe verdict. If the guard has ``scores`` (unsafe if
    above its ``margin``, or above 0), the search uses a smoother substitute: the mean logistic function of the scores,
    in units of their standard deviation under noise at the clean input.

    Args:
        smoothed: the smoothed guard.
        example: the clean input.
        d: text budget; where the threat has a classifier for each d, that one is attacked.
        seed: of the search's draws, which no call of :meth:`SmoothedGuard.sample` shares.
        draws: number of draws for the scores' standard deviation.
        uses: as in :class:`Effort`.
    """

    def __init__(
        self, smoothed: SmoothedGuard, example: Example, *, d: int, seed: int = 0, draws: int = 64, uses: str = USES[-1]
    ) -> None:
        self._start(smoothed, example, d)
        self.smoothed, self.guard, self.d = smoothed, smoothed.guard, integer("d", d, at_least=0)
        self.image = example.image
        digest = np.frombuffer(hashlib.sha256(example.id.encode()).digest(), dtype=np.uint32)
        self._entropy = [integer("seed", seed, at_least=0), *digest.tolist()]
        self._drawn = 0
        self.queries, self.scale = 0, 1.0
        self.margin = float(getattr(self.guard, "margin", 0.0))
        self.soft = uses != "verdicts" and callable(getattr(self.guard, "scores", None))
        self.differentiable = self.soft and uses == "gradients" and callable(getattr(self.guard, "gradients", None))
        if self.soft:
            self.scale = float(self.margins(self.text[None], self.image, self.draws(draws)).std()) or 1.0

    def _start(self, smoothed: SmoothedGuard, example: Example, d: int) -> None:
        """Check the arguments, and set the clean text and where it is noised and edited."""
        self.text, self.noised, self.editable = under_attack(smoothed, example, d)

    def draws(self, n: int) -> Draws:
        """Return ``n`` fresh draws."""
        self._drawn += 1
        return Draws(n, self._drawn)

    def rng(self, draws: Draws, kind: int) -> np.random.Generator:
        """Return the generator behind one kind of randomness of the draws."""
        key = np.random.SeedSequence(self._entropy, spawn_key=(SEARCH, kind, draws.number))
        return np.random.Generator(np.random.Philox(key))

    def canonical(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the text with noised tokens from outside the alphabet replaced by the pad, as smoothing does."""
        unknown = self.noised & ~np.isin(tokens, self.guard.alphabet)
        return np.where(unknown, self.guard.pad_id, tokens)

    def texts(self, tokens: NDArray[np.int64], draws: Draws) -> NDArray[np.int64]:
        """Return the noisy texts, shape ``(n, length)``."""
        shown, alphabet = self.canonical(tokens), self.guard.alphabet
        places = np.searchsorted(alphabet, shown[self.noised])
        noisy = self.smoothed.kernel.sample(places, draws.n, self.rng(draws, 0))
        texts = np.tile(shown, (draws.n, 1))
        known = alphabet[np.maximum(noisy, 0)]
        texts[:, self.noised] = np.where(noisy == AbsorbingKernel.MASK, np.int64(self.guard.mask_id or 0), known)
        return texts

    def noise(self, draws: Draws) -> NDArray[np.float32]:
        """Return standard normal noise, shape ``(n, channels, height, width)``."""
        return self.rng(draws, 1).standard_normal((draws.n, *self.image.shape), dtype=np.float32)

    def images(self, image: NDArray[np.float32], draws: Draws) -> NDArray[np.float32]:
        """Return the noisy images; without noise, a single image."""
        if self.smoothed.sigma == 0:
            return image[None]
        return image + np.float32(self.smoothed.sigma) * self.noise(draws)

    def parts(self, tokens: NDArray[np.int64], draws: Draws) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Return the noisy texts in groups of one length, and the numbers of their draws."""
        return [(self.texts(tokens, draws), np.arange(draws.n))]

    def edits(self, tokens: NDArray[np.int64]) -> int:
        """Return the number of edits that make this text from the clean one."""
        return int((tokens != self.text).sum())

    def ids(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the token ids of a text."""
        return tokens

    def margins(
        self, texts: Sequence[NDArray[np.int64]] | NDArray[np.int64], image: NDArray[np.float32], draws: Draws
    ) -> NDArray[np.float64]:
        """Return the margin of each candidate in each draw, shape ``(candidates, n)``."""
        shown = np.stack([self.texts(tokens, draws) for tokens in texts], axis=1)  # draws first: they share an image
        found = self.ask(shown.reshape(-1, shown.shape[-1]), self.images(image, draws), len(texts))
        return found.reshape(draws.n, len(texts)).T

    def ask(self, texts: NDArray[np.int64], images: NDArray[np.float32], each: int) -> NDArray[np.float64]:
        """Return the texts' margins; consecutive groups of ``each`` share an image; verdicts have infinite margins."""
        return self.ask_at(texts, images, np.arange(len(texts)) // each)

    def ask_at(
        self, texts: NDArray[np.int64], images: NDArray[np.float32], image_of: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the margins of texts, each with image number ``image_of``; verdicts have infinite margins."""
        self.queries += len(texts)
        question: Literal["unsafe", "scores"] = "scores" if self.soft else "unsafe"
        index = image_of if len(images) > 1 else np.zeros(len(texts), dtype=np.int64)
        if takes_index(self.guard, question):
            answers = asked(self.guard, question, texts, images, index)
        else:
            rows = max(1, CALL // images[0].nbytes)
            parts = [slice(i, i + rows) for i in range(0, len(texts), rows)]
            answers = np.concatenate([asked(self.guard, question, texts[i], images[index[i]]) for i in parts])
        return answers.astype(np.float64) - self.margin if self.soft else np.where(answers, np.inf, -np.inf)

    def value(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value that the search lowers, in [0, 1], shape ``(candidates,)``."""
        return np.asarray(expit(margins / self.scale).mean(axis=-1))

    def best(self, inputs: list[tuple[NDArray[np.int64], NDArray[np.float32]]], draws: int) -> Attack:
        """Return the input with the fewest unsafe verdicts on new draws; scores decide ties."""
        common = self.draws(draws)
        if self.smoothed.noise == "lattice":
            inputs = [(tokens, on_lattice(image, self.image)) for tokens, image in inputs]
        margins = [self.margins(tokens[None], image, common)[0] for tokens, image in inputs]
        found = [(float((margin > 0).mean()), float(self.value(margin))) for margin in margins]
        at = min(range(len(found)), key=found.__getitem__)
        tokens, image = inputs[at]
        edits, used = self.edits(tokens), distance(image, self.image)
        return Attack(self.ids(tokens), image, edits, used, found[at][0], self.queries)


def under_attack(
    smoothed: SmoothedGuard, example: Example, d: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the clean text with its slot, the positions that the classifier of budget d noises, and the editable ones.

    Raises:
        ValueError: if d is not a whole number from 0 to the threat's ``max_edits``.
    """
    kind("smoothed", smoothed, SmoothedGuard, "give a hybrid_rs.SmoothedGuard")
    kind("example", example, Example, "give a hybrid_rs.Example")
    threat, length = smoothed.threat, example.token_ids.size
    d = integer("d", d, at_least=0)
    require(d <= threat.max_edits, "d", d, f"give at most the threat's max_edits = {threat.max_edits}")
    rows, sure = threat.noised(length), threat.conditions(length)
    noised = rows[d if len(rows) > 1 else 0]
    text = np.append(example.token_ids, np.full(threat.slot, smoothed.guard.pad_id))
    return text, noised, noised if sure is None else sure[d]


def distance(image: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the l2 distance of two images, in pixel units."""
    return float(np.linalg.norm(image.astype(np.float64) - other.astype(np.float64)))


def on_lattice(image: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an 8-bit image near ``image`` that is not further from the 8-bit image ``centre``.

    Example:
        >>> grey = np.full((1, 1, 2), 100 / 255, np.float32)
        >>> (255 * on_lattice(grey + np.array([[[0.01, 0.001]]], np.float32), grey)).round()
        array([[[102., 100.]]], dtype=float32)
    """
    start, towards = 255.0 * centre.astype(np.float64), 255.0 * (image.astype(np.float64) - centre)
    for t in np.linspace(1.0, 0.0, 257):
        moved = np.rint(start + t * towards).astype(np.float32) / np.float32(255)
        if distance(moved, centre) <= distance(image, centre):
            return moved
    return centre
