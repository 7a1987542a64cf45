"""Video files as cameras.

Frame i of a video is stamped start + i / fps. With pace `real` it is yielded when that time comes, and frames whose
successor is due already are dropped, as a camera would overwrite them. With pace `fast` every frame is yielded at once.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from pathlib import Path
from typing import Any, Final

from emer_edge.data.images import import_cv2
from emer_edge.errors import CameraError
from emer_edge.runtime.cameras.base import Camera, as_bgr, open_capture
from emer_edge.runtime.cameras.source import CameraSource
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.spec.samples import Frame
from emer_edge.spec.window import NANOSECONDS

__all__ = ["PHOTOS", "VideoFile", "claims", "open_video"]

PHOTOS: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_FASTEST_FPS: Final = 500.0  # beyond it the container's time base was meant, as browsers write 1000
_WHOLE: Final = 0.9  # a container's count of frames is an estimate


def claims(source: CameraSource) -> bool:
    """Whether the source names a file: anything that no driver before this one has claimed and that is no address."""
    return not source.scheme


def open_video(source: CameraSource, pace: str = "real", start_ns: int | None = None) -> VideoFile:
    """Open a video file (see `open_camera`)."""
    source.allow()
    return _open_file(source.path, pace, start_ns)


def _open_file(source: str, pace: str, start_ns: int | None) -> VideoFile:
    path = Path(source)
    if not path.exists():
        raise CameraError(f"there is no video {source}; give an existing file, an index such as 0, or /dev/video0")
    if path.suffix.lower() in PHOTOS:
        raise CameraError(f"{source} is a single image, not a video")
    if not os.access(path, os.R_OK):
        raise CameraError(f"{source} may not be read by this user")
    cv2 = import_cv2()
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's own lines say less than the errors below
    capture = open_capture(cv2, str(path), (cv2.CAP_FFMPEG, cv2.CAP_GSTREAMER))
    readable, image = capture.read() if capture is not None else (False, None)
    if capture is None or not readable:
        raise CameraError(f"{source} is no video that OpenCV can read ({path.stat().st_size} bytes); is it complete?")
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    if not math.isfinite(fps) or not 0 < fps <= _FASTEST_FPS:
        capture.release()
        raise CameraError(
            f"{source} states {fps:g} frames a second, which is no frame rate; "
            "rewrite it at a constant one, for example: ffmpeg -i IN -r 30 OUT.mp4"
        )
    return VideoFile(source, capture, as_bgr(image, source, cv2), fps, pace == "fast", start_ns)


class VideoFile(Camera):
    """A video file played as a camera; made by `open_video`."""

    live = False

    def __init__(self, source: str, capture: Any, first: Any, fps: float, fast: bool, start_ns: int | None) -> None:
        self.source = source
        self.dropped = 0
        self._capture = capture
        self._first = first
        self._size_px = (int(first.shape[1]), int(first.shape[0]))
        self._fps = fps
        self._fast = fast
        self._start_ns = 0 if fast and start_ns is None else start_ns
        self._index = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @property
    def fps(self) -> float:
        """Nominal rate of the container."""
        return self._fps

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of a frame."""
        return self._size_px

    @property
    def clock(self) -> str:
        """`media`: stamps follow the container's rate."""
        return "media"

    def start(self, start_ns: int) -> None:
        """Put time 0 at this host time; to be called before the first frame is read."""
        self._start_ns = start_ns

    def __next__(self) -> Frame:
        if self._start_ns is None:
            self._start_ns = monotonic_ns()
        if not self._fast:
            self._skip_overtaken()
        with self._lock:
            if self._closed.is_set():
                raise StopIteration
            image = self._read()
        if image is None:
            self._finish()
            raise StopIteration
        index = self._index
        self._index += 1
        stamp_ns = self._due_ns(index)
        if self._fast:
            return Frame(index, image, stamp_ns, stamp_ns, self.clock)
        if self._closed.wait(max(0, stamp_ns - monotonic_ns()) / NANOSECONDS):
            raise StopIteration
        return Frame(index, image, stamp_ns, max(stamp_ns, monotonic_ns()), self.clock)

    def close(self) -> None:
        """Let the file go."""
        self._closed.set()
        with self._lock:
            self._capture.release()

    def _due_ns(self, index: int) -> int:
        return (self._start_ns or 0) + round(index * NANOSECONDS / self._fps)

    def _skip_overtaken(self) -> None:
        while self._due_ns(self._index + 1) <= monotonic_ns():
            with self._lock:
                if self._closed.is_set():
                    return
                if self._first is not None:
                    self._first = None
                elif not self._capture.grab():
                    return
            self._index += 1
            self.dropped += 1

    def _read(self) -> Any:
        """The next image, or None at the end."""
        if self._first is not None:
            image, self._first = self._first, None
            return image
        got, image = self._capture.read()
        return as_bgr(image, self.source, import_cv2()) if got else None

    def _finish(self) -> None:
        cv2 = import_cv2()
        stated = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.close()
        if stated > 0 and self._index < _WHOLE * stated:
            logging.getLogger("emer_edge").warning(
                "%s ended after %d of the %d frames that it states; the file is cut short or damaged",
                self.source,
                self._index,
                int(stated),
            )
