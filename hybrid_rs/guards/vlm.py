"""A guard that is a vision-language model: one forward pass; the verdict is read at the first answer position."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import integer, require
from hybrid_rs._extras import needs
from hybrid_rs.datasets.images import Fit
from hybrid_rs.guards import identity
from hybrid_rs.guards.families import family_of
from hybrid_rs.guards.wording import ANSWERS, Wording
from hybrid_rs.smoothing import answers

with needs("guard"):
    import torch

    from hybrid_rs.guards import limits, passes, trial
    from hybrid_rs.guards.batches import BatchSize
    from hybrid_rs.guards.checkpoint import Source, parts
    from hybrid_rs.guards.llava import LlavaVision
    from hybrid_rs.guards.llava_onevision import OnevisionVision
    from hybrid_rs.guards.prompt import Frame, in_place, opened, placeholders, untrusted_ids
    from hybrid_rs.guards.stock_images import StockVision


@dataclass(frozen=True, eq=False, repr=False)
class VisionLanguageGuard:
    """A vision-language model that answers safe or unsafe; satisfies :class:`hybrid_rs.Guard`.

    The prompt is the checkpoint's own chat template around the untrusted text. At the first answer position, the
    verdict compares the log-sum-exp of the logits over the spellings of "unsafe" with that of "safe", or of two other
    words. A spelling is used if both words are one token there. Smoothing replaces token ids, not letters. Images are
    taken, and noised, in [0, 1] at ``image_size``; they are resized, cut and normalised afterwards, on the device.
    Build one with :meth:`from_pretrained`.

    Args:
        model: the network, in evaluation mode.
        alphabet: shape ``(V,)``, the ids that are neither special nor added tokens nor the image placeholder.
        pad_id: the id of an ordinary comma.
        mask_id: the id that the absorbing kernel writes, outside the alphabet; or None.
        before: prompt ids before the untrusted text, image placeholders already repeated.
        after: prompt ids after it, a forced beginning of the answer included.
        safe_ids: ids of the spellings of the word that means safe; empty if the verdict is not read from one token.
        unsafe_ids: ids of the spellings of the word that means unsafe.
        vision: how images become the model's input.
        margin: the verdict is unsafe where the score exceeds this, in logits.
        batch_size: texts, or images, in one forward pass to begin with; halved when the device runs out of memory.
        tokenizer: the checkpoint's tokenizer, for :meth:`encode`.
        reuse: whether texts of one image share the keys and values of a common beginning; tried at loading.
        reads_text: False if the prompt has no place for a text: then every text has no tokens.
        source: the checkpoint without its weights, for :meth:`at`.
    """

    model: Any
    alphabet: NDArray[np.int64]
    pad_id: int
    mask_id: int | None
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    safe_ids: tuple[int, ...]
    unsafe_ids: tuple[int, ...]
    vision: LlavaVision | OnevisionVision | StockVision
    margin: float = 0.0
    batch_size: int = 256
    tokenizer: Any = None
    reuse: bool = True
    reads_text: bool = True
    source: Source | None = None

    def __post_init__(self) -> None:
        number = isinstance(self.margin, float | int) and not isinstance(self.margin, bool)
        require(number and math.isfinite(self.margin), "margin", self.margin, "give a finite number of logits")

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        attention: str | None = None,
        image_size: tuple[int, int] | None = None,
        policy: str | None = None,
        before_text: str = "",
        after_text: str = "",
        answer_prefix: str = "",
        answers: tuple[str, str] = ANSWERS,
        reads_text: bool = True,
        margin: float = 0.0,
        batch_size: int = 256,
        alphabet: ArrayLike | str | None = None,
        max_characters: int | None = None,
        mask: str | None = None,
        download: bool = False,
        one_token: bool = True,
        bits: int | None = None,
        device_map: str | dict[str, str | int] | None = None,
    ) -> VisionLanguageGuard:
        r"""Load a checkpoint in the Hugging Face layout, of a family in :mod:`hybrid_rs.guards.families`.

        The network, tokens, positions and masks are the stock ones; pixels are prepared as by the checkpoint's own
        image processor, but in floats.

        *What loading checks*: the weights are those of the stock network of this ``model_type``, none is missing and
        none is left over; the image processor's arithmetic on a random image; and that a black image scores as it does
        with the stock processor and model. *What it cannot check*: entries of a configuration that the stock classes do
        not know change nothing, here as there, so a checkpoint that was made for other code and has the same weights is
        read by the stock code. Code in a checkpoint is never run. If its files name some (``auto_map``) the stock
        classes are loaded all the same, and ``repr(guard)`` says so.

        Args:
            path: a folder, or a name on the hub.
            device: "cpu", "cuda", "cuda:1", ...
            dtype: "float32", "bfloat16" or "float16". Each is another classifier: some verdicts differ. In all three,
                sums may be rounded differently in batches of another size, which may change the verdict of a draw whose
                score is within rounding of the margin.
            attention: "sdpa" or "flash_attention_2"; by default the latter where it is installed and the model runs in
                lower precision on a CUDA device, else the former.
            image_size: (height, width) of the images, in which noise and the image budget are measured. The model's own
                resizing comes after that. By default the size of the vision tower; Qwen has none.
            policy: text that goes before the untrusted text, in the same turn of the chat template.
            before_text: a label or a line directly before the untrusted text, such as ``"User: "``.
            after_text: text directly after the untrusted text.
            answer_prefix: text that the answer is forced to begin with, for templates that answer in JSON, such as
                ``'{\n    "rating": "'``; the verdict is read after it.
            answers: the words that mean safe and unsafe, such as ``("No", "Yes")``; other capitals count as well.
            reads_text: False for a guard that judges the image alone; every text is then encoded as no token.
            margin: by how many logits unsafe must beat safe; raise it for fewer false alarms.
            batch_size: texts, or images, in one forward pass to begin with.
            alphabet: shape ``(V,)``, the token ids that noise may write; by default all ids except special and added
                tokens. "printable": those of them that decode to printable text.
            max_characters: leave out tokens of more characters; a space at the beginning counts.
            mask: the token that the absorbing kernel writes, such as ``"<unk>"``; by default the tokenizer's own.
            download: whether files may be downloaded from the hub; by default only files on disk are used.
            one_token: False if the verdict is not read from one token, but from a generated answer: then the guard has
                no scores, and serves :class:`hybrid_rs.guards.reasoning.ReasoningGuard`.
            bits: 8 or 4 for linear layers in fewer bits, with ``bitsandbytes``; see :mod:`hybrid_rs.guards.quantised`.
            device_map: "auto", or the device of each part, for a model that is larger than one card; then leave
                ``device`` out. See :mod:`hybrid_rs.guards.spread`.

        Raises:
            ValueError: if the checkpoint cannot be loaded, is of another family, or has weights in another format; if
                its ``model_type`` exists only in code of its own; if no spelling of the answers is a single token; or
                if an argument is out of range.
        """
        require(bool(np.isfinite(margin)), "margin", margin, "give a finite number of logits")
        size = integer("batch_size", batch_size, at_least=1)
        wording = Wording(policy, before_text, after_text, answer_prefix, answers, reads_text)
        made = parts(
            path, device=device, dtype=dtype, attention=attention, image_size=image_size, wording=wording,
            alphabet=alphabet, max_characters=max_characters, mask=mask, download=download, one_token=one_token,
            bits=bits, device_map=device_map,
        )  # fmt: skip
        guard = cls(**made, margin=float(margin), batch_size=size)
        limits.require_room(guard)
        trial.require_stock(guard)
        shares = reads_text and not family_of(guard.model.config.model_type).prefix_lm
        return replace(guard, reuse=shares and trial.reusable(guard))

    def at(self, image_size: tuple[int, int]) -> VisionLanguageGuard:
        """Return the same guard for images of another (height, width); it shares the network.

        Raises:
            ValueError: if the guard was not loaded from a checkpoint, or cannot read images of that size.
        """
        if self.source is None:
            raise ValueError("source = None: load the guard with from_pretrained")
        guard = replace(self, **self.source.at(image_size))
        limits.require_room(guard)
        trial.require_stock(guard)
        return guard

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images that the guard takes."""
        return self.vision.image_size

    @property
    def fit(self) -> Fit:
        """How an image of another shape becomes one of ``image_size`` in deployment: cropped or stretched."""
        images = None if self.source is None else self.source.processor.image_processor
        return "crop" if getattr(images, "do_center_crop", False) else "stretch"

    @cached_property
    def batch(self) -> BatchSize:
        """Current batch size; it shrinks when memory runs out."""
        return BatchSize(self.batch_size)

    def __repr__(self) -> str:
        weights, config = list(self.model.parameters()), self.model.config
        spelled = self.tokenizer.convert_ids_to_tokens if self.tokenizer else list
        unsafe, safe = (" ".join(map(str, spelled(list(ids)))) for ids in (self.unsafe_ids, self.safe_ids))
        brought = self.source.own_code if self.source else ()
        code = f"; code of the checkpoint is not run: auto_map in {', '.join(brought)}" if brought else ""
        pictures = int(np.isin(self.before, placeholders(config)).sum())
        return (
            f"VisionLanguageGuard({config.model_type}, {sum(w.numel() for w in weights):,} parameters,"
            f" {str(weights[0].dtype).removeprefix('torch.')}, {config._attn_implementation} on {weights[0].device};"
            f" images {self.image_size[0]} x {self.image_size[1]} as {pictures} tokens; prompt of"
            f" {len(self.before) - pictures} tokens before the text and {len(self.after)} after;"
            f" alphabet of {len(self.alphabet):,}; unsafe: {unsafe}; safe: {safe}; margin {self.margin:g}{code})"
        )

    @cached_property
    def identity(self) -> str:
        """A digest of everything that the scores depend on; stores keep it together with the margin.

        It covers the weights in the precision in which they run, the configuration, the prompt's ids around the text (a
        template that prints the date makes another guard every day), how a text is read there, the spellings of the
        verdict, the alphabet, pad and mask, the tokenizer, and how an image becomes the model's input. It does not
        cover the device, the batch size or the versions of libraries: these only change how sums are rounded.
        """
        return identity.digest(
            {
                "weights": identity.weights(self.model),
                "configuration": identity.configuration(self.model.config.to_diff_dict()),
                "attention": self.model.config._attn_implementation,
                "before, after, alphabet": [each.tolist() for each in (self.before, self.after, self.alphabet)],
                "safe, unsafe": [list(self.safe_ids), list(self.unsafe_ids)],
                "pad, mask": [self.pad_id, self.mask_id],
                "tokenizer": identity.tokenizer(self.tokenizer),
                "images": self.vision.facts,
            }
            | (in_place(self.tokenizer, self._frame) if self.tokenizer and self.reads_text else {})
        )

    @property
    def max_length(self) -> int | None:
        """The largest number of tokens of untrusted text, including the slot, that the model can read; None: any."""
        if not self.reads_text:
            return 0
        most = limits.most_positions(self.model.config)
        return None if most is None else most - len(self.before) - len(self.after)

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the token ids of an untrusted text, shape ``(length,)``, as the tokenizer reads it in the prompt.

        Two things are read otherwise than by stock pipelines: a word spelled like a special token is ordinary text, and
        a beginning or an end that the tokenizer would join with the prompt, such as a line break, is not joined.

        Raises:
            ValueError: if the guard has no tokenizer, or the text gives a token that may occur only in the prompt.
        """
        require(self.tokenizer is not None, "tokenizer", None, "load the guard with from_pretrained")
        if not self.reads_text:
            return np.empty(0, dtype=np.int64)
        frame, never = self._frame, placeholders(self.model.config)
        return untrusted_ids(self.tokenizer, frame.lead + text, never, frame.opening)

    @cached_property
    def _frame(self) -> Frame:
        """The text of the prompt around the untrusted text, in which that is tokenised."""
        return Frame("", "") if self.source is None else opened(self.source.processor, self.source.wording)

    @property
    def images_on(self) -> str | None:
        """The device on which the model takes images as torch tensors; None on a CPU, where it takes arrays."""
        return None if self.device.type == "cpu" else str(self.device)

    def unsafe(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.bool_]:
        """Return the verdicts, True where the model calls the pair unsafe; arguments as in :meth:`scores`."""
        return self.scores(token_ids, images, image_index) > self.margin

    def scores(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32], image_index: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return by how many logits unsafe beats safe.

        Texts that share an image, and begin alike, share keys and values if ``reuse`` allows it; see
        :func:`hybrid_rs.guards.passes.shared`. Nothing is padded: all prompts are of one length.

        Args:
            token_ids: shape ``(batch, length)``, int64, the untrusted text.
            images: shape ``(images, 3, height, width)``, pixel units [0, 1] before normalisation; noisy values may be
                outside [0, 1]. A torch tensor is moved to the model's device.
            image_index: shape ``(batch,)``, which image goes with which text; by default text i goes with image i. An
                image without a text is not encoded.

        Returns:
            shape ``(batch,)``, float32.

        Raises:
            ValueError: if a shape does not fit, an id is special or unknown to the model, or a score is not finite.
        """
        texts = np.asarray(token_ids)
        pixels: Any = images if isinstance(images, torch.Tensor) else np.asarray(images, dtype=np.float32)
        index = np.arange(len(texts)) if image_index is None else np.asarray(image_index)
        limits.require_fitting(self, texts, pixels, index)
        found = (passes.shared if self.reuse else passes.whole)(self, texts, pixels, index)
        return answers.scores(found, len(texts), "VisionLanguageGuard.scores")

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """The embedding of each token of the alphabet, shape ``(V, width)``."""
        embedding = self.model.get_input_embeddings()
        with torch.inference_mode():
            table = embedding(torch.tensor(self.alphabet, device=embedding.weight.device))
        return np.asarray(table.float().cpu().numpy())

    def gradients(
        self, token_ids: NDArray[np.int64], images: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the scores, and their gradients with respect to the token embeddings and the pixels.

        Args:
            token_ids: shape ``(batch, length)``, int64.
            images: shape ``(batch, 3, height, width)``, pixel units [0, 1] before normalisation; noisy values may be
                outside [0, 1].

        Returns:
            shapes ``(batch,)``, ``(batch, length, width)`` and ``(batch, 3, height, width)``, float32.

        Raises:
            ValueError: as :meth:`scores`.
        """
        texts, pixels = np.asarray(token_ids), np.asarray(images, dtype=np.float32)
        limits.require_fitting(self, texts, pixels, np.arange(len(texts)))
        found, by_token, by_pixel = passes.slopes(self, texts, pixels)
        return answers.scores(found, len(texts), "VisionLanguageGuard.gradients"), by_token, by_pixel

    def _read(
        self, texts: NDArray[np.int64], images: Any = None, known: Any = None, *, keep: bool = False
    ) -> tuple[Any, Any]:
        """Run the model on prompts, or on what follows known keys and values; return the scores and the cache."""
        logits, cache = passes.run(self, passes.prompts(self, texts), images, known, keep=keep)
        return self._gaps(logits), cache

    def _gaps(self, logits: Any) -> Any:
        """By how much unsafe beats safe at the last token."""
        last = logits[:, -1].float()
        unsafe, safe = (torch.logsumexp(last[:, list(ids)], dim=1) for ids in (self.unsafe_ids, self.safe_ids))
        return unsafe - safe

    @property
    def device(self) -> Any:
        """The device of the model, as torch names it."""
        return self.model.get_input_embeddings().weight.device

    def _pixels(self, images: Any) -> Any:
        return images.to(self.device) if isinstance(images, torch.Tensor) else torch.tensor(images, device=self.device)
