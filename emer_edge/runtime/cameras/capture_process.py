"""A capture process from outside: what it tells, starting, hearing and killing it.

It tells a record of 44 bytes an image over a pipe, and a text when it opens or fails. A write of less than PIPE_BUF
(4096) bytes is never cut, so that records need no marks between them. Layout, native byte order (both ends are this
machine): kind, flags, clock, height, width, slot bytes, image number, stamp, length of text, length of the camera's own
JPEG behind the image.
"""

from __future__ import annotations

import json
import os
import select
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import CameraError
from emer_edge.runtime.child_process import ChildProcess
from emer_edge.runtime.image_ring import RingReader

__all__ = ["TEXT_LIMIT", "CaptureProcess", "Flags", "Kind", "Record", "Records", "packed"]

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
