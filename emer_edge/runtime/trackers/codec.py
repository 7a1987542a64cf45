"""Building blocks of the formats of byte streams: decoders, encoders, bounded lines, numbers, eyes, counters.

A tracker's own validity is not enough: recordings of real trackers contain gaze one display width off the display and
13.5 mm pupils, all marked valid. A number that no eye can have counts as missing, and as out of range.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Protocol

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.numbers import is_missing
from emer_edge.core.samples import MISSING_2, MISSING_3, Display, EyeReading, TrackerSample
from emer_edge.runtime.drivers import Kind

Parameters = Mapping[str, str]
"""Parameters of a tracker's address."""

AREA_PARAMETERS: Final = {
    "width": "its number at the display's right edge",
    "height": "its number at the display's bottom edge",
}
"""Parameters that `display_area` reads."""

_LARGEST_AREA: Final = 100_000.0

FIELDS: Final = ("gaze", "position", "pupil", "direction")
"""What a tracker can send for one eye; a field of a stream is named `left gaze`, `right pupil`, and so on."""


_NO_LOSSES: Final = ("samples", "example")
_SHOWN_BYTES: Final = 120


def shown(data: bytes) -> str:
    """The first line of some bytes for a message, without control characters; hexadecimal where they are no text."""
    line = data.strip().splitlines()[0] if data.strip() else b""
    text = "".join(chr(byte) for byte in line if 32 <= byte < 127)
    return repr(text) if len(text) > 0.8 * len(line) else data[:16].hex(" ")


@dataclass
class ValidityCodes:
    """What a tracker's codes of validity say.

    Attributes:
        valid: the code of a valid eye.
        given: whether somebody has said so, so that other codes need no explanation.
        seen: the codes that came, at most ten.
    """

    valid: float = 1.0
    given: bool = False
    seen: set[float] = field(default_factory=set)

    @classmethod
    def of(cls, parameters: Parameters) -> ValidityCodes:
        """Read `valid=` of an address; ConfigurationError where it is no number."""
        code = number_in(parameters.get("valid", "1").encode())
        if code is None or not math.isfinite(code):
            raise ConfigurationError(f"valid={parameters['valid']}: give the number that means a valid eye")
        return cls(code, "valid" in parameters)

    def says(self, code: float, confidence: float = math.nan) -> bool | None:
        """Whether an eye is valid, by its code and by a confidence of 0 to 1; None where both are missing."""
        if math.isfinite(code) and len(self.seen) < _CODES:
            self.seen.add(code)
        known = [code == self.valid] if math.isfinite(code) else []
        known += [confidence >= LEAST_CONFIDENCE] if math.isfinite(confidence) else []
        return all(known) if known else None

    @property
    def problem(self) -> str:
        """Why the codes may mean something else; empty while nothing tells so."""
        if self.given or not self.seen or (self.valid in self.seen and self.seen <= {0.0, 1.0}):
            return ""
        codes = ", ".join(f"{code:g}" for code in sorted(self.seen))
        return (
            f"validity is coded {codes}, and only {self.valid:g} is taken as valid: name the code that means a valid "
            "eye as valid=, for example valid=0; numbers from 0 to 1 belong into a column or channel `confidence`"
        )


VALID_PARAMETER: Final = {"valid": "the number that means a valid eye, 1 by default"}
LEAST_CONFIDENCE: Final = 0.6
"""Least confidence of a valid eye, the threshold that Pupil Labs recommends."""

_CODES: Final = 10


@dataclass
class Counters:
    """What became of a tracker's bytes.

    Attributes:
        samples: samples decoded.
        lost: samples missing from the sequence numbers.
        duplicated: samples that repeat the one before.
        bad_crc: packets whose check sum is wrong.
        garbage: packets and lines that can't be decoded.
        headerless: lines of `csv` before the first header.
        overlong: packets and lines cut because they never end.
        unsupported: intact packets of another version, and intact fields this version does not know.
        out_of_range: numbers no eye can have (see `reading`), taken as missing.
        unstamped: samples whose stamp is no time, timed by their arrival.
        out_of_order: rows of a file whose time is not after that of the row before.
        example: the first bytes that could not be decoded since the last sample, no loss of their own.
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
    out_of_order: int = 0
    example: bytes = b""

    def refuse(self, data: bytes, count: int = 1) -> None:
        """Count garbage, and keep an example of it."""
        self.garbage += count
        self.example = self.example or bytes(data[:_SHOWN_BYTES])

    def losses(self) -> dict[str, int]:
        """Losses: name -> count, those above zero, without `samples`."""
        return {
            name.replace("_", " "): count for name, count in asdict(self).items() if count and name not in _NO_LOSSES
        }


class Decoder(Protocol):
    """Turns bytes into samples; pure, and never raises on any bytes.

    Attributes:
        counters: what became of the bytes so far.
        fields: fields that this stream has had, for example `{"left gaze", "left pupil"}`.
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
        rate_hz: samples per second.
    """

    def __init__(self, display: Display, rate_hz: float = 120.0) -> None:
        self._display, self._rate_hz = display, rate_hz
        self._sequence = -1

    @abstractmethod
    def encode(self, sample: TrackerSample) -> bytes:
        """Bytes of the next sample; empty until the host has requested the stream."""

    def receive(self, data: bytes) -> None:  # noqa: B027  (most trackers take no commands)
        """Handle bytes from the host."""

    def _next(self) -> int:
        """Number of the next sample, from 0."""
        self._sequence += 1
        return self._sequence


@dataclass(frozen=True, kw_only=True)
class StreamFormat(Kind):
    """One format of bytes.

    Attributes:
        decoder: makes its decoder from an address's parameters and a display; raises ConfigurationError.
        candidates: makes the decoders to try where no format is named; None: `decoder` without parameters.
        evidence: samples in a row that prove the format.
        greeting: makes the command that starts the stream; None: the tracker streams by itself.
        farewell: command that ends the stream.
        encoder: makes the simulator's side; None: the format can't be simulated.
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
_SAME_RUN: Final = 1 << 15  # a larger jump of the sequence is a restart or a bit error, not a loss


def number_in(cell: bytes) -> float | None:
    """Return the number in a cell, with a decimal point or comma: NaN where missing, None for anything else."""
    cell = cell.replace(b",", b".")
    if len(cell) < 64 and _NUMBER.match(cell):
        return float(cell)
    return math.nan if is_missing(cell.decode("ascii", "replace")) else None


class LineSplitter:
    """Splits bytes into lines; a line that never ends is dropped and counted, and takes no memory.

    Args:
        counters: `overlong` goes up by one for each line dropped.

    Attributes:
        buffer: bytes of the line that has not ended.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.buffer = bytearray()
        self._cut = False

    def split(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that `data` completes, stripped."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._append(piece)
            line = bytes(self.buffer).strip()
            self.buffer.clear()
            cut, self._cut = self._cut, False
            if line and not cut:
                yield line
        self._append(rest)

    def _append(self, piece: bytes) -> None:
        if self._cut:
            return
        self.buffer += piece
        if len(self.buffer) > MAX_LINE:
            self._counters.overlong += 1
            self._cut = True
            self.buffer.clear()


class LineDecoder(ABC):
    """A decoder of lines (see `Decoder`); a format decodes one line.

    Attributes:
        time_name: what the tracker's times are called, ending in their unit, such as `time_us`; empty where unknown.
    """

    time_name = ""

    def __init__(self, display: Display) -> None:
        self.counters = Counters()
        self.fields: set[str] = set()
        self._display = display
        self.lines = LineSplitter(self.counters)

    def feed(self, data: bytes, arrival_ns: int) -> list[TrackerSample]:
        """Decode the lines that `data` completes."""
        samples = (self._line(line, arrival_ns) for line in self.lines.split(data))
        return [sample for sample in samples if sample is not None]

    @abstractmethod
    def _line(self, line: bytes, arrival_ns: int) -> TrackerSample | None:
        """The sample of one line, or None."""


class SequenceFollower:
    """Follows numbers that rise by one per sample: gaps count as lost, repeats as duplicated.

    Args:
        counters: `lost` and `duplicated` go up.
        wraps: the number after the highest, which is 0 again; None: they never wrap.
    """

    def __init__(self, counters: Counters, wraps: int | None = None) -> None:
        self._counters, self._wraps = counters, wraps
        self._before: tuple[int, int | None] | None = None

    def restart(self) -> None:
        """Forget the last number."""
        self._before = None

    def repeats(self, sequence: float, device_ns: int | None) -> bool:
        """Take the next number (not finite: none); return whether number and time equal the last ones."""
        if not math.isfinite(sequence):
            return False
        before, self._before = self._before, (int(sequence), device_ns)
        if before is None:
            return False
        step = int(sequence) - before[0]
        if self._wraps is not None:
            step %= self._wraps
        if step == 0 and device_ns == before[1]:
            self._counters.duplicated += 1
            return True
        if 0 < step < _SAME_RUN:
            self._counters.lost += step - 1
        return False


def lost(numbers: Sequence[float]) -> bool:
    """Whether these coordinates are a tracker's way to say that it lost the eye: all 0, or all -1."""
    return len(numbers) > 0 and (all(number == 0 for number in numbers) or all(number == -1 for number in numbers))


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
    """Build a reading from a tracker's numbers.

    Args:
        display: turns fractions into pixels.
        counters: `out_of_range` goes up by one for each implausible item.
        gaze: x, y as fractions of the display, origin top left; empty or not finite where missing, as all of these.
        position_mm: x, y, z of the eye, DACS mm.
        direction: x, y, z of the gaze direction; all zeros means missing, other lengths are brought to 1.
        pupil_mm: pupil diameter; 0 and -1 mean missing.
        valid: the tracker's own validity; None where it has none: then an eye with gaze is valid.
    """
    gaze_px, position, unit = MISSING_2, MISSING_3, MISSING_3
    seen = _plausible(gaze, *GAZE_FRACTION_RANGE, counters)
    if seen:
        gaze_px = (gaze[0] * display.width_px, gaze[1] * display.height_px)
    if _plausible(position_mm, -DISTANCE_LIMIT_MM, DISTANCE_LIMIT_MM, counters):
        position = (position_mm[0], position_mm[1], position_mm[2])
    length = math.hypot(*direction)
    if length and _plausible((length,), 0.5, 2.0, counters):
        unit = (direction[0] / length, direction[1] / length, direction[2] / length)
    if lost((pupil_mm,)) or not _plausible((pupil_mm,), *PUPIL_RANGE_MM, counters):
        pupil_mm = math.nan
    valid = seen if valid is None else valid and seen
    return EyeReading(gaze_px, MISSING_2, unit, position, pupil_mm=pupil_mm, valid=valid)


def _plausible(numbers: Sequence[float], low: float, high: float, counters: Counters) -> bool:
    """Whether there are numbers and all are in low..high; finite ones that are not count as out of range."""
    inside = True
    for number in numbers:  # many times a second: a generator would take three times as long
        if not math.isfinite(number):
            return False
        inside = inside and low <= number <= high
    counters.out_of_range += not inside
    return inside and len(numbers) > 0


def display_area(parameters: Parameters, display: Display) -> tuple[float, float]:
    """The tracker's numbers at the display's right and bottom edge: `width=` and `height=`, by default its pixels."""
    if "width" not in parameters and "height" not in parameters:
        return display.width_px, display.height_px
    try:
        width, height = (float(parameters.get(name, "")) for name in ("width", "height"))
    except ValueError:
        width = height = 0.0
    if not (0 < width <= _LARGEST_AREA and 0 < height <= _LARGEST_AREA):
        raise ConfigurationError(
            "width= and height= are the tracker's numbers at the display's right and bottom edge: give both"
        )
    return width, height
