"""Images in memory that a run shares with its capture processes.

The memory is a file descriptor (memfd_create(2)) that the other process inherits: it has no name under /dev/shm that
a crash could leave behind, and the kernel frees it with the last of the two processes. The writer sets the size of a
slot and grows the memory before it first writes; every record gives the size, so that the reader maps the memory again
when it has grown. Layout: one page of slot numbers (int64, which image a slot holds, -1 while it is
written), then the slots.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Final

SLOTS: Final = 6
"""One being written, the previous (for comparison), and those that the reader may still copy."""

_HEADER: Final = mmap.PAGESIZE


def make_ring(name: str = "camera") -> int:
    """Return the descriptor of new, empty shared memory, which is freed when its last descriptor is closed."""
    return os.memfd_create(f"emer-edge {name}")


class RingWriter:
    """The writing end.

    Args:
        descriptor: of `make_ring`.

    Attributes:
        slot_bytes: bytes of a slot.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None
        self._numbers = memoryview(bytearray(8)).cast("q")
        self.slot_bytes = 0

    def slot(self, number: int, size: int, room: int = 0) -> memoryview:
        """The `size` bytes for image `number`, marked as being written; `room`: what later images may take."""
        if size > self.slot_bytes:
            self._grow(max(size, room))
        assert self._map is not None
        self._numbers[number % SLOTS] = -1
        start = _HEADER + number % SLOTS * self.slot_bytes
        return memoryview(self._map)[start : start + size]

    def commit(self, number: int) -> None:
        """Mark image `number` as whole."""
        self._numbers[number % SLOTS] = number

    def _grow(self, slot_bytes: int) -> None:
        # The old mapping goes with the last image that points into it.
        self.slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        size = _HEADER + SLOTS * self.slot_bytes
        os.ftruncate(self._descriptor, size)
        self._map = mmap.mmap(self._descriptor, size)
        self._numbers = memoryview(self._map)[: 8 * SLOTS].cast("q")
        for at in range(SLOTS):
            self._numbers[at] = -1


class RingReader:
    """The reading end.

    Args:
        descriptor: of `make_ring`; stays the caller's.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def copy(self, number: int, slot_bytes: int, size: int) -> bytes | None:
        """The `size` bytes of image `number`; None where it has been overwritten meanwhile."""
        whole = _HEADER + SLOTS * slot_bytes
        if self._map is None or len(self._map) < whole:
            self._map = mmap.mmap(self._descriptor, whole, access=mmap.ACCESS_READ)
        start = _HEADER + number % SLOTS * slot_bytes
        data = self._map[start : start + size]
        at = number % SLOTS * 8
        return data if int.from_bytes(self._map[at : at + 8], sys.byteorder, signed=True) == number else None
