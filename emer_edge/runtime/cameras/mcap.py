"""The images of a recording (`run --record FILE.mcap --record-video`) played as a camera.

Where the recording holds the face crops, frames carry them and no face is detected again; a lossless recording holds
whole images, in which faces are detected as in the recorded run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError, DataError
from emer_edge.core.samples import Frame
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import PlayedCamera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.faces.looks import RecordedFrame
from emer_edge.runtime.recording.mcap_reader import read_head, read_messages
from emer_edge.runtime.recording.messages import CAMERA, FRAMES, FrameMessage, look_of


def open_recorded(address: Address, pace: str, start_ns: int | None) -> RecordedCamera:
    """Open a recording; raise CameraError where it holds no images."""
    try:
        return RecordedCamera(Path(address.path), pace, start_ns)
    except DataError as error:
        raise CameraError(str(error)) from None


class RecordedCamera(PlayedCamera):
    """Frames of a recording; time 0 is the start of its lattice of hops.

    Attributes:
        recording: the file.
        head: its description of itself.

    Raises:
        CameraError: it holds no images.
        DataError: it is no recording.
    """

    def __init__(self, path: Path, pace: str = "real", start_ns: int | None = None) -> None:
        self.head = read_head(path)
        size_px = (self.head.width_px, self.head.height_px)
        super().__init__(str(path), pace, start_ns, fps=self.head.fps, size_px=size_px)
        if self.head.images == "none":
            raise CameraError(
                f"{path} holds no images: it was recorded without --record-video; give the video that belongs to it"
            )
        self.recording = path
        self._frames = self._read()

    def __next__(self) -> Frame:
        start_ns = self._started_ns()
        while not self._closed.is_set():
            message, image = next(self._frames)
            shift_ns = start_ns - self.head.origin_ns
            arrival_ns = message.taken_ns + shift_ns
            if not self._fast:
                if monotonic_ns() - arrival_ns > NANOSECONDS / max(self.fps, 1.0):
                    self.dropped += 1
                    continue
                arrival_ns = self._await(arrival_ns)
            return self._frame(message, image, message.stamp_ns + shift_ns, arrival_ns)
        raise StopIteration

    def _frame(self, message: FrameMessage, data: bytes, stamp_ns: int, arrival_ns: int) -> Frame:
        image = _decoded(data, self.recording)
        if self.head.images == "lossless":
            return Frame(message.index, image, stamp_ns, arrival_ns, clock=self.clock)
        message.stamp_ns = stamp_ns  # the crop's time is the frame's
        look = look_of(message)
        return RecordedFrame(
            message.index, image, stamp_ns, arrival_ns, clock=self.clock, look=look, aligned_to=self.head.aligned_to
        )

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
