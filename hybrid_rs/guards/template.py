"""Chat templates are programs in a checkpoint; they run with a limit on steps, time and length of text."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hybrid_rs._checks import require
from hybrid_rs._extras import needs

STEPS = 20_000  # executed lines of the compiled template; ordinary templates need some hundred
SECONDS = 10.0  # of this thread's processor time
LETTERS = 1_000_000  # of the text that it writes
COMPILED = "<template>"  # the file name that jinja2 gives to compiled templates


class _TooMuchError(Exception):
    """A template exceeded a limit."""


def rendered(processor: Any, conversation: list[dict[str, Any]]) -> str:
    """Render a conversation with a checkpoint's chat template, up to the beginning of the answer.

    Args:
        processor: the checkpoint's processor.
        conversation: messages whose content is a list of parts.

    Raises:
        ValueError: if the template fails, exceeds a limit, or prints a message part as Python or JSON source.
    """
    source = getattr(processor, "chat_template", None)
    for text in source.values() if isinstance(source, dict) else [source or ""]:
        _require_modest(text)
    try:
        with _limited():
            found = processor.apply_chat_template(conversation, add_generation_prompt=True)
    except Exception as error:  # a template, or jinja2, may raise anything
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"chat template: it cannot be used; give one for messages of parts ({said})") from error
    short = isinstance(found, str) and len(found) <= LETTERS
    require(short, "chat template", type(found).__name__, f"it must make text of at most {LETTERS} letters")
    parts = [part for message in conversation for part in message["content"]]
    spelled = [text for part in parts for text in (repr(part), json.dumps(part)) if text in found]
    remedy = "it prints the message as a list: give a template that handles the parts of a message"
    require(not spelled, "chat template", found[:200], remedy)
    return found


def _require_modest(source: str) -> None:
    """Refuse templates that could make a long text in one step: multiplication, powers, large numbers."""
    with needs("guard"):
        from jinja2 import Environment, TemplateSyntaxError

    require(len(source) <= LETTERS // 10, "chat template", f"{len(source)} characters", "give a shorter one")
    try:
        tokens = list(Environment().lex(source))
    except TemplateSyntaxError as error:
        raise ValueError(f"chat template: line {error.lineno} cannot be read ({error})") from error
    for line, kind, text in tokens:
        large = (kind == "operator" and text in ("*", "**")) or re.search(r"\d{7}", text)
        require(
            not large, "chat template", f"{text[:40]!r} in line {line}", "it must not multiply or contain large numbers"
        )


@contextmanager
def _limited() -> Iterator[None]:
    """Stop a template that is rendered in this block as soon as it exceeds a limit.

    Nested loops cannot be stopped from outside, and their work cannot be predicted. So the interpreter reports every
    executed line of the template's code.
    """
    steps, begun = 0, time.thread_time()

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        held = [value for value in frame.f_locals.values() if isinstance(value, str)]
        longest = max((len(text) for text in held), default=0)
        if steps > STEPS or longest > LETTERS or time.thread_time() - begun > SECONDS:
            raise _TooMuchError(f"it takes over {STEPS} steps, {SECONDS:g} s or {LETTERS} letters")
        return line

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename == COMPILED else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        yield
    finally:
        sys.settrace(before)
