"""What every tracker driver offers, and what the decoders of byte streams have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import fmean, median
from types import TracebackType
from typing import Final, Protocol

import numpy as np

from emer_edge.runtime.clock import ClockReport
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.signals.rows import raw_row, unfilled_columns
from emer_edge.spec.samples import Display, EyeReading, StimulusRect, TrackerSample

__all__ = [
    "FIELDS",
    "Counters",
    "Decoder",
    "Say",
    "Tracker",
    "TrackerOptions",
    "nominal_rate_hz",
    "say_to_log",
    "unfilled_by",
]

FIELDS: Final = ("gaze", "position", "pupil", "direction")
"""What a tracker can send of one eye; a field of a stream is named `left gaze`, `right pupil`, and so on."""


@dataclass
class Counters:
    """What became of a tracker's bytes.

    Attributes:
        samples: samples decoded.
        lost: samples missing from the sequence numbers.
        duplicated: samples that repeat the one before.
        bad_crc: packets whose check sum is wrong.
        garbage: packets and lines that can't be understood.
        headerless: lines of `csv` before the first header.
        overlong: packets and lines cut because they never end.
        unsupported: intact packets of another version, and intact fields this version does not know.
        out_of_range: numbers no eye can have (see `emer_edge.runtime.trackers.readings`), taken as missing.
        unstamped: samples whose stamp is no time, timed by their arrival.
    """

    samples: int = 0
    lost: int = 0
    duplicated: int = 0
    bad_crc: int = 0
    garbage: int = 0
    headerless: int = 0
    overlong: int = 0
    unsupported: int = 0
    out_of_range: int = 0
    unstamped: int = 0

    def losses(self) -> dict[str, int]:
        """What was lost: name -> count, those above zero, `samples` left out."""
        return {name.replace("_", " "): count for name, count in asdict(self).items() if count and name != "samples"}


class Decoder(Protocol):
    """Turns bytes into samples; pure, and never raises on any bytes.

    Attributes:
        counters: what became of the bytes so far.
        fields: which fields this stream has had, for example `{"left gaze", "left pupil"}`.
    """

    counters: Counters
    fields: set[str]

    def feed(self, data: bytes, arrival_ns: int) -> list[TrackerSample]:
        """Decode what `data` completes.

        Args:
            data: the next bytes, cut anywhere.
            arrival_ns: when they reached this process.

        Returns:
            Samples stamped with `arrival_ns`; `device_ns` holds the tracker's own time where it sends one.
        """
        ...


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


class Tracker(ABC):
    """An iterator of TrackerSample, in order of time.

    Iterating blocks until the next sample; `close()` from any thread ends it. Usable as a context manager.

    Attributes:
        source: the argument it was opened with.
        live: whether samples come from a device; a file ends, a device does not.
        clock: where stamps come from: `device` (mapped to host time), `arrival`, or `media` (a file).
        synchronised: whether stamps can be compared with a camera's.
    """

    source: str
    live: bool
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

    def start(self, start_ns: int) -> None:  # noqa: B027  (most drivers have nothing to do)
        """Put time 0 of a file at this host time, so that a video and a tracker start together; live: nothing."""

    def __iter__(self) -> Iterator[TrackerSample]:
        return self

    @abstractmethod
    def __next__(self) -> TrackerSample:
        """The next sample; StopIteration after the end of a file and after `close()`."""

    @abstractmethod
    def close(self) -> None:
        """Let the device go; may be called twice and from any thread."""

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def nominal_rate_hz(times_ns: Sequence[int]) -> float:
    """Rate of samples taken at these times, in order; 0 with fewer than two.

    The mean step, gaps left out: the median alone would take a 120 Hz clock in whole milliseconds for 125 Hz.
    """
    steps = [after - before for before, after in pairwise(times_ns) if after > before]
    if not steps:
        return 0.0
    longest = 1.5 * median(steps)
    return 1e9 / fmean(each for each in steps if each <= longest)


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

    row = raw_row(TrackerSample(None, 0, 0, full("left"), full("right")), display, StimulusRect.whole(display))
    return unfilled_columns(row[np.newaxis])
