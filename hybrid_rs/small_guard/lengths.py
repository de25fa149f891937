"""BayNotes at other lengths: only the goods of a note, or the note among sentences that name no goods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hybrid_rs._checks import integer, kind
from hybrid_rs.small_guard.language import FAMILIES, encode, fill
from hybrid_rs.smoothing.example import Example

SENTENCES = (
    "the {role} {verb} {count} {adjective} {container} near the {place} at {time} .",
    "{name} and {name} {verb} {count} {container} from the {place} before {time} .",
    "{role} {name} asked for {count} {adjective} {container} at the {place} today .",
    "please see the list that {name} the {role} signed at {time} .",
    "{count} {container} are here since {time} and {name} keeps the {place} .",
)
"""Sentences of 12 words that name no goods, and so leave the verdict to the note."""

WORDS = 12
MOST = 2**10  # largest number of sentences

_GOODS = frozenset(cue for cues in FAMILIES.values() for cue in cues)


def goods_alone(example: Example) -> Example:
    """Keep the picture and only the goods of the note: 8 words for the four goods of a BayNotes note.

    Example:
        >>> note = Example("a", encode("flour , moved by maria with rice ."), np.zeros((3, 8, 8)), unsafe=True,
        ...                text="flour , moved by maria with rice .")
        >>> goods_alone(note).text
        'flour , rice .'
    """
    kind("example", example, Example, "give an example of BayNotes")
    goods = [word for word in example.text.split() if word in _GOODS]
    text = " , ".join(goods) + " ."
    return replace(example, id=f"{example.id}/goods", token_ids=encode(text), text=text)


def among_sentences(example: Example, sentences: int, seed: int = 0) -> Example:
    """Keep the picture and put the note among sentences of 12 words that name no goods.

    The number of sentences before the note is uniform. The result depends only on the arguments and the example's id.

    Args:
        example: an example of BayNotes.
        sentences: how many, at least 0; the small guard has room for 7, with a note of 24 words and 8 pads.
        seed: which sentences, at least 0.

    Raises:
        ValueError: if sentences or seed is not a whole number of at least 0.

    Example:
        >>> from hybrid_rs.small_guard import notes as bay_notes
        >>> note = bay_notes.examples("test", 1)[0]
        >>> len(among_sentences(note, 3).token_ids) - len(note.token_ids)
        36
    """
    kind("example", example, Example, "give an example of BayNotes")
    count, seed = integer("sentences", sentences, 0, MOST), integer("seed", seed, 0)
    rng = np.random.default_rng([seed, count, *example.id.encode()])
    written = [fill(rng, SENTENCES, ()) for _ in range(count)]
    before = int(rng.integers(count + 1))
    text = " ".join([*written[:before], example.text, *written[before:]])
    return replace(example, id=f"{example.id}/among {count}/{seed}", token_ids=encode(text), text=text)
