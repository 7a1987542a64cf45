"""All markers of a run, from any thread, and the markers of each window."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from operator import attrgetter
from typing import ClassVar, Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.public_text import one_line
from emer_edge.core.session_facts import Marker
from emer_edge.runtime.clock import monotonic_ns

_KEPT: Final = 1000  # waiting for their result, or inside the window; above that the oldest are dropped


_stamp_ns = attrgetter("stamp_ns")


class MarkerLog:
    """Takes markers and assigns them to results. Every method may be called from any thread.

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
        """Call `listener` with the markers that are in no result yet, and with every further one where it is added."""
        with self._lock:
            self._listeners.append(listener)
            waiting = tuple(self._waiting)
        for marker in waiting:
            listener(marker)

    def add(self, label: str, source: str = "program", stamp_ns: int | None = None, clock: str = "host") -> Marker:
        """Take a marker.

        Args:
            label: its name; made printable, and cut when it is too long.
            source: where it comes from.
            stamp_ns: its time; None: now.
            clock: of the stamp.

        Raises:
            ConfigurationError: a label without a printable character.
        """
        now_ns = monotonic_ns()
        cleaned = one_line(label)
        if not cleaned:
            raise ConfigurationError(f"a marker needs a label that can be printed, not {label!r}")
        marker = Marker(cleaned, now_ns if stamp_ns is None else stamp_ns, one_line(source), clock)
        with self._lock:
            self.count += 1
            self._waiting.append(marker)
            if len(self._waiting) > _KEPT:
                del self._waiting[0]
                self.dropped += 1
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(marker)
        return marker

    def take(self, end_ns: int, length_ns: int) -> tuple[tuple[Marker, ...], tuple[str, ...]]:
        """Assign a window's markers, windows in ascending order.

        Returns:
            The markers at or before the window's end that were in no result yet, and the labels of all markers inside
            the window, both in order of time.
        """
        with self._lock:
            new = [marker for marker in self._waiting if marker.stamp_ns <= end_ns]
            self._waiting = [marker for marker in self._waiting if marker.stamp_ns > end_ns]
            begin_ns = end_ns - length_ns
            self._inside = [marker for marker in (*self._inside, *new) if marker.stamp_ns > begin_ns][-_KEPT:]
            inside = sorted(self._inside, key=_stamp_ns)
        return tuple(sorted(new, key=_stamp_ns)), tuple(marker.label for marker in inside if marker.stamp_ns < end_ns)


class MarkerSource(ABC):
    """Adds markers to a log, in a thread of its own (named by `thread_name`), from `start` to `close`."""

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
        """End, and restore everything; may be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @abstractmethod
    def _read(self, log: MarkerLog) -> None:
        """Add markers until `_stop` is set; runs in the thread."""
