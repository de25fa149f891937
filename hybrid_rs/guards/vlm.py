"""A guard made of a vision-language model: one forward pass, read at the first answer position."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import integer, require

try:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor
except ImportError as error:
    raise ImportError('this guard needs torch and transformers: pip install "hybrid_rs[guard]"') from error

SENTINEL = "untrusted-text-goes-here"
SAFE_WORDS = ("safe", "Safe", "SAFE", " safe", " Safe")
UNSAFE_WORDS = ("unsafe", "Unsafe", "UNSAFE", " unsafe", " Unsafe")


@dataclass(frozen=True, eq=False)
class VisionLanguageGuard:
    """A LLaVA model that answers safe or unsafe; satisfies :class:`hybrid_rs.Guard`.

    The prompt is the checkpoint's own chat template around the untrusted text. The verdict compares, at the first
    answer position, the log-sum-exp over the single-token spellings of "unsafe" with that of "safe".

    Build one with :meth:`from_pretrained`.

    Args:
        model: the network, in evaluation mode.
        alphabet: shape ``(V,)``, the ids that are neither special nor added tokens nor the image placeholder.
        pad_id: the id of an ordinary comma.
        mask_id: the tokenizer's mask token, or None.
        before: prompt ids before the untrusted text, image placeholders already repeated.
        after: prompt ids after it.
        safe_ids: ids of the spellings of safe.
        unsafe_ids: ids of the spellings of unsafe.
        mean: per channel, subtracted from pixels in [0, 1].
        std: per channel, what pixels are then divided by.
        image_size: (height, width) that the model takes.
        margin: how far the gap must exceed zero for a verdict of unsafe.
        batch_size: texts in one forward pass.
        tokenizer: the checkpoint's tokenizer, for :meth:`encode`.
    """

    model: Any
    alphabet: NDArray[np.int64]
    pad_id: int
    mask_id: int | None
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    safe_ids: tuple[int, ...]
    unsafe_ids: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: tuple[int, int]
    margin: float = 0.0
    batch_size: int = 256
    tokenizer: Any = None

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        margin: float = 0.0,
        batch_size: int = 256,
        alphabet: ArrayLike | None = None,
        download: bool = False,
    ) -> VisionLanguageGuard:
        """Load a checkpoint in the Hugging Face layout.

        Args:
            path: a folder, or a name on the hub.
            device: "cpu", "cuda", "cuda:1", ...
            dtype: "float32" or "bfloat16".
            margin: logits by which unsafe must win; raise it for fewer false alarms.
            batch_size: texts in one forward pass.
            alphabet: shape ``(V,)``, the token ids that noise may put in place of others; by default all ids but
                special and added tokens and the image placeholder.
            download: whether files may be fetched from the hub; by default only what is on disk is used.

        Raises:
            ValueError: if the checkpoint cannot be loaded, is of another architecture, or an argument is out of range.
        """
        require(dtype in ("float32", "bfloat16"), "dtype", dtype, 'give "float32" or "bfloat16"')
        require(bool(np.isfinite(margin)), "margin", margin, "give a finite number of logits")
        try:
            model = AutoModelForImageTextToText.from_pretrained(
                path, dtype=getattr(torch, dtype), local_files_only=not download, attn_implementation="sdpa"
            )
            processor = AutoProcessor.from_pretrained(path, local_files_only=not download)
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            remedy = "give the folder of a Hugging Face checkpoint, or download=True with a name on the hub"
            raise ValueError(f"path = {path}: {remedy} ({error})") from error
        kind = model.config.model_type
        require(kind == "llava", "model_type", kind, "give a LLaVA checkpoint (model_type llava)")
        tokenizer, images = processor.tokenizer, processor.image_processor
        size = int(model.config.vision_config.image_size)
        before, after = _prompt(processor, size)
        special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values(), model.config.image_token_id}
        return cls(
            model=model.to(device).eval(),
            alphabet=_alphabet(tokenizer, special, alphabet),
            pad_id=_single_ids(tokenizer, (",",))[0],
            mask_id=tokenizer.mask_token_id,
            before=before,
            after=after,
            safe_ids=_single_ids(tokenizer, SAFE_WORDS),
            unsafe_ids=_single_ids(tokenizer, UNSAFE_WORDS),
            mean=tuple(images.image_mean) if images.do_normalize else (0.0, 0.0, 0.0),
            std=tuple(images.image_std) if images.do_normalize else (1.0, 1.0, 1.0),
            image_size=(size, size),
            margin=float(margin),
            batch_size=integer("batch_size", batch_size, at_least=1),
            tokenizer=tokenizer,
        )

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the token ids of an untrusted text, shape ``(length,)``.

        What is spelled like a special token, such as ``<image>``, is read as the ordinary text that it is.

        Raises:
            ValueError: if the guard has no tokenizer, or the text gives a token that only the prompt may hold.
        """
        require(self.tokenizer is not None, "tokenizer", None, "load the guard with from_pretrained")
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        tokens = np.array(ids, dtype=np.int64)
        held = np.isin(tokens, [*self.tokenizer.all_special_ids, self.model.config.image_token_id])
        held &= tokens != self.tokenizer.unk_token_id
        shown = self.tokenizer.convert_ids_to_tokens(tokens[held].tolist())
        require(not held.any(), "text", shown, "take out what the tokenizer reads as special tokens")
        return tokens

    def unsafe(
        self,
        token_ids: NDArray[np.int64],
        images: NDArray[np.float32],
        image_index: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        """Return the verdicts, True where the model calls the pair unsafe; arguments as in :meth:`scores`."""
        return self.scores(token_ids, images, image_index) > self.margin

    def scores(
        self,
        token_ids: NDArray[np.int64],
        images: NDArray[np.float32],
        image_index: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Return by how many logits unsafe beats safe.

        Of the texts that go with one image the last is the *root*: it is read from beginning to end. The others are
        *branches*: each shares its first s words with the root, and is read from word s on, on the root's keys and
        values. Branches of one s are read together: all prompts have one length, so nothing is padded.

        Args:
            token_ids: shape ``(batch, length)``, int64, the untrusted text.
            images: shape ``(images, 3, height, width)``, pixel units [0, 1] before normalisation; noise may leave them.
            image_index: shape ``(batch,)``, which image goes with which text; by default text i goes with image i.
                Texts of one image share what they begin with; an image without a text is not encoded.

        Returns:
            shape ``(batch,)``, float32.

        Raises:
            ValueError: if a shape does not fit, or an id is special or unknown to the model.
        """
        texts, pixels = np.asarray(token_ids), np.asarray(images, dtype=np.float32)
        index = np.arange(len(texts)) if image_index is None else np.asarray(image_index)
        self._check(texts, pixels, index)
        used, image = np.unique(index, return_inverse=True)
        root = np.zeros(len(used), dtype=np.int64)
        np.maximum.at(root, image, np.arange(len(texts)))
        equal = texts == texts[root[image]]
        shared = np.minimum.accumulate(equal, axis=1).sum(axis=1)  # leading words in common with the root
        shared = np.minimum(shared, texts.shape[1] + len(self.after) - 1)  # the last token is always read
        branches = np.setdiff1d(np.arange(len(texts)), root)
        gaps = np.empty(len(texts), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(used), self.batch_size):
                batch = slice(start, start + self.batch_size)
                here = branches[image[branches] // self.batch_size == start // self.batch_size]
                prompts = self._prompts(texts[root[batch]], pixels[used[batch]])
                gaps[root[batch]], cache = self._read(prompts, keep=here.size > 0)
                for s in np.unique(shared[here]):
                    group = here[shared[here] == s]
                    for rows in np.split(group, range(self.batch_size, len(group), self.batch_size)):
                        known = _selected(cache, image[rows] - start, len(self.before) + int(s))
                        gaps[rows], _ = self._read(self._embedded(self._ended(texts[rows, s:])), known)
        return gaps

    def _prompts(self, texts: NDArray[np.int64], images: NDArray[np.float32]) -> Any:
        """Whole prompts, embedded, each with its image; shape ``(batch, length, width)``."""
        before = np.broadcast_to(self.before, (len(texts), len(self.before)))
        prompts = self._embedded(self._ended(np.concatenate([before, texts], axis=1)))
        mean, std = (np.asarray(c, dtype=np.float32)[:, None, None] for c in (self.mean, self.std))
        pixels = torch.from_numpy((images - mean) / std).to(prompts.device, prompts.dtype)
        features = self.model.get_image_features(pixel_values=pixels).pooler_output
        prompts[:, np.flatnonzero(self.before == self.model.config.image_token_id)] = torch.stack(tuple(features))
        return prompts

    def _read(self, embedded: Any, known: Any = None, *, keep: bool = False) -> tuple[NDArray[np.float32], Any]:
        """Run the language model, on known keys and values if given; return by how much unsafe wins, and the cache."""
        language = self.model.model.language_model
        output = language(inputs_embeds=embedded, past_key_values=known, use_cache=keep or known is not None)
        logits = self.model.lm_head(output.last_hidden_state[:, -1]).float()
        unsafe, safe = (torch.logsumexp(logits[:, list(ids)], dim=1) for ids in (self.unsafe_ids, self.safe_ids))
        return (unsafe - safe).cpu().numpy(), output.past_key_values

    def _ended(self, texts: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([texts, np.broadcast_to(self.after, (len(texts), len(self.after)))], axis=1)

    def _embedded(self, ids: NDArray[np.int64]) -> Any:
        embeddings = self.model.get_input_embeddings()
        return embeddings(torch.from_numpy(ids).to(embeddings.weight.device))

    def _check(self, texts: NDArray[np.int64], images: NDArray[np.float32], index: NDArray[np.int64]) -> None:
        require(texts.ndim == 2, "token_ids", texts.shape, "give shape (batch, length)")
        require(index.shape == (len(texts),), "image_index", index.shape, f"give one image per text, ({len(texts)},)")
        fits = images.ndim == 4 and images.shape[1:] == (len(self.mean), *self.image_size)
        remedy = f"give shape (images, {len(self.mean)}, {self.image_size[0]}, {self.image_size[1]})"
        require(fits, "images", images.shape, remedy)
        inside = index.size == 0 or (index.min() >= 0 and index.max() < len(images))
        require(bool(inside), "image_index", index, f"give places from 0 to {len(images) - 1}")
        known = (texts >= 0) & (texts < self.model.get_input_embeddings().num_embeddings)
        known &= texts != self.model.config.image_token_id
        if not known.all():
            bad = int(texts[~known][0])
            require(False, "token_ids", bad, "give ids of the model's vocabulary, without the image placeholder")


def _selected(cache: Any, rows: NDArray[np.int64], length: int) -> Any:
    """A cache of the first tokens of some rows; the given one stays as it is."""
    part = copy.copy(cache)
    part.layers = [copy.copy(layer) for layer in cache.layers]
    part.crop(length - cache.get_seq_length())
    part.batch_select_indices(torch.from_numpy(rows).to(cache.layers[0].keys.device))
    return part


def _alphabet(tokenizer: Any, special: set[int], chosen: ArrayLike | None) -> NDArray[np.int64]:
    """The ordinary tokens, or those of them that were chosen."""
    ordinary = set(tokenizer.get_vocab().values()) - special
    if chosen is None:
        return np.array(sorted(ordinary), dtype=np.int64)
    ids = np.unique(np.asarray(chosen, dtype=np.int64))
    for token in ids.tolist():
        shown = f"{token} ({tokenizer.convert_ids_to_tokens(token)!r})" if token in special else token
        require(token in ordinary, "alphabet", shown, "leave out special tokens, the image placeholder and unknown ids")
    return ids


def _prompt(processor: Any, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids before and after the untrusted text, by the checkpoint's own chat template."""
    content = [{"type": "image"}, {"type": "text", "text": SENTINEL}]
    rendered = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    pieces = rendered.split(SENTINEL)
    require(len(pieces) == 2, "chat template", rendered, "it must show the user's text once")
    blank = np.zeros((size, size, 3), dtype=np.uint8)
    before = processor(text=pieces[0], images=blank, add_special_tokens=False, return_tensors="np")["input_ids"][0]
    after = processor.tokenizer(pieces[1], add_special_tokens=False, return_tensors="np")["input_ids"][0]
    return before.astype(np.int64), after.astype(np.int64)


def _single_ids(tokenizer: Any, words: Sequence[str]) -> tuple[int, ...]:
    """Ids of those spellings that are one ordinary token."""
    found = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    unknown = tokenizer.unk_token_id
    ids = tuple(sorted({ids[0] for ids in found if len(ids) == 1 and ids[0] != unknown}))
    require(len(ids) > 0, "tokenizer", list(words), "use a tokenizer that has one of these as a single token")
    return ids
