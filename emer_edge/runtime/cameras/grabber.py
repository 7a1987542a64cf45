"""What OpenCV reads inside the capture process, and the record of a driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import Camera, as_bgr
from emer_edge.runtime.capture.grabber import Grab, Grabber, frame_stamp
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.drivers import Driver

_MOTION_JPEG: Final = "MJPG"


@dataclass(frozen=True)
class Target:
    """What a capture process opens.

    Attributes:
        text: the source, written so that the device is found again under another number.
        present: whether the device is there at all; called before a process is started to reopen it.
        stuck: what to do where it gives no images, for a sentence.
        light: `module:function` that may open it in a process without OpenCV; empty where nothing can.
    """

    text: str
    present: Callable[[], bool] = lambda: True
    stuck: str = "is it still plugged in and free, or does its driver hang?"
    light: str = ""


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
        self._coded = self._leave_coded()
        self.mode = mode
        fps = float(capture.get(self._cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps <= 1000 else 0.0

    def read(self, into: NDArray[np.uint8] | None) -> Grab:
        """Wait for the next image."""
        got, data = self._capture.read() if into is None or self._coded else self._capture.read(into)
        arrival_ns = monotonic_ns()
        if not got or data is None:
            raise CameraError(f"{self._source} stopped sending frames after {self._count}; is it still there?")
        self._count += 1
        stamp_ns, clock = self.stamp(float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)), arrival_ns)
        if self._coded:
            return Grab(data.tobytes(), stamp_ns, clock)
        return Grab(as_bgr(data, self._source, self._cv2), stamp_ns, clock)

    def _leave_coded(self) -> bool:
        """Have Video4Linux and FFmpeg hand on the JPEGs of Motion JPEG as they are; whether they do."""
        cv2, capture = self._cv2, self._capture
        raw = {"V4L2": (cv2.CAP_PROP_CONVERT_RGB, 0), "FFMPEG": (cv2.CAP_PROP_FORMAT, -1)}.get(capture.getBackendName())
        if raw is None or int(capture.get(cv2.CAP_PROP_FOURCC)) != cv2.VideoWriter.fourcc(*_MOTION_JPEG):
            return False
        return bool(capture.set(*raw))

    def stamp(self, position_ms: float, arrival_ns: int) -> tuple[int, str]:
        """Stamp of an image, and its clock."""
        return frame_stamp(position_ms, arrival_ns)

    def close(self) -> None:
        """Release the capture."""
        self._capture.release()
