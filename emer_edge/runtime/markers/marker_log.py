"""All markers of a run, from whatever thread, and which of them a window holds."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.session_facts import MARKER_LABEL_CHARACTERS, Marker
from emer_edge.runtime.clock import monotonic_ns

_KEPT: Final = 1000  # waiting for their result, or inside the window: a stream that floods costs its oldest


def clean_label(text: str) -> str:
    """Make a label of any text: white space in one piece, nothing that a terminal would obey, not too long."""
    words = "".join(each if each.isprintable() else " " for each in text).split()
    return " ".join(words)[:MARKER_LABEL_CHARACTERS].rstrip()


class MarkerLog:
    """Takes markers and deals them out to results. Every method may be called from any thread.

    Attributes:
        count: markers taken.
        dropped: markers that came faster than results could take them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Marker] = []
        self._inside: list[Marker] = []
        self._listeners: list[Callable[[Marker], None]] = []
        self.count = 0
        self.dropped = 0

    def listen(self, listener: Callable[[Marker], None]) -> None:
        """Have every further marker told at once, in the thread that it comes from."""
        with self._lock:
            self._listeners.append(listener)

    def add(self, label: str, source: str = "program", stamp_ns: int | None = None, clock: str = "host") -> Marker:
        """Take a marker.

        Args:
            label: what it is called; made printable, and cut when it is too long.
            source: who says so.
            stamp_ns: when it was; None: now.
            clock: where the stamp comes from.

        Raises:
            ConfigurationError: a label without a printable character.
        """
        now_ns = monotonic_ns()
        cleaned = clean_label(label)
        if not cleaned:
            raise ConfigurationError(f"a marker needs a label that can be printed, not {label!r}")
        marker = Marker(cleaned, now_ns if stamp_ns is None else stamp_ns, source, clock)
        with self._lock:
            self.count += 1
            self._waiting.append(marker)
            if len(self._waiting) > _KEPT:
                del self._waiting[0]
                self.dropped += 1
            listeners = tuple(self._listeners)
        for each in listeners:
            each(marker)
        return marker

    def take(self, end_ns: int, length_ns: int) -> tuple[tuple[Marker, ...], tuple[str, ...]]:
        """Deal out a window's markers; ask in ascending order.

        Args:
            end_ns: its end.
            length_ns: its length.

        Returns:
            The markers not dealt out before that lie at or before the end, and the labels of all markers inside the
            window, both in order of time.
        """
        with self._lock:
            new = [each for each in self._waiting if each.stamp_ns <= end_ns]
            self._waiting = [each for each in self._waiting if each.stamp_ns > end_ns]
            self._inside = [each for each in (*self._inside, *new) if each.stamp_ns > end_ns - length_ns][-_KEPT:]
            inside = sorted(self._inside, key=lambda each: each.stamp_ns)
        new.sort(key=lambda each: each.stamp_ns)
        return tuple(new), tuple(each.label for each in inside if each.stamp_ns < end_ns)


class MarkerSource(ABC):
    """Adds markers to a log, in a thread of its own, from `start` to `close`.

    Attributes:
        thread_name: what its thread does, for those who look at threads.
    """

    thread_name: ClassVar[str]

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, log: MarkerLog) -> None:
        """Add markers from now on."""
        self._thread = threading.Thread(
            target=self._read, args=(log,), name=f"emer-edge {self.thread_name}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End, and leave everything as it was; may be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @abstractmethod
    def _read(self, log: MarkerLog) -> None:
        """Add markers until `_stop` is set; runs in the thread."""
