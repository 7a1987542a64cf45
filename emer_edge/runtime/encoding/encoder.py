"""The encoder of a run: one process for all outputs that need images, there only while one does."""

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
from emer_edge.runtime.encoding.encoder_child import HEAD, SLOTS, Asking, Coding
from emer_edge.runtime.image_ring import RingWriter
from emer_edge.runtime.say import Say, say_to_log

_TRIES: Final = 2
_READY_S: Final = 30.0  # on a machine that is busy with something else
_PIPE_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 20
_Done = TypeVar("_Done")


class Encoder:
    """Encodes images in a process of its own, off the run's: its threads wait, and hold up nothing.

    The process starts with the first image, or by `start`. Whoever asks waits for its own image and for at most one of
    each other thread that asks; what waits before that, and what is dropped there, is the output's to count. A process
    that dies or hangs is said once and started anew, and the image is tried once more.

    Args:
        say: told when the process has died.
        answer_s: an image that takes longer hangs.

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
        """Number of the process, None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def hold(self) -> Encoder:
        """Count a user in; the process ends when the last has called `release`."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """Count a user out."""
        with self._lock:
            self._users -= 1
            if self._users <= 0:
                self._stop()

    def close(self) -> None:
        """End the process whoever may still hold it; the next image would start another."""
        with self._lock:
            self._stop()

    def start(self) -> None:
        """Start the process and wait until it is ready, so that the first image need not wait for it.

        Raises:
            EmerEdgeError: it can't be started, or dies at once.
        """
        with self._lock:
            self._guarded(lambda process: process.await_ready())

    def encode(self, image: NDArray[np.uint8], coding: Coding) -> bytes:
        """Encode an image (see `Encode`).

        Raises:
            EmerEdgeError: it can't be encoded, or the process has died over it twice.
        """
        with self._lock:
            return self._guarded(lambda process: process.encode(image, coding))

    def rest(self, after_s: float) -> None:
        """End the process where nobody has asked for so long; the next image starts another."""
        if self._process is not None and monotonic() - self._used_s > after_s:
            with self._lock:
                if monotonic() - self._used_s > after_s:
                    self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _guarded(self, work: Callable[[EncoderProcess], _Done]) -> _Done:
        """Have a process do something; where it dies over it, another one."""
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
        answer_s: see `Encoder`.

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
        """Its process number."""
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
            os.write(self._child.stdin, Asking(number, height, width, self._writer.slot_bytes, coding=coding).packed())
        except BrokenPipeError:
            raise GoneError(self._child.ending()) from None
        done, told = self._answer(number, self._answer_s)
        if not done:
            raise EmerEdgeError(told.decode(errors="replace"))
        return told

    def close(self) -> None:
        """End it; may be called twice."""
        self._child.close()

    def _answer(self, number: int, wait_s: float) -> tuple[bool, bytes]:
        deadline_s = monotonic() + wait_s
        told, done, length = HEAD.unpack(self._read(HEAD.size, deadline_s))
        if told != number:
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
