"""The `iscan` format: ISCAN's binary stream of 16-bit integers, without clock, check sum or sequence number.

A frame is 0x44 0x44 and then n little-endian int16: x, y, and with n = 3 a digital input. Both 115200 baud with n = 2
and 57600 with n = 3 are in use. An item that equals 0x4444 means that the reader is out of step.

Coordinates are counted from the top left corner; `width` and `height` are the numbers at the display's right and bottom
edge, by default its pixels. x = y = 0 is a lost eye. There is one gaze point, which both eyes get.

Without a check sum only the marks tell frames apart: a frame counts when the next one's mark follows it, or when the
mark before it was where it belongs. Bytes lost inside a frame shift a 0x44 into a high byte, far outside of any
display.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, TrackerSample
from emer_edge.runtime.trackers.codec import (
    AREA_PARAMETERS,
    Counters,
    Parameters,
    SampleEncoder,
    StreamFormat,
    display_area,
    lost,
    reading,
)

ITEMS: Final = (2, 3)
"""Possible numbers of integers per frame."""

MARK: Final = b"\x44\x44"

_MARK_ITEM: Final = 0x4444


class IscanDecoder:
    """Decoder of the `iscan` format (see `Decoder`).

    Args:
        display: the display that gaze refers to.
        items: integers per frame.
        area: numbers at the display's right and bottom edge; its pixels by default.

    Attributes:
        buffer: bytes that are not decoded yet.
    """

    def __init__(self, display: Display, items: int = 2, area: tuple[float, float] | None = None) -> None:
        self.counters = Counters()
        self.fields: set[str] = set()
        self._display = display
        self._area = area or (display.width_px, display.height_px)
        self._frame = struct.Struct(f"<{items}h")
        self._length = len(MARK) + self._frame.size
        self.buffer = b""
        self._at = 0  # where in the buffer the next frame should begin
        self._locked = False  # whether a frame was taken that ended there; it is still before it

    def feed(self, data: bytes, arrival_ns: int) -> list[TrackerSample]:
        """Decode the frames that `data` completes."""
        samples: list[TrackerSample] = []
        self.buffer += data
        while self._next():
            samples.append(self._sample(arrival_ns))
            self._at += self._length
            self._locked = True
        kept = self._length if self._locked else 0
        self.buffer, self._at = self.buffer[self._at - kept :], kept
        return samples

    def _next(self) -> bool:
        """Move `_at` to the next frame; false where more bytes are needed."""
        while True:
            if self._locked:
                mark = self.buffer[self._at : self._at + len(MARK)]
                if mark == MARK[: len(mark)]:
                    if len(self.buffer) < self._at + self._length:
                        return False
                    if self._plausible():
                        return True
                    self._at += 1
                else:  # bytes were lost or gained in the last frame: the true mark may lie inside of it
                    self._at -= self._length - 1
                self.counters.garbage += 1
                self._locked = False
            start = self.buffer.find(MARK, self._at)
            if start < 0:
                self._at = len(self.buffer) - self.buffer.endswith(MARK[:1])
                return False
            self._at = start
            behind = self.buffer[start + self._length : start + self._length + len(MARK)]
            if behind == MARK and self._plausible():
                return True
            if len(behind) < len(MARK) and behind == MARK[: len(behind)]:
                return False  # whether a mark follows is not known yet
            self._at += 1

    def _plausible(self) -> bool:
        return _MARK_ITEM not in self._items()

    def _items(self) -> tuple[int, ...]:
        return self._frame.unpack_from(self.buffer, self._at + len(MARK))

    def _sample(self, arrival_ns: int) -> TrackerSample:
        x, y = self._items()[:2]
        self.counters.samples += 1
        self.fields |= {"left gaze", "right gaze"}
        eye = reading(self._display, self.counters, gaze=() if lost((x, y)) else (x / self._area[0], y / self._area[1]))
        return TrackerSample(None, arrival_ns, arrival_ns, left=eye, right=eye)


class IscanEncoder(SampleEncoder):
    """SampleEncoder of the `iscan` format: the mean gaze of the valid eyes in display pixels, 0 0 without one.

    Args:
        display: the display that gaze refers to.
        rate_hz: samples per second.
        items: integers per frame, 2 or 3; the third is 0.
    """

    def __init__(self, display: Display, rate_hz: float = 120.0, items: int = 2) -> None:
        super().__init__(display, rate_hz)
        self._items = items

    def encode(self, sample: TrackerSample) -> bytes:
        """Return a frame."""
        seen = [eye.gaze_px for eye in (sample.left, sample.right) if eye.valid and math.isfinite(eye.gaze_px[0])]
        point = [0, 0]
        if seen:
            point = [max(-32768, min(32767, round(sum(point[axis] for point in seen) / len(seen)))) for axis in (0, 1)]
        items = [*point, *([0] * (self._items - 2))]
        # The mark is never sent as an item: readers take it for a lost place.
        return MARK + struct.pack(f"<{self._items}h", *(item + (item == _MARK_ITEM) for item in items))


def _decoder(parameters: Parameters, display: Display) -> IscanDecoder:
    text = parameters.get("n", "2")
    if text not in map(str, ITEMS):
        raise ConfigurationError(f"n={text}: an iscan frame has n of {' or '.join(map(str, ITEMS))} integers")
    return IscanDecoder(display, int(text), display_area(parameters, display))


ISCAN: Final = StreamFormat(
    name="iscan",
    help="ISCAN's binary stream of 16-bit integers",
    parameters={"n": "integers per frame: 2 or 3", **AREA_PARAMETERS},
    decoder=_decoder,
    candidates=lambda display: tuple(IscanDecoder(display, items) for items in ITEMS),
    evidence=8,  # it has no check sum
    encoder=IscanEncoder,
)
