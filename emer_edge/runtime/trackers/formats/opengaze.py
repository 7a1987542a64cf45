"""The `opengaze` format: Gazepoint's records as text, one per line, over a serial line or TCP.

`<REC CNT="72" TIME="1.20" LPOGX="0.48" LPOGY="0.50" LPOGV="1" ... />`, ended by CR LF; the fields are those of
`emer_edge.runtime.trackers.gazepoint`. Answers of the API (`<ACK ... />`, `<NACK ... />`) stand between them.
"""

from __future__ import annotations

import math
import re
from typing import Final

from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers.codec import LineDecoder, SampleEncoder, StreamFormat, number_in
from emer_edge.runtime.trackers.gazepoint import CAMERA_PARAMETERS, CameraPlace, RecordReader

KEPT_REPLIES: Final = ("SCREEN_SIZE", "PRODUCT_ID", "TIME_TICK_FREQUENCY", "ENABLE_SEND_DATA")
"""Answers that a client reads; others are ignored."""

_WHOLE: Final = re.compile(rb'<(REC|ACK|NACK|CAL)((?:\s+\w+="[^"<>]*")*)\s*/>\Z')
_ATTRIBUTE: Final = re.compile(rb'(\w+)="([^"<>]*)"')
_STARTS: Final = (b"<REC ", b"<ACK ", b"<NACK ", b"<CAL ")


class OpenGazeDecoder(LineDecoder):
    """Decoder of the `opengaze` format (see `Decoder`).

    Args:
        display: the display that gaze fractions refer to.
        camera: place of the camera; None leaves eye positions out.

    Attributes:
        replies: the last answer to each of `KEPT_REPLIES`: its attributes.
    """

    def __init__(self, display: Display, camera: CameraPlace | None = None) -> None:
        super().__init__(display)
        self.replies: dict[str, dict[str, str]] = {}
        self._records = RecordReader(display, self.counters, self.fields, camera)

    @property
    def positions_left_out(self) -> bool:
        """Whether the tracker sends eye positions, and the place of its camera is unknown."""
        return self._records.positions_left_out

    def use_ticks(self, frequency_hz: float | None) -> None:
        """Use `TIME_TICK` at this frequency as the device's clock; None: `TIME`."""
        self._records.tick_hz = frequency_hz

    def _line(self, line: bytes, arrival_ns: int) -> TrackerSample | None:
        # A record that lost its end is merged with the next, which begins at the last start in the line.
        start = max(line.rfind(mark) for mark in _STARTS)
        match = _WHOLE.match(line, start) if start >= 0 else None
        if match is None:
            self.counters.refuse(line)
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
                self.counters.refuse(b"%s=%s" % (name, value))
                return None
            numbers[name.decode("ascii", "replace")] = number
        return self._records.read(numbers, arrival_ns)


TICK_HZ: Final = 10_000_000
"""Frequency of `TIME_TICK`."""

CAMERA: Final = CameraPlace((263.0, 320.0, 20.0), 25.0)
"""Place of the simulated tracker's camera: below the display's middle, looking up."""

GROUPS: Final = (
    *("COUNTER", "TIME", "TIME_TICK", "POG_LEFT", "POG_RIGHT", "POG_BEST"),
    *("PUPIL_LEFT", "PUPIL_RIGHT", "EYE_LEFT", "EYE_RIGHT", "PUPILMM"),
)
"""Groups of fields that can be switched on, in the order of the fields."""

_PUPIL_PX_PER_MM: Final = 4.0


def record_fields(sample: TrackerSample, sequence: int, display: Display) -> dict[str, dict[str, str]]:
    """One sample as a record: group -> field -> text."""
    time_ns = sample.stamp_ns if sample.device_ns is None else sample.device_ns
    left, right = sample.left, sample.right
    best = [_fraction(eye, display) for eye in (left, right) if eye.valid]
    mean = tuple(sum(point[axis] for point in best) / len(best) for axis in (0, 1)) if best else (0.0, 0.0)
    return {
        "COUNTER": {"CNT": str(sequence)},
        "TIME": {"TIME": f"{time_ns / 1e9:.5f}"},
        "TIME_TICK": {"TIME_TICK": str(time_ns * TICK_HZ // 1_000_000_000)},
        "POG_LEFT": _gaze("L", left, display),
        "POG_RIGHT": _gaze("R", right, display),
        "POG_BEST": {"BPOGX": _decimal(mean[0]), "BPOGY": _decimal(mean[1]), "BPOGV": str(int(bool(best)))},
        "PUPIL_LEFT": _pupil_px("L", left, display),
        "PUPIL_RIGHT": _pupil_px("R", right, display),
        "EYE_LEFT": _eye("L", left),
        "EYE_RIGHT": _eye("R", right),
        "PUPILMM": {**_pupil_mm("L", left), **_pupil_mm("R", right)},
    }


def record_line(fields: dict[str, str]) -> bytes:
    """A record's fields as a line of the stream."""
    return ("<REC " + " ".join(f'{name}="{text}"' for name, text in fields.items()) + " />\r\n").encode()


def _decimal(number: float) -> str:
    return f"{number if math.isfinite(number) else 0.0:.5f}"


def _fraction(eye: EyeReading, display: Display) -> tuple[float, float]:
    return eye.gaze_px[0] / display.width_px, eye.gaze_px[1] / display.height_px


def _gaze(letter: str, eye: EyeReading, display: Display) -> dict[str, str]:
    x, y = _fraction(eye, display)
    return {f"{letter}POGX": _decimal(x), f"{letter}POGY": _decimal(y), f"{letter}POGV": str(int(eye.valid))}


def _pupil_px(letter: str, eye: EyeReading, display: Display) -> dict[str, str]:
    seen = math.isfinite(eye.pupil_mm)
    x, y = (0.5, 0.5) if seen else (0.0, 0.0)  # in the camera's image
    size = _PUPIL_PX_PER_MM * eye.pupil_mm
    cells = (("PCX", _decimal(x)), ("PCY", _decimal(y)), ("PD", _decimal(size)), ("PS", _decimal(float(seen))))
    return {**{f"{letter}{name}": text for name, text in cells}, f"{letter}PV": str(int(seen))}


def _eye(letter: str, eye: EyeReading) -> dict[str, str]:
    place = CAMERA.camera_mm(eye.position_mm)
    seen = all(map(math.isfinite, place)) and math.isfinite(eye.pupil_mm)
    metres = {f"{letter}EYE{axis}": _decimal(number / 1000) for axis, number in zip("XYZ", place, strict=True)}
    diameter_m = eye.pupil_mm / 1000 if seen else 0.0
    return {**metres, f"{letter}PUPILD": f"{diameter_m:.7f}", f"{letter}PUPILV": str(int(seen))}


def _pupil_mm(letter: str, eye: EyeReading) -> dict[str, str]:
    return {f"{letter}PMM": _decimal(eye.pupil_mm), f"{letter}PMMV": str(int(math.isfinite(eye.pupil_mm)))}


class OpenGazeEncoder(SampleEncoder):
    """SampleEncoder of the `opengaze` format: records with all their fields, as over TCP."""

    def encode(self, sample: TrackerSample) -> bytes:
        """Return a record."""
        groups = record_fields(sample, self._next(), self._display)
        return record_line({name: text for fields in groups.values() for name, text in fields.items()})


OPENGAZE: Final = StreamFormat(
    name="opengaze",
    help="Gazepoint's records as text",
    parameters=CAMERA_PARAMETERS,
    decoder=lambda parameters, display: OpenGazeDecoder(display, CameraPlace.of(parameters)),
    encoder=OpenGazeEncoder,
)
