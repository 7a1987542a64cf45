"""What the formats of byte streams are made of: decoders and encoders, bounded lines, numbers, eyes, what went wrong.

A tracker's own validity is not enough: recordings of real trackers hold gaze a display's width off the display and
13.5 mm pupils, all marked valid. A number that no eye can have is missing here, and counted.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import MISSING_2, MISSING_3, Display, EyeReading, TrackerSample
from emer_edge.runtime.drivers import Kind

Parameters = Mapping[str, str]
"""Parameters of a tracker's address."""

_LARGEST_AREA: Final = 100_000.0

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
        out_of_range: numbers no eye can have (see `reading`), taken as missing.
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


class SampleEncoder(ABC):
    """A tracker's side of a format, for the simulator.

    Args:
        display: what gaze refers to.
        rate_hz: samples a second.
    """

    def __init__(self, display: Display, rate_hz: float = 120.0) -> None:
        self._display = display
        self._rate_hz = rate_hz
        self._sequence = -1

    @abstractmethod
    def encode(self, sample: TrackerSample) -> bytes:
        """The bytes of the next sample; empty while the tracker has not been asked to stream."""

    def receive(self, data: bytes) -> None:  # noqa: B027  (most trackers are not asked anything)
        """Take what the host sends."""

    def _next(self) -> int:
        """Number of the next sample, from 0."""
        self._sequence += 1
        return self._sequence


@dataclass(frozen=True, kw_only=True)
class StreamFormat(Kind):
    """One format of bytes.

    Attributes:
        name: what users call it.
        help: what it is, in a few words.
        parameters: parameters of an address that belong to it: name -> what it means.
        decoder: makes its decoder, of an address's parameters and a display; raises ConfigurationError.
        candidates: makes the decoders to try when a format has to be found; None: `decoder` without parameters.
        evidence: samples in a row that prove it.
        greeting: what the tracker has to be sent before it streams; None: it streams by itself.
        farewell: what ends its stream.
        encoder: makes the simulator's side of it; None: it can't be simulated.
    """

    decoder: Callable[[Parameters, Display], Decoder]
    candidates: Callable[[Display], Sequence[Decoder]] | None = None
    evidence: int = 1
    greeting: Callable[[Parameters], bytes] | None = None
    farewell: bytes = b""
    encoder: Callable[[Display, float], SampleEncoder] | None = None


MAX_LINE: Final = 4096
"""Longest line of any text format, in bytes."""

LATEST_NS: Final = 1 << 62
"""No device clock is later than this."""

_NUMBER: Final = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\Z")
_MISSING: Final = (b"", b"nan", b"-nan")
_SAME_RUN: Final = 1 << 15  # a larger jump of the sequence is a restart or a bit error, not a loss


def number_in(cell: bytes) -> float | None:
    """Return the number in a cell: NaN where missing, None where it holds something else."""
    if cell.lower() in _MISSING:
        return math.nan
    return float(cell) if len(cell) < 64 and _NUMBER.match(cell) else None


class LineSplitter:
    """Cuts bytes into lines; a line that never ends is dropped and counted, and costs no memory.

    Args:
        counters: `overlong` goes up by one for each line dropped.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._buffer = bytearray()
        self._cut = False

    @property
    def held(self) -> int:
        """Bytes of the line that has not ended."""
        return len(self._buffer)

    def split(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that `data` ends, without their ends and the blanks around them."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._append(piece)
            line = bytes(self._buffer).strip()
            self._buffer.clear()
            cut, self._cut = self._cut, False
            if line and not cut:
                yield line
        self._append(rest)

    def _append(self, piece: bytes) -> None:
        if self._cut:
            return
        self._buffer += piece
        if len(self._buffer) > MAX_LINE:
            self._counters.overlong += 1
            self._cut = True
            self._buffer.clear()


class LineDecoder(ABC):
    """A decoder of lines (see `Decoder`); a format says what a line means.

    Args:
        display: the display that gaze refers to.
    """

    def __init__(self, display: Display) -> None:
        self.counters = Counters()
        self.fields: set[str] = set()
        self._display = display
        self._lines = LineSplitter(self.counters)

    def feed(self, data: bytes, arrival_ns: int) -> list[TrackerSample]:
        """Decode the lines that `data` completes."""
        samples = (self._line(line, arrival_ns) for line in self._lines.split(data))
        return [each for each in samples if each is not None]

    @abstractmethod
    def _line(self, line: bytes, arrival_ns: int) -> TrackerSample | None:
        """The sample of one line, or None."""


class SequenceFollower:
    """Follows numbers that go up by one a sample: what is missing is lost, what comes twice is dropped.

    Args:
        counters: `lost` and `duplicated` go up.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._before: tuple[int, int | None] | None = None

    def restart(self) -> None:
        """Forget the number before."""
        self._before = None

    def repeats(self, sequence: float, device_ns: int | None) -> bool:
        """Take the next number (not finite: none); true when number and time are those before once more."""
        if not math.isfinite(sequence):
            return False
        before, self._before = self._before, (int(sequence), device_ns)
        if before is None:
            return False
        step = int(sequence) - before[0]
        if step == 0 and device_ns == before[1]:
            self._counters.duplicated += 1
            return True
        if 0 < step < _SAME_RUN:
            self._counters.lost += step - 1
        return False


GAZE_FRACTION_RANGE: Final = (-1.0, 2.0)
PUPIL_RANGE_MM: Final = (1.0, 10.0)
DISTANCE_LIMIT_MM: Final = 3000.0


def reading(
    display: Display,
    counters: Counters,
    *,
    gaze: Sequence[float] = (),
    position_mm: Sequence[float] = (),
    direction: Sequence[float] = (),
    pupil_mm: float = math.nan,
    valid: bool | None = None,
) -> EyeReading:
    """Build a reading from what a tracker sends.

    Args:
        display: turns fractions into pixels.
        counters: `out_of_range` goes up by one for each implausible item.
        gaze: x, y as fractions of the display, origin top left; empty or not finite where missing, as all of these.
        position_mm: x, y, z of the eye, DACS mm.
        direction: x, y, z of the gaze direction; all zeros means missing, other lengths are brought to 1.
        pupil_mm: pupil diameter; 0 means missing.
        valid: the tracker's own word; None where it has none: then an eye with gaze is valid.
    """
    low, high = GAZE_FRACTION_RANGE
    gaze_px: tuple[float, float] = MISSING_2
    if _given(gaze):
        x, y = gaze
        if low <= x <= high and low <= y <= high:
            gaze_px = (x * display.width_px, y * display.height_px)
        else:
            counters.out_of_range += 1
    position: tuple[float, float, float] = MISSING_3
    if _given(position_mm):
        if max(map(abs, position_mm)) <= DISTANCE_LIMIT_MM:
            position = (position_mm[0], position_mm[1], position_mm[2])
        else:
            counters.out_of_range += 1
    unit: tuple[float, float, float] = MISSING_3
    if _given(direction) and any(direction):
        length = math.hypot(*direction)
        if 0.5 <= length <= 2.0:
            unit = (direction[0] / length, direction[1] / length, direction[2] / length)
        else:
            counters.out_of_range += 1
    pupil = math.nan
    if math.isfinite(pupil_mm) and pupil_mm:
        if PUPIL_RANGE_MM[0] <= pupil_mm <= PUPIL_RANGE_MM[1]:
            pupil = pupil_mm
        else:
            counters.out_of_range += 1
    seen = not math.isnan(gaze_px[0])
    return EyeReading(
        gaze_px=gaze_px,
        direction=unit,
        position_mm=position,
        pupil_mm=pupil,
        valid=seen if valid is None else bool(valid) and seen,
    )


def _given(numbers: Sequence[float]) -> bool:
    return bool(numbers) and all(map(math.isfinite, numbers))


def display_area(parameters: Parameters, display: Display) -> tuple[float, float]:
    """The tracker's numbers at the display's right and bottom edge: `width=` and `height=`, both or its pixels."""
    if "width" not in parameters and "height" not in parameters:
        return display.width_px, display.height_px
    sizes = []
    for name in ("width", "height"):
        try:
            size = float(parameters.get(name, ""))
        except ValueError:
            size = 0.0
        if not 0 < size <= _LARGEST_AREA:
            raise ConfigurationError(
                "width= and height= are the tracker's numbers at the display's right and bottom edge: give both"
            )
        sizes.append(size)
    return sizes[0], sizes[1]
