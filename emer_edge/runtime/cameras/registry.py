"""Which driver opens which camera source. A new driver is one module and one line in `CAMERAS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from emer_edge.errors import CameraError
from emer_edge.runtime.cameras.base import Camera, check_pace
from emer_edge.runtime.cameras.v4l2 import is_device, open_device
from emer_edge.runtime.cameras.video import is_file, open_video

__all__ = ["CAMERAS", "CameraDriver", "open_camera"]


@dataclass(frozen=True)
class CameraDriver:
    """One way to get frames.

    Attributes:
        name: short name.
        example: a source that it opens, for messages.
        claims: whether this driver is the one for a source.
        open: opens a source; takes the source, the pace and the start time (both for files).
    """

    name: str
    example: str
    claims: Callable[[str], bool]
    open: Callable[[str, str, int | None], Camera]


CAMERAS: Final = (
    CameraDriver("v4l2", "0 or /dev/video0", is_device, lambda source, pace, start_ns: open_device(source)),
    CameraDriver("video", "talk.mp4", is_file, open_video),
)


def open_camera(source: str, pace: str = "real", start_ns: int | None = None) -> Camera:
    """Open a camera or a video.

    Args:
        source: index (`0`), device path (`/dev/video0`) or video file.
        pace: files only: `real` plays it as a camera would deliver it, `fast` never sleeps and loses no frame.
        start_ns: files only: host time of the video's time 0; None: the first read with pace `real`, 0 with `fast`.

    Raises:
        CameraError: it does not exist, can't be opened, or is no video.
        ConfigurationError: another pace.
        MissingExtraError: OpenCV is not installed.
    """
    check_pace(pace)
    for driver in CAMERAS:
        if driver.claims(source):
            return driver.open(source, pace, start_ns)
    known = "; ".join(f"{each.name}: {each.example}" for each in CAMERAS)
    raise CameraError(f"no camera driver knows {source!r}; sources look like {known}")
