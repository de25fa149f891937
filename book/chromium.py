"""Drive a headless Chromium: open pages, watch what they load and report, ask them questions, print them.

It speaks the DevTools protocol over two pipes, so that it needs nothing but the browser itself.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
PIPES = """# becomes the browser, with the pipes under the numbers 3 and 4 that the protocol fixes
import fcntl, os, sys
given = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 10) for number in sys.argv[1:3]]
for number, pipe in enumerate(given, start=3):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
TYPESET = """new Promise((done) => {  // at once on a page without formulas; MathJax may start after the page
  const look = () => {
    if (!document.querySelector(".math")) done();
    else if (window.MathJax?.startup?.promise) MathJax.startup.promise.then(() => done());
    else setTimeout(look, 20);
  };
  look();
})"""


class Chromium:
    """One tab of a headless Chromium; a context manager.

    Args:
        seconds: the longest that any answer may take.

    Raises:
        FileNotFoundError: on entering, if no Chromium is installed.
    """

    def __init__(self, seconds: float = 600) -> None:
        self.seconds = seconds
        self.events: list[dict[str, Any]] = []
        self._asked, self._read = 0, b""
        self._session: dict[str, str] = {}

    def __enter__(self) -> Self:
        if PROGRAM is None:
            raise FileNotFoundError(f"Chromium is not installed: put {' or '.join(NAMES)} on the path")
        self._folder = TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        options = ["--headless", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe"]
        options += ["--no-sandbox"] if os.geteuid() == 0 else []  # the sandbox does not work for root
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [sys.executable, "-c", PIPES, str(theirs_in), str(theirs_out), PROGRAM, *options]
        command += [f"--user-data-dir={self._folder.name}", "about:blank"]
        self._process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = {"sessionId": self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.ask(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        os.close(self._out)  # at which it ends
        os.close(self._in)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its answer; what happens meanwhile is kept in ``events``.

        Raises:
            RuntimeError: if the browser refuses.
            TimeoutError: if it does not answer.
        """
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": params} | self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(method)
            if answer.get("id") == self._asked:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
            self.events.append(answer)

    def open(self, address: str) -> None:
        """Load a page, and wait until its formulas are typeset; ``events`` then holds the events of this page only."""
        loads = "#" not in address or self.value("location.href").partition("#")[0] != address.partition("#")[0]
        self.events = []
        self.ask("Page.navigate", url=address)
        arrived = "Page.loadEventFired" if loads else "Page.navigatedWithinDocument"
        while not any(event["method"] == arrived for event in self.events):
            self.events.append(self._next(address))
        self.value(TYPESET)

    def value(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript on the page, waiting for it if it is a promise.

        Raises:
            RuntimeError: if it throws.
        """
        answer = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"].get("exception", {}).get("description")
            raise RuntimeError(f"{expression[:60]}: {thrown}")
        return answer["result"].get("value")

    def look(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Give the window a size in CSS pixels, and the system a light or a dark scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def loaded(self) -> list[str]:
        """Return the address of everything that the page has asked for."""
        sent = (event for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def errors(self) -> list[str]:
        """Return the errors in the page's console, one line each."""
        found = []
        for event in self.events:
            about = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                thrown = about["exceptionDetails"]
                found.append(str(thrown.get("exception", {}).get("description") or thrown["text"]))
            elif event["method"] == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
                found.append(" ".join(str(x.get("value", x.get("description"))) for x in about["args"]))
            elif event["method"] == "Log.entryAdded" and about["entry"]["level"] == "error":
                found.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        return [line.partition("\n")[0] for line in found]

    def print(self, file: Path, **options: Any) -> None:
        """Write the page as a PDF."""
        answer = self.ask("Page.printToPDF", transferMode="ReturnAsStream", **options)
        with file.open("wb") as out:
            while True:
                part = self.ask("IO.read", handle=answer["stream"], size=1 << 20)
                data = part["data"]
                out.write(b64decode(data) if part.get("base64Encoded") else data.encode())
                if part["eof"]:
                    break
        self.ask("IO.close", handle=answer["stream"])

    def _next(self, what: str) -> dict[str, Any]:
        """Return the next message."""
        until = time.monotonic() + self.seconds
        while b"\0" not in self._read:
            if not select.select([self._in], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"{what}: no answer from Chromium in {self.seconds:.0f} s")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError(f"{what}: Chromium has ended")
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        return dict(json.loads(message))
