"""The host's clock, the base class of mappings to it, and the mapping over a one-way link that only ever delays.

A sample that the device stamped d arrives at a = offset + rate * d + delay, where the delay is never negative and now
and then nearly nothing. With exponential delays the likeliest line is the one below all points (d, a) with the least
sum of distances: the edge of their lower convex hull that spans their mean d (Moon, Skelly and Towsley, "Estimation and
removal of clock skew from network delay measurements", INFOCOM 1999). A short window says little about a slope, so the
drift also has a prior: crystals are within some 50 ppm, and a clock that resets keeps its crystal. The line is refitted
over a sliding window. The smallest delay itself is unknown over a one-way link: stamps are late by that constant, for a
serial link the time its bytes take.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Final

monotonic_ns: Final = time.monotonic_ns
"""The host clock of all stamps: CLOCK_MONOTONIC in nanoseconds."""

_BRACKETS: Final = 5
_JUMP_NS: Final = 500_000_000  # of the wall clock; NTP slews what is less
_POOR_RESIDUAL_MS: Final = 50.0
_POOR_DRIFT_PPM: Final = 200.0
_POOR_UNCERTAINTY_MS: Final = 10.0


@dataclass(frozen=True, slots=True)
class ClockReport:
    """How well a tracker's clock is known in host time.

    Attributes:
        link: `one-way` (arrivals alone) or `two-way` (round trips).
        drift_ppm: how much slower than the host's the device clock runs.
        residual_ms: mean delay above the shortest delay seen: the jitter that the mapping removes.
        resets: how often the device clock was seen to restart, jump or pause.
        uncertainty_ms: two-way links: bound of the mapping's error; None where there is none.
    """

    link: str
    drift_ppm: float
    residual_ms: float
    resets: int
    uncertainty_ms: float | None = None

    def __str__(self) -> str:
        known = "" if self.uncertainty_ms is None else f", known to {self.uncertainty_ms:.2g} ms"
        return (
            f"drifts by {self.drift_ppm:.0f} ppm, {self.residual_ms:.2g} ms of jitter taken away, "
            f"{self.resets} resets ({self.link}{known})"
        )

    def notes(self) -> tuple[str, ...]:
        """Sentences for the reader of results where the mapping is poor; empty where it is good."""
        poor = []
        if self.resets:
            times = "once" if self.resets == 1 else f"{self.resets} times"
            poor.append(f"the tracker's clock restarted or jumped {times}: its times are less sure for 5 s after each")
        if abs(self.drift_ppm) > _POOR_DRIFT_PPM:
            poor.append(f"the tracker's clock drifts by {self.drift_ppm:.0f} ppm, more than a quartz should")
        if self.residual_ms > _POOR_RESIDUAL_MS:
            poor.append(f"samples arrive {self.residual_ms:.0f} ms late on average: times may err by milliseconds")
        if self.uncertainty_ms is not None and self.uncertainty_ms > _POOR_UNCERTAINTY_MS:
            poor.append(f"the tracker's clock is known to {self.uncertainty_ms:.0f} ms only: its link is slow")
        return tuple(poor)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return asdict(self)


class Clock(ABC):
    """Maps a device's stamps to host monotonic time, sample by sample, and never runs backwards.

    One thread maps; any thread may read the report. It restarts by itself when the device's clock resets, jumps or
    pauses, and never maps later than the sample's arrival by more than the nanoseconds that keep stamps apart.

    Attributes:
        resets: how often the mapping was restarted.
        behind_ns: by how much longer than at first samples take to come, as restarts have shown so far, or for how long
            the device's clock has stood still: over a one-way link these look alike.
    """

    def __init__(self) -> None:
        self.resets = self.behind_ns = 0
        self._drift = 0.0
        self._stamp_ns: int | None = None
        self._lock = threading.Lock()

    @property
    def report(self) -> ClockReport:
        """Quality of the mapping."""
        with self._lock:
            return self._report()

    def map(self, device_ns: int | None, arrival_ns: int) -> int:
        """Return the host time of a sample.

        Args:
            device_ns: the device's stamp; None where it has none: then the arrival counts.
            arrival_ns: when the sample reached this process, never before the last one's arrival.
        """
        with self._lock:
            mapped = arrival_ns if device_ns is None else self._mapped(device_ns, arrival_ns)
            if self._stamp_ns is not None:
                mapped = max(mapped, self._stamp_ns + 1)
            self._stamp_ns = mapped
            return mapped

    @abstractmethod
    def resume(self) -> None:
        """Note that the link was cut: if the next sample is late, the clock had stopped, and the mapping restarts."""

    @abstractmethod
    def _mapped(self, device_ns: int, arrival_ns: int) -> int: ...

    @abstractmethod
    def _report(self) -> ClockReport: ...


def host_offset_ns(read_ns: Callable[[], int]) -> int:
    """Host time minus another clock of this machine, from the tightest of a few bracketed readings."""
    readings: list[tuple[int, int]] = []
    for _ in range(_BRACKETS):
        before_ns = monotonic_ns()
        other_ns = read_ns()
        after_ns = monotonic_ns()
        readings.append((after_ns - before_ns, (before_ns + after_ns) // 2 - other_ns))
    return min(readings)[1]


class WallClock:
    """The wall clock, read once, at host time `started_ns`, and from then on `offset_ns` ahead: it never goes back."""

    def __init__(self) -> None:
        self.started_ns = monotonic_ns()
        self.offset_ns = self._seen_ns = -host_offset_ns(time.time_ns)

    def text(self, stamp_ns: int) -> str:
        """A host time as ISO 8601 with UTC, in milliseconds."""
        moment = datetime.fromtimestamp((stamp_ns + self.offset_ns) * 1e-9, timezone.utc)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def jump_ns(self) -> int:
        """By how much the wall clock was set since the last call, or the machine slept; 0: not, or less than 0.5 s."""
        before_ns, self._seen_ns = self._seen_ns, -host_offset_ns(time.time_ns)
        jump_ns = self._seen_ns - before_ns
        return jump_ns if abs(jump_ns) >= _JUMP_NS else 0


PRIOR_SIGMA: Final = 50e-6
"""Standard deviation of a crystal's drift before anything is measured."""

LEAST_DELAY_NS: Final = 1_000.0
"""Resolution of timers; keeps a perfect link from dividing by zero."""

MAX_DRIFT: Final = 500e-6
"""Bound of the slope; crystals stay within 200 ppm."""

_WINDOW_NS: Final = 30_000_000_000

_BUCKET_NS: Final = 250_000_000  # of each quarter second only the point of least delay is kept
_EARLY_NS: Final = 20_000_000  # arriving this much before the line allows: the device clock has jumped ahead
_SETTLED_NS: Final = 2_000_000_000  # before that, arriving early is only the end of a delayed start
_LATE_NS: Final = 50_000_000  # arriving this much late, for all of _LATE_FOR_NS: it has jumped back or paused
_LATE_FOR_NS: Final = 2_000_000_000
_BACK_NS: Final = 1_000_000  # more than a reordering
_LONG_SINCE: Final[tuple[int, int] | None] = (-(1 << 63), -(1 << 63))


class ClockMapper(Clock):
    """Maps device time by arrivals alone."""

    def __init__(self) -> None:
        super().__init__()
        self._restart()

    def resume(self) -> None:
        """Note that the link was cut: a late next sample restarts the mapping at once."""
        with self._lock:
            self._late_since = _LONG_SINCE

    def _report(self) -> ClockReport:
        delays_ns = [y - self._line(x) for x, y in self._points] or [0.0]
        return ClockReport("one-way", self._drift * 1e6, sum(delays_ns) / len(delays_ns) * 1e-6, self.resets)

    def _restart(self) -> None:
        self._origin: tuple[int, int] | None = None  # device and host time that points count from
        self._points: deque[tuple[float, float]] = deque()  # (x, y): device time, and arrival minus device time
        self._last_x = -math.inf
        self._offset = 0.0
        self._late_since = None  # device and host time since which every sample was late
        self._prior = self._drift  # a reset clock has the same crystal

    def _line(self, x: float) -> float:
        return self._offset + self._drift * x

    def _mapped(self, device_ns: int, arrival_ns: int) -> int:
        x, y = self._place(device_ns, arrival_ns)
        if self._points:
            delay = y - self._line(x)
            early = delay < -_EARLY_NS and x > _SETTLED_NS
            back = x < self._last_x - _BACK_NS
            if back or early or self._late(delay, device_ns, arrival_ns):
                self.resets += 1
                self.behind_ns = 0 if back else max(0, self.behind_ns + round(delay))
                self._restart()
                x, y = self._place(device_ns, arrival_ns)
        self._last_x = max(x, self._last_x)
        before = self._line(x)
        self._add(x, y)
        if self.behind_ns:  # what is caught up little by little
            self.behind_ns = max(0, self.behind_ns + round(self._line(x) - before))
        assert self._origin is not None
        return min(arrival_ns, self._origin[1] + (device_ns - self._origin[0]) + round(self._line(x)))

    def _place(self, device_ns: int, arrival_ns: int) -> tuple[float, float]:
        if self._origin is None:
            self._origin = (device_ns, arrival_ns)
        elapsed_ns = device_ns - self._origin[0]
        return float(elapsed_ns), float(arrival_ns - self._origin[1] - elapsed_ns)

    def _late(self, delay: float, device_ns: int, arrival_ns: int) -> bool:
        if delay < _LATE_NS:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = (device_ns, arrival_ns)
        else:
            return min(device_ns - self._late_since[0], arrival_ns - self._late_since[1]) > _LATE_FOR_NS
        return False

    def _add(self, x: float, y: float) -> None:
        points = self._points
        if points and x // _BUCKET_NS == points[-1][0] // _BUCKET_NS:
            if y - points[-1][1] >= self._drift * (x - points[-1][0]):
                return
            points[-1] = (x, y)
            if y >= self._line(x):  # not the least delay of all: it counts with the next quarter second
                return
        elif points and x <= points[-1][0]:
            return  # overtaken across a border of buckets: the hull needs points in order
        else:
            points.append((x, y))
            while points[0][0] < x - _WINDOW_NS:
                points.popleft()
        self._fit()

    def _fit(self) -> None:
        points = self._points
        mean_delay = max(LEAST_DELAY_NS, sum(y - self._line(x) for x, y in points) / len(points))
        slope = _likeliest_slope(points, mean_delay, self._prior)
        self._drift = max(-MAX_DRIFT, min(MAX_DRIFT, slope))
        self._offset = min(y - self._drift * x for x, y in points)


def lower_hull(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Vertices of the lower convex hull of points in order of x, left to right."""
    hull: list[tuple[float, float]] = []
    for x, y in points:
        while len(hull) >= 2:
            (x1, y1), (x2, y2) = hull[-2], hull[-1]
            if (x2 - x1) * (y - y1) > (y2 - y1) * (x - x1):
                break
            hull.pop()
        hull.append((x, y))
    return hull


def _likeliest_slope(points: deque[tuple[float, float]], mean_delay: float, prior: float) -> float:
    """Slope s of the line below `points` (in order of x) that minimises sum of distances / mean_delay + prior term.

    The sum's derivative is n * x of the vertex that the line touches - sum of x, a step up at every edge of the hull;
    the prior's is (s - prior) / sigma^2: the first vertex where they cancel within its range of slopes is the minimum.
    """
    hull = lower_hull(points)
    total_x = sum(x for x, _ in points)
    left = -math.inf
    for at, (x, y) in enumerate(hull):
        right = math.inf
        if at + 1 < len(hull):
            next_x, next_y = hull[at + 1]
            right = (next_y - y) / (next_x - x)
        slope = prior - PRIOR_SIGMA**2 * (len(points) * x - total_x) / mean_delay
        if slope <= right:
            return max(slope, left)
        left = right
    return left
