"""The encoder process: what an image is turned into, how it is asked for, and the process that does it.

The image itself lies in shared memory (see `emer_edge.runtime.image_ring`), in the one slot that there is: the next is
written only once the answer has come. An asking and the head of an answer are shorter than PIPE_BUF (4096 bytes), so
that neither is ever cut by a writer; the bytes of an answer follow its head. Both are in this machine's byte order.

The process holds numpy and OpenCV and nothing else, and ends when its standard input does, which the kernel closes
however its parent dies.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
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
        widest_px: wider images are shrunk to this first; 0 for never.
    """

    lossless: bool
    level: int
    widest_px: int = 0


LOOK: Final = Coding(lossless=False, level=90)
"""A recorded image, to look at."""

WHOLE: Final = Coding(lossless=True, level=1)
"""A recorded image from which everything can be computed anew."""

CROP: Final = Coding(lossless=True, level=1)
"""An aligned crop of a recording."""

PAGE: Final = Coding(lossless=False, level=75, widest_px=640)
"""An image on the page."""

Encode = Callable[[NDArray[np.uint8], Coding], bytes]
"""Turns an image (H, W, 3) uint8 B, G, R into the bytes of a file."""


def encoded(image: NDArray[np.uint8], coding: Coding) -> bytes:
    """Encode an image in this process (see `Encode`); raise EmerEdgeError where OpenCV can't."""
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

_ASKING: Final = struct.Struct("=qIIQBBI")


@dataclass(frozen=True, slots=True)
class Asking:
    """An image that waits in shared memory.

    Attributes:
        number: of the image.
        height, width: of the image.
        slot_bytes: of the memory at that time.
        coding: what it is to become.
    """

    number: int
    height: int
    width: int
    slot_bytes: int
    coding: Coding

    size = _ASKING.size

    def packed(self) -> bytes:
        """Its bytes."""
        coding = self.coding
        return _ASKING.pack(
            self.number, self.height, self.width, self.slot_bytes, coding.lossless, coding.level, coding.widest_px
        )

    @classmethod
    def unpacked(cls, data: bytes) -> Asking:
        """The asking of these bytes."""
        number, height, width, slot_bytes, lossless, level, widest_px = _ASKING.unpack(data)
        return cls(number, height, width, slot_bytes, coding=Coding(bool(lossless), level, widest_px))


def main() -> None:
    """Encode; the arguments are the descriptors of the answers' pipe and of the shared memory."""
    answers, memory = int(sys.argv[1]), int(sys.argv[2])
    import_cv2().setNumThreads(1)
    with contextlib.suppress(BrokenPipeError):
        serve(0, answers, memory)


def serve(askings: int, answers: int, memory: int) -> None:
    """Answer until nobody can ask any more.

    Args:
        askings: descriptor of the pipe that images are announced in.
        answers: descriptor of the pipe for their bytes.
        memory: descriptor of shared memory.
    """
    reader = RingReader(memory, SLOTS)
    os.write(answers, HEAD.pack(-1, True, 0))
    while len(data := os.read(askings, Asking.size)) == Asking.size:
        asking = Asking.unpacked(data)
        image = reader.view(asking.number, asking.slot_bytes, asking.height, asking.width)
        try:
            told, done = encoded(image, asking.coding), True
        except EmerEdgeError as error:
            told, done = str(error).encode(), False
        rest = memoryview(HEAD.pack(asking.number, done, len(told)) + told)
        while rest:
            rest = rest[os.write(answers, rest) :]
