"""Network cameras (`rtsp://`, and Motion JPEG or a video over `http://`) and named pipes, read by OpenCV's FFmpeg.

RTSP carries the camera's own times, which are mapped to the host's clock by their least delay; Motion JPEG over HTTP
carries none, so that its images are stamped when they arrive.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Final
from urllib.parse import urlsplit

from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import open_capture
from emer_edge.runtime.cameras.grabber import CameraDriver, CaptureGrabber, Target
from emer_edge.runtime.clock import ClockMapper

_WITH_TIMES: Final = ("rtsp", "rtsps")
_SCHEMES: Final = (*_WITH_TIMES, "http", "https")

# FFmpeg probes a stream by reading seconds of it, and would then hand them out as if they were new.
_OPTIONS: Final = "rtsp_transport;tcp|fflags;nobuffer|probesize;200000|analyzeduration;200000"


def _check_stream(address: Address) -> Target:
    """See `CameraDriver`."""
    try:
        _ = urlsplit(address.text).port  # raises where it is no number
    except ValueError as error:
        raise ConfigurationError(f"can't read the address {address.text!r}: {error}") from None
    import_cv2()
    return Target(address.text)


def low_latency() -> None:
    """Have this process's FFmpeg keep no images back; a user's own OPENCV_FFMPEG_CAPTURE_OPTIONS goes first."""
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _OPTIONS)


def one_thread(cv2: Any) -> tuple[int, ...]:
    """Parameters for `open_capture`: a decoder with n threads would be n - 1 images late."""
    return (cv2.CAP_PROP_N_THREADS, 1) if hasattr(cv2, "CAP_PROP_N_THREADS") else ()


def _grab_stream(address: Address) -> CaptureGrabber:
    """See `CameraDriver`."""
    cv2 = import_cv2()
    low_latency()
    capture = open_capture(cv2, address.text, (cv2.CAP_FFMPEG,), one_thread(cv2))
    if capture is None:
        raise CameraError(
            f"{address.name} can't be opened: is the address right, the camera on, and its stream a video? "
            "Try it with: ffplay ADDRESS"
        )
    if address.scheme in _WITH_TIMES:
        return _TimedGrabber(address.name, capture)
    return CaptureGrabber(address.name, capture)


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


def _check_pipe(address: Address) -> Target:
    """See `CameraDriver`."""
    import_cv2()
    return Target(address.text, lambda: _is_pipe(address.path))


def _grab_pipe(address: Address) -> CaptureGrabber:
    """See `CameraDriver`; opening waits until somebody writes."""
    cv2 = import_cv2()
    low_latency()
    capture = open_capture(cv2, address.path, (cv2.CAP_FFMPEG,))
    if capture is None:
        raise CameraError(
            f"{address.name}: what comes through this pipe is no video that OpenCV can read; "
            "try for example: ffmpeg -i INPUT -c:v mjpeg -f mjpeg PIPE"
        )
    return CaptureGrabber(address.name, capture)


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


NETWORK: Final = CameraDriver(
    name="network",
    help="a network camera: RTSP, and Motion JPEG or a video over HTTP",
    example="rtsp://host/path or http://host/stream",
    schemes=_SCHEMES,
    whole=True,
    grab=_grab_stream,
    check=_check_stream,
)

PIPE: Final = CameraDriver(
    name="pipe",
    help="a named pipe into which another program writes a video: Motion JPEG, MPEG-TS, Matroska, AVI",
    example="a named pipe",
    claims=lambda address: _is_pipe(address.path),
    grab=_grab_pipe,
    check=_check_pipe,
)
