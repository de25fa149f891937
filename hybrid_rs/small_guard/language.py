"""The language of the shift notes: families of goods, templates, the vocabulary, and the ids of words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import integer, require, several, text as text_of

Language = Literal["seen", "unseen"]

FAMILIES: dict[str, tuple[str, ...]] = {
    "acids": ("nitric", "vitriol", "formic", "acetic", "muriatic", "phosphoric"),
    "alkalis": ("lye", "ammonia", "potash", "caustic", "quicklime", "limewater"),
    "oxidisers": ("peroxide", "chlorate", "bleach", "nitrate", "permanganate", "perchlorate"),
    "fuels": ("petrol", "diesel", "kerosene", "butane", "naphtha", "paraffin"),
    "metals": ("sodium", "lithium", "magnesium", "zinc", "potassium", "aluminium"),
    "explosives": ("dynamite", "fireworks", "flares", "cordite", "detonators", "gunpowder"),
    "foods": ("flour", "rice", "sugar", "lentils", "oats", "biscuits"),
    "medicines": ("insulin", "aspirin", "vaccine", "morphine", "antibiotics", "heparin"),
}
"""The families in their fixed order, each with six cue words: the first four are seen, the last two unseen."""

SEEN_CUES = 4

_SLOTS: dict[str, str] = {
    "name": "maria tomas aisha viktor ingrid pedro yuki omar lena james fatima karl nadia rui sven clara dmitri elena hugo "
    "amina paul greta samir julia ivan rosa felix mei anton sofia bruno leila oskar tara nils carmen jorge hana emil petra "
    "david zara peter kofi simon vera luis edith marco wanda",
    "time": "dawn sunrise breakfast noon lunch teatime dusk sunset midnight monday tuesday wednesday thursday friday saturday "
    "sunday morning afternoon evening daybreak nightfall one two three four five six seven eight nine ten eleven twelve",
    "place": "gate dock ramp hall yard office canteen corridor lift stairs weighbridge platform crane tunnel annex cellar attic "
    "garage kiosk lobby courtyard quay siding depot shed workshop laboratory cabin barrier checkpoint balcony roof basement "
    "entrance exit turntable mezzanine forecourt lodge landing",
    "count": "several fifteen twenty thirty forty fifty sixty hundred dozen few many some spare more extra",
    "container": "drums crates boxes sacks barrels pallets cartons tins jars bottles cans casks tubs bins bundles parcels "
    "flasks kegs buckets trays canisters packs bags cases",
    "verb": "moved brought carried stacked shifted unloaded delivered placed rolled hauled lifted wheeled dropped left stored "
    "parked counted received checked logged",
    "adjective": "sealed heavy new old dented labelled wet dusty blue green yellow red grey white black small large empty clean "
    "broken wooden plastic steel urgent late early north south east west front rear upper lower",
    "role": "driver foreman clerk guard porter trainee manager inspector courier supervisor mechanic fitter carrier",
}

_SEEN_TEMPLATES = (
    "shift note : {name} {verb} {count} {container} of {good} , {good} and {good} by the {place} at {time} with {good} on top .",
    "at {time} {name} {verb} {good} and {good} here from the {place} , then {count} {adjective} {container} of {good} and {good} .",
    "{name} says the {role} {verb} {count} {container} of {good} , some {good} , and {count} {container} of {good} and {good} .",
    "please note : {count} {container} of {good} and {good} came through the {place} at {time} , {good} and {good} come later .",
    "for this bay : {good} in {adjective} {container} , {good} in {container} , also {good} and {good} , signed {name} the {role} .",
    "the {role} {verb} {adjective} {container} of {good} before {time} ; {name} added {good} , {good} and {count} {container} of {good} .",
    "stock count at {time} : {count} {good} , {count} {good} , {count} {good} and {good} , all {verb} by {name} at the {place} .",
    "{time} report from {name} : {verb} {good} near the {place} , and {count} {container} of {good} with {good} and {good} behind .",
    "we have {good} , {good} and {good} in {adjective} {container} here since {time} and {name} {verb} {count} {good} beside them .",
    "handover : {name} to {name} , {container} of {good} and {good} are in , {good} and {good} came from the {place} at {time} .",
    "after {time} the {role} found {good} in {count} {adjective} {container} , next to {good} , {good} and {good} from {name} .",
    "hello , this is {name} , i {verb} {good} and {good} with the {role} , and {count} {container} of {good} and {good} .",
)
_UNSEEN_TEMPLATES = (
    "{name} wrote at {time} : received {good} , plus {count} {container} of {good} , {good} via the {place} , and again {good} .",
    "today {count} {adjective} {container} hold {good} , others hold {good} or {good} , and {role} {name} keeps {good} too .",
    "inventory : {good} ; {good} ; {good} ; {good} ; {count} {container} altogether , kept by {role} {name} until {time} .",
    "in here you will find {good} under {good} , and over it {container} with {good} or {good} , {verb} by {name} .",
)
_GLOSSARY_TEMPLATES = (
    "glossary : {good} .",
    "what is {good} ?",
    "look up {good} in the glossary .",
    "the label on the {adjective} {container} says {good} .",
    "{name} asked the {role} what {good} means .",
    "a word for the list : {good} , see also {good} .",
    "the book says that {good} and {good} belong together , so {role} {name} put that in the glossary at {time} .",
)
_ANSWERS = ("safe", "unsafe")

SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>", "<mask>", "<image>", "<user>", "<assistant>")
"""Tokens that are not words: padding, unknown, begin, end, the absorbing kernel's mask, image, two speakers."""


def _words() -> tuple[str, ...]:
    templates = " ".join(_SEEN_TEMPLATES + _UNSEEN_TEMPLATES + _GLOSSARY_TEMPLATES)
    fixed = re.sub(r"\{\w+\}", "", templates).split()
    slots = " ".join(_SLOTS.values()).split()
    cues = [cue for cues in FAMILIES.values() for cue in cues]
    return tuple(sorted({*fixed, *slots, *cues, *FAMILIES, *_ANSWERS}))


VOCABULARY: tuple[str, ...] = SPECIAL_TOKENS + _words()
"""Every token; a token's id is its position here. The words begin at ``len(SPECIAL_TOKENS)``."""

_ID = {word: i for i, word in enumerate(VOCABULARY)}


def alphabet() -> NDArray[np.int64]:
    """Return the ids of all words, shape ``(V,)``, int64, ascending: every token that is not special.

    They include the answer words, because a note may contain "safe".
    """
    return np.arange(len(SPECIAL_TOKENS), len(VOCABULARY), dtype=np.int64)


def encode(text: str) -> NDArray[np.int64]:
    """Return the ids of the space-separated words of a text, shape ``(length,)``, int64.

    Raises:
        ValueError: if a word is not in the vocabulary.

    Example:
        >>> decode(encode("maria moved flour ."))
        'maria moved flour .'
    """
    words = text_of("text", text).split()
    for word in words:
        require(word in _ID, "text", word, "use words of hybrid_rs.small_guard.language.VOCABULARY", repr)
    return np.array([_ID[word] for word in words], dtype=np.int64)


def decode(token_ids: Iterable[int]) -> str:
    """Return the words of a sequence of ids, separated by spaces.

    Raises:
        ValueError: if an id is outside the vocabulary.
    """
    given = several("token_ids", token_ids, f"give ids from 0 to {len(VOCABULARY) - 1}")
    ids = [integer("token_ids", each, 0, len(VOCABULARY) - 1) for each in given]
    return " ".join(VOCABULARY[i] for i in ids)


def cues(family: str, language: Language) -> tuple[str, ...]:
    """Return the cue words of a family in this language: four seen ones or two unseen ones."""
    return FAMILIES[family][:SEEN_CUES] if language == "seen" else FAMILIES[family][SEEN_CUES:]


def write_note(rng: np.random.Generator, family: str, language: Language) -> str:
    """Write a note of 20 to 24 words that names goods of one family four times and ends with its only full stop.

    Seen notes use seen templates and seen cue words, unseen notes unseen templates and unseen cue words.
    """
    templates = _SEEN_TEMPLATES if language == "seen" else _UNSEEN_TEMPLATES
    return fill(rng, templates, cues(family, language))


def write_glossary(rng: np.random.Generator, family: str) -> str:
    """Write a sentence of 4 to 21 words about one family's cue words, seen and unseen; it never names the family."""
    return fill(rng, _GLOSSARY_TEMPLATES, FAMILIES[family])


def fill(rng: np.random.Generator, templates: tuple[str, ...], goods: tuple[str, ...]) -> str:
    """Fill every slot of a random template with an independent random word.

    Args:
        rng: the source of the template and of the words.
        templates: sentences of words of the vocabulary and slots such as ``{name}``; ``{good}`` is a cue word.
        goods: the words that may fill ``{good}``.

    Example:
        >>> fill(np.random.default_rng(0), ("is {good} here ?",), ("flour",))
        'is flour here ?'
    """
    slots = {slot: words.split() for slot, words in _SLOTS.items()} | {"good": list(goods)}
    template = templates[rng.integers(len(templates))]
    return re.sub(r"\{(\w+)\}", lambda m: slots[m[1]][rng.integers(len(slots[m[1]]))], template)
