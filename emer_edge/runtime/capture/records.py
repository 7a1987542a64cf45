"""What a capture process tells its parent: a `Record` of 44 bytes an image, and one with a text when it opens or fails.

A write of less than PIPE_BUF (4096) bytes is never cut, so that records need no marks between them. Layout, native byte
order (both ends are this machine): kind, flags, clock, coding, height, width, slot bytes, image number, stamp, length
of the text, bytes of the image.
"""

from __future__ import annotations

import json
import struct
from enum import IntEnum, IntFlag
from typing import Any, Final, NamedTuple

from emer_edge.core.errors import CameraError

CODINGS: Final = ("bgr", "jpeg")
"""How the bytes of an image mean its pixels: (H, W, 3) uint8, B, G, R; or a JPEG."""

_LAYOUT: Final = struct.Struct("=BBBBIIQqqiI")
_CLOCKS: Final = ("arrival", "capture", "stream")
_TEXT_BYTES: Final = 1 << 16  # of such a text as JSON, at the very most
SLOT_BYTES: Final = 1 << 30
"""Largest image, in bytes."""

_MOST_PIXELS: Final = 1 << 26
_NONSENSE: Final = "the camera's capture process has sent nonsense; its driver may be broken"


class Kind(IntEnum):
    """What a record reports."""

    OPENED = 1
    IMAGE = 2
    FAILED = 3


class Flags(IntFlag):
    """Properties of an image."""

    NONE = 0
    REPEAT = 1


_KEYS: Final = {Kind.OPENED: {"fps", "size", "mode", "clock"}, Kind.IMAGE: set[str](), Kind.FAILED: {"error"}}


class Record(NamedTuple):
    """One record.

    Attributes:
        kind: what it reports.
        flags: of an image.
        clock: of an image's stamp: `capture`, `arrival` or `stream`.
        coding: one of `CODINGS`.
        height, width: of the image.
        slot_bytes: of the ring at that time.
        number: of the image since the process began.
        stamp_ns: when the image was taken, as far as the clock knows.
        size: bytes of the image.
        text: of `OPENED` what was opened, of `FAILED` the error, of `IMAGE` its `lag_ns`, if any.
    """

    kind: Kind
    flags: Flags = Flags.NONE
    clock: str = "arrival"
    coding: str = "bgr"
    height: int = 0
    width: int = 0
    slot_bytes: int = 0
    number: int = 0
    stamp_ns: int = 0
    size: int = 0
    text: dict[str, Any] = {}  # noqa: RUF012  never changed


def packed(record: Record) -> bytes:
    """The bytes of a record; fewer than PIPE_BUF."""
    text = json.dumps(record.text).encode() if record.text else b""
    names = _CLOCKS.index(record.clock), CODINGS.index(record.coding)
    return _LAYOUT.pack(*record[:2], *names, *record[4:9], len(text), record.size) + text


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
        records = []
        while len(self._rest) >= _LAYOUT.size:
            *head, length, size = _LAYOUT.unpack_from(self._rest)
            if not 0 <= length <= _TEXT_BYTES:
                raise CameraError(_NONSENSE)
            end = _LAYOUT.size + length
            if len(self._rest) < end:
                break
            records.append(_record(head, size, self._rest[_LAYOUT.size : end]))
            self._rest = self._rest[end:]
        return records


def _record(head: list[int], size: int, data: bytes) -> Record:
    kind, flags, clock, coding, height, width, slot_bytes, number, stamp_ns = head
    try:
        text = json.loads(data) if data else {}
        record = Record(
            Kind(kind), Flags(flags), _CLOCKS[clock], CODINGS[coding], height=height, width=width,
            slot_bytes=slot_bytes, number=number, stamp_ns=stamp_ns, size=size, text=text,
        )  # fmt: skip
    except (ValueError, IndexError, RecursionError) as error:
        raise CameraError(_NONSENSE) from error
    fits = 0 < height * width <= _MOST_PIXELS and 0 < size <= slot_bytes <= SLOT_BYTES and number >= 0
    fits = fits and (record.coding == "jpeg" or size == 3 * height * width)
    if not isinstance(text, dict) or not _KEYS[record.kind] <= set(text) or (record.kind is Kind.IMAGE and not fits):
        raise CameraError(_NONSENSE)
    return record
