"""Requests to a server: several at once, repeated after temporary faults; errors quote the server."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from hybrid_rs._checks import integer, one, positive, require, shown, text
from hybrid_rs._files import parsed_json, utf8

PASSING = (408, 409, 425, 429, 500, 502, 503, 504)  # answers after which a request is sent again
LARGEST = 2**22  # bytes of an answer that are read
LONGEST = 60.0  # seconds between two tries
PATIENT = 86_400.0  # seconds: the longest time-out
UP_TO = "give the address of the server up to /v1, such as http://localhost:8000/v1"
QUOTED = 80  # bytes of an answer that a message repeats


def address(name: str, value: Any) -> str:
    """Return the value, which must be the address of a server.

    Example:
        >>> address("endpoint", "localhost:8000")
        Traceback (most recent call last):
        ValueError: endpoint = 'localhost:8000': give an address such as http://localhost:8000/v1
    """
    plain = isinstance(value, str) and re.fullmatch(r"https?://[^\s/]+(/\S*)?", value)
    require(bool(plain), name, value, "give an address such as http://localhost:8000/v1", repr)
    return str(value)


class _Staying(HTTPRedirectHandler):
    """Follows no redirection: the answer would come from another server, and the key is not for that one."""

    def redirect_request(self, *arguments: Any) -> None:
        return


OPENER = build_opener(_Staying)


@dataclass(frozen=True)
class Transport:
    """How requests are sent.

    Args:
        at_once: requests that are open at the same time.
        retries: further tries after a fault that may pass: no connection, no whole answer in time, or one of the
            statuses 408, 409, 425, 429, 500, 502, 503 and 504. A redirection is refused: the key would go elsewhere.
        wait: seconds before the first further try. Each next one waits twice as long, or longer if the server asks for
            it, up to a minute.
        timeout: seconds without a byte from the server after which a try has failed.
        key_from: the environment variable with the server's key, if it asks for one.
        note: is given one line of text before the first further try of all, such as ``print``; None: nothing is said.

    Raises:
        ValueError: if a number is out of range.
    """

    at_once: int = 8
    retries: int = 6
    wait: float = 0.5
    timeout: float = 120.0
    key_from: str = "OPENAI_API_KEY"
    note: Callable[[str], Any] | None = None
    _told: dict[str, object] = field(default_factory=dict, init=False, compare=False)

    def __post_init__(self) -> None:
        integer("at_once", self.at_once, 1, 1024)
        integer("retries", self.retries, 0, 100)
        one("wait", positive("wait", self.wait))
        seconds = one("timeout", positive("timeout", self.timeout))
        require(seconds <= PATIENT, "timeout", self.timeout, f"give at most {PATIENT:g} seconds")
        text("key_from", self.key_from)

    def post(self, url: str, asked: dict[str, Any]) -> Any:
        """Send one chat completion, and return the server's answer.

        Args:
            url: address of the server up to ``/v1``.
            asked: the request, a JSON object.

        Raises:
            ValueError: if the server refuses the request, or its answer is not JSON.
            OSError: if the server cannot be reached, or still fails after all tries.
        """
        head = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_from):
            plain = key.isascii() and key.isprintable()
            require(plain, self.key_from, "(not shown)", "give a key without line breaks and special letters")
            head["Authorization"] = f"Bearer {key}"
        address = f"{url.rstrip('/')}/chat/completions"
        request = Request(address, json.dumps(asked).encode(), head)
        for tries in range(self.retries + 1):
            pause = min(LONGEST, self.wait * 2**tries)
            try:
                with OPENER.open(request, timeout=self.timeout) as response:
                    data = response.read(LARGEST + 1)
                    if len(data) <= LARGEST and response.length:
                        raise IncompleteRead(data, response.length)
            except HTTPError as error:
                said = _said(error)
                if error.code not in PASSING:
                    refused = f"it refuses the request, status {error.code}: {said}{self._remedy(error.code)}"
                    raise ValueError(f"endpoint = {url}: {refused}") from error
                fault, pause = f"status {error.code}: {said}", _asked_pause(error, pause)
            except (OSError, HTTPException) as error:
                fault = shown(getattr(error, "reason", None) or error)
            else:
                return _read(data, url)
            if tries < self.retries:
                self._tell(url, fault, pause)
                time.sleep(pause)
        raise OSError(
            f"endpoint = {url}: no answer after {self.retries + 1} tries; the last fault: {fault}; is it running?"
        )

    def _remedy(self, status: int) -> str:
        """Return what may help after a status that will not pass; empty if only the server can say."""
        if status in (401, 403):
            return f"; set the environment variable {self.key_from} to the server's key"
        if status == 404:
            return f"; {UP_TO}, and the name of a model that it serves"
        return f"; {UP_TO}" if status < 400 or status == 405 else ""

    def _tell(self, url: str, fault: str, pause: float) -> None:
        """Say once that a request is tried again; requests are sent from several threads."""
        mine = object()
        if self.note is not None and self._told.setdefault("retry", mine) is mine:
            how = f"each request is tried up to {self.retries + 1} times, with {self.timeout:g} s for an answer"
            self.note(f"endpoint = {url}: {fault}; trying again in {pause:g} s; {how} (--retries, --timeout)")


def _read(data: bytes, url: str) -> Any:
    try:
        if len(data) > LARGEST:
            raise ValueError(f"it is longer than {LARGEST} bytes")
        return parsed_json(utf8(data))
    except ValueError as error:
        quoted = shown(data[:QUOTED].decode(errors="replace"), repr)
        remedy = "" if data.lstrip()[:1] in (b"{", b"[") else f"; {UP_TO}"
        raise ValueError(f"endpoint = {url}: its answer {quoted} is not JSON ({shown(error)}){remedy}") from error


def _said(error: HTTPError) -> str:
    """Return the text that comes with a status, shortened; empty if it does not arrive."""
    try:
        return shown(error.read(2000).decode(errors="replace"), most=300)
    except (OSError, HTTPException):
        return ""


def _asked_pause(error: HTTPError, pause: float) -> float:
    """Return the seconds that a server asks to wait, at least ``pause`` and at most a minute."""
    try:
        return min(LONGEST, max(pause, float(error.headers.get("Retry-After", ""))))
    except ValueError:
        return pause
