"""What a camera and an eye tracker yield.

Every `*_ns` is host monotonic time in integer nanoseconds, except `device_ns`, which is the tracker's own clock.
Missing numbers are NaN. Coordinates are those of Tobii Pro Lab: display pixels with the origin at the top left, and
DACS millimetres with the origin at the display area's top left corner, x right, y down, z towards the viewer.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emer_edge.core.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MISSING_2: Final = (math.nan, math.nan)
MISSING_3: Final = (math.nan, math.nan, math.nan)


class Sent(ABC):
    """An image as a camera has sent it: its shape (H, W, 3), and its JPEG, None where it is none; see `image`."""

    shape: tuple[int, ...]
    jpeg: bytes | None

    @property
    @abstractmethod
    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, B, G, R, decoded once, from any thread; CameraError where it is damaged."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera image.

    Attributes:
        index: number of the frame since the camera was opened; a jump means dropped frames.
        given: the image, (H, W, 3) uint8, B, G, R, or what it is made from.
        stamp_ns: when the image was taken, as far as `clock` knows.
        arrival_ns: when it reached this process.
        clock: where `stamp_ns` comes from: `capture` (the driver), `stream` (the sender's own times mapped to the
            host's clock, late by the link's least delay), `arrival`, or `media` (a file).
    """

    index: int
    given: NDArray[np.uint8] | Sent
    stamp_ns: int
    arrival_ns: int
    clock: str

    @property
    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, B, G, R, which may have to be decoded first; CameraError where it is damaged."""
        return self.given.image if isinstance(self.given, Sent) else self.given

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3), without decoding anything."""
        return self.given.shape

    @property
    def original(self) -> bytes | None:
        """The JPEG that the image is decoded from, where the camera sends such."""
        return self.given.jpeg if isinstance(self.given, Sent) else None


@dataclass(frozen=True, slots=True)
class EyeReading:
    """One eye of one sample.

    Attributes:
        gaze_px: gaze point on the display, pixels.
        gaze_mm: gaze point on the display plane, DACS mm.
        direction: gaze direction, unit vector.
        position_mm: position of the eye, DACS mm.
        pupil_mm: pupil diameter, mm.
        valid: whether the tracker vouches for this eye.
    """

    gaze_px: tuple[float, float] = MISSING_2
    gaze_mm: tuple[float, float] = MISSING_2
    direction: tuple[float, float, float] = MISSING_3
    position_mm: tuple[float, float, float] = MISSING_3
    pupil_mm: float = math.nan
    valid: bool = False


@dataclass(frozen=True, slots=True)
class TrackerSample:
    """One row of an eye tracker.

    Attributes:
        device_ns: the tracker's own clock, or None when it sends none.
        stamp_ns: the sample's time on the host clock.
        arrival_ns: when it reached this process.
    """

    device_ns: int | None
    stamp_ns: int
    arrival_ns: int
    left: EyeReading
    right: EyeReading


@dataclass(frozen=True)
class Display:
    """The display that the gaze falls on: pixels, and the millimetres of its active area."""

    width_px: int = 1920
    height_px: int = 1080
    width_mm: float = 527.0
    height_mm: float = 296.0

    def __post_init__(self) -> None:
        if min(self.width_px, self.height_px, self.width_mm, self.height_mm) <= 0:
            raise ConfigurationError(f"a display needs a size above zero, not {self}")

    @classmethod
    def parse(cls, text: str) -> Display:
        """Read `1920x1080,527x296mm`; raise ConfigurationError on anything else."""
        try:
            pixels, millimetres = text.lower().replace(" ", "").removesuffix("mm").split(",")
            width_px, height_px = (int(side) for side in pixels.removesuffix("px").split("x"))
            width_mm, height_mm = (float(side) for side in millimetres.split("x"))
        except ValueError:
            raise ConfigurationError(f"can't read the display {text!r}; write it as 1920x1080,527x296mm") from None
        return cls(width_px, height_px, width_mm, height_mm)


@dataclass(frozen=True)
class StimulusRect:
    """Where the stimulus is on the display: the frame of the MCS columns."""

    left_px: float
    top_px: float
    width_px: float
    height_px: float

    @classmethod
    def whole(cls, display: Display) -> StimulusRect:
        """The stimulus fills the display."""
        return cls(0.0, 0.0, float(display.width_px), float(display.height_px))

    @classmethod
    def parse(cls, text: str) -> StimulusRect:
        """Read `left,top,width,height` in pixels; raise ConfigurationError on anything else."""
        try:
            left, top, width, height = (float(side) for side in text.split(","))
        except ValueError:
            raise ConfigurationError(
                f"can't read the stimulus rectangle {text!r}; write left,top,width,height"
            ) from None
        if width <= 0 or height <= 0:
            raise ConfigurationError(f"the stimulus rectangle {text!r} has no area")
        return cls(left, top, width, height)
