"""Images between a process of ours and the run's, in shared memory without a name.

The memory is a file descriptor (memfd_create(2)) that the other process inherits: it has no name under /dev/shm that
a crash could leave behind, and the kernel frees it with the last of the two processes. Who writes decides on the size
of a slot and grows the memory before it first writes; every record says how large it is, so that the reader
maps it anew when it has grown. Layout: one page of slot numbers (int64, which image a slot holds, -1 while it is
written), then the slots.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

import numpy as np
from numpy.typing import NDArray

SLOTS: Final = 4
"""Of a camera: one being written, the newest, the one before (for comparison), and one the reader may still copy."""

_HEADER: Final = mmap.PAGESIZE


def make_ring(name: str = "camera") -> int:
    """Return the descriptor of new, empty shared memory; it goes with whoever closes it last."""
    return os.memfd_create(f"emer-edge {name}")


class RingWriter:
    """The end that writes.

    Args:
        descriptor: of `make_ring`.
        slots: how many images it holds.
    """

    def __init__(self, descriptor: int, slots: int = SLOTS) -> None:
        self._descriptor, self._slots = descriptor, slots
        self._map: mmap.mmap | None = None
        self._numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        self._slot_bytes = 0
        self.size = 0

    def slot(self, number: int, height: int, width: int, spare: int = 0) -> NDArray[np.uint8]:
        """The (height, width, 3) uint8 slot for image `number`, marked as being written.

        Args:
            number: of the image.
            height: of the image.
            width: of the image.
            spare: bytes behind it, for `append`.
        """
        wanted = height * width * 3
        if wanted + spare > self._slot_bytes:
            self._grow(wanted + spare)
        assert self._map is not None
        self._numbers[number % self._slots] = -1
        start = _HEADER + number % self._slots * self._slot_bytes
        return np.frombuffer(self._map, np.uint8, wanted, start).reshape(height, width, 3)

    def append(self, number: int, height: int, width: int, data: bytes) -> int:
        """Put bytes behind image `number`; return how many: all of them, or 0 where there is no room."""
        start = number % self._slots * self._slot_bytes + height * width * 3
        if not data or height * width * 3 + len(data) > self._slot_bytes:
            return 0
        assert self._map is not None
        self._map[_HEADER + start : _HEADER + start + len(data)] = data
        return len(data)

    def commit(self, number: int) -> None:
        """Say that image `number` is whole."""
        self._numbers[number % self._slots] = number

    @property
    def slot_bytes(self) -> int:
        """Bytes of a slot."""
        return self._slot_bytes

    def _grow(self, wanted: int) -> None:
        # The old mapping goes with the last image that points into it.
        self._slot_bytes = -(-wanted // mmap.PAGESIZE) * mmap.PAGESIZE
        self.size = _HEADER + self._slots * self._slot_bytes
        os.ftruncate(self._descriptor, self.size)
        self._map = mmap.mmap(self._descriptor, self.size)
        self._numbers = np.frombuffer(self._map, np.int64, self._slots)
        self._numbers[:] = -1


class RingReader:
    """The end that reads.

    Args:
        descriptor: of `make_ring`; stays the caller's.
        slots: as the writer has it.
    """

    def __init__(self, descriptor: int, slots: int = SLOTS) -> None:
        self._descriptor, self._slots = descriptor, slots
        self._map: mmap.mmap | None = None

    def copy(self, number: int, slot_bytes: int, height: int, width: int) -> NDArray[np.uint8] | None:
        """Image `number` as (height, width, 3) uint8 of its own, or None where it has been overwritten meanwhile."""
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
