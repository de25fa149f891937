"""The prompt of a guard: the ids around the untrusted text, and the ids of the answers."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require
from hybrid_rs.guards import template
from hybrid_rs.guards.wording import Wording

SENTINEL = "untrusted-text-goes-here"


class Prompt(NamedTuple):
    """Token ids around the untrusted text, and the ids that are read as the answer.

    Args:
        before: ids before the text, with repeated image placeholders.
        after: ids after the text, including a forced beginning of the answer.
        safe_ids: spellings of the word that means safe; empty if the verdict is not read from one token.
        unsafe_ids: spellings of the word that means unsafe, with the same capital letters and spaces.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    safe_ids: tuple[int, ...]
    unsafe_ids: tuple[int, ...]


class Frame(NamedTuple):
    """The text of a prompt around the untrusted text.

    Args:
        opening: the text before it, without spaces at its end.
        ending: the text after it, including the beginning of the answer.
        lead: the spaces before it. They are read with it, because tokenizers join a space and the word after it.
    """

    opening: str
    ending: str
    lead: str = ""


def placeholders(config: Any) -> list[int]:
    """Return the ids that stand for images and videos; no untrusted text may contain them."""
    return [i for i in (config.image_token_id, getattr(config, "video_token_id", None)) if i is not None]


def untrusted_ids(tokenizer: Any, text: str, forbidden: list[int], opening: str = "") -> NDArray[np.int64]:
    """Return the ids of a text; a word spelled like a special token is read as ordinary text, or refused.

    Args:
        tokenizer: the tokenizer.
        text: the text.
        forbidden: ids that no text may contain.
        opening: the text of the prompt before it. Tokenizers read the first word by what comes before it: many begin a
            text that stands alone with a space. Where the tokenizer joins the end of the opening and the beginning of
            the text in one token, the text is read alone.
    """
    ordinary = {"add_special_tokens": False, "split_special_tokens": True}
    alone, as_it_is = (tokenizer(text, **how)["input_ids"] for how in (ordinary, {"add_special_tokens": False}))
    if alone != as_it_is:  # with such a word: special tokens of the opening cannot be read as such at the same time
        opening = _unspecial(tokenizer, opening)
    ids = _ending(tokenizer, opening + text, len(opening), split_special_tokens=alone != as_it_is)
    held = np.isin(ids, [*tokenizer.all_special_ids, *forbidden]) & (ids != tokenizer.unk_token_id)
    shown = tokenizer.convert_ids_to_tokens(ids[held].tolist())
    require(not held.any(), "text", shown, "remove what the tokenizer reads as special tokens")
    return ids


def _unspecial(tokenizer: Any, text: str) -> str:
    """Return what follows the last special token of a text."""
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    ends = [
        last for token, (_, last) in zip(read["input_ids"], read["offset_mapping"], strict=True) if token in special
    ]
    return text[max(ends, default=0) :]


def in_place(tokenizer: Any, frame: Frame) -> dict[str, list[int]]:
    """Return how a text is read in a prompt, for the guard's identity; empty if it is read as if it stood alone."""
    alone, placed = (
        untrusted_ids(tokenizer, SENTINEL, []),
        untrusted_ids(tokenizer, frame.lead + SENTINEL, [], frame.opening),
    )
    return {} if np.array_equal(alone, placed) else {"text": placed.tolist()}


def opened(processor: Any, wording: Wording) -> Frame:
    """Return the text of the prompt around the untrusted text, from the checkpoint's own chat template.

    If no text is read, all of the prompt comes before it.

    Raises:
        ValueError: if the template does not show the text exactly once, between the words around it.
    """
    shown = wording.before_text + SENTINEL + wording.after_text if wording.reads_text else None
    texts = [{"type": "text", "text": text} for text in (wording.policy, shown) if text]
    conversation = [{"role": "user", "content": [{"type": "image"}, *texts]}]
    rendered = template.rendered(processor, conversation)
    pieces = rendered.split(SENTINEL) if wording.reads_text else [rendered, ""]
    require(len(pieces) == 2, "chat template", rendered, "it must show the user's text exactly once")
    policy = wording.policy
    require(not policy or policy.strip() in pieces[0], "chat template", rendered, "it must show the policy first")
    around = wording.before_text.strip() in pieces[0] and wording.after_text.strip() in pieces[1]
    require(around, "chat template", rendered, "it must show the words around the user's text")
    if not wording.reads_text:
        return Frame(wording.begun(rendered), "")
    opening = pieces[0].rstrip(" ")
    return Frame(opening, wording.begun(pieces[1]), pieces[0][len(opening) :])


def asked(processor: Any, text: str, image: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the output of a checkpoint's processor for a prompt and an image, with the first token only once."""
    bos = processor.tokenizer.bos_token
    begun = bos is not None and text.startswith(bos)
    try:
        made = processor(text=text, images=image, add_special_tokens=not begun, return_tensors="np")
        return {name: np.asarray(value) for name, value in made.items()}
    except Exception as error:  # processors raise many kinds of errors for templates that they were not written for
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"processor: it cannot read the prompt {text[:200]!r} with an image ({said})") from error


def prompt(processor: Any, image_size: tuple[int, int], wording: Wording, *, one_token: bool = True) -> Prompt:
    """Return the ids around the untrusted text and the ids of the answers, using the checkpoint's own chat template.

    Args:
        processor: the checkpoint's processor; it knows how many placeholders an image of that size needs.
        image_size: (height, width).
        wording: the words of the prompt.
        one_token: whether the verdict is read from one token; otherwise no ids of answers are looked for.

    Raises:
        ValueError: as :func:`opened`; if the processor does not read a text between these ids, as they are; or if no
            spelling makes both answers one token after the prompt.
    """
    opening, ending, lead = opened(processor, wording)
    tokenizer, blank = processor.tokenizer, np.zeros((*image_size, 3), dtype=np.uint8)
    before = asked(processor, opening, blank)["input_ids"][0].astype(np.int64)
    whole, start, after = opening, 0, before[:0]
    if wording.reads_text:
        whole, start = opening + SENTINEL + ending, len(opening) + len(SENTINEL)
        after = _ending(tokenizer, whole, start)
        words = untrusted_ids(tokenizer, lead + SENTINEL, [], opening)
        read = asked(processor, opening + lead + SENTINEL + ending, blank)["input_ids"][0]
        same = np.array_equal(read, np.concatenate([before, words, after]))
        remedy = "it reads a text within this prompt in another way; give other words around the text"
        require(same, "processor", repr(opening[-40:] + lead + SENTINEL + ending[:40]), remedy)
    answers = _answers(tokenizer, whole, start, wording) if one_token else ((), ())
    return Prompt(before, after, *answers)


def _answers(tokenizer: Any, asked: str, start: int, wording: Wording) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the tokens for safe and unsafe after the prompt; a spelling counts for both words or for neither.

    The words are spelled as given, in small letters, with a capital, and in capitals. If the prompt ends with white
    space or a quotation mark, no space comes before the word.
    """
    after = _ending(tokenizer, asked, start)
    answers = wording.answers
    spaces = ("",) if asked[-1] in "\"'`\n\t " else ("", " ")
    found = set()
    for words in {tuple(map(spell, answers)) for spell in (str, str.lower, str.capitalize, str.upper)}:
        for space in spaces:
            ids = [_ending(tokenizer, asked + space + word, start) for word in words]
            single = all(len(each) == len(after) + 1 and np.array_equal(each[:-1], after) for each in ids)
            last = tuple(int(each[-1]) for each in ids)
            if single and tokenizer.unk_token_id not in last:
                found.add(last)
    remedy = (
        f"no spelling of {answers[0]} and {answers[1]} is one token in both words after {asked[-20:]!r}; give other "
        f"answers, or an answer_prefix after which one is, such as 'Answer:'; or let the guard generate its answer: "
        "--generate, in Python ReasoningGuard"
    )
    prefix = wording.answer_prefix
    about = ("answer_prefix", prefix) if prefix else ("answers", ",".join(answers))
    require(bool(found), *about, remedy, repr)
    safe, unsafe = zip(*found, strict=True)
    require(not {*safe} & {*unsafe}, "answers", answers, "give words that differ in more than capital letters")
    return tuple(sorted(set(safe))), tuple(sorted(set(unsafe)))


def _ending(tokenizer: Any, text: str, start: int, **how: bool) -> NDArray[np.int64]:
    """Return the ids of the text from a character on, as tokenised in context: alone, it might get a leading space."""
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, **how)
    ids, (first, last) = np.array(read["input_ids"], dtype=np.int64), np.array(read["offset_mapping"]).reshape(-1, 2).T
    if np.any((first < start) & (start < last)):  # a token spans the border
        return np.array(tokenizer(text[start:], add_special_tokens=False, **how)["input_ids"], dtype=np.int64)
    return ids[first >= start]
