"""The images of a recording (`run --record FILE.mcap --record-video`) played as a camera.

Where the recording holds the crops that were made of its images, frames bring them along and nothing is looked for
again; a lossless recording holds whole images, in which faces are looked for as they were at first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import import_cv2
from emer_edge.errors import CameraError, DataError
from emer_edge.runtime.cameras.base import Camera
from emer_edge.runtime.cameras.source import CameraSource
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.faces.looks import RecordedFrame
from emer_edge.runtime.recording.messages import CAMERA, FRAMES, FrameMessage, look_of
from emer_edge.runtime.recording.reader import is_mcap, read_head, read_messages
from emer_edge.spec.samples import Frame
from emer_edge.spec.window import NANOSECONDS

__all__ = ["RecordedCamera", "claims", "open_recorded"]


def claims(source: CameraSource) -> bool:
    """Whether the source is an MCAP file."""
    return not source.scheme and is_mcap(Path(source.path))


def open_recorded(source: CameraSource, pace: str = "real", start_ns: int | None = None) -> RecordedCamera:
    """Open a recording (see `open_camera`); raise CameraError where it holds no images."""
    source.allow()
    path = Path(source.path)
    try:
        return RecordedCamera(path, pace == "fast", start_ns)
    except DataError as error:
        raise CameraError(str(error)) from None


class RecordedCamera(Camera):
    """Frames of a recording; time 0 is the start of its lattice of hops.

    Args:
        path: the recording.
        fast: every frame at once; else each when it is due.
        start_ns: host time of time 0; None: the first read, or 0 when `fast`.

    Attributes:
        recording: the file.
        head: what it says about itself.

    Raises:
        CameraError: it holds no images.
        DataError: it is no recording.
    """

    live = False

    def __init__(self, path: Path, fast: bool, start_ns: int | None) -> None:
        self.head = read_head(path)
        if self.head.images == "none":
            raise CameraError(
                f"{path} holds no images: it was recorded without --record-video; give the video that belongs to it"
            )
        self.recording = path
        self.source = str(path)
        self.dropped = 0
        self._fast = fast
        self._start_ns = 0 if fast and start_ns is None else start_ns
        self._closed = threading.Event()
        self._frames = self._read()

    @property
    def fps(self) -> float:
        """Nominal rate of the camera that was recorded."""
        return self.head.fps

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of a frame."""
        return self.head.width_px, self.head.height_px

    @property
    def clock(self) -> str:
        """`media`: stamps count from the recording's start."""
        return "media"

    def start(self, start_ns: int) -> None:
        """Put time 0 at this host time."""
        self._start_ns = start_ns

    def __next__(self) -> Frame:
        if self._start_ns is None:
            self._start_ns = monotonic_ns()
        while not self._closed.is_set():
            message, image = next(self._frames)
            shift_ns = self._start_ns - self.head.origin_ns
            arrival_ns = message.taken_ns + shift_ns
            if not self._fast:
                wait_ns = arrival_ns - monotonic_ns()
                if -wait_ns > NANOSECONDS / max(self.head.fps, 1.0):
                    self.dropped += 1
                    continue
                if self._closed.wait(max(0, wait_ns) / NANOSECONDS):
                    break
                arrival_ns = max(arrival_ns, monotonic_ns())
            return self._frame(message, image, message.stamp_ns + shift_ns, arrival_ns)
        raise StopIteration

    def close(self) -> None:
        """End the iteration."""
        self._closed.set()

    def _frame(self, message: FrameMessage, data: bytes, stamp_ns: int, arrival_ns: int) -> Frame:
        image = _decoded(data, self.recording)
        if self.head.images == "lossless":
            return Frame(message.index, image, stamp_ns, arrival_ns, self.clock)
        message.stamp_ns = stamp_ns  # the crop's time is the frame's
        look = look_of(message)
        return RecordedFrame(message.index, image, stamp_ns, arrival_ns, self.clock, look, self.head.aligned_to)

    def _read(self) -> Iterator[tuple[FrameMessage, bytes]]:
        data: bytes | None = None
        number = 0
        for message in read_messages(self.recording, {CAMERA, FRAMES}):
            if message.topic == CAMERA:
                data, number = message.decode().data, message.sequence
            elif data is not None and message.sequence == number:
                yield message.decode(), data


def _decoded(data: bytes, path: Path) -> NDArray[np.uint8]:
    cv2: Any = import_cv2()
    image: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise CameraError(f"{path} holds an image that is damaged")
    return image
