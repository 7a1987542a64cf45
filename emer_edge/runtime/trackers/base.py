"""The base class of trackers, and the record of a driver."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from emer_edge.core.samples import MISSING_2, MISSING_3, Display, EyeReading, StimulusRect, TrackerSample
from emer_edge.runtime.address import Address
from emer_edge.runtime.clock import ClockReport
from emer_edge.runtime.drivers import Driver, Sensor
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.signals.rows import raw_rows, unfilled_columns


@dataclass(frozen=True)
class TrackerOptions:
    """How a tracker is opened.

    Attributes:
        display: turns fractions of the display into pixels.
        pace: files only: `real` yields a sample when it is due, `fast` at once.
        start_ns: files only: host time of the recording's time 0; None: the first read with `real`, 0 with `fast`.
        offset_ms: files only: added to the recording's own times, it gives the video's. None: unknown; then it is 0, or
            what puts the first sample at time 0 where that is more than a second away, and the tracker is not
            `synchronised`.
        wait_s: live only: how long opening waits for the stream's format and rate.
        say: takes a sentence when the tracker is lost and when it is back.
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
        check: raises what `open` would, without connecting to a live tracker.
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
        rate_hz: nominal rate.
        connected: whether the device answers; always true for a file.
        losses: how often the device was lost; never for a file.
        absent: there is none, so that it has no samples.
    """

    clock: str
    synchronised: bool
    rate_hz: float
    connected: bool = True
    losses: int = 0
    absent: bool = False

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with what a device sends now, in sentences for people; empty while all is well."""
        return ()

    @property
    @abstractmethod
    def missing_columns(self) -> tuple[str, ...]:
        """Keys of the eye columns that this tracker can't fill (columns 33 to 39 are computed, never missing)."""

    @property
    def dropped(self) -> dict[str, int]:
        """Place -> samples or packets lost there since the start."""
        return {}

    @property
    def clock_report(self) -> ClockReport | None:
        """How well the device's clock is known in host time; None where stamps are not mapped."""
        return None

    @property
    def description(self) -> str:
        """What was opened and how it is read, in one line."""
        return self.source


class NoTracker(Tracker):
    """No eye tracker, or the one of a recording without."""

    source = clock = "none"
    live, synchronised, rate_hz, absent = False, True, 0.0, True
    missing_columns = ()

    def __next__(self) -> TrackerSample:
        raise StopIteration

    def close(self) -> None:
        """Nothing is open."""


NO_TRACKER = TrackerDriver(
    name="none",
    help="no eye tracker: what the face shows alone",
    example="none",
    claims=lambda address: address.text == NoTracker.source,
    open=lambda address, options: NoTracker(),
    check=lambda address, options: None,
    live=False,
)


def unfilled_by(fields: set[str], display: Display) -> tuple[str, ...]:
    """Keys of the eye columns that a stream of these fields can't fill."""

    def full(eye: str) -> EyeReading:
        return EyeReading(
            gaze_px=(1.0, 1.0) if f"{eye} gaze" in fields else MISSING_2,
            position_mm=(1.0, 1.0, 600.0) if f"{eye} position" in fields else MISSING_3,
            direction=(0.0, 0.0, -1.0) if f"{eye} direction" in fields else MISSING_3,
            pupil_mm=3.0 if f"{eye} pupil" in fields else math.nan,
            valid=True,
        )

    sample = TrackerSample(None, 0, 0, left=full("left"), right=full("right"))
    return unfilled_columns(raw_rows([sample], display, StimulusRect.whole(display)))
