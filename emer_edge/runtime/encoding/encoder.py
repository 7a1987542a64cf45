"""The encoder of a run: one process for all outputs that need images, and only while one does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import EmerEdgeError
from emer_edge.runtime.child_process import ChildProcess
from emer_edge.runtime.encoding.encoder_child import HEAD, SLOTS, Coding, ImageRequest
from emer_edge.runtime.image_ring import RingWriter
from emer_edge.runtime.say import Say, say_to_log

_TRIES: Final = 2
_READY_S: Final = 30.0  # on a machine that is busy with something else
_PIPE_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 20
_Done = TypeVar("_Done")


class Encoder:
    """Encodes images in a process of its own.

    The process starts with the first image, or by `start`. A caller waits for its own image and for at most one of each
    other thread; queues before that, and drops from them, are the output's. When the process dies or hangs, that is
    said once, another one is started, and the image is tried once more.

    Args:
        say: called when the process has died.
        answer_s: longest time for an image; after it the process counts as hung.

    Attributes:
        deaths: how often it has died or hung.
    """

    def __init__(self, say: Say = say_to_log, answer_s: float = 10.0) -> None:
        self._say, self._answer_s = say, answer_s
        self._lock = threading.Lock()
        self._process: EncoderProcess | None = None
        self._used_s = 0.0
        self._users = 0
        self.deaths = 0

    @property
    def pid(self) -> int | None:
        """ID of the process, None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def hold(self) -> Encoder:
        """Count one more user; the process ends when the last has called `release`."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """Count one user less."""
        with self._lock:
            self._users -= 1
            if self._users <= 0:
                self._stop()

    def close(self) -> None:
        """End the process whatever users are left; the next image would start another."""
        with self._lock:
            self._stop()

    def start(self) -> None:
        """Start the process and wait until it is ready; raise EmerEdgeError where it can't start."""
        with self._lock:
            self._guarded(lambda process: process.await_ready())

    def encode(self, image: NDArray[np.uint8], coding: Coding) -> bytes:
        """Encode an image (H, W, 3) uint8 B, G, R; raise EmerEdgeError where that fails, or kills two processes."""
        with self._lock:
            return self._guarded(lambda process: process.encode(image, coding))

    def rest(self, after_s: float) -> None:
        """End the process after so long without an image; the next one starts another."""
        if self._process is not None and monotonic() - self._used_s > after_s:
            with self._lock:
                if monotonic() - self._used_s > after_s:
                    self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _guarded(self, work: Callable[[EncoderProcess], _Done]) -> _Done:
        """Do the work in a process; where it dies, in another one."""
        why = ""
        for _ in range(_TRIES):
            try:
                process = self._process = self._process or EncoderProcess(self._answer_s)
                self._used_s = monotonic()
                return work(process)
            except GoneError as error:
                why = str(error)
                self._stop()
                self.deaths += 1
                if self.deaths == 1:
                    self._say(f"the process that encodes images {why}; another one is started")
            except OSError as error:
                raise EmerEdgeError(f"the process that encodes images can't be started: {error}") from error
        raise EmerEdgeError(f"images can't be encoded: the process that does it {why}, and so did the next")


class GoneError(Exception):
    """The process died or hung; it never leaves this package."""


class EncoderProcess:
    """An encoder process, its shared memory and its pipes; for one thread at a time.

    Args:
        answer_s: as of `Encoder`.

    Raises:
        OSError: the system can't start it.
    """

    def __init__(self, answer_s: float) -> None:
        self._answer_s = answer_s
        self._child = ChildProcess("emer_edge.runtime.encoding.encoder_child", memory="images")
        with contextlib.suppress(OSError):  # a whole image at a time; the system may allow less
            fcntl.fcntl(self._child.pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._writer = RingWriter(self._child.memory, SLOTS)
        self._number = 0
        self._ready = False

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._child.pid

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
        try:
            request = ImageRequest(number, height, width, self._writer.slot_bytes, coding=coding)
            os.write(self._child.stdin, request.packed())
        except BrokenPipeError:
            raise GoneError(self._child.ending()) from None
        done, content = self._answer(number, self._answer_s)
        if not done:
            raise EmerEdgeError(content.decode(errors="replace"))
        return content

    def close(self) -> None:
        """End it; may be called twice."""
        self._child.close()

    def _answer(self, number: int, wait_s: float) -> tuple[bool, bytes]:
        deadline_s = monotonic() + wait_s
        answered, done, length = HEAD.unpack(self._read(HEAD.size, deadline_s))
        if answered != number:
            raise GoneError("answered nonsense")
        return bool(done), self._read(length, deadline_s)

    def _read(self, count: int, deadline_s: float) -> bytes:
        parts: list[bytes] = []
        poll = select.poll()
        poll.register(self._child.pipe, select.POLLIN)
        while count:
            if not poll.poll(max(0.0, 1000 * (deadline_s - monotonic()))):
                raise GoneError("hung")
            data = os.read(self._child.pipe, min(count, _READ_BYTES))
            if not data:
                raise GoneError(self._child.ending())
            parts.append(data)
            count -= len(data)
        return b"".join(parts)
