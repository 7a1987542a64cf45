"""The encoder of a run: one process for all outputs that need images, there only while one does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import EmerEdgeError
from emer_edge.runtime.encoding.coding import Coding
from emer_edge.runtime.encoding.process import EncoderProcess, GoneError
from emer_edge.runtime.say import Say, say_to_log

__all__ = ["Encoder"]

_TRIES: Final = 2
_Done = TypeVar("_Done")


class Encoder:
    """Encodes images in a process of its own, off the run's: its threads wait, and hold up nothing.

    The process starts with the first image, or by `start`. Whoever asks waits for its own image and for at most one of
    each other thread that asks; what waits before that, and what is dropped there, is the output's to count. A process
    that dies or hangs is said once and started anew, and the image is tried once more.

    Args:
        say: told when the process has died.

    Attributes:
        deaths: how often it has died or hung.
    """

    def __init__(self, say: Say = say_to_log) -> None:
        self._say = say
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
                process = self._process = self._process or EncoderProcess()
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
