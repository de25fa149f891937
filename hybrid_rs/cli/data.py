"""The options about data: they give the entries of a data set on disk, and the guard's example of each entry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybrid_rs._checks import require, shown
from hybrid_rs.cli import options as o
from hybrid_rs.cli.showing import note
from hybrid_rs.datasets.layouts import guessed_layout as guessed_layout, jsonl_of

if TYPE_CHECKING:
    from hybrid_rs.datasets import Entries, Entry, Problem
    from hybrid_rs.smoothing.deletion import AnySmoothed
    from hybrid_rs.smoothing.example import Example

UNKNOWN = 0.1  # share of unknown tokens above which a text is noted
MM_SAFETYBENCH = "these options are for MM-SafetyBench; leave them out"
LARGE, LARGE_SIDE = 2**22, 2048  # most pixels without --max-side (64 noisy copies take 3 GiB); a remedy
FIELDS = {"jsonl": ("image", "text", "label", "id"), "hugging-face": ("image", "text", "label")}


@dataclass(frozen=True)
class Source:
    """A data set on disk; a group of options."""

    data: o.Data
    layout: o.LayoutOption = None
    split: o.Split = None
    kind: o.Kind = "SD_TYPO"
    scenario: o.Scenario = None
    tiny: o.Tiny = False
    interaction_only: o.InteractionOnly = False
    neutral_text: o.NeutralText = "Describe the image."
    field: o.Field = None
    fit: o.FitOption = None
    max_side: o.MaxSide = None
    look: o.LookOption = None
    on_problem: o.OnProblemOption = "refuse"
    limit: o.Limit = None
    max_pixels: o.MaxPixels = o.MAX_PIXELS

    def entries(self) -> Entries:
        """Load the entries, the first ``limit`` of them; images after these are not opened.

        Raises:
            ValueError: if none can be used.
        """
        from hybrid_rs import datasets

        layout, path = self.layout or guessed_layout(self.data), self.data
        names, split, common = self._fields(layout), self.split, self._common
        require(
            split is None or layout in ("hateful-memes", "hugging-face"),
            "split",
            split,
            f"{layout} has none; leave it out",
        )
        if layout != "mm-safetybench":
            require(not self.scenario and not self.tiny, "scenario, tiny", (self.scenario, self.tiny), MM_SAFETYBENCH)
            require(self.kind == Source.kind, "kind", self.kind, MM_SAFETYBENCH)
        fits = self.interaction_only or self.neutral_text == Source.neutral_text
        require(fits, "neutral_text", self.neutral_text, "it is for --interaction-only; leave it out", repr)
        if layout == "jsonl":
            file, usual = jsonl_of(path)
            found = datasets.load_jsonl(file, **usual | names, **common)
        elif layout == "hateful-memes":
            found = datasets.load_hateful_memes(path, split or "dev_seen", **common)  # type: ignore[arg-type]
        elif layout == "mm-safetybench":
            found = datasets.load_mm_safetybench(path, self.kind, self.scenario, tiny=self.tiny, **common)
        else:
            found = datasets.load_hugging_face(path, split, **names, **common)
        _some(len(found), path, found.problems)
        if found.repeats:
            note(f"{len(found.repeats)} of {len(found)} entries repeat image and text of another; all are kept")
        return found

    def examples(self, entries: Entries, smoothed: AnySmoothed, problems: list[Problem]) -> Iterator[Example]:
        """Yield the guard's example of every entry; an entry that cannot be used is an error or goes to ``problems``.

        All texts are encoded before the first image is read.

        Raises:
            ValueError: if an entry is refused, or none is left.
        """
        from hybrid_rs.datasets import Problem
        from hybrid_rs.smoothing.draws import require_readable

        guard: Any = smoothed.guard
        neutral = self._neutral(guard)
        encoded: dict[str, NDArray[np.int64]] = {}
        unknown: dict[str, float] = {}
        for entry in entries:
            with self._blaming(entry.id, problems):
                token_ids = _encoded(guard, entry.text)
                smoothed.threat.noised(len(token_ids))  # a threat may need a text that is not empty
                require_readable(guard, len(token_ids) + smoothed.threat.slot, "text")
                encoded[entry.id] = token_ids
                unknown[entry.id] = unknown_share(guard, token_ids)
        tell_unknown(unknown)
        _some(len(encoded) or not len(entries), self.data, problems)
        for entry in entries:
            if entry.id in encoded:
                with self._blaming(entry.id, problems):
                    example = self._example(entry, encoded[entry.id], smoothed)
                    if reason := self._no_interaction(guard, example, neutral):
                        problems.append(Problem(entry.id, reason))
                        continue
                    yield example

    def _neutral(self, guard: Any) -> NDArray[np.int64] | None:
        """Return the neutral text of the interaction filter as token ids; None if there is no filter."""
        from hybrid_rs.smoothing.answers import AnswerError

        try:
            return _encoded(guard, self.neutral_text) if self.interaction_only else None
        except AnswerError as error:
            raise error.at(f"--neutral-text {shown(self.neutral_text, repr)}") from error

    def _no_interaction(self, guard: Any, example: Example, neutral: NDArray[np.int64] | None) -> str:
        """Return why an example fails the interaction filter; empty if it passes, or if there is no filter."""
        if neutral is None:
            return ""
        from hybrid_rs.datasets.interaction import interaction_only

        grey = np.full(example.image.shape, np.float32(128 / 255))
        found = interaction_only(guard, [example], neutral_text=neutral, blank_image=grey)
        failed = [name for name, share in found.shares.items() if share == 0 and name != "interaction only"]
        return f"the interaction filter: not {' and not '.join(failed)}" if failed else ""

    def _example(self, entry: Entry, token_ids: NDArray[np.int64], smoothed: AnySmoothed) -> Example:
        """The guard's example of an entry; a guard whose image size is None takes images in their own size."""
        from hybrid_rs.smoothing.draws import require_readable

        guard: Any = smoothed.guard
        native = guard.image_size is None
        look = self.look or ("stock" if native else "web")
        how: dict[str, Any] = {"max_side": self.max_side, "max_pixels": self.max_pixels, "look": look}
        own = getattr(guard, "fit", None)  # of a user's guard it may be a method that trains it
        fit: Any = self.fit or (own if isinstance(own, str) and not native else "stretch")
        example = entry.example(token_ids, guard.image_size, fit=fit, **how)
        height, width = example.image.shape[1:]
        remedy = f"noise on it would take too much memory; give --max-side, such as {LARGE_SIDE}"
        small = not native or self.max_side is not None or height * width <= LARGE
        require(small, "image", f"{height} x {width} pixels", remedy)
        at = getattr(guard, "at", None)
        if native and at is not None:  # the number of image tokens depends on the size: does the text still fit?
            require_readable(at((height, width)), len(token_ids) + smoothed.threat.slot, "text")
        return example

    @property
    def _common(self) -> dict[str, Any]:
        return {"on_problem": self.on_problem, "max_pixels": self.max_pixels, "first": self.limit}

    @contextmanager
    def _blaming(self, entry: str, problems: list[Problem]) -> Iterator[None]:
        """Name the entry in an error; with ``--on-problem skip`` add it to the problems instead."""
        from hybrid_rs.datasets import Problem

        try:
            yield
        except ValueError as error:
            reason = str(error).removeprefix(f"entry {shown(entry)}: ")
            if self.on_problem == "refuse":
                raise ValueError(
                    f"entry {shown(entry)}: {shown(reason, most=600)}; give --on-problem skip to leave it out"
                ) from error
            problems.append(Problem(entry, reason))

    def _fields(self, layout: str) -> dict[str, Any]:
        found, known = {}, FIELDS.get(layout, ())
        for assignment in self.field or []:
            name, equals, value = assignment.partition("=")
            remedy = f"give one of {', '.join(f'{n}=NAME' for n in known)}" if known else f"{layout} has a fixed layout"
            require(bool(equals and value) and name in known, "field", repr(assignment), remedy)
            found[name] = value
        return found


def _encoded(guard: Any, text: str) -> NDArray[np.int64]:
    """Return the token ids of a text, checked; whatever the code of a user's guard raises is an error that says so."""
    from hybrid_rs.smoothing.answers import answering
    from hybrid_rs.smoothing.example import token_ids_of

    with answering(guard, "encode"):
        found = guard.encode(text)
    return token_ids_of("guard.encode(text)", found)


def unknown_share(guard: Any, token_ids: NDArray[np.int64]) -> float:
    """Return the share of a text that the guard's tokenizer does not know; 0 if the guard has no unknown token."""
    unknown = getattr(getattr(guard, "tokenizer", None), "unk_token_id", None)
    return float(np.mean(token_ids == unknown)) if unknown is not None and len(token_ids) else 0.0


def tell_unknown(shares: Mapping[str, float]) -> None:
    """Print a note if the tokenizer does not know over a tenth of some text's tokens: its certificate says little."""
    many = [entry for entry, share in shares.items() if share > UNKNOWN]
    if many:
        worst = max(shares.values())
        note(
            f"in {len(many)} of {len(shares)} texts more than {UNKNOWN:.0%} of the tokens are unknown to the tokenizer "
            f"(at most {worst:.0%}; the first is {shown(many[0])}): the guard does not see what they say"
        )


def _some(usable: int | bool, data: Path, problems: Iterable[Problem]) -> None:
    shown = "".join(f"\n  {problem}" for problem in problems)
    require(bool(usable), "data", str(data), f"none of its entries can be used{shown}", repr)
