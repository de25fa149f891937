"""Checks of a guard's answers before anything is counted: a wrong answer is an error, never a verdict.

Whatever the code of a user's guard raises instead of an answer becomes such an error, too: it names the guard, the
example and the line that failed. So a guard that calls ``sys.exit`` cannot end a run as if it had succeeded.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid_rs._checks import shown

PACKAGE = Path(__file__).resolve().parents[1]
BOOLEAN = "return bool, or exactly 0 and 1: compare labels with the unsafe one, and probabilities with a threshold"
NUMBER = "return finite numbers: look for overflow in bfloat16 or float16, and for weights that are not finite"


class AnswerError(ValueError):
    """An answer of a guard that cannot be used, or none because the guard's own code failed.

    Args:
        name: the method that answered, such as ``"MyGuard.unsafe"``.
        value: its answer.
        remedy: what it should answer.
        row: the row of the batch with this answer; None if the whole answer is wrong.
        where: the example and the draw, if they are known.
    """

    def __init__(self, name: str, value: str, remedy: str, row: int | None = None, where: str = "") -> None:
        super().__init__(name, value, remedy, row, where)  # pickled when the error comes from a worker
        self.name, self.value, self.remedy, self.row, self.where = name, value, remedy, row, where

    def __str__(self) -> str:
        where = self.where or (f"row {self.row} of the batch" if self.row is not None else "")
        return f"{self.name}(...) = {self.value}{f' for {where}' if where else ''}: {self.remedy}"

    def at(self, where: str) -> AnswerError:
        """Return the same error with the place where it occurred."""
        return AnswerError(self.name, self.value, self.remedy, self.row, where)


@contextmanager
def answering(guard: Any, method: str) -> Iterator[None]:
    """Turn whatever the code of a user's guard raises into an :class:`AnswerError`, even a ``SystemExit``.

    Errors of this package's own guards pass as they are, since they say what to do; so does a Ctrl-C.

    Args:
        guard: the guard, or one of this package that wraps it.
        method: the method that is called inside.

    Example:
        >>> class Words:
        ...     __module__ = "my_guard"  # as in a file of that name
        ...     def encode(self, text):
        ...         return [{"is": 1, "this": 2}[word] for word in text.split()]
        >>> with answering(Words(), "encode"):
        ...     Words().encode("is that")
        Traceback (most recent call last):
        hybrid_rs.smoothing.answers.AnswerError: Words.encode(...) = no answer, but KeyError: 'that': correct ...
    """
    try:
        yield
    except (KeyboardInterrupt, AnswerError):
        raise
    except BaseException as error:
        guard = _inner(guard)
        if _ours(guard):
            raise
        remedy = f"correct the guard's own code{failed_at(error)}"
        raise AnswerError(f"{type(guard).__name__}.{method}", f"no answer, but {raised(error)}", remedy) from error


@contextmanager
def about(example: str) -> Iterator[None]:
    """Name the example in an :class:`AnswerError` that does not say where it occurred."""
    try:
        yield
    except AnswerError as error:
        if error.where:
            raise
        raise error.at(f"example {example!r}") from (error.__cause__ or error)


def raised(error: BaseException) -> str:
    """Return the kind of an error and what it says, on one short line.

    Example:
        >>> raised(KeyError("hello")), raised(SystemExit(3)), raised(ValueError())
        ("KeyError: 'hello'", 'SystemExit: sys.exit(3)', 'ValueError')
    """
    said = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else " ".join(shown(error, most=300).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def failed_at(error: BaseException) -> str:
    """Return the line of a user's file that raised an error, such as " (my_guard.py, line 7)"; empty if unknown.

    It is the last line of the file that this package called: a line inside NumPy, say, would not help.
    """
    calls = [(Path(frame.f_code.co_filename), line) for frame, line in walk_tb(error.__traceback__)]
    own = [(file, line) for file, line in calls if PACKAGE not in file.parents and "importlib" not in str(file)]
    last = max((i for i, (file, _) in enumerate(own) if file == own[0][0]), default=None)
    return "" if last is None else f" ({own[last][0].name}, line {own[last][1]})"


def foreign(guard: Any) -> bool:
    """Return whether a guard, or the one that a guard of this package wraps, is of a class outside this package.

    Example:
        >>> from hybrid_rs.attacks.exchanged import Exchanged
        >>> foreign(Exchanged(object()))
        True
    """
    return not _ours(_inner(guard))


def _inner(guard: Any) -> Any:
    """Return the guard that guards of this package wrap; a guard that wraps none is returned itself."""
    while _ours(guard) and hasattr(guard, "guard"):
        guard = guard.guard
    return guard


def _ours(guard: Any) -> bool:
    return type(guard).__module__.partition(".")[0] == "hybrid_rs"


def asked(
    guard: Any,
    question: Literal["unsafe", "scores"],
    texts: NDArray[np.int64],
    images: NDArray[np.float32],
    image_index: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """Ask a guard for verdicts or scores, check them, and return them.

    Args:
        guard: the guard.
        question: the method to call.
        texts: shape ``(batch, length)``.
        images: shape ``(images, channels, height, width)``.
        image_index: shape ``(batch,)``, which image goes with which text; by default text i goes with image i. A guard
            whose method has a parameter of that name gets each image only once.

    Returns:
        shape ``(batch,)``; verdicts are bool, scores keep their precision.

    Raises:
        AnswerError: if the answer has the wrong shape, or holds anything but verdicts or finite scores; or if the code
            of a guard that is not one of this package raises anything.
    """
    with answering(guard, question):
        ask = getattr(guard, question)
        if image_index is None:
            found = ask(texts, images)
        elif takes_index(guard, question):
            found = ask(texts, images, image_index=image_index)
        else:
            found = ask(texts, images[image_index])
    check = verdicts if question == "unsafe" else scores
    return check(found, len(texts), f"{type(guard).__name__}.{question}")


def takes_index(guard: Any, question: str) -> bool:
    """Return whether a method of a guard takes ``image_index``, so that texts may share an image."""
    return "image_index" in inspect.signature(getattr(guard, question)).parameters


def gradients(
    guard: Any, texts: NDArray[np.int64], images: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any]]:
    """Ask a :class:`hybrid_rs.smoothing.guard.DifferentiableGuard` for scores and gradients, and check them.

    Raises:
        AnswerError: if a shape is wrong or a number is not finite; or if the guard's own code raises anything.
    """
    name = f"{type(guard).__name__}.gradients"
    with answering(guard, "gradients"):
        found, by_token, by_pixel = guard.gradients(texts, images)
    if by_token is not None:
        by_token = _finite(by_token, name)
        if by_token.ndim != 3 or by_token.shape[:2] != texts.shape:
            raise AnswerError(name, f"shape {by_token.shape}", f"return shape (batch, length, width), {texts.shape}...")
    by_pixel = _finite(by_pixel, name)
    if by_pixel.shape != images.shape:
        raise AnswerError(name, f"shape {by_pixel.shape}", f"return the shape of images, {images.shape}")
    return scores(found, len(texts), name), by_token, by_pixel


def verdicts(found: ArrayLike, n: int, name: str) -> NDArray[np.bool_]:
    """Return an answer as n verdicts.

    Args:
        found: the answer.
        n: number of rows in the question.
        name: the method that answered.

    Raises:
        AnswerError: unless it is an array of shape ``(n,)`` of bool, or of numbers that are exactly 0 or 1.

    Example:
        >>> verdicts([0, 1, 1], 3, "guard.unsafe")
        array([False,  True,  True])
        >>> verdicts([-1, 1, 1], 3, "guard.unsafe")
        Traceback (most recent call last):
        hybrid_rs.smoothing.answers.AnswerError: guard.unsafe(...) = -1 for row 0 of the batch: return bool, or ...
    """
    answers = _array(found, name, "biuf", BOOLEAN)
    _sized(answers, n, name)
    if answers.dtype == bool:
        return answers
    wrong = ~((answers == 0) | (answers == 1))  # nan is neither
    if wrong.any():
        row = int(np.argmax(wrong))
        raise AnswerError(name, str(answers[row].item()), BOOLEAN, row)
    return answers == 1


def scores(found: ArrayLike, n: int, name: str) -> NDArray[Any]:
    """Return an answer as n scores, in their own precision.

    Raises:
        AnswerError: unless it is an array of shape ``(n,)`` of finite numbers.

    Example:
        >>> scores([0.5, float("nan")], 2, "guard.scores")
        Traceback (most recent call last):
        hybrid_rs.smoothing.answers.AnswerError: guard.scores(...) = nan for row 1 of the batch: ...
    """
    answers = _finite(found, name)
    _sized(answers, n, name)
    return answers


def _finite(found: ArrayLike, name: str) -> NDArray[Any]:
    answers = _array(found, name, "iuf", NUMBER)
    finite = np.isfinite(answers)
    if not finite.all():
        place = np.argwhere(~finite)[0]
        raise AnswerError(name, str(answers[tuple(place)].item()), NUMBER, int(place[0]) if place.size else None)
    return answers


def _array(found: Any, name: str, kinds: str, remedy: str) -> NDArray[Any]:
    """Convert an answer to an array; this works for CPU tensors without a gradient, but not for other tensors."""
    if isinstance(found, np.ma.MaskedArray):
        raise AnswerError(name, "a masked array", remedy)
    try:
        answers = np.asarray(found)
    except (TypeError, ValueError, RuntimeError) as error:
        shown = f"{type(found).__name__} ({' '.join(str(error).split())[:100]})"
        raise AnswerError(name, shown, "return a NumPy array, such as tensor.detach().cpu().numpy()") from error
    if answers.dtype.kind not in kinds:
        first = f", such as {answers.flat[0]!r:.40}" if answers.size else ""
        raise AnswerError(name, f"an array of {answers.dtype}{first}", remedy)
    return answers


def _sized(answers: NDArray[Any], n: int, name: str) -> None:
    if answers.shape != (n,):
        raise AnswerError(name, f"an array of shape {answers.shape}", f"return shape ({n},), one answer per text")
