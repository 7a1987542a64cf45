"""Markers from stdin: the keys of a terminal, or the lines of a program."""

from __future__ import annotations

import atexit
import os
import select
import signal
import termios
from collections.abc import Iterator
from typing import Any, Final

from emer_edge.core.public_text import one_line
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.markers.marker_log import MarkerLog, MarkerSource
from emer_edge.runtime.say import Say

_POLL_S: Final = 0.1
_REPEAT_NS: Final = 100_000_000  # a held key repeats every 33 ms or so; fingers do not
_ESCAPE: Final = 0x1B
_LFLAG: Final = 3
_CC: Final = 6
_LONGEST: Final = 4096


class _Stdin(MarkerSource):
    """Reads a descriptor; `say` gets sentences for the person who watches."""

    def __init__(self, descriptor: int, say: Say) -> None:
        super().__init__()
        self._descriptor, self._say = descriptor, say

    def _may_read(self) -> bool:
        return True

    def _arrivals(self) -> Iterator[tuple[bytes, int]]:
        """Data and arrival times, until `_stop` is set or reading fails; empty at the end of the input."""
        while not self._stop.is_set():
            try:
                if not select.select([self._descriptor], [], [], _POLL_S)[0]:
                    continue
                if not self._may_read():
                    self._stop.wait(_POLL_S)
                    continue
                data = os.read(self._descriptor, _LONGEST)
            except OSError:
                return
            yield data, monotonic_ns()
            if not data:
                return


class Keyboard(_Stdin):
    """A letter, a digit or the space bar sets a marker, without Enter.

    The terminal is in cbreak mode meanwhile: keys come at once and are not shown; Ctrl-C and Ctrl-Z work as usual.
    """

    thread_name = "keyboard"
    _before: list[Any] | None = None

    def start(self, log: MarkerLog) -> None:
        """Take keys from now on; none where the terminal belongs to another job, as in the background."""
        if not _foreground(self._descriptor):
            return
        mode = termios.tcgetattr(self._descriptor)
        self._before = list(mode)
        mode[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
        control = list(mode[_CC])
        control[termios.VMIN], control[termios.VTIME] = 1, 0
        mode[_CC] = control
        atexit.register(self.close)
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, mode)
        self._say("markers: a letter, a digit or the space bar sets one")
        super().start(log)

    def close(self) -> None:
        """Restore the terminal's mode."""
        super().close()
        before, self._before = self._before, None
        if before is None:
            return
        atexit.unregister(self.close)
        if not _foreground(self._descriptor):
            return  # the shell has set its own mode by now
        # Were this to become a background job now, setting the mode would stop it; not with the signal blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, before)
        except termios.error:
            pass  # the terminal is gone
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _may_read(self) -> bool:
        return _foreground(self._descriptor)  # reading in the background would stop the whole process

    def _read(self, log: MarkerLog) -> None:
        last: tuple[str, int] = ("", 0)
        for data, now_ns in self._arrivals():
            for key in keys_pressed(data):
                held = key == last[0] and now_ns - last[1] < _REPEAT_NS
                last = (key, now_ns)
                if not held:
                    log.add(f"key {key}", "keyboard", now_ns)


class Lines(_Stdin):
    """Each line of a program sets a marker, its text the label; the end of the input ends the markers, not the run.

    Lines from before the run are skipped: their time is unknown.
    """

    thread_name = "lines"

    def start(self, log: MarkerLog) -> None:
        """Take lines from now on."""
        early = 0
        while select.select([self._descriptor], [], [], 0)[0] and (data := os.read(self._descriptor, _LONGEST)):
            early += data.count(b"\n")
        if early:
            self._say(f"markers: skipped {early} lines that stdin held before the run began")
        super().start(log)

    def _read(self, log: MarkerLog) -> None:
        left = b""
        for data, now_ns in self._arrivals():
            *lines, left = (left + data + (b"" if data else b"\n")).split(b"\n")
            for line in lines:
                label = one_line(line[:_LONGEST].decode("utf-8", "replace"))
                if label:
                    log.add(label, "lines", now_ns, "arrival")
            left = left[:_LONGEST]
            if not data:
                self._say("markers: stdin has ended; no more lines will come")


def keys_pressed(data: bytes) -> list[str]:
    """Names of the keys in a terminal's bytes: ASCII letters, digits, `space`; escape sequences and others are none."""
    keys = []
    at = 0
    while at < len(data):
        byte = data[at]
        at += 1
        if byte == _ESCAPE:
            at = _after_escape(data, at)
        elif byte == 0x20:
            keys.append("space")
        elif chr(byte).isascii() and chr(byte).isalnum():
            keys.append(chr(byte))
    return keys


def _after_escape(data: bytes, at: int) -> int:
    """The end of a sequence that an ESC began: CSI and SS3 at their final byte, Alt and a key at that key."""
    if at < len(data) and data[at] in b"[O":
        at += 1
        while at < len(data) and not 0x40 <= data[at] <= 0x7E:
            at += 1
    return at + 1


def _foreground(terminal: int) -> bool:
    """Whether this process may use the terminal."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # not our controlling terminal: nobody's jobs are controlled by it here
        return os.isatty(terminal)
