"""Starting, asking and ending an encoder process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import weakref
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import EmerEdgeError
from emer_edge.runtime.child import end_child, ending_of, start_child
from emer_edge.runtime.encoding.coding import Coding
from emer_edge.runtime.encoding.wire import HEAD, SLOTS, Asking
from emer_edge.runtime.image_ring import RingWriter, make_ring

__all__ = ["EncoderProcess", "GoneError"]

_READY_S: Final = 30.0  # on a machine that is busy with something else
_ANSWER_S: Final = 10.0
_PIPE_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 20


class GoneError(Exception):
    """The process died or hung; it never leaves this package."""


class EncoderProcess:
    """An encoder process, its shared memory and its pipes; for one thread at a time.

    Raises:
        OSError: the system can't start it.
    """

    def __init__(self) -> None:
        self._memory = make_ring("images")
        self._answers, theirs = os.pipe()
        with contextlib.suppress(OSError):  # a whole image at a time; the system may allow less
            fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            self._process = start_child(
                "emer_edge.runtime.encoding.child", [str(theirs), str(self._memory)], [theirs, self._memory]
            )
        except OSError:
            os.close(self._memory)
            os.close(self._answers)
            raise
        finally:
            os.close(theirs)
        self._end = weakref.finalize(self, end_child, self._process, (self._answers, self._memory), os.getpid())
        self._writer = RingWriter(self._memory, SLOTS)
        self._number = 0
        self._ready = False

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def await_ready(self) -> None:
        """Wait until it can encode; raise GoneError where it dies or takes too long."""
        if not self._ready:
            self._answer(-1, _READY_S)
            self._ready = True

    def encode(self, image: NDArray[np.uint8], coding: Coding) -> bytes:
        """Encode an image (H, W, 3) uint8.

        Raises:
            GoneError: the process died or hung over it.
            EmerEdgeError: the image can't be encoded.
        """
        self.await_ready()
        height, width = image.shape[:2]
        number, self._number = self._number, self._number + 1
        self._writer.slot(number, height, width)[:] = image
        self._writer.commit(number)
        assert self._process.stdin is not None
        try:
            os.write(
                self._process.stdin.fileno(), Asking(number, height, width, self._writer.slot_bytes, coding).packed()
            )
        except BrokenPipeError:
            raise GoneError(ending_of(self._process)) from None
        done, told = self._answer(number, _ANSWER_S)
        if not done:
            raise EmerEdgeError(told.decode(errors="replace"))
        return told

    def close(self) -> None:
        """End it; may be called twice."""
        self._end()

    def _answer(self, number: int, wait_s: float) -> tuple[bool, bytes]:
        deadline_s = monotonic() + wait_s
        told, done, length = HEAD.unpack(self._read(HEAD.size, deadline_s))
        if told != number:
            raise GoneError("answered nonsense")
        return bool(done), self._read(length, deadline_s)

    def _read(self, count: int, deadline_s: float) -> bytes:
        parts: list[bytes] = []
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while count:
            if not poll.poll(max(0.0, 1000 * (deadline_s - monotonic()))):
                raise GoneError("hung")
            data = os.read(self._answers, min(count, _READ_BYTES))
            if not data:
                raise GoneError(ending_of(self._process))
            parts.append(data)
            count -= len(data)
        return b"".join(parts)
