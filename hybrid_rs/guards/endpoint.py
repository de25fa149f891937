"""A guard behind an OpenAI-compatible server that returns log-probabilities, such as vLLM."""

from __future__ import annotations

import math
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import choice, kind, require, shown, text
from hybrid_rs._extras import needs
from hybrid_rs.datasets.images import sides
from hybrid_rs.guards import identity
from hybrid_rs.guards.spelling import Letters, Tokens
from hybrid_rs.guards.transport import Transport, address
from hybrid_rs.guards.wording import ANSWERS, Undecided, Wording
from hybrid_rs.smoothing import answers
from hybrid_rs.smoothing.draws import require_readable

LEVELS = 255
LISTED = 20  # log-probabilities that are asked for; servers list no more
FAR = 1e6  # the score of an undecided answer, beyond every margin
ROUNDED = 1e-3  # by how much a log-probability may exceed 0 because of rounding


@dataclass(frozen=True, eq=False, repr=False)
class EndpointGuard:
    r"""A served model that answers safe or unsafe; satisfies :class:`hybrid_rs.Guard`.

    Each pair of text and image is one request for one token of answer. The score is the log-sum-exp of the listed
    log-probabilities of the spellings of "unsafe", less that of "safe". If one of the words is not among the 20
    likeliest tokens, it counts with the least log-probability of the list, which none of its spellings can exceed. If a
    server lists fewer tokens, both words must be there. If a noisy input makes the model begin another answer, so that
    neither word is listed, the verdict is ``undecided``.

    *What the noise goes through.* An image travels as a PNG file of 8 bits a channel. Noise on the lattice of 8-bit
    images keeps every value that lies in [0, 255]; a value outside is clipped to 0 or 255. Other noise is rounded, too.
    Clipping and rounding happen after the noise, so they are a part of the base classifier, like everything that the
    server does. The certificate holds, for the classifier with clipping.

    *What must not change.* A certificate is about one function. A server that samples, that is updated, or that rounds
    differently under load is several functions. This class asks with temperature 0. Change ``version`` whenever the
    weights or the software of the server change: counts are stored under it. An error is raised if an answer names
    another model or ``system_fingerprint`` than the first answer did. vLLM and llama.cpp send both, but neither
    depends on the weights.

    *What was run.* In November 2026, on a CPU: vLLM 0.32.0 and the server of llama.cpp (in xllamacpp 2026.10.11549),
    with a tiny Qwen2.5-VL of random weights. No other server that lists log-probabilities, no GPU and no real weights
    were tried.

    Args:
        url: address of the server up to ``/v1``, such as ``"http://localhost:8000/v1"``.
        served: the name of the model on the server.
        image_size: (height, width) of the images; None: every image keeps its own size.
        spelling: what a token is; by default a character.
        wording: the words of the prompt; the server applies the chat template.
        margin: the verdict is unsafe where the score exceeds this, in units of log-probability; within a million.
        version: any text that changes whenever the answers of the server may change.
        undecided: the verdict where an answer lists neither word, "unsafe" or "safe": a part of the classifier. By
            default such an answer is an error.
        transport: how requests are sent.

    Raises:
        ValueError: if an argument is out of range.
    """

    url: str
    served: str
    image_size: tuple[int, int] | None
    spelling: Letters | Tokens = field(default_factory=Letters)
    wording: Wording = field(default_factory=Wording)
    margin: float = 0.0
    version: str = ""
    undecided: Undecided | None = None
    transport: Transport = field(default_factory=Transport)
    _first: dict[str, Any] = field(default_factory=dict, init=False)  # what the first answer said of the server

    def __post_init__(self) -> None:
        address("url", self.url)
        require(bool(text("served", self.served)), "served", self.served, "give the name of the model", repr)
        text("version", self.version)
        number = isinstance(self.margin, float | int) and not isinstance(self.margin, bool)
        inside = number and -FAR < self.margin < FAR
        require(inside, "margin", self.margin, f"give a number between {-FAR:g} and {FAR:g}")
        if self.undecided is not None:
            choice("undecided", self.undecided, ANSWERS)
        if self.image_size is not None:
            sides("image_size", self.image_size)
        kind("spelling", self.spelling, (Letters, Tokens), "give Letters() or Tokens.load(folder)")
        kind("wording", self.wording, Wording, "give a Wording")
        kind("transport", self.transport, Transport, "give a Transport")

    def __repr__(self) -> str:
        size = "in their own size" if self.image_size is None else "{} x {}".format(*self.image_size)
        return (
            f"EndpointGuard({self.served} at {self.url}; images {size}, clipped to 8 bits; {self.spelling};"
            f" answers {' and '.join(self.wording.answers)}; margin {self.margin:g})"
        )

    @property
    def alphabet(self) -> NDArray[np.int64]:
        """The ids that noise may write."""
        return self.spelling.alphabet

    @property
    def pad_id(self) -> int:
        """The id of a comma."""
        return self.spelling.pad_id

    @property
    def mask_id(self) -> int | None:
        """The id that the absorbing kernel writes; None if there is none."""
        return self.spelling.mask_id

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the spelling; None if tokens are characters."""
        return getattr(self.spelling, "tokenizer", None)

    @property
    def max_length(self) -> int | None:
        """The largest number of tokens of untrusted text, including the slot; None: unknown here."""
        return None if self.wording.reads_text else 0

    @cached_property
    def identity(self) -> str:
        """A digest of the server's address and model name, the request and ``version``, but not of the weights."""
        asked = {"url": self.url, "served": self.served, "version": self.version, "words": vars(self.wording)}
        facts: dict[str, Any] = {"size": self.image_size, "spelling": self.spelling.facts, "listed": LISTED}
        facts |= {"undecided": self.undecided} if self.undecided else {}
        return identity.digest({"kind": type(self).__name__} | asked | facts)

    def encode(self, words: str) -> NDArray[np.int64]:
        """Return the token ids of an untrusted text, shape ``(length,)``; none if the guard reads no text."""
        return self.spelling.encode(words) if self.wording.reads_text else np.empty(0, dtype=np.int64)

    def unsafe(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """Return the verdicts, True where the model calls the pair unsafe; arguments as in :meth:`scores`."""
        return self.scores(token_ids, images, image_index) > self.margin

    def scores(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return by how much the log-probability of unsafe exceeds that of safe.

        Args:
            token_ids: shape ``(batch, length)``, int64, the untrusted text.
            images: shape ``(images, 3, height, width)``, pixel units [0, 1]; values outside are clipped.
            image_index: shape ``(batch,)``, which image goes with which text; by default text i goes with image i.

        Returns:
            shape ``(batch,)``, float32.

        Raises:
            ValueError: if a request is refused, an argument does not fit, an answer lists too few log-probabilities, or
                the server names another model than before.
            OSError: if the server cannot be reached, after all retries.
        """
        texts, pixels = np.asarray(token_ids), np.asarray(images, dtype=np.float32)
        fits = pixels.ndim == 4 and pixels.shape[1] == 3
        require(fits, "images", pixels.shape, "give shape (images, 3, height, width)")
        require(bool(np.isfinite(pixels).all()), "images", pixels, "give finite pixels")
        require(texts.ndim == 2, "token_ids", texts.shape, "give shape (batch, length)")
        require_readable(self, texts.shape[1], "token_ids")
        index = np.arange(len(texts)) if image_index is None else np.asarray(image_index)
        inside = index.shape == (len(texts),) and bool(np.isin(index, np.arange(len(pixels))).all())
        remedy = f"give an index from 0 to {len(pixels) - 1} for each of {len(texts)} texts"
        require(inside, "image_index", index, remedy)
        urls = {image: _png_url(pixels[image]) for image in np.unique(index).tolist()}

        def score(row: int) -> float:
            return self.score_of(self._asked(self.spelling.decode(texts[row]), urls[int(index[row])]))

        with ThreadPoolExecutor(self.transport.at_once) as pool:
            found = np.array(list(pool.map(score, range(len(texts)))), dtype=np.float32)
        return answers.scores(found, len(texts), "EndpointGuard.scores")

    def _request(self, words: str, image: str) -> dict[str, Any]:
        said = self.wording
        texts = [said.policy, said.before_text + words + said.after_text if said.reads_text else None]
        parts = [{"type": "text", "text": part} for part in texts if part]
        content = [{"type": "image_url", "image_url": {"url": image}}, *parts]
        asked: dict[str, Any] = {"model": self.served, "messages": [{"role": "user", "content": content}]}
        asked |= {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": LISTED}
        if said.answer_prefix:  # vLLM continues an answer that has begun
            asked["messages"] = [*asked["messages"], {"role": "assistant", "content": said.answer_prefix}]
            asked |= {"add_generation_prompt": False, "continue_final_message": True}
        return asked

    def _asked(self, words: str, image: str) -> Any:
        """Return the server's answer, which must come from the model that answered first."""
        answer = self.transport.post(self.url, self._request(words, image))
        _listed(answer)  # first: an answer of another kind is not one of another model
        if isinstance(answer, dict):
            for name in ("model", "system_fingerprint"):
                said, first = answer.get(name), self._first.setdefault(name, answer.get(name))
                remedy = f"the server said {shown(first, repr)} before; a certificate is about one guard"
                require(said == first, name, said, remedy, repr)
        return answer

    def score_of(self, answer: Any, *, both: bool = False) -> float:
        """Return the score in an answer of the server, a JSON object.

        Args:
            answer: the answer.
            both: require both words in the list.

        Raises:
            ValueError: if it lists no log-probabilities, too few to compare the two words, or neither of them where
                nothing was said of undecided answers.
        """
        listed = _listed(answer)
        sums: list[float | None] = []
        for word in self.wording.answers:
            values = [value for token, value in listed if token.strip().casefold() == word.casefold()]
            sums.append(float(np.logaddexp.reduce(values)) if values else None)
        safe, unsafe = sums
        likely = ", ".join(repr(token) for token, _ in listed[:5])
        remedy = "give answers that are one token each for the model there, or an answer prefix"
        if not both:
            remedy = (
                "a noisy input made the model begin another answer; give an answer prefix, or say how that counts: "
            )
            remedy += "--undecided unsafe or safe"
        if all(token.startswith("token_id:") for token, _ in listed):
            remedy = "the server must list the text of tokens: serve without --return-tokens-as-token-ids"
        elif safe is unsafe is None and self.undecided is not None and not both:
            return FAR if self.undecided == "unsafe" else -FAR
        remedy = f"of {len(listed)} listed tokens the likeliest are {likely}; {remedy}"
        enough = sum(each is not None for each in sums) >= (2 if both or len(listed) < LISTED else 1)
        require(enough, "answers", self.wording.answers, remedy)
        least = min(value for _, value in listed)
        return (least if unsafe is None else unsafe) - (least if safe is None else safe)

    def tried(self) -> EndpointGuard:
        """Ask the server one question twice, and return this guard.

        If the two scores differ, the transport's ``note`` says so: verdicts that close to the margin may differ, too.

        Raises:
            ValueError: if an answer does not list both words (one may be several tokens for the model); or if the two
                answers have different verdicts: then the server is not one function.
        """
        size = self.image_size or (64, 64)
        image = _png_url(np.full((3, *size), 0.5, np.float32))
        words = self.spelling.decode(np.array([self.pad_id]))
        first, second = (self.score_of(self._asked(words, image), both=True) for _ in range(2))
        same = (first > self.margin) == (second > self.margin)
        remedy = "the server answers one question in two ways; serve one model, without sampling"
        require(same, "endpoint", f"scores {first:g} and {second:g}", remedy)
        if first != second and self.transport.note is not None:
            apart = f"one question got two scores, {abs(first - second):.1g} apart"
            self.transport.note(f"endpoint = {self.url}: {apart}; verdicts so close to the margin are not repeatable")
        return self


def _listed(answer: Any) -> list[tuple[str, float]]:
    """Return the tokens that an answer lists for its first position, with their log-probabilities."""
    try:
        [first, *_] = answer["choices"][0]["logprobs"]["content"]
        listed = [(each["token"], each["logprob"]) for each in first["top_logprobs"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        remedy = "the server must list log-probabilities (top_logprobs) of chat completions"
        raise ValueError(f"answer = {shown(answer)}: {remedy}") from error
    for token, value in listed:
        number = isinstance(value, float | int) and not isinstance(value, bool) and -math.inf < value <= ROUNDED
        remedy = "the server must list tokens with finite log-probabilities, none above 0"
        require(isinstance(token, str) and number, "top_logprobs", f"{token!r}: {value!r}", remedy)
    return listed


def _png_url(pixels: NDArray[np.float32]) -> str:
    """Return an image as a PNG file in a data URL; values outside [0, 1] are clipped."""
    with needs("data"):
        from PIL import Image

    levels = np.rint(LEVELS * np.clip(pixels.astype(np.float64), 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(levels)).save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()
