"""Network cameras: `rtsp://`, and Motion JPEG or a video over `http://`, read by the FFmpeg inside OpenCV.

RTSP carries the camera's own times, which are mapped to the host's clock by their least delay; Motion JPEG over HTTP
carries none, so that its images are stamped when they arrive.
"""

from __future__ import annotations

import os
from typing import Any, Final

from emer_edge.data.images import import_cv2
from emer_edge.errors import CameraError
from emer_edge.runtime.cameras.base import open_capture
from emer_edge.runtime.cameras.grabber import CaptureGrabber
from emer_edge.runtime.cameras.live import Target
from emer_edge.runtime.cameras.source import CameraSource
from emer_edge.runtime.clock import ClockMapper

__all__ = ["check", "claims", "grab", "low_latency", "one_thread"]

_WITH_TIMES: Final = ("rtsp", "rtsps")
_SCHEMES: Final = (*_WITH_TIMES, "http", "https")

# FFmpeg probes a stream by reading seconds of it, and would then hand them out as if they were new.
_OPTIONS: Final = "rtsp_transport;tcp|fflags;nobuffer|probesize;200000|analyzeduration;200000"


def claims(source: CameraSource) -> bool:
    """Whether the source is an address of a network camera."""
    return source.scheme in _SCHEMES


def check(source: CameraSource) -> Target:
    """See `CameraDriver.check`."""
    import_cv2()
    return Target(source.text)


def low_latency() -> None:
    """Have this process's FFmpeg keep no images back; a user's own OPENCV_FFMPEG_CAPTURE_OPTIONS goes first."""
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _OPTIONS)


def one_thread(cv2: Any) -> tuple[int, ...]:
    """Parameters for `open_capture`: a decoder with n threads would be n - 1 images late."""
    return (cv2.CAP_PROP_N_THREADS, 1) if hasattr(cv2, "CAP_PROP_N_THREADS") else ()


def grab(source: CameraSource) -> CaptureGrabber:
    """See `CameraDriver.grab`."""
    cv2 = import_cv2()
    low_latency()
    capture = open_capture(cv2, source.text, (cv2.CAP_FFMPEG,), one_thread(cv2))
    if capture is None:
        raise CameraError(
            f"{source.name} can't be opened: is the address right, the camera on, and its stream a video? "
            "Try it with: ffplay ADDRESS"
        )
    if source.scheme in _WITH_TIMES:
        return _TimedGrabber(source.name, capture)
    return CaptureGrabber(source.name, capture)


class _TimedGrabber(CaptureGrabber):
    """Maps the stream's own times to the host's clock."""

    def __init__(self, source: str, capture: Any) -> None:
        super().__init__(source, capture)
        self._mapper = ClockMapper()
        self._last_ms = -1.0

    def stamp(self, position_ms: float, arrival_ns: int) -> tuple[int, str]:
        """An image's stamp; its arrival where the stream's time does not go on."""
        if not self._last_ms < position_ms < 1e15:
            return arrival_ns, "arrival"
        self._last_ms = position_ms
        return min(self._mapper.map(round(position_ms * 1e6), arrival_ns), arrival_ns), "stream"
