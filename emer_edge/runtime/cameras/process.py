"""Starting, hearing and killing a capture process."""

from __future__ import annotations

import os
import select
import weakref
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import CameraError
from emer_edge.runtime.cameras.records import Record, Records
from emer_edge.runtime.child import end_child, ending_of, start_child
from emer_edge.runtime.image_ring import RingReader, make_ring

__all__ = ["CaptureProcess"]

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
    """

    def __init__(self, source: str, originals: bool = False) -> None:
        self._ring = make_ring()
        self._records, theirs = os.pipe()
        self.over = False
        try:
            arguments = [source, str(theirs), str(self._ring), str(int(originals))]
            self._process = start_child("emer_edge.runtime.cameras.child", arguments, [theirs, self._ring])
        except OSError as error:
            os.close(self._ring)
            os.close(self._records)
            raise CameraError(f"can't start the capture process for {source}: {error}") from error
        finally:
            os.close(theirs)
        os.set_blocking(self._records, False)
        self._parser = Records()
        self._reader = RingReader(self._ring)
        self._end = weakref.finalize(self, end_child, self._process, (self._records, self._ring), os.getpid())

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def receive(self, wait_s: float, wake: int) -> Sequence[Record]:
        """The records that have come, waiting at most so long for the first, or until `wake` is readable."""
        poll = select.poll()
        poll.register(self._records, select.POLLIN)
        poll.register(wake, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, 1000 * wait_s))]
        found: list[Record] = []
        while self._records in ready:
            try:
                data = os.read(self._records, _READ_BYTES)
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
        return self._reader.appended(record.number, record.slot_bytes, record.height, record.width, record.original)

    def ending(self) -> str:
        """How it ended, for a sentence."""
        return f"its capture process {ending_of(self._process)}"

    def close(self) -> None:
        """Kill it with all that it has started, and free the channels; may be called twice."""
        self._end()
