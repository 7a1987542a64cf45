"""What the capture process tells us, over a pipe: a record of 40 bytes an image, and a text when it opens or fails.

A write of less than PIPE_BUF (4096) bytes is never cut, so that records need no marks between them. Layout, native byte
order (both ends are this machine): kind, flags, clock, height, width, slot bytes, image number, stamp, length of text.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Final

__all__ = ["TEXT_LIMIT", "Flags", "Kind", "Record", "Records", "packed"]

_LAYOUT: Final = struct.Struct("=BBHIIQqqi")
_CLOCKS: Final = ("arrival", "capture", "stream")
TEXT_LIMIT: Final = 3500


class Kind(IntEnum):
    """What a record says."""

    OPENED = 1
    IMAGE = 2
    FAILED = 3


class Flags(IntFlag):
    """What an image is like."""

    NONE = 0
    REPEAT = 1
    BLACK = 2


@dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        kind: what it says.
        flags: of an image.
        height, width: of the image.
        slot_bytes: of the ring at that time.
        number: of the image since the process began.
        stamp_ns: when the image was taken, as far as the clock knows.
        clock: `capture`, `arrival` or `stream`.
        text: of `OPENED` what was opened, of `FAILED` the sentence.
    """

    kind: Kind
    flags: Flags = Flags.NONE
    height: int = 0
    width: int = 0
    slot_bytes: int = 0
    number: int = 0
    stamp_ns: int = 0
    clock: str = "arrival"
    text: dict[str, Any] = field(default_factory=dict)


def packed(record: Record) -> bytes:
    """The bytes of a record; fewer than PIPE_BUF."""
    text = json.dumps(record.text).encode() if record.text else b""
    head = _LAYOUT.pack(
        record.kind,
        record.flags,
        _CLOCKS.index(record.clock),
        record.height,
        record.width,
        record.slot_bytes,
        record.number,
        record.stamp_ns,
        len(text),
    )
    return head + text


class Records:
    """Takes bytes as they come and gives whole records."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Record]:
        """The records that `data` completes."""
        self._rest += data
        found = []
        while len(self._rest) >= _LAYOUT.size:
            kind, flags, clock, height, width, slot_bytes, number, stamp_ns, length = _LAYOUT.unpack_from(self._rest)
            if len(self._rest) < _LAYOUT.size + length:
                break
            text = self._rest[_LAYOUT.size : _LAYOUT.size + length]
            self._rest = self._rest[_LAYOUT.size + length :]
            found.append(
                Record(
                    Kind(kind),
                    Flags(flags),
                    height,
                    width,
                    slot_bytes,
                    number,
                    stamp_ns,
                    _CLOCKS[clock],
                    json.loads(text) if text else {},
                )
            )
        return found
