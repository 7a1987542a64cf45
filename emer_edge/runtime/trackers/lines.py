"""What the text formats share: bounded lines, numbers, sequence numbers."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

from emer_edge.runtime.trackers.base import Counters
from emer_edge.spec.samples import Display, TrackerSample

__all__ = ["LATEST_NS", "MAX_LINE", "LineDecoder", "LineSplitter", "SequenceFollower", "number_in"]

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

    name: str

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
