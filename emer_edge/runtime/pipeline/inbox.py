"""Where the source threads leave what the pipeline's thread takes: bounded, the oldest dropped and counted."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from emer_edge.spec.samples import Frame, TrackerSample

__all__ = ["Inbox"]

_FRAMES: Final = 4  # more would only make the evidence older
_SAMPLES: Final = 4096
_LONGEST_WAIT_S: Final = 0.1  # so that a stop asked for by a signal handler, which may not notify, is seen


class Inbox:
    """Items of both sources in order of arrival.

    Attributes:
        dropped: place -> items lost because the pipeline was too slow.
        limit_ns: no window ends later, because a file has ended; None while all sources go on.
        failure: what ended a source's thread, or None.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._samples: deque[TrackerSample] = deque()
        self.dropped = {"camera queue": 0, "tracker queue": 0}
        self.limit_ns: int | None = None
        self.failure: BaseException | None = None

    def put(self, item: Frame | TrackerSample) -> None:
        """Add an item; the oldest of its kind goes when there are too many."""
        with self._changed:
            if isinstance(item, Frame):
                self._frames.append(item)
                if len(self._frames) > _FRAMES:
                    self._frames.popleft()
                    self.dropped["camera queue"] += 1
            else:
                self._samples.append(item)
                if len(self._samples) > _SAMPLES:
                    self._samples.popleft()
                    self.dropped["tracker queue"] += 1
                return  # samples wait for the next frame or step: waking for each would cost more than they do
            self._changed.notify_all()

    def end(self, limit_ns: int) -> None:
        """Say that a source has ended and that no window may end after `limit_ns`."""
        with self._changed:
            self.limit_ns = limit_ns if self.limit_ns is None else min(self.limit_ns, limit_ns)
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Say that a source has failed."""
        with self._changed:
            self.failure = self.failure or error
            self._changed.notify_all()

    def take(self, wait_s: float) -> tuple[list[Frame], list[TrackerSample]]:
        """Empty the inbox, waiting at most so long for a frame."""
        with self._changed:
            if not self._frames and self.failure is None and wait_s > 0:
                self._changed.wait(min(wait_s, _LONGEST_WAIT_S))
            frames, samples = list(self._frames), list(self._samples)
            self._frames.clear()
            self._samples.clear()
        return frames, samples
