"""What every camera driver offers."""

from __future__ import annotations

from abc import abstractmethod
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
        dropped: frames that were taken but never yielded, because newer ones had come.
        losses: how often a device was lost.
    """

    dropped: int
    losses: int = 0

    @property
    @abstractmethod
    def fps(self) -> float:
        """Nominal rate; 0 where the device does not tell."""

    @property
    @abstractmethod
    def size_px(self) -> tuple[int, int]:
        """Width and height of a frame."""

    @property
    @abstractmethod
    def clock(self) -> str:
        """Where stamps come from: `capture`, `stream`, `arrival` or `media` (see `Frame`)."""

    @property
    def trouble(self) -> str | None:
        """What is wrong with a live camera now, in a sentence for people; None while all is well."""
        return None

    @property
    def pid(self) -> int | None:
        """Number of the process that captures, None where there is none."""
        return None

    @property
    def description(self) -> str:
        """One line for people: what was opened."""
        width, height = self.size_px
        rate = f", {self.fps:g} fps" if self.fps else ""
        return f"{self.source} ({width}x{height}{rate}, {self.clock} clock)"


class PlayedCamera(Played, Camera):
    """What is played: a file, a folder, a recording.

    Args:
        source: its name.
        pace, start_ns: see `Played`.
    """

    def __init__(self, source: str, pace: str, start_ns: int | None) -> None:
        super().__init__(pace, start_ns)
        self.source = source
        self.dropped = 0


def check_pace(pace: str) -> None:
    """Raise ConfigurationError unless `pace` is `real` or `fast`."""
    if pace not in ("real", "fast"):
        raise ConfigurationError(f"the pace is real or fast, not {pace!r}")


def open_capture(cv2: Any, name: str, back_ends: Sequence[int], parameters: Sequence[int] = ()) -> Any:
    """Return a cv2.VideoCapture opened with `parameters` by the first of OpenCV's `back_ends` that can, or None.

    OpenCV prints a warning for each that declines, where our error says what matters: it is silent meanwhile.
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
        f"{source} gives images of shape {array.shape} and type {array.dtype}; "
        "needed are colour images of 8 bits: choose another pixel format"
    )
