"""What the run and its encoder process tell each other over two pipes, in this machine's byte order.

The image itself lies in shared memory (see `emer_edge.runtime.image_ring`), in the one slot that there is: the next is
written only once the answer has come. An asking and the head of an answer are shorter than PIPE_BUF (4096 bytes), so
that neither is ever cut by a writer; the bytes of an answer follow its head.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from emer_edge.runtime.encoding.coding import Coding

__all__ = ["HEAD", "SLOTS", "Asking"]

SLOTS: Final = 1

HEAD: Final = struct.Struct("=qBQ")
"""Head of an answer: image number, whether it could be encoded, length of the bytes (or of the reason) that follow.

Number -1 says that the process is ready."""

_ASKING: Final = struct.Struct("=qIIQBBI")


@dataclass(frozen=True, slots=True)
class Asking:
    """An image that waits in shared memory.

    Attributes:
        number: of the image.
        height, width: of the image.
        slot_bytes: of the memory at that time.
        coding: what it is to become.
    """

    number: int
    height: int
    width: int
    slot_bytes: int
    coding: Coding

    size = _ASKING.size

    def packed(self) -> bytes:
        """Its bytes."""
        coding = self.coding
        return _ASKING.pack(
            self.number, self.height, self.width, self.slot_bytes, coding.lossless, coding.level, coding.widest_px
        )

    @classmethod
    def unpacked(cls, data: bytes) -> Asking:
        """The asking of these bytes."""
        number, height, width, slot_bytes, lossless, level, widest_px = _ASKING.unpack(data)
        return cls(number, height, width, slot_bytes, Coding(bool(lossless), level, widest_px))
