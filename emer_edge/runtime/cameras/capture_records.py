"""What a capture process tells.

It tells a record of 44 bytes an image over a pipe, and a text when it opens or fails. A write of less than PIPE_BUF
(4096) bytes is never cut, so that records need no marks between them. Layout, native byte order (both ends are this
machine): kind, flags, clock, height, width, slot bytes, image number, stamp, length of text, length of the camera's own
JPEG behind the image.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Final

from emer_edge.core.errors import CameraError

_LAYOUT: Final = struct.Struct("=BBHIIQqqiI")
_TEXT_AT: Final = 8
_CLOCKS: Final = ("arrival", "capture", "stream")
TEXT_LIMIT: Final = 3500
_TEXT_BYTES: Final = 1 << 16  # of such a text as JSON, at the very most
_SLOT_BYTES: Final = 1 << 30
_NONSENSE: Final = "the camera's capture process has sent nonsense; its driver may be broken"


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


_TOLD: Final = {Kind.OPENED: {"fps", "size", "mode", "clock"}, Kind.IMAGE: set[str](), Kind.FAILED: {"error"}}


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
        original: bytes of the camera's own JPEG behind the image; 0 where it is not kept.
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
    original: int = 0
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
        record.original,
    )
    return head + text


class Records:
    """Takes bytes as they come and gives whole records."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Record]:
        """The records that `data` completes.

        Raises:
            CameraError: bytes that no capture process writes, as one does whose driver has overwritten its memory.
        """
        self._rest += data
        found = []
        while len(self._rest) >= _LAYOUT.size:
            head = _LAYOUT.unpack_from(self._rest)
            end = _LAYOUT.size + head[_TEXT_AT]
            if not _LAYOUT.size <= end <= _LAYOUT.size + _TEXT_BYTES:
                raise CameraError(_NONSENSE)
            if len(self._rest) < end:
                break
            found.append(_record(head, self._rest[_LAYOUT.size : end]))
            self._rest = self._rest[end:]
        return found


def _record(head: tuple[int, ...], text: bytes) -> Record:
    kind, flags, clock, height, width, slot_bytes, number, stamp_ns, _, original = head
    try:
        told = json.loads(text) if text else {}
        record = Record(
            Kind(kind),
            Flags(flags),
            height,
            width,
            slot_bytes=slot_bytes,
            number=number,
            stamp_ns=stamp_ns,
            clock=_CLOCKS[clock],
            original=original,
            text=told,
        )
    except (ValueError, IndexError, RecursionError) as error:
        raise CameraError(_NONSENSE) from error
    fits = 0 < height * width * 3 <= slot_bytes - original and slot_bytes <= _SLOT_BYTES and number >= 0
    if not isinstance(told, dict) or not _TOLD[record.kind] <= set(told) or (record.kind is Kind.IMAGE and not fits):
        raise CameraError(_NONSENSE)
    return record
