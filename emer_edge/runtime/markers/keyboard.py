"""Markers from the terminal's keyboard: a letter, a digit or the space bar, without Enter.

The terminal is in cbreak mode meanwhile: keys come at once and are not shown; Ctrl-C and Ctrl-Z work as ever.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import termios
import threading
from typing import Any, Final

from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.markers.log import MarkerLog
from emer_edge.runtime.say import Say

__all__ = ["Keyboard", "keys_pressed"]

_POLL_S: Final = 0.1
_REPEAT_NS: Final = 100_000_000  # a held key repeats every 33 ms or so; fingers do not
_ESCAPE: Final = 0x1B
_LFLAG: Final = 3
_CC: Final = 6


class Keyboard:
    """Reads keys in a thread.

    Args:
        terminal: descriptor of the terminal.
        say: told once that keys set markers.
    """

    def __init__(self, terminal: int, say: Say) -> None:
        self._terminal, self._say = terminal, say
        self._before: list[Any] | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self, log: MarkerLog) -> None:
        """Take keys from now on; none where the terminal is somebody else's, as for a job in the background."""
        if not _foreground(self._terminal):
            return
        mode = termios.tcgetattr(self._terminal)
        self._before = list(mode)
        mode[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
        control = list(mode[_CC])
        control[termios.VMIN], control[termios.VTIME] = 1, 0
        mode[_CC] = control
        atexit.register(self.close)
        termios.tcsetattr(self._terminal, termios.TCSADRAIN, mode)
        self._say("markers: a letter, a digit or the space bar sets one")
        self._thread = threading.Thread(target=self._read, args=(log,), name="emer-edge keyboard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the terminal back as it was."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        before, self._before = self._before, None
        if before is None:
            return
        atexit.unregister(self.close)
        if not _foreground(self._terminal):
            return  # the shell has its own mode on by now
        # Were this to become a background job now, setting the mode would stop it; not with the signal blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, before)
        except termios.error:
            pass  # the terminal is gone
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _read(self, log: MarkerLog) -> None:
        last: tuple[str, int] = ("", 0)
        while not self._stop.is_set():
            try:
                ready = select.select([self._terminal], [], [], _POLL_S)[0]
                if not ready:
                    continue
                if not _foreground(self._terminal):  # reading in the background would stop the whole process
                    self._stop.wait(_POLL_S)
                    continue
                data = os.read(self._terminal, 256)
            except OSError:
                return
            if not data:
                return
            now_ns = monotonic_ns()
            for key in keys_pressed(data):
                held = key == last[0] and now_ns - last[1] < _REPEAT_NS
                last = (key, now_ns)
                if not held:
                    log.add(f"key {key}", "keyboard", now_ns)


def keys_pressed(data: bytes) -> list[str]:
    """Name the keys in what a terminal sent: ASCII letters, digits, `space`; escape sequences and the rest are none."""
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
    """Where the sequence that an ESC began ends: CSI and SS3 at their final byte, Alt and a key at that key."""
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
