"""A named pipe into which another program writes a video: Motion JPEG, MPEG-TS, Matroska, AVI."""

from __future__ import annotations

import os
import stat

from emer_edge.data.images import import_cv2
from emer_edge.errors import CameraError
from emer_edge.runtime.cameras.base import open_capture
from emer_edge.runtime.cameras.grabber import CaptureGrabber
from emer_edge.runtime.cameras.live import Target
from emer_edge.runtime.cameras.network import low_latency
from emer_edge.runtime.cameras.source import CameraSource

__all__ = ["check", "claims", "grab"]


def claims(source: CameraSource) -> bool:
    """Whether the source is a named pipe (mkfifo)."""
    return not source.scheme and _is_pipe(source.path)


def check(source: CameraSource) -> Target:
    """See `CameraDriver.check`."""
    source.allow()
    import_cv2()
    return Target(source.text, lambda: _is_pipe(source.path))


def grab(source: CameraSource) -> CaptureGrabber:
    """See `CameraDriver.grab`; opening waits until somebody writes."""
    cv2 = import_cv2()
    low_latency()
    capture = open_capture(cv2, source.path, (cv2.CAP_FFMPEG,))
    if capture is None:
        raise CameraError(
            f"{source.name}: what comes through this pipe is no video that OpenCV can read; "
            "try for example: ffmpeg -i INPUT -c:v mjpeg -f mjpeg PIPE"
        )
    return CaptureGrabber(source.name, capture)


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
