"""Watching one stream's threads and sources: what hangs is said once, counted, and noted in the results meanwhile.

A live driver notices by itself that its device has gone or is silent, says so, and tries to get it back. This watch
sees what a driver can't say of itself: one that does not come back, a look at a frame that never ends. A thread can't
be ended from outside: it goes on when what it waits for does, and then with the newest items.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers import Tracker
from emer_edge.spec.window import NANOSECONDS

__all__ = ["FeedWatch", "source_drops", "source_troubles"]

_SILENT_NS: Final = 5 * NANOSECONDS  # live drivers speak first: after two seconds
_STUCK_NS: Final = 2 * NANOSECONDS  # a look takes milliseconds, on a slow board a tenth of a second


class FeedWatch:
    """Knows when a stream's threads last came round.

    Args:
        say: told once of each that hangs, and when it goes on.

    Attributes:
        counts: `camera silences`, `tracker silences` and `stuck faces` so far.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._heard_ns = {"camera": 0, "tracker": 0}
        self._silent: dict[str, int] = {}  # source -> since when
        self._looking_ns: int | None = None
        self._stuck = False
        self.counts = {"camera silences": 0, "tracker silences": 0, "stuck faces": 0}

    def start(self, now_ns: int) -> None:
        """Count from now on."""
        self._heard_ns = dict.fromkeys(self._heard_ns, now_ns)

    def heard(self, source: str) -> None:
        """Called by the thread of `camera` or `tracker` with every item."""
        self._heard_ns[source] = monotonic_ns()

    @contextmanager
    def looking(self, now_ns: int) -> Iterator[None]:
        """Held by the face thread while it looks at a frame."""
        self._looking_ns = now_ns
        try:
            yield
        finally:
            self._looking_ns = None

    def look(self, now_ns: int, excused: frozenset[str]) -> None:
        """See what hangs; called by the thread that takes the steps.

        Args:
            now_ns: host time.
            excused: sources whose driver or thread has told of its own trouble, or which have ended.
        """
        for source, heard_ns in self._heard_ns.items():
            if source in self._silent:
                if heard_ns > self._silent[source]:
                    self._say(f"the {source} sends again after {_seconds(self._silent.pop(source), heard_ns)} s")
            elif now_ns - heard_ns > _SILENT_NS and source not in excused:
                self._silent[source] = heard_ns
                self.counts[f"{source} silences"] += 1
                self._say(
                    f"nothing has come from the {source} for {_seconds(heard_ns, now_ns)} s; results hold no emotion "
                    "until it sends again"
                )
        since_ns = self._looking_ns
        stuck = since_ns is not None and now_ns - since_ns > _STUCK_NS
        if stuck and not self._stuck:
            self.counts["stuck faces"] += 1
            self._say(f"{self._told_stuck(now_ns)}; results hold no emotion until it does")
        elif self._stuck and not stuck:
            self._say("faces are looked for again")
        self._stuck = stuck

    def troubles(self, now_ns: int) -> tuple[str, ...]:
        """What hangs now, for the results."""
        return (self._told_stuck(now_ns),) if self._stuck else ()

    def _told_stuck(self, now_ns: int) -> str:
        since_ns = self._looking_ns
        return f"the look at a frame has not ended for {_seconds(now_ns if since_ns is None else since_ns, now_ns)} s"


def source_troubles(camera: Camera, tracker: Tracker) -> tuple[str, ...]:
    """What is wrong with the sources now: one that is lost, a tracker whose clock is known badly."""
    report = tracker.clock_report
    lost = () if camera.trouble is None else (f"camera lost: {camera.trouble}",)
    away = () if tracker.connected else (f"tracker lost: {tracker.description}",)
    return (*lost, *away, *(() if report is None else report.notes()))


def source_drops(camera: Camera, tracker: Tracker) -> dict[str, int]:
    """Place -> items that the sources themselves have lost."""
    return {"camera": camera.dropped, **{f"tracker {place}": count for place, count in tracker.dropped.items()}}


def _seconds(since_ns: int, now_ns: int) -> str:
    return f"{(now_ns - since_ns) / NANOSECONDS:.1f}"
