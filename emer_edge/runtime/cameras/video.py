"""Video files as cameras, and folders of images, in the natural order of their names (2.jpg before 10.jpg).

A frame is stamped with its container's own time, counted from the first frame: rates vary, recordings have holes, and
what a file states about its rate and number of frames is an estimate. Where a file has no times, and for images, frame
i is stamped start + i / fps, and the notes say so. With pace `real` it is yielded at that time, and frames that are
overdue by a period are dropped, as a camera would overwrite them. With pace `fast` every frame is yielded at once.
"""

from __future__ import annotations

import logging
import math
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from emer_edge.core.errors import CameraError
from emer_edge.core.samples import Frame
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import PlayedCamera, as_bgr, open_capture
from emer_edge.runtime.cameras.grabber import CameraDriver
from emer_edge.runtime.cameras.gstreamer import DECODERS, DecodedFile, check_decoder
from emer_edge.runtime.clock import monotonic_ns

PHOTOS: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
_FASTEST_FPS: Final = 500.0  # beyond it the container's time base was meant, as browsers write 1000
_WHOLE: Final = 0.9  # a container's count of frames is an estimate
_FALLBACK_FPS: Final = 30.0
_BARE: Final = frozenset({".h264", ".264", ".h265", ".265", ".hevc", ".mjpeg", ".mjpg"})
"""Streams without a container: FFmpeg makes their times up."""


def _open_video(address: Address, pace: str, start_ns: int | None) -> VideoFile:
    source = address.path
    path = Path(source)
    if not path.exists():
        raise CameraError(f"there is no video {source}; give an existing file, an index such as 0, or /dev/video0")
    if path.suffix.lower() in PHOTOS:
        raise CameraError(f"{source} is a single image, not a video")
    if not os.access(path, os.R_OK):
        raise CameraError(f"{source} may not be read by this user")
    cv2 = import_cv2()
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's own lines say less than the errors below
    capture = _opened(cv2, path)
    if address.choice("decoder", DECODERS) == "hardware" and capture is not None:
        check_decoder(source)
        capture = DecodedFile(source, capture)
    readable, image = capture.read() if capture is not None else (False, None)
    if capture is None or not readable:
        raise CameraError(f"{source} is no video that OpenCV can read ({path.stat().st_size} bytes); is it complete?")
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    stated = math.isfinite(fps) and 0 < fps <= _FASTEST_FPS
    timed = capture.getBackendName() == "FFMPEG" and path.suffix.lower() not in _BARE
    if not timed and not stated:
        capture.release()
        raise CameraError(
            f"{source} holds no times and states {fps:g} frames a second, which is no frame rate; "
            "rewrite it at a constant one, for example: ffmpeg -i IN -r 30 OUT.mp4"
        )
    video = VideoFile(
        *(capture, as_bgr(image, source, cv2), fps if stated else _FALLBACK_FPS),
        source=source,
        pace=pace,
        start_ns=start_ns,
        timed=timed,
    )
    turned = round(capture.get(cv2.CAP_PROP_ORIENTATION_META)) if timed else 0
    if turned:
        video.notes = (*video.notes, f"the video is turned by {turned} degrees, as its file says")
    count = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if count > 0 and fps > 0:
        video.length_ns = round(min(count / fps, 1e9) * NANOSECONDS)
    return video


def _opened(cv2: Any, path: Path) -> Any:
    """Open a video; one whose name is no UTF-8, at which OpenCV crashes, by the number of its opened file."""
    back_ends = (cv2.CAP_FFMPEG, cv2.CAP_GSTREAMER)
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            return open_capture(cv2, f"/proc/self/fd/{file.fileno()}", back_ends)
    return open_capture(cv2, str(path), back_ends)


class VideoFile(PlayedCamera):
    """A video file played as a camera.

    Args:
        capture: the opened video: a cv2.VideoCapture, or what has its methods.
        first: its first image, read already.
        fps: its rate.
        source, pace, start_ns: as of `PlayedCamera`.
        timed: whether the capture knows the frames' own times.

    Attributes:
        length_ns: what the file states, an estimate; None where it states nothing.
        untimed: frames without a time of their own after the one before.
    """

    length_ns: int | None = None
    untimed: int = 0

    def __init__(
        self, capture: Any, first: Any, fps: float, *, source: str, pace: str, start_ns: int | None, timed: bool = False
    ) -> None:
        super().__init__(source, pace, start_ns, fps=fps, size_px=(int(first.shape[1]), int(first.shape[0])))
        self._capture = capture
        self._first = first
        self._index = 0
        self._timed = timed
        self._first_ms = capture.get(import_cv2().CAP_PROP_POS_MSEC) if timed else 0.0
        self._media_ns = -1  # time of the newest frame, from the first
        self._lock = threading.Lock()
        if not timed and not isinstance(capture, _Images):
            why = "decoding in hardware gives" if isinstance(capture, DecodedFile) else "the video holds"
            self.notes = (f"{why} no times: its frames are taken to be 1/{fps:g} s apart",)

    def __next__(self) -> Frame:
        start_ns, period_ns = self._started_ns(), NANOSECONDS / self.fps
        while True:
            with self._lock:
                if self._closed.is_set():
                    raise StopIteration
                if self._first is None and not self._capture.grab():
                    break
                index, self._index = self._index, self._index + 1
                stamp_ns = start_ns + self._time_ns(index)
                if not self._fast and stamp_ns + period_ns <= monotonic_ns():
                    self._first = None
                    self.dropped += 1
                    continue
                image = self._taken()
            if image is None:
                break
            arrival_ns = stamp_ns if self._fast else self._await(stamp_ns)
            return Frame(index, image, stamp_ns, arrival_ns, clock=self.clock)
        self._finish()
        raise StopIteration

    def close(self) -> None:
        """Close the file."""
        super().close()
        with self._lock:
            self._capture.release()

    def _time_ns(self, index: int) -> int:
        """Time of the frame that was grabbed, from the first: its own where it has one that is later than the last."""
        cv2 = import_cv2()
        time_ns = round(index * NANOSECONDS / self.fps)
        if self._timed and index:
            own_ms = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) - self._first_ms
            time_ns = round(own_ms * 1e6) if abs(own_ms) < 1e12 else 0
            if time_ns <= self._media_ns:
                if not self.untimed:
                    logging.getLogger("emer_edge").warning(
                        "%s holds no time for a frame (number %d); such frames follow the one before by 1/%g s",
                        *(self.source, index, self.fps),
                    )
                self.untimed += 1
                time_ns = self._media_ns + round(NANOSECONDS / self.fps)
        self._media_ns = time_ns
        return time_ns

    def _taken(self) -> Any:
        """The grabbed image, or None where it can't be decoded."""
        if self._first is not None:
            image, self._first = self._first, None
            return image
        got, image = self._capture.retrieve()
        return as_bgr(image, self.source, import_cv2()) if got else None

    def _finish(self) -> None:
        cv2 = import_cv2()
        stated = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.close()
        too_few = 0 < self._index < _WHOLE * stated
        if too_few and self._media_ns + NANOSECONDS / self.fps < _WHOLE * (self.length_ns or math.inf):
            logging.getLogger("emer_edge").warning(
                "%s ended after %d of the %d frames that it states; the file is cut short, damaged or edited",
                *(self.source, self._index, int(stated)),
            )


def _open_folder(address: Address, pace: str, start_ns: int | None) -> VideoFile:
    fps = address.number("fps", 0.1, 500) or _FALLBACK_FPS
    paths = sorted((path for path in Path(address.path).iterdir() if path.suffix.lower() in PHOTOS), key=_natural)
    if not paths:
        raise CameraError(f"{address.path} is a folder without images ({', '.join(sorted(PHOTOS))})")
    images = _Images(paths)
    _, first = images.read()
    first = as_bgr(first, address.name, import_cv2())
    return VideoFile(images, first, fps, source=address.name, pace=pace, start_ns=start_ns)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]


class _Images:
    """Image files with those methods of cv2.VideoCapture that `VideoFile` calls."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._cv2 = import_cv2()
        self._paths = paths
        self._next = 0
        self._shape: tuple[int, ...] | None = None

    def grab(self) -> bool:
        """Skip an image; false at the end."""
        self._next += 1
        return self._next <= len(self._paths)

    def read(self) -> tuple[bool, Any]:
        """The next image, or false at the end (see `retrieve`)."""
        return self.retrieve() if self.grab() else (False, None)

    def retrieve(self) -> tuple[bool, Any]:
        """The image that was grabbed; raise CameraError where it is none, or of another size."""
        path = self._paths[self._next - 1]
        try:
            encoded = np.fromfile(path, np.uint8)
            image = self._cv2.imdecode(encoded, self._cv2.IMREAD_COLOR) if encoded.size else None
        except (OSError, self._cv2.error):
            image = None
        if image is None:
            raise CameraError(f"{path} is not an image that OpenCV can read; copy it again from its source")
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise CameraError(
                f"{path} is {image.shape[1]}x{image.shape[0]}, the first image {self._shape[1]}x{self._shape[0]}"
            )
        return True, image

    def get(self, _: int) -> float:
        """Number of images: the only property that `VideoFile` reads."""
        return float(len(self._paths))

    def release(self) -> None:
        """Release nothing: no file stays open."""


FOLDER: Final = CameraDriver(
    name="folder",
    help="images in the natural order of their names",
    example="a folder of images",
    parameters={"fps": "images per second, 30 by default"},
    claims=lambda address: os.path.isdir(address.path),
    play=_open_folder,
)

VIDEO: Final = CameraDriver(
    name="video",
    help="a video file",
    example="talk.mp4",
    parameters={"decoder": "software (the CPU) by default, or hardware: a Jetson's decoder"},
    claims=lambda address: True,
    play=_open_video,
)
