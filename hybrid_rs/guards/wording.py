"""The words of a guard's prompt: around the untrusted text, at the beginning of the answer, and for the verdicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from hybrid_rs._checks import choice, flag, require, several, text

ANSWERS = ("safe", "unsafe")
Undecided: TypeAlias = Literal["unsafe", "safe"]  # the verdict for answers that have none


@dataclass(frozen=True)
class Wording:
    """The words of a prompt. All but the answer's beginning stand in the user's turn, after the image.

    Args:
        policy: goes first.
        before_text: a label or a line that stands directly before the untrusted text, such as ``"User: "``.
        after_text: stands directly after the untrusted text.
        answer_prefix: what the answer is forced to begin with; it is not repeated where the prompt ends with it.
        answers: the words that mean safe and unsafe; other capitals count as well.
        reads_text: False for a guard that judges the image alone; then no text is read.

    Raises:
        ValueError: if the answers are not two different words, or words stand around a text that is not read.

    Example:
        >>> Wording(answer_prefix="Rating:").begun("Assistant: ")
        'Assistant: Rating:'
    """

    policy: str | None = None
    before_text: str = ""
    after_text: str = ""
    answer_prefix: str = ""
    answers: tuple[str, str] = ANSWERS
    reads_text: bool = True

    def __post_init__(self) -> None:
        for name in ("before_text", "after_text", "answer_prefix"):
            text(name, getattr(self, name))
        require(self.policy is None or isinstance(self.policy, str), "policy", self.policy, "give a text", repr)
        remedy = "give two words, the one that means safe and the one that means unsafe"
        words = several("answers", self.answers, remedy, str)
        require(len(words) == 2 and all(word.strip() == word != "" for word in words), "answers", words, remedy)
        apart = words[0].casefold() != words[1].casefold()
        require(apart, "answers", words, "give words that differ in more than capital letters")
        around = self.before_text + self.after_text
        remedy = "this guard reads no text; leave out the words around it"
        require(flag("reads_text", self.reads_text) or not around, "before_text, after_text", around, remedy, repr)

    def begun(self, ending: str) -> str:
        """Return the end of a prompt with the beginning of the answer."""
        there = self.answer_prefix != "" and ending.endswith(self.answer_prefix)
        return ending if there else ending + self.answer_prefix


@dataclass(frozen=True)
class Preset:
    """The published prompt of a public guard, without its policy.

    Args:
        wording: the structure of the prompt.
        models: the checkpoints that it is for.
        policy: where the policy is published, or already contained.
        needs_policy: whether the prompt is incomplete without one.
    """

    wording: Wording
    models: str
    policy: str
    needs_policy: bool


PRESETS = {
    "llavaguard": Preset(
        Wording(answer_prefix='{\n    "rating": "', answers=("Safe", "Unsafe"), reads_text=False),
        "LlavaGuard v1.2 and QwenGuard v1.2",
        "the model card has the policy, which ends with the JSON template of the answer",
        needs_policy=True,
    ),
    "llama-guard-3-vision": Preset(
        Wording(answer_prefix="\n\n"),
        "Llama Guard 3 11B Vision",
        "the chat template of the checkpoint contains it",
        needs_policy=False,
    ),
    "llama-guard-4": Preset(
        Wording(answer_prefix="\n\n"),
        "Llama Guard 4 12B",
        "the chat template of the checkpoint contains it",
        needs_policy=False,
    ),
    "shieldgemma": Preset(
        Wording(answers=("No", "Yes"), reads_text=False),
        "ShieldGemma 2, and Gemma 3 checkpoints that are asked as it is: does the image violate the policy?",
        "the model card has three guidelines; for Gemma 3, end the file with the question: does the image violate it?",
        needs_policy=True,
    ),
}


def worded(preset: str | None, **given: Any) -> Wording:
    """Return the wording of a preset, or the default one, with the given fields replaced.

    Args:
        preset: its name, or None.
        given: fields of :class:`Wording`; None leaves a field as it is.

    Raises:
        ValueError: if there is no such preset, or its policy is missing.

    Example:
        >>> worded("shieldgemma", policy="No gore. Does the image violate this policy?").answers
        ('No', 'Yes')
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    if preset is None:
        return Wording(**chosen)
    known = PRESETS[choice("preset", preset, tuple(PRESETS))]
    there = not known.needs_policy or bool(given.get("policy"))
    require(there, "policy", None, f"preset {preset} needs a policy in a file: {known.policy}")
    return replace(known.wording, **chosen)
