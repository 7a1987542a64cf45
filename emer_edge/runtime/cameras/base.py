"""The base classes of cameras, and what their drivers share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.core.samples import Frame
from emer_edge.runtime.drivers import Played, Sensor


class Camera(Sensor[Frame]):
    """An iterator of Frame (see `Sensor`); CameraError where the camera stopped answering.

    Attributes:
        fps: nominal rate; 0 where the device states none.
        size_px: width and height of a frame.
        clock: where the newest frame's stamp comes from: `capture`, `stream`, `arrival` or `media` (see `Frame`).
        dropped: frames that were taken but never yielded, because newer ones had come.
        losses: how often a device was lost.
        trouble: what is wrong with a live camera now, in a sentence for people; None while all is well.
    """

    fps: float
    size_px: tuple[int, int]
    clock: str
    dropped: int = 0
    losses: int = 0
    trouble: str | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process that captures; None where there is none."""
        return None

    @property
    def description(self) -> str:
        """What was opened, in one line."""
        width, height = self.size_px
        rate = f", {self.fps:g} fps" if self.fps else ""
        return f"{self.source} ({width}x{height}{rate}, {self.clock} clock)"


class PlayedCamera(Played, Camera):
    """A file, a folder or a recording, played as a camera.

    Args:
        source: its name.
        pace, start_ns: as of `Played`.
        fps: nominal rate.
        size_px: width and height of a frame.
    """

    def __init__(self, source: str, pace: str, start_ns: int | None, *, fps: float, size_px: tuple[int, int]) -> None:
        super().__init__(pace, start_ns)
        self.source, self.fps, self.size_px = source, fps, size_px


def check_pace(pace: str) -> None:
    """Raise ConfigurationError unless `pace` is `real` or `fast`."""
    if pace not in ("real", "fast"):
        raise ConfigurationError(f"the pace is real or fast, not {pace!r}")


def file_mode(path: str) -> int:
    """The mode of what is at a path, for `stat.S_ISFIFO` and the like; 0 where nothing can be."""
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return 0


def open_capture(cv2: Any, name: str, back_ends: Sequence[int], parameters: Sequence[int] = ()) -> Any:
    """Return a cv2.VideoCapture opened with `parameters` by the first of OpenCV's `back_ends` that can, or None.

    OpenCV prints a warning for each that declines; it is silenced here, because our error says what matters.
    """
    logging = getattr(cv2.utils, "logging", None)
    level = None if logging is None else logging.getLogLevel()
    if logging is not None:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        for back_end in back_ends:
            capture = cv2.VideoCapture(name, back_end, list(parameters))
            if capture.isOpened():
                return capture
            capture.release()
        return None
    finally:
        if logging is not None:
            logging.setLogLevel(level)


def as_bgr(image: Any, source: str, cv2: Any) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 B, G, R of what OpenCV read; raise CameraError where it holds something else."""
    array = np.asarray(image)
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3:
        return array
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[2] == 1):
        grey: NDArray[np.uint8] = cv2.cvtColor(array, cv2.COLOR_GRAY2BGR)
        return grey
    raise CameraError(
        f"{source} gives images of shape {array.shape} and type {array.dtype}, not 8-bit colour images; "
        "choose another pixel format"
    )
