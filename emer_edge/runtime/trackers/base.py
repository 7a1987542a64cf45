"""What every tracker offers, and the record of a driver."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from emer_edge.core.samples import Display, EyeReading, StimulusRect, TrackerSample
from emer_edge.runtime.address import Address
from emer_edge.runtime.clock import ClockReport
from emer_edge.runtime.drivers import Driver, Sensor
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.trackers.codec import FIELDS
from emer_edge.signals.rows import raw_row, unfilled_columns


@dataclass(frozen=True)
class TrackerOptions:
    """How a tracker is opened.

    Attributes:
        display: turns fractions of the display into pixels.
        pace: files only: `real` yields a sample when it is due, `fast` as soon as it is asked for.
        start_ns: files only: host time of the recording's time 0; None: the first read with `real`, 0 with `fast`.
        offset_ms: files only: added to the recording's own times, it gives the video's. None means that nobody has
            said so: then it is 0, or what puts the first sample at time 0 where that is more than a second away, and
            the tracker is not `synchronised`.
        wait_s: live only: how long opening waits for the stream's format and rate to show.
        say: told when the tracker goes and comes back.
    """

    display: Display = field(default_factory=Display)
    pace: str = "real"
    start_ns: int | None = None
    offset_ms: float | None = None
    wait_s: float = 3.0
    say: Say = say_to_log


@dataclass(frozen=True, kw_only=True)
class TrackerDriver(Driver):
    """One way to get samples.

    Attributes:
        open: opens an address.
        check: raises what `open` would, as far as that can be told without listening to a live tracker.
        live: whether its trackers are live.
    """

    open: Callable[[Address, TrackerOptions], Tracker]
    check: Callable[[Address, TrackerOptions], None]
    live: bool = True


class Tracker(Sensor[TrackerSample]):
    """An iterator of TrackerSample (see `Sensor`).

    Attributes:
        clock: where stamps come from: `device` (mapped to host time), `arrival`, or `media` (a file).
        synchronised: whether stamps can be compared with a camera's.
    """

    clock: str
    synchronised: bool

    @property
    @abstractmethod
    def rate_hz(self) -> float:
        """Nominal rate."""

    @property
    @abstractmethod
    def missing_columns(self) -> tuple[str, ...]:
        """Keys of the eye columns this tracker can't fill (columns 33 to 39 are computed, never missing)."""

    @property
    def connected(self) -> bool:
        """Whether the device answers; always true for a file."""
        return True

    @property
    def dropped(self) -> dict[str, int]:
        """Place -> samples or packets lost there since the start."""
        return {}

    @property
    def losses(self) -> int:
        """How often the device was lost; never for a file."""
        return 0

    @property
    def clock_report(self) -> ClockReport | None:
        """How well the device's clock is known in host time; None where stamps are not mapped."""
        return None

    @property
    def description(self) -> str:
        """One line for people: what was opened and how it is read."""
        return self.source


def unfilled_by(fields: set[str], display: Display) -> tuple[str, ...]:
    """Keys of the eye columns that a stream of these fields can't fill."""

    def full(eye: str) -> EyeReading:
        nan = math.nan
        has = {name: f"{eye} {name}" in fields for name in FIELDS}
        return EyeReading(
            gaze_px=(1.0, 1.0) if has["gaze"] else (nan, nan),
            position_mm=(1.0, 1.0, 600.0) if has["position"] else (nan, nan, nan),
            direction=(0.0, 0.0, -1.0) if has["direction"] else (nan, nan, nan),
            pupil_mm=3.0 if has["pupil"] else nan,
            valid=True,
        )

    row = raw_row(
        TrackerSample(None, 0, 0, left=full("left"), right=full("right")), display, StimulusRect.whole(display)
    )
    return unfilled_columns(row[np.newaxis])
