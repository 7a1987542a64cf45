"""Motion JPEG through a named pipe, read without OpenCV."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import time
from typing import TYPE_CHECKING, Final

from emer_edge.core.errors import CameraError
from emer_edge.core.public_text import public
from emer_edge.runtime.capture.grabber import Grab, Grabber
from emer_edge.runtime.capture.jpeg import BEGIN, Splitter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_READ_BYTES: Final = 1 << 20
OTHER: Final[dict[str, int]] = {}
"""Path -> descriptor of a pipe that brings another video: opened again, it could wait for a writer that has gone."""


def open_pipe(path: str) -> PipeGrabber | None:
    """Open a pipe, waiting for its writer; None, with nothing read, where it brings no Motion JPEG.

    Raises:
        CameraError: it can't be opened, or its writer has gone without a byte.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise CameraError(f"{public(path)} can't be opened: {error.strerror}") from error
    begin = _peeked(descriptor, len(BEGIN))
    if begin and BEGIN.startswith(begin):
        return PipeGrabber(path, descriptor)
    OTHER[path] = descriptor
    return None


def _peeked(descriptor: int, count: int) -> bytes:
    """The next bytes of a pipe, which stay in it (tee(2)); empty where it ends."""
    ours, theirs = os.pipe()
    try:
        copied = ctypes.CDLL(None, use_errno=True).tee(descriptor, theirs, ctypes.c_size_t(count), 0)
        return os.read(ours, count) if copied > 0 else b""
    finally:
        os.close(ours)
        os.close(theirs)


class PipeGrabber(Grabber):
    """Reads JPEGs from an open pipe, which it owns; they are stamped when they are whole."""

    mode = "Motion JPEG"

    def __init__(self, path: str, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        with contextlib.suppress(OSError):  # fewer, larger reads
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _READ_BYTES)
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._splitter = Splitter()
        self._waiting: list[tuple[bytes, int]] = []
        self._count = 0

    def read(self, into: NDArray[np.uint8] | None) -> Grab:
        """Wait for the next image."""
        while not self._waiting:
            count = os.readv(self._descriptor, [self._buffer])
            if not count:
                raise CameraError(
                    f"{public(self._path)} stopped sending frames after {self._count}; is it still there?"
                )
            arrival_ns = time.monotonic_ns()
            self._waiting = [(image, arrival_ns) for image in self._splitter.feed(self._buffer[:count])]
        self._count += 1
        return Grab(*self._waiting.pop(0), "arrival")

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._descriptor)
