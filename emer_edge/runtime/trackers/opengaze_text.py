"""The `opengaze` format: Gazepoint's records as text, one a line, over a serial line or TCP.

`<REC CNT="72" TIME="1.20" LPOGX="0.48" LPOGY="0.50" LPOGV="1" ... />`, ended by CR LF; the fields are those of
`emer_edge.runtime.trackers.gazepoint`. Answers of the API (`<ACK ... />`, `<NACK ... />`) stand between them.
"""

from __future__ import annotations

import re
from typing import Final

from emer_edge.runtime.trackers.gazepoint import CameraPlace, RecordReader
from emer_edge.runtime.trackers.lines import LineDecoder, number_in
from emer_edge.spec.samples import Display, TrackerSample

__all__ = ["KEPT_REPLIES", "OpenGazeDecoder"]

KEPT_REPLIES: Final = ("SCREEN_SIZE", "PRODUCT_ID", "TIME_TICK_FREQUENCY", "ENABLE_SEND_DATA")
"""Answers that a client wants to read; others are passed over."""

_WHOLE: Final = re.compile(rb'<(REC|ACK|NACK|CAL)((?:\s+\w+="[^"<>]*")*)\s*/>\Z')
_ATTRIBUTE: Final = re.compile(rb'(\w+)="([^"<>]*)"')
_STARTS: Final = (b"<REC ", b"<ACK ", b"<NACK ", b"<CAL ")


class OpenGazeDecoder(LineDecoder):
    """Decoder of the `opengaze` format (see `Decoder`).

    Args:
        display: the display that gaze fractions refer to.
        camera: where the camera stands; None leaves eye positions out.

    Attributes:
        replies: the last answer to each of `KEPT_REPLIES`: its attributes.
    """

    name = "opengaze"

    def __init__(self, display: Display, camera: CameraPlace | None = None) -> None:
        super().__init__(display)
        self.replies: dict[str, dict[str, str]] = {}
        self._records = RecordReader(display, self.counters, self.fields, camera)

    @property
    def positions_left_out(self) -> bool:
        """Whether the tracker sends eye positions that nobody has said how to place."""
        return (
            self._records.saw_positions and "left position" not in self.fields and "right position" not in self.fields
        )

    def use_ticks(self, frequency_hz: float | None) -> None:
        """Take `TIME_TICK` at this frequency for the device's clock; None: `TIME`."""
        self._records.tick_hz = frequency_hz

    def _line(self, line: bytes, arrival_ns: int) -> TrackerSample | None:
        # What lost its end takes the next record along: that one begins at the last start in the line.
        start = max(line.rfind(each) for each in _STARTS)
        match = _WHOLE.match(line, start) if start >= 0 else None
        if match is None:
            self.counters.garbage += 1
            return None
        self.counters.garbage += start > 0
        attributes = dict(_ATTRIBUTE.findall(match[2]))
        if match[1] == b"REC":
            return self._record(attributes, arrival_ns)
        name = attributes.get(b"ID", b"").decode("ascii", "replace")
        if match[1] == b"ACK" and name in KEPT_REPLIES:
            self.replies[name] = {
                key.decode("ascii", "replace"): value.decode("ascii", "replace") for key, value in attributes.items()
            }
        return None

    def _record(self, attributes: dict[bytes, bytes], arrival_ns: int) -> TrackerSample | None:
        numbers: dict[str, float] = {}
        for name, value in attributes.items():
            number = number_in(value)
            if number is None:
                if name == b"USER":  # free text by the API
                    continue
                self.counters.garbage += 1
                return None
            numbers[name.decode("ascii", "replace")] = number
        return self._records.read(numbers, arrival_ns)
