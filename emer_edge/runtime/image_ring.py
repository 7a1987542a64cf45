"""Images in memory that a run shares with its child processes.

The memory is a file descriptor (memfd_create(2)) that the other process inherits: it has no name under /dev/shm that
a crash could leave behind, and the kernel frees it with the last of the two processes. The writer sets the size of a
slot and grows the memory before it first writes; every record gives the size, so that the reader maps the memory again
when it has grown. Layout: one page of slot numbers (int64, which image a slot holds, -1 while it is
written), then the slots.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

import numpy as np
from numpy.typing import NDArray

SLOTS: Final = 4
"""Of a camera: one being written, the newest, the previous (for comparison), and one that the reader may still copy."""

_HEADER: Final = mmap.PAGESIZE


def make_ring(name: str = "camera") -> int:
    """Return the descriptor of new, empty shared memory, which is freed when its last descriptor is closed."""
    return os.memfd_create(f"emer-edge {name}")


class RingWriter:
    """The writing end.

    Args:
        descriptor: of `make_ring`.
        slots: number of images it holds.

    Attributes:
        slot_bytes: bytes of a slot.
    """

    def __init__(self, descriptor: int, slots: int = SLOTS) -> None:
        self._descriptor, self._slots = descriptor, slots
        self._map: mmap.mmap | None = None
        self._numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        self.slot_bytes = 0
        self.size = 0

    def slot(self, number: int, height: int, width: int, spare: int = 0) -> NDArray[np.uint8]:
        """The (height, width, 3) uint8 slot for image `number`, marked as being written, with spare bytes behind it."""
        size = height * width * 3
        if size + spare > self.slot_bytes:
            self._grow(size + spare)
        assert self._map is not None
        self._numbers[number % self._slots] = -1
        start = _HEADER + number % self._slots * self.slot_bytes
        return np.frombuffer(self._map, np.uint8, size, start).reshape(height, width, 3)

    def append(self, number: int, height: int, width: int, data: bytes) -> int:
        """Put bytes behind image `number`; return how many: all of them, or 0 where there is no room."""
        start = number % self._slots * self.slot_bytes + height * width * 3
        if not data or height * width * 3 + len(data) > self.slot_bytes:
            return 0
        assert self._map is not None
        self._map[_HEADER + start : _HEADER + start + len(data)] = data
        return len(data)

    def commit(self, number: int) -> None:
        """Mark image `number` as whole."""
        self._numbers[number % self._slots] = number

    def _grow(self, slot_bytes: int) -> None:
        # The old mapping goes with the last image that points into it.
        self.slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.size = _HEADER + self._slots * self.slot_bytes
        os.ftruncate(self._descriptor, self.size)
        self._map = mmap.mmap(self._descriptor, self.size)
        self._numbers = np.frombuffer(self._map, np.int64, self._slots)
        self._numbers[:] = -1


class RingReader:
    """The reading end.

    Args:
        descriptor: of `make_ring`; stays the caller's.
        slots: as the writer has it.
    """

    def __init__(self, descriptor: int, slots: int = SLOTS) -> None:
        self._descriptor, self._slots = descriptor, slots
        self._map: mmap.mmap | None = None

    def copy(self, number: int, slot_bytes: int, height: int, width: int) -> NDArray[np.uint8] | None:
        """A copy of image `number`, (height, width, 3) uint8; None where it has been overwritten meanwhile."""
        image = self.view(number, slot_bytes, height, width).copy()
        return image if self._holds(number) else None

    def appended(self, number: int, slot_bytes: int, height: int, width: int, length: int) -> bytes | None:
        """The bytes behind image `number`, after `copy`; None where they have been overwritten meanwhile."""
        assert self._map is not None
        start = _HEADER + number % self._slots * slot_bytes + height * width * 3
        data = self._map[start : start + length]
        return data if self._holds(number) else None

    def view(self, number: int, slot_bytes: int, height: int, width: int) -> NDArray[np.uint8]:
        """Image `number` as (height, width, 3) uint8 in place, which the writer may overwrite at any time."""
        size = _HEADER + self._slots * slot_bytes
        if self._map is None or len(self._map) < size:
            self._map = mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ)
        start = _HEADER + number % self._slots * slot_bytes
        return np.frombuffer(self._map, np.uint8, height * width * 3, start).reshape(height, width, 3)

    def _holds(self, number: int) -> bool:
        assert self._map is not None
        return bool(np.frombuffer(self._map, np.int64, self._slots)[number % self._slots] == number)
