"""Markers from a program that writes to our stdin: a line a marker, its text the label."""

from __future__ import annotations

import os
import select
import threading
from typing import Final

from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.markers.log import MarkerLog, clean_label
from emer_edge.runtime.say import Say

__all__ = ["Lines"]

_POLL_S: Final = 0.1
_LONGEST: Final = 4096


class Lines:
    """Reads lines in a thread; the end of the input ends the markers, not the run.

    What was written before the run is left out: nobody knows when that was.

    Args:
        descriptor: what to read.
        say: told when the input has ended.
    """

    def __init__(self, descriptor: int, say: Say) -> None:
        self._descriptor, self._say = descriptor, say
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, log: MarkerLog) -> None:
        """Take lines from now on."""
        early = self._skip()
        if early:
            self._say(f"markers: left out {early} lines that stdin held before the run began")
        self._thread = threading.Thread(target=self._read, args=(log,), name="emer-edge lines", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _skip(self) -> int:
        lines = 0
        while select.select([self._descriptor], [], [], 0)[0]:
            data = os.read(self._descriptor, _LONGEST)
            lines += data.count(b"\n")
            if not data:
                break
        return lines

    def _read(self, log: MarkerLog) -> None:
        left = b""
        while not self._stop.is_set():
            try:
                if not select.select([self._descriptor], [], [], _POLL_S)[0]:
                    continue
                data = os.read(self._descriptor, _LONGEST)
            except OSError:
                return
            now_ns = monotonic_ns()
            *lines, left = (left + data + (b"" if data else b"\n")).split(b"\n")
            for line in lines:
                label = clean_label(line[:_LONGEST].decode("utf-8", "replace"))
                if label:
                    log.add(label, "lines", now_ns, "arrival")
            left = left[:_LONGEST]
            if not data:
                self._say("markers: stdin has ended; no more lines will come")
                return
