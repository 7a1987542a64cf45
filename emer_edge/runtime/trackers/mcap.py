"""The samples of a recording (`run --record FILE.mcap`) played as a tracker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from emer_edge.errors import DataError, TrackerError
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.recording.messages import SAMPLES, SampleMessage, sample_of
from emer_edge.runtime.recording.reader import is_mcap, read_head, read_messages
from emer_edge.runtime.trackers.base import Tracker, TrackerOptions
from emer_edge.runtime.trackers.source import TrackerSource
from emer_edge.spec.samples import TrackerSample
from emer_edge.spec.window import NANOSECONDS

__all__ = ["RecordedTracker", "check_recorded", "is_recorded", "open_recorded"]


def is_recorded(source: TrackerSource) -> bool:
    """Whether the source is an MCAP file."""
    path = Path(source.path)
    return not source.scheme and not source.path.startswith("/dev/") and is_mcap(path)


def open_recorded(source: TrackerSource, options: TrackerOptions) -> RecordedTracker:
    """Open a recording (see `open_tracker`)."""
    source.allow()
    try:
        return RecordedTracker(Path(source.path), options)
    except DataError as error:
        raise TrackerError(str(error)) from None


def check_recorded(source: TrackerSource, options: TrackerOptions) -> None:
    """Raise what `open_recorded` would."""
    open_recorded(source, options).close()


class RecordedTracker(Tracker):
    """Samples of a recording; time 0 is the start of its lattice of hops.

    Args:
        path: the recording.
        options: pace, start and offset.

    Attributes:
        recording: the file.
        head: what it says about itself.

    Raises:
        DataError: it is no recording.
    """

    live = False
    clock = "media"

    def __init__(self, path: Path, options: TrackerOptions) -> None:
        self.head = read_head(path)
        self.recording = path
        self.source = str(path)
        self.synchronised = self.head.synchronised or options.offset_ms is not None
        self._shift_ns = round((options.offset_ms or 0.0) * 1e6) - self.head.origin_ns
        self._fast = options.pace == "fast"
        self._start_ns = 0 if self._fast and options.start_ns is None else options.start_ns
        self._closed = threading.Event()
        self._messages = self._read()

    @property
    def rate_hz(self) -> float:
        """Nominal rate of the tracker that was recorded."""
        return self.head.rate_hz

    @property
    def missing_columns(self) -> tuple[str, ...]:
        """Keys of the eye columns that the recorded tracker could not fill."""
        return self.head.missing_columns

    def start(self, start_ns: int) -> None:
        """Put time 0 at this host time."""
        self._start_ns = start_ns

    def __next__(self) -> TrackerSample:
        if self._start_ns is None:
            self._start_ns = monotonic_ns()
        if self._closed.is_set():
            raise StopIteration
        message = next(self._messages)
        shift_ns = self._shift_ns + self._start_ns
        arrival_ns = message.taken_ns + shift_ns
        if not self._fast:
            if self._closed.wait(max(0, arrival_ns - monotonic_ns()) / NANOSECONDS):
                raise StopIteration
            arrival_ns = max(arrival_ns, monotonic_ns())
        return replace(sample_of(message), stamp_ns=message.stamp_ns + shift_ns, arrival_ns=arrival_ns)

    def close(self) -> None:
        """End the iteration."""
        self._closed.set()

    def _read(self) -> Iterator[SampleMessage]:
        for message in read_messages(self.recording, {SAMPLES}):
            yield message.decode()
