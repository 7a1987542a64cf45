"""The meaning of the channels of an LSL gaze stream, from their labels and metadata.

There is no one convention, so a channel is identified by words: those of its label, and those of the metadata `type`,
`eye`, `unit` and `coordinate_system` (the names of the XDF gaze specification). Which eye: left, l, right, r, in
Pupil Labs' labels 1 is the left eye and 0 the right one (`diameter0_3d`), else both. Which part: pupil or diameter;
valid or validity; confidence; origin or position (of the eye); direction or vector; else, with an x or a y, gaze.
Gazepoint's field names (`LPOGX`, `LPMM`, ...) are taken as such. Gaze in a world's coordinates, the picture of a
head-mounted tracker's camera (`norm_pos_x` is such, with y up), is no gaze on the display.

Gaze comes as fraction of the display, in pixels (`pixels`, `screencoords`), or in mm or metres from its top left
corner; a stream that names no unit counts as fractions until a number above 3 shows that it sends pixels. Eye
positions are used where their coordinate system is named DACS or display, or where the user gives the place of the
tracker's camera; other 3-D points are left out. NaN is a missing number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers.codec import Counters, ValidityCodes, lost, reading
from emer_edge.runtime.trackers.gazepoint import CameraPlace, RecordReader

_EYES: Final = ("left", "right")
_AXES: Final = {"x": 0, "y": 1, "z": 2, "0": 0, "1": 1, "2": 2}
_COUNT: Final = {"gaze": 2, "position": 3, "direction": 3, "pupil": 1, "valid": 1, "confidence": 1}
_GAZEPOINT: Final = re.compile(r"[LRBF]POG[XY]\Z")
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SCALES_MM: Final = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "millimetres": 1.0, "m": 1e3, "meter": 1e3}
_SCALES_MM.update({"meters": 1e3, "metres": 1e3, "cm": 10.0})
_PIXELS: Final = ("px", "pixel", "pixels", "screencoords")
_FRACTIONS: Final = ("fraction", "norm", "normalized", "normalised", "relative")
_WORLDS: Final = frozenset({"user", "ucs", "world", "hmd", "scene"})
_OURS: Final = frozenset({"dacs", "display", "screen"})
_OTHERS: Final = frozenset({"timestamp", "time", "device", "openness", "trackbox"})
_NO_FRACTION: Final = 3.0


@dataclass(frozen=True)
class Channel:
    """One channel as its stream describes it; what is not described is empty.

    Attributes:
        label: its name.
        eye: `left`, `right` or `both`.
        type: for example `ScreenX`, `Diameter`.
        unit: for example `normalized`, `pixels`, `mm`.
        system: its coordinate system.
    """

    label: str
    eye: str = ""
    type: str = ""
    unit: str = ""
    system: str = ""


@dataclass
class _Part:
    """Channels, unit and coordinate system of one part of one eye."""

    at: list[int] = field(default_factory=list)
    unit: str = ""
    system: frozenset[str] = frozenset()


class ChannelReader:
    """Turns the numbers of an LSL sample into a TrackerSample.

    Args:
        channels: of the stream, in its order.
        display: the display that gaze refers to.
        camera: place of the tracker's camera; None leaves out eye positions in other frames than the display's.
        say: takes a sentence when numbers turn out to be pixels where no unit was named.
        counters: goes on with these; None begins at 0.
        validity: which code means a valid eye.

    Attributes:
        counters: what became of the samples.
        worldly: labels of the channels whose gaze is in a world's coordinates.
        fields: fields that the stream has.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        display: Display,
        camera: CameraPlace | None,
        say: Say,
        counters: Counters | None = None,
        validity: ValidityCodes | None = None,
    ) -> None:
        self.counters, self.validity = counters or Counters(), validity or ValidityCodes()
        self.fields: set[str] = set()
        self._display, self._camera, self._say = display, camera, say
        self._labels = [channel.label for channel in channels]
        self.worldly = [channel.label for channel in channels if _is_worldly(channel)]
        self._records: RecordReader | None = None
        self._parts: dict[tuple[str, str], _Part] = {}
        if any(_GAZEPOINT.match(label) for label in self._labels):
            self._records = RecordReader(display, self.counters, self.fields, camera)
        else:
            self._parts = _parts(channels)
            self._drop_foreign()
            self.fields |= {f"{eye} {part}" for eye, part in self._parts if part not in ("valid", "confidence")}

    @property
    def has_gaze(self) -> bool:
        """Whether any channel is gaze."""
        return self._records is not None or any(part == "gaze" for _, part in self._parts)

    def read(self, values: Sequence[float], device_ns: int | None, arrival_ns: int) -> TrackerSample | None:
        """Read one sample; None where a Gazepoint record repeats the one before.

        Args:
            values: one number per channel, NaN where missing.
            device_ns: its stamp.
            arrival_ns: when it reached this process.
        """
        if self._records is not None:
            numbers = dict(zip(self._labels, values, strict=False))
            sample = self._records.read({**numbers, "TIME": math.nan}, arrival_ns)
            return None if sample is None else replace(sample, device_ns=device_ns)
        self.counters.samples += 1
        left, right = (self._eye(eye, values) for eye in _EYES)
        return TrackerSample(device_ns, arrival_ns, arrival_ns, left=left, right=right)

    def _drop_foreign(self) -> None:
        """Leave out eye positions and directions in frames that are not the display's."""
        for eye in _EYES:
            position, direction = self._parts.get((eye, "position")), self._parts.get((eye, "direction"))
            if position is not None and not position.system & _OURS and self._camera is None:
                del self._parts[eye, "position"]
            if direction is not None and not direction.system & _OURS:
                del self._parts[eye, "direction"]

    def _eye(self, eye: str, values: Sequence[float]) -> EyeReading:
        def numbers(part: str) -> tuple[float, ...]:
            return tuple(values[at] for at in self._parts[eye, part].at) if (eye, part) in self._parts else ()

        pupil = numbers("pupil")
        valid, confidence = ((*numbers(part), math.nan)[0] for part in ("valid", "confidence"))
        scale = _SCALES_MM.get(self._parts[eye, "pupil"].unit, 1.0) if pupil else 1.0
        return reading(
            self._display,
            self.counters,
            gaze=self._fractions(eye, numbers("gaze")),
            position_mm=self._position_mm(eye, numbers("position")),
            direction=numbers("direction"),
            pupil_mm=pupil[0] * scale if pupil else math.nan,
            valid=self.validity.says(valid, confidence),
        )

    def _fractions(self, eye: str, gaze: tuple[float, ...]) -> tuple[float, ...]:
        if not gaze or lost(gaze):
            return ()
        part = self._parts[eye, "gaze"]
        if not part.unit and any(abs(number) > _NO_FRACTION for number in gaze if math.isfinite(number)):
            for (_, name), other in self._parts.items():
                if name == "gaze" and not other.unit:
                    other.unit = "px"
            self._say("the LSL stream names no unit for gaze and sends numbers above 3: they are read as pixels")
        if part.unit in _PIXELS:
            return gaze[0] / self._display.width_px, gaze[1] / self._display.height_px
        if part.unit in _SCALES_MM:
            scale = _SCALES_MM[part.unit]
            return scale * gaze[0] / self._display.width_mm, scale * gaze[1] / self._display.height_mm
        return gaze

    def _position_mm(self, eye: str, position: tuple[float, ...]) -> tuple[float, ...]:
        if not position or not all(map(math.isfinite, position)):
            return ()
        part = self._parts[eye, "position"]
        scale = _SCALES_MM.get(part.unit, 1.0)
        x, y, z = (scale * number for number in position)
        if part.system & _OURS or self._camera is None:
            return x, y, z
        return self._camera.dacs_mm((x, y, z))


def _words(text: str) -> list[str]:
    """The words of a label such as `left_gaze_x`, `LeftPupilDiameter` or `gazeX`, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def _parts(channels: Sequence[Channel]) -> dict[tuple[str, str], _Part]:
    """Parts by eye and name; the first channel of a meaning counts, parts that lack an axis are left out."""
    channels_of: dict[tuple[str, str], dict[int, tuple[int, str, frozenset[str]]]] = {}
    for at, channel in enumerate(channels):
        meaning = None if _is_worldly(channel) else _meaning(channel)
        if meaning is None:
            continue
        eyes, part, axis = meaning
        unit = channel.unit.strip().lower()
        if part == "gaze" and unit in _FRACTIONS:
            unit = "fraction"
        system = frozenset([*_words(channel.system), *_words(channel.label)]) & (_OURS | _WORLDS)
        for eye in eyes:
            channels_of.setdefault((eye, part), {}).setdefault(axis, (at, unit, system))
    parts = {}
    for key, axes in channels_of.items():
        axes_needed = range(_COUNT[key[1]])
        if set(axes_needed) <= set(axes):
            parts[key] = _Part([axes[axis][0] for axis in axes_needed], *axes[0][1:])
    return parts


def _is_worldly(channel: Channel) -> bool:
    """Whether a channel is a gaze point in a world's coordinates."""
    words = {*_words(channel.label), *_words(channel.system)}
    part = (_meaning(channel) or ("", "", 0))[1]
    return (part == "gaze" and bool(words & _WORLDS)) or (part in ("gaze", "position") and "norm" in words)


def _meaning(channel: Channel) -> tuple[tuple[str, ...], str, int] | None:
    """Eyes, part and axis of a channel, or None."""
    words = [*_words(channel.label), *_words(channel.type)]
    known = set(words)
    sides = {side for side, short in (("left", "l"), ("right", "r")) if known & {side, short}}
    if channel.eye.strip().lower() in _EYES:
        sides = {channel.eye.strip().lower()}
    eyes = tuple(eye for eye in _EYES if eye in sides) or _EYES
    if known & _OTHERS or {"track", "box"} <= known:
        return None
    axis = next((_AXES[word] for word in reversed(words) if word in _AXES), None)
    if known & {"valid", "validity"}:
        of_gaze = not known & {"pupil", "origin", "position"}
        return (eyes, "valid", 0) if of_gaze else None
    if "confidence" in known:
        return eyes, "confidence", 0
    if known & {"pupil", "diameter"}:
        numbered = {"0": ("right",), "1": ("left",)}.get(next((word for word in words if word.isdigit()), ""), eyes)
        in_px = channel.unit.strip().lower() in _PIXELS or ("2", "d") in pairwise(words)
        return None if known & {"x", "y", "z"} or in_px else (eyes if sides else numbered, "pupil", 0)
    if axis is None:
        return None
    if known & {"origin", "position"} and "screen" not in known:
        return eyes, "position", axis
    if known & {"direction", "vector"}:
        return eyes, "direction", axis
    if known & _WORLDS:
        return None
    return (eyes, "gaze", axis) if axis < 2 else None
