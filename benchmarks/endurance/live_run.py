"""`emer-edge run` as a process of its own: its results and messages while it runs."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from time import monotonic, monotonic_ns, sleep
from typing import Any, Final

from benchmarks.common import ONE_THREAD

__all__ = ["LiveRun"]

_CHUNK: Final = 65_536
_END_S: Final = 40.0


class LiveRun:
    """Starts a run and reads its output; ended by `stop`.

    Args:
        arguments: of `emer-edge run`, without `--json`, which is always given.
        heard: called with every result as a dictionary, and the host's monotonic time at which its line was read.
        said: called with every line on stderr; never where the view is drawn.
        view: draw the terminal view, into a pseudo-terminal.
        environment: put into the run's environment.

    Attributes:
        results: how many were read.
        pid: of the run.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        heard: Callable[[dict[str, Any], int], None],
        said: Callable[[str], None],
        view: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.results = 0
        self.drawn_bytes = 0
        self._heard, self._said = heard, said
        program = [sys.executable, "-m", "benchmarks.endurance.program"]
        master, slave = pty.openpty() if view else (-1, -1)
        self._process = subprocess.Popen(
            [*program, "run", *arguments, "--json", *(["--out", "live:"] if view else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave if view else subprocess.PIPE,
            env={**os.environ, **ONE_THREAD, "COLUMNS": "160", "TERM": "xterm-256color", **(environment or {})},
        )
        self.pid = self._process.pid
        if view:
            os.close(slave)
        reader = (lambda: self._drain(master)) if view else self._read_stderr
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._read_stdout, reader)]
        for thread in self._threads:
            thread.start()

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def wait_results(self, count: int, seconds: float) -> bool:
        """Wait until `count` results were read; false where the run ends or the time is over before."""
        deadline_s = monotonic() + seconds
        while self.results < count:
            if self.code is not None or monotonic() > deadline_s:
                return False
            sleep(0.05)
        return True

    def wait(self, seconds: float) -> int | None:
        """Wait for its end and the rest of its output; None where it goes on."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        for thread in self._threads:
            thread.join(5.0)
        return self._process.returncode

    def stop(self) -> int:
        """Send SIGTERM as a service manager does, and kill what does not end; returns the exit code."""
        if self.code is None:
            self._process.send_signal(signal.SIGTERM)
        code = self.wait(_END_S)
        if code is None:
            self._process.kill()
            code = self.wait(5.0)
        return -signal.SIGKILL if code is None else code

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            received_ns = monotonic_ns()
            self._heard(json.loads(line), received_ns)
            self.results += 1

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said(line.decode("utf-8", "replace").rstrip("\n"))

    def _drain(self, master: int) -> None:
        while True:
            try:
                data = os.read(master, _CHUNK)
            except OSError:  # the other end is closed
                data = b""
            if not data:
                os.close(master)
                return
            self.drawn_bytes += len(data)
