"""The base class of live cameras inside the capture process, and the record of a driver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import Camera, as_bgr
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.drivers import Driver

_TRUSTED_NS: Final = NANOSECONDS
_MOTION_JPEG: Final = "MJPG"


@dataclass(frozen=True, eq=False, slots=True)
class Grab:
    """One image.

    Attributes:
        image: (H, W, 3) uint8, B, G, R; the buffer given to `Grabber.read` where the driver could fill it.
        stamp_ns: when it was taken, as far as `clock` knows.
        clock: `capture`, `arrival` or `stream`.
        original: the JPEG that the image was decoded from; empty where it is not kept.
    """

    image: NDArray[np.uint8]
    stamp_ns: int
    clock: str
    original: bytes = b""


class Grabber(ABC):
    """Reads images one by one; lives in a process of its own and may hang there.

    Attributes:
        fps: rate that the device states, 0 where it states none.
        mode: what was agreed with the device, for messages; empty where nothing was.
        lag_ns: how much later than at first images come, beyond what their stamps tell.
    """

    fps: float = 0.0
    mode: str = ""
    lag_ns: int = 0

    def keep_originals(self) -> bool:
        """Keep the images' own JPEGs, called before the first `read`; return whether there are any."""
        return False

    @abstractmethod
    def read(self, into: NDArray[np.uint8] | None) -> Grab:
        """Wait for the next image.

        Args:
            into: (H, W, 3) uint8 of the last image's size; filling it spares a copy.

        Raises:
            CameraError: there are no more.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the device go."""


@dataclass(frozen=True)
class Target:
    """What a capture process opens.

    Attributes:
        text: the source, written so that the device is found again under another number.
        present: whether the device is there at all; called before a process is started to reopen it.
        stuck: what to do where it gives no images, for a sentence.
    """

    text: str
    present: Callable[[], bool] = lambda: True
    stuck: str = "is it still plugged in and free, or does its driver hang?"


@dataclass(frozen=True, kw_only=True)
class CameraDriver(Driver):
    """One way to get frames: a live driver has `grab` and `check`, a driver of files has `play`.

    Attributes:
        grab: opens an address inside the capture process.
        check: looks at an address from outside the capture process; raises CameraError or ConfigurationError where it
            can't be opened, and returns what the process opens.
        play: opens an address; takes the pace and the start time.
    """

    grab: Callable[[Address], Grabber] | None = None
    check: Callable[[Address], Target] | None = None
    play: Callable[[Address, str, int | None], Camera] | None = None


def frame_stamp(position_ms: float, arrival_ns: int) -> tuple[int, str]:
    """Return a live frame's stamp and its clock.

    Args:
        position_ms: CAP_PROP_POS_MSEC: with V4L2 the capture time on the monotonic clock, with other back ends a media
            time, 0 or -1; it counts only where it lies within one second before the arrival.
        arrival_ns: when the frame was read.
    """
    capture_ns = round(position_ms * 1e6) if abs(position_ms) < 1e15 else 0  # also false for NaN
    if capture_ns > 0 and abs(arrival_ns - capture_ns) <= _TRUSTED_NS:
        return min(capture_ns, arrival_ns), "capture"
    return arrival_ns, "arrival"


class CaptureGrabber(Grabber):
    """Reads an opened cv2.VideoCapture.

    Args:
        source: its name, for messages.
        capture: the opened capture; owned from here on.
        mode: what was agreed with the device.
    """

    def __init__(self, source: str, capture: Any, mode: str = "") -> None:
        self._cv2 = import_cv2()
        self._source = source
        self._capture = capture
        self._count = 0
        self._originals = False
        self.mode = mode
        fps = float(capture.get(self._cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps <= 1000 else 0.0

    def keep_originals(self) -> bool:
        """Keep those of Motion JPEG, read by Video4Linux or FFmpeg, which then leave decoding to this process."""
        cv2, capture = self._cv2, self._capture
        raw = {"V4L2": (cv2.CAP_PROP_CONVERT_RGB, 0), "FFMPEG": (cv2.CAP_PROP_FORMAT, -1)}.get(capture.getBackendName())
        if raw is None or int(capture.get(cv2.CAP_PROP_FOURCC)) != cv2.VideoWriter.fourcc(*_MOTION_JPEG):
            return False
        self._originals = bool(capture.set(*raw))
        return self._originals

    def read(self, into: NDArray[np.uint8] | None) -> Grab:
        """Wait for the next image."""
        image, original = None, b""
        while image is None:
            got, data = self._capture.read() if into is None or self._originals else self._capture.read(into)
            arrival_ns = monotonic_ns()
            if not got or data is None:
                raise CameraError(f"{self._source} stopped sending frames after {self._count}; is it still there?")
            self._count += 1
            image = data
            if self._originals:
                original = data.tobytes()
                image = self._cv2.imdecode(data.ravel(), self._cv2.IMREAD_COLOR | self._cv2.IMREAD_IGNORE_ORIENTATION)
        stamp_ns, clock = self.stamp(float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)), arrival_ns)
        return Grab(as_bgr(image, self._source, self._cv2), stamp_ns, clock, original)

    def stamp(self, position_ms: float, arrival_ns: int) -> tuple[int, str]:
        """Stamp of an image, and its clock."""
        return frame_stamp(position_ms, arrival_ns)

    def close(self) -> None:
        """Release the capture."""
        self._capture.release()
