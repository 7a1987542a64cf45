"""A headless Chromium over its debugging pipe: messages of the DevTools protocol, each ended by a zero byte."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from machine import find_program

__all__ = ["CHROMIUM", "Chromium"]

CHROMIUM = find_program("chromium", "chromium-browser", "google-chrome")

# Chromium reads commands from descriptor 3 and writes to 4.
_LAUNCH = (
    "import fcntl, os, sys; ours = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 50) for each in sys.argv[1:3]]; "
    "os.dup2(ours[0], 3); os.dup2(ours[1], 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Chromium:
    """One browser with one tab.

    Args:
        folder: for its profile.
        width: of the window, pixels.
        height: of the window, pixels.
        dark: what `prefers-color-scheme` says.
    """

    def __init__(self, folder: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        assert CHROMIUM is not None
        read, theirs_write = os.pipe()
        theirs_read, self._write = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-extensions"]
        flags += [f"--user-data-dir={folder}", "--remote-debugging-pipe", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(theirs_read), str(theirs_write), CHROMIUM, *flags],
            pass_fds=(theirs_read, theirs_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_read)
        os.close(theirs_write)
        self._read, self._buffer, self._number = read, b"", 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        pages = [each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        target = pages[0]["targetId"] if pages else self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for each in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{each}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.scheme(dark)

    def scheme(self, dark: bool) -> None:
        """Change what `prefers-color-scheme` says."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message(20.0)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def forget(self) -> None:
        """Leave the page, and forget what it has asked for and complained of."""
        self.open("about:blank")
        self.value("0")
        self.events.clear()

    def open(self, url: str) -> None:
        """Go to an address and wait until its scripts have run."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def value(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited where it is a promise."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def text(self, selector: str) -> str:
        """The text of the first element that a selector names; empty where there is none."""
        return str(self.value(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"))

    def until(self, script: str, seconds: float = 15.0) -> Any:
        """Wait until a JavaScript expression is true, and return it."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            with contextlib.suppress(AssertionError):  # the page is being replaced
                value = self.value(script)
                if value:
                    return value
            time.sleep(0.05)
        raise AssertionError(f"{script} was not true within {seconds} s; the page says: {self.text('body')[:600]}")

    def picture(self, path: Path, whole: bool = False) -> None:
        """Save what is seen as PNG; `whole` takes what lies below, too."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def requests(self) -> list[str]:
        """Addresses that the tab has asked for so far."""
        self.value("0")
        sent = [each for each in self.events if each.get("method") == "Network.requestWillBeSent"]
        return [each["params"]["request"]["url"] for each in sent]

    def complaints(self) -> list[str]:
        """Errors in the console, such as exceptions and what the page's policy has forbidden."""
        self.value("0")
        thrown = [each["params"] for each in self.events if each.get("method") == "Runtime.exceptionThrown"]
        logged = [each["params"]["entry"] for each in self.events if each.get("method") == "Log.entryAdded"]
        told = [json.dumps(each) for each in thrown]
        return told + [f"{each['text']} {each.get('url', '')}" for each in logged if each["level"] == "error"]

    def close(self) -> None:
        """End the browser."""
        self._session = None
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _message(self, seconds: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready = select.select([self._read], [], [], seconds)[0]
            assert ready, "Chromium does not answer"
            data = os.read(self._read, 1 << 16)
            assert data, "Chromium has closed its pipe"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed
