"""Health of a run's sensors: actual rates, nominal rates, faults."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import isnan
from time import monotonic
from typing import Final

from emer_edge.core.samples import TrackerSample
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.trackers import Tracker

_RATE_S: Final = 3.0  # over which rates are counted
_MARKS: Final = 64


class SensorMeter:
    """Counts the items that the pipeline takes.

    Attributes:
        counts: `frames`, `samples`, and the samples in which an eye was `seen`.
    """

    def __init__(self) -> None:
        self.counts = {"frames": 0, "samples": 0, "seen": 0}
        self._marks: deque[tuple[float, dict[str, int]]] = deque(maxlen=_MARKS)

    def frame(self) -> None:
        """Count a frame."""
        self.counts["frames"] += 1

    def sample(self, sample: TrackerSample) -> list[tuple[float, float]]:
        """Count a sample; return the gaze of each eye that is seen, in display pixels."""
        eyes = [eye.gaze_px for eye in (sample.left, sample.right) if eye.valid and not isnan(eye.gaze_px[0])]
        self.counts["samples"] += 1
        self.counts["seen"] += bool(eyes)
        return eyes

    def mark(self) -> None:
        """Note the counts now; called with every result."""
        self._marks.append((monotonic(), dict(self.counts)))

    def rates_hz(self) -> dict[str, float | None]:
        """Rates of the counts over the last three seconds up to the last mark; None until there are two marks."""
        rates: dict[str, float | None] = dict.fromkeys(self.counts)
        marks = list(self._marks)
        if len(marks) > 1:
            newest_s, newest = marks[-1]
            oldest_s, oldest = next(mark for mark in marks if newest_s - mark[0] <= _RATE_S)
            span_s = newest_s - oldest_s
            if span_s > 0:
                rates = {name: round((newest[name] - oldest[name]) / span_s, 1) for name in newest}
        return rates


@dataclass(frozen=True, slots=True)
class SensorHealth:
    """One sensor, now.

    Attributes:
        name: `camera` or `tracker`.
        rate_hz: of the items that the pipeline takes; None while it is unknown.
        nominal_hz: of the device; 0 where it states none.
        trouble: the fault now, `lost`, `silent` or `absent`; None without one.
        losses: how often the device was lost.
        dropped: items lost on the way.
        clock: the source of the stamps, and how well it is known.
    """

    name: str
    rate_hz: float | None
    nominal_hz: float
    trouble: str | None
    losses: int
    dropped: int
    clock: str


def camera_health(camera: Camera, rate_hz: float | None) -> SensorHealth:
    """A camera's health; `rate_hz` as metered."""
    trouble = _trouble(camera.trouble is not None, rate_hz)
    return SensorHealth(
        "camera", rate_hz, camera.fps, trouble, losses=camera.losses, dropped=camera.dropped, clock=camera.clock
    )


def tracker_health(tracker: Tracker, rate_hz: float | None) -> SensorHealth:
    """An eye tracker's health; `rate_hz` as metered."""
    trouble = "absent" if tracker.absent else _trouble(not tracker.connected, rate_hz)
    dropped = sum(count for place, count in tracker.dropped.items() if place != "disconnects")
    clock, report = tracker.clock, tracker.clock_report
    if report is not None:
        known = "" if report.uncertainty_ms is None else f" ±{report.uncertainty_ms:.2g} ms"
        resets = f" {report.resets} resets" if report.resets else ""
        clock = f"{clock}{known} {report.drift_ppm:+.0f} ppm{resets}"
    return SensorHealth(
        "tracker", rate_hz, tracker.rate_hz, trouble, losses=tracker.losses, dropped=dropped, clock=clock
    )


def _trouble(lost: bool, rate_hz: float | None) -> str | None:
    return "lost" if lost else "silent" if rate_hz == 0 else None
