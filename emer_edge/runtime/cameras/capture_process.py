"""A capture process from outside: starting, hearing and killing it."""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError
from emer_edge.runtime.cameras.capture_records import Record, Records
from emer_edge.runtime.child_process import ChildProcess
from emer_edge.runtime.image_ring import RingReader

_READ_BYTES: Final = 1 << 16


class CaptureProcess:
    """A capture process and its two channels.

    Args:
        source: as written by the user.
        originals: whether the JPEGs of a camera that sends such are kept.

    Raises:
        CameraError: the system can't start it.

    Attributes:
        over: whether it has closed its end of the pipe.
        pid: its process number.
    """

    def __init__(self, source: str, originals: bool = False) -> None:
        self.over = False
        try:
            self._child = ChildProcess(
                "emer_edge.runtime.cameras.capture_child", source, str(int(originals)), memory="camera"
            )
        except OSError as error:
            raise CameraError(f"can't start the capture process for {source}: {error}") from error
        os.set_blocking(self._child.pipe, False)
        self._parser = Records()
        self._reader = RingReader(self._child.memory)
        self.pid = self._child.pid

    def receive(self, wait_s: float, wake: int) -> Sequence[Record]:
        """The records that have come, waiting at most so long for the first, or until `wake` is readable."""
        poll = select.poll()
        poll.register(self._child.pipe, select.POLLIN)
        poll.register(wake, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, 1000 * wait_s))]
        found: list[Record] = []
        while self._child.pipe in ready:
            try:
                data = os.read(self._child.pipe, _READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self.over = True
                break
            found += self._parser.feed(data)
        return found

    def image(self, record: Record) -> NDArray[np.uint8] | None:
        """A copy of the image that a record announces, or None where it has been overwritten meanwhile."""
        return self._reader.copy(record.number, record.slot_bytes, record.height, record.width)

    def original(self, record: Record) -> bytes | None:
        """The camera's own JPEG of that image, after `image`; None where there is none, or it has been overwritten."""
        if not record.original:
            return None
        return self._reader.appended(
            record.number, record.slot_bytes, record.height, record.width, length=record.original
        )

    def ending(self) -> str:
        """How it ended, for a sentence."""
        return f"its capture process {self._child.ending()}"

    def close(self) -> None:
        """Kill it with all that it has started, and free the channels; may be called twice."""
        self._child.close()
