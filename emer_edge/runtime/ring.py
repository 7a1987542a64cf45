"""Between two threads: the ring where items wait, and the watch that notices a thread that hangs.

A ring has a fixed number of places and drops its oldest item, counted. Items are passed by reference. Several rings may
share one bell, so that a thread can wait for whichever item comes first.

A thread that hangs is reported once, counted, and noted in the results meanwhile. A live driver notices by itself that
its device has gone or is silent, reports it, and reopens it; the watch covers what a driver can't report: a driver that
does not come back, a look at a frame that never ends. A thread can't be ended from outside: it continues when what it
waits for does, and then with the newest items.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.say import Say

_Item = TypeVar("_Item")
_LONGEST_WAIT_S: Final = 0.25  # so that a stop asked for by a signal handler, which may not ring, is seen
_LAG_NS: Final = NANOSECONDS
_SILENT_NS: Final = 5 * NANOSECONDS  # live drivers report first: after two seconds

Bell = threading.Condition
"""What a thread waits at; its lock guards the rings that ring it."""

Clock = Callable[[], int]
"""Host time in nanoseconds."""


class Ring(Generic[_Item]):
    """Items in order of arrival.

    Args:
        places: most items that wait.
        bell: rung by `put`; one of its own by default.

    Attributes:
        dropped: items that made room for newer ones.

    Raises:
        ValueError: no place at all.
    """

    def __init__(self, places: int, bell: Bell | None = None) -> None:
        if places < 1:
            raise ValueError(f"a ring has at least one place, not {places}")
        self._places, self._bell = places, bell or Bell()
        self.dropped = 0
        self._items: list[_Item | None] = [None] * places
        self._first = self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, item: _Item, ring: bool = True) -> None:
        """Add an item; the oldest goes when there is no room.

        Args:
            item: passed on as it is.
            ring: whether to wake the thread that waits; items that are not urgent are cheaper without.
        """
        with self._bell:
            self._items[(self._first + self._count) % self._places] = item
            if self._count == self._places:
                self._first = (self._first + 1) % self._places
                self.dropped += 1
            else:
                self._count += 1
            if ring:
                self._bell.notify_all()

    def take(self, wait_s: float = 0.0) -> _Item | None:
        """Take the oldest item; None when there is none, after waiting for up to `wait_s` (and 0.25 s at most)."""
        with self._bell:
            if not self._count and wait_s > 0:
                self._bell.wait(min(wait_s, _LONGEST_WAIT_S))
            return self._pop() if self._count else None

    def take_while(self, fits: Callable[[_Item], bool]) -> list[_Item]:
        """Take items, the oldest first, up to the first that does not fit."""
        taken: list[_Item] = []
        with self._bell:
            while self._count:
                item = self._items[self._first]
                assert item is not None
                if not fits(item):
                    break
                taken.append(self._pop())
        return taken

    def _pop(self) -> _Item:
        item, self._items[self._first] = self._items[self._first], None
        self._first = (self._first + 1) % self._places
        self._count -= 1
        assert item is not None
        return item


class FeedWatch:
    """Knows when the threads of a stream last came round.

    Args:
        say: reports each that hangs once, and when it continues.
        clock: host time.

    Attributes:
        counts: `camera silences`, `tracker silences` and `stuck faces` so far.
        stuck_ns: a look that lasts longer is stuck: it takes milliseconds, on a slow board a tenth of a second.
    """

    stuck_ns = 2 * NANOSECONDS

    def __init__(self, say: Say, clock: Clock = monotonic_ns) -> None:
        self._say, self._clock = say, clock
        self._heard_ns = {"camera": 0, "tracker": 0}
        self._silent: dict[str, int] = {}  # source -> since when
        self._late_ns = {"camera": 0, "tracker": 0}  # age of the newest item when it came
        self._lagging: set[str] = set()
        self._looking_ns: int | None = None
        self._stuck = False
        self.counts = {"camera silences": 0, "tracker silences": 0, "stuck faces": 0}

    def start(self, now_ns: int) -> None:
        """Count from now on."""
        self._heard_ns = dict.fromkeys(self._heard_ns, now_ns)

    def heard(self, source: str, late_ns: int = 0) -> None:
        """Called by the thread of `camera` or `tracker` with every item, and its age when it came."""
        self._heard_ns[source], self._late_ns[source] = self._clock(), late_ns

    @contextmanager
    def looking(self, now_ns: int) -> Iterator[None]:
        """Held by the face thread while it looks at a frame."""
        self._looking_ns = now_ns
        try:
            yield
        finally:
            self._looking_ns = None

    def look(self, now_ns: int, excused: frozenset[str]) -> None:
        """Check what hangs; called by the thread that takes the steps.

        Args:
            now_ns: host time.
            excused: sources whose driver or thread has reported its own trouble, or which have ended.
        """
        for source, heard_ns in self._heard_ns.items():
            if source in self._silent:
                if heard_ns > self._silent[source]:
                    self._say(f"the {source} sends again after {_seconds(self._silent.pop(source), heard_ns)} s")
            elif now_ns - heard_ns > _SILENT_NS and source not in excused:
                self._silent[source] = heard_ns
                self.counts[f"{source} silences"] += 1
                seconds, lost = _seconds(heard_ns, now_ns), "no emotion" if source == "camera" else "no ER and no gap"
                self._say(
                    f"nothing has come from the {source} for {seconds} s; results hold {lost} until it sends again"
                )
        for source, late_ns in self._late_ns.items():
            known = source in self._lagging
            if (late_ns > _LAG_NS / (1 + known)) != known:
                self._lagging ^= {source}
                self._say(f"the {source} lags no longer" if known else self._lag_note(source))
        since_ns = self._looking_ns
        stuck = since_ns is not None and now_ns - since_ns > self.stuck_ns
        if stuck and not self._stuck:
            self.counts["stuck faces"] += 1
            self._say(f"{self._stuck_note(now_ns)}; results hold no emotion until it does")
        elif self._stuck and not stuck:
            self._say("faces are looked for again")
        self._stuck = stuck

    def troubles(self, now_ns: int) -> tuple[str, ...]:
        """What hangs now, for the results."""
        return (*map(self._lag_note, sorted(self._lagging)), *((self._stuck_note(now_ns),) if self._stuck else ()))

    def _lag_note(self, source: str) -> str:
        return f"the {source} lags: what comes from it is {_seconds(0, self._late_ns[source])} s old"

    def _stuck_note(self, now_ns: int) -> str:
        since_ns = self._looking_ns
        return f"the look at a frame has not ended for {_seconds(now_ns if since_ns is None else since_ns, now_ns)} s"


def _seconds(since_ns: int, now_ns: int) -> str:
    return f"{(now_ns - since_ns) / NANOSECONDS:.1f}"
