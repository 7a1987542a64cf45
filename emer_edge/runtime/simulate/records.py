"""Samples as Gazepoint's records: field name -> text, in the groups that `ENABLE_SEND_x` switches."""

from __future__ import annotations

import math
from typing import Final

from emer_edge.runtime.trackers.gazepoint import CameraPlace
from emer_edge.spec.samples import Display, EyeReading, TrackerSample

__all__ = ["CAMERA", "GROUPS", "TICK_HZ", "record_fields", "record_line"]

TICK_HZ: Final = 10_000_000
"""Frequency of `TIME_TICK`."""

CAMERA: Final = CameraPlace((263.0, 320.0, 20.0), 25.0)
"""Where the simulated tracker's camera stands: below the display's middle, looking up."""

GROUPS: Final = (
    "COUNTER",
    "TIME",
    "TIME_TICK",
    "POG_LEFT",
    "POG_RIGHT",
    "POG_BEST",
    "PUPIL_LEFT",
    "PUPIL_RIGHT",
    "EYE_LEFT",
    "EYE_RIGHT",
    "PUPILMM",
)
"""What can be switched on, in the order of the fields."""

_PUPIL_PX_A_MM: Final = 4.0


def record_fields(sample: TrackerSample, sequence: int, display: Display) -> dict[str, dict[str, str]]:
    """One sample as a record: group -> field -> text."""
    time_ns = sample.stamp_ns if sample.device_ns is None else sample.device_ns
    left, right = sample.left, sample.right
    best = [_fraction(each, display) for each in (left, right) if each.valid]
    mean = tuple(sum(each[axis] for each in best) / len(best) for axis in (0, 1)) if best else (0.0, 0.0)
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
    x, y = (0.5, 0.5) if seen else (0.0, 0.0)  # in the camera's image, which nothing here needs
    size = _PUPIL_PX_A_MM * eye.pupil_mm
    cells = (("PCX", _decimal(x)), ("PCY", _decimal(y)), ("PD", _decimal(size)), ("PS", _decimal(float(seen))))
    return {**{f"{letter}{name}": text for name, text in cells}, f"{letter}PV": str(int(seen))}


def _eye(letter: str, eye: EyeReading) -> dict[str, str]:
    place = CAMERA.camera_mm(eye.position_mm)
    seen = all(map(math.isfinite, place)) and math.isfinite(eye.pupil_mm)
    metres = {f"{letter}EYE{axis}": _decimal(each / 1000) for axis, each in zip("XYZ", place, strict=True)}
    return {
        **metres,
        f"{letter}PUPILD": f"{eye.pupil_mm / 1000 if seen else 0.0:.7f}",
        f"{letter}PUPILV": str(int(seen)),
    }


def _pupil_mm(letter: str, eye: EyeReading) -> dict[str, str]:
    return {f"{letter}PMM": _decimal(eye.pupil_mm), f"{letter}PMMV": str(int(math.isfinite(eye.pupil_mm)))}
