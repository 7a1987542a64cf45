"""The encoder process: codings of images, its messages, and its main loop.

The image itself is in shared memory (`emer_edge.runtime.image_ring`), in the only slot: the next is written only after
the answer. A request and the head of an answer are shorter than PIPE_BUF (4096 bytes), so that a write never splits
them; the bytes of an answer follow its head. Both are in this machine's byte order.

The process loads numpy and OpenCV and nothing else, and ends with its standard input, which the kernel closes however
its parent dies.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import EmerEdgeError
from emer_edge.data.images import import_cv2
from emer_edge.runtime.image_ring import RingReader


@dataclass(frozen=True, slots=True)
class Coding:
    """How an image is encoded.

    Attributes:
        lossless: PNG, else JPEG.
        level: compression of a PNG (0 to 9), quality of a JPEG (0 to 100).
        widest_px: wider images are shrunk to this first; 0: never.
    """

    lossless: bool
    level: int
    widest_px: int = 0


LOOK: Final = Coding(lossless=False, level=90)
"""A recorded image, to look at."""

WHOLE: Final = Coding(lossless=True, level=1)
"""A recorded image from which everything can be computed again."""

CROP: Final = Coding(lossless=True, level=1)
"""An aligned crop of a recording."""

PAGE: Final = Coding(lossless=False, level=75, widest_px=640)
"""An image on the page."""

Encode = Callable[[NDArray[np.uint8], Coding], bytes]
"""Encodes an image (H, W, 3) uint8 B, G, R as the bytes of a file."""


def encoded(image: NDArray[np.uint8], coding: Coding) -> bytes:
    """Encode an image in this process; raise EmerEdgeError where OpenCV can't."""
    cv2: Any = import_cv2()
    height, width = image.shape[:2]
    if coding.widest_px and width > coding.widest_px:
        size = (coding.widest_px, max(1, round(height * coding.widest_px / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    ending, option = (".png", cv2.IMWRITE_PNG_COMPRESSION) if coding.lossless else (".jpg", cv2.IMWRITE_JPEG_QUALITY)
    try:
        done, data = cv2.imencode(ending, image, [option, coding.level])
    except cv2.error as error:
        raise EmerEdgeError(f"an image of {width}x{height} can't be encoded as {ending[1:]}: {error.err}") from error
    if not done:
        raise EmerEdgeError(f"an image of {width}x{height} can't be encoded as {ending[1:]}")
    return bytes(data)


SLOTS: Final = 1

HEAD: Final = struct.Struct("=qBQ")
"""Head of an answer: image number, whether it could be encoded, length of the bytes (or of the reason) that follow.

Number -1 says that the process is ready."""

_REQUEST: Final = struct.Struct("=qIIQBBI")


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """An image in shared memory that waits: its number and size, the bytes of its slot, and its coding."""

    number: int
    height: int
    width: int
    slot_bytes: int
    coding: Coding

    size = _REQUEST.size

    def packed(self) -> bytes:
        """The request as bytes."""
        return _REQUEST.pack(self.number, self.height, self.width, self.slot_bytes, *astuple(self.coding))

    @classmethod
    def unpacked(cls, data: bytes) -> ImageRequest:
        """The request of these bytes."""
        number, height, width, slot_bytes, lossless, level, widest_px = _REQUEST.unpack(data)
        return cls(number, height, width, slot_bytes, coding=Coding(bool(lossless), level, widest_px))


def main() -> None:
    """Encode; the arguments are the descriptors of the answers' pipe and of the shared memory."""
    answers, memory = int(sys.argv[1]), int(sys.argv[2])
    import_cv2().setNumThreads(1)
    with contextlib.suppress(BrokenPipeError):
        serve(0, answers, memory)


def serve(requests: int, answers: int, memory: int) -> None:
    """Answer until the pipe of requests is closed; the arguments are descriptors."""
    reader = RingReader(memory, SLOTS)
    os.write(answers, HEAD.pack(-1, True, 0))
    while len(data := os.read(requests, ImageRequest.size)) == ImageRequest.size:
        request = ImageRequest.unpacked(data)
        image = reader.view(request.number, request.slot_bytes, request.height, request.width)
        try:
            content, done = encoded(image, request.coding), True
        except EmerEdgeError as error:
            content, done = str(error).encode(), False
        rest = memoryview(HEAD.pack(request.number, done, len(content)) + content)
        while rest:
            rest = rest[os.write(answers, rest) :]
