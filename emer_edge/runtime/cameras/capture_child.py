"""The capture process: opens one camera, reads it as fast as images come, and puts them into shared memory.

It holds numpy and OpenCV and nothing else. It may hang in a driver or die; its parent notices and starts another. It
ends when its standard input does, which the kernel closes however its parent dies; programs that it has started end
first, and gently.

It writes one `Record` of 44 bytes per image into a pipe, and one with a text when it opens or fails. A write of less
than PIPE_BUF (4096) bytes is never cut, so that records need no marks between them. Layout, native byte order (both
ends are this machine): kind, flags, clock, height, width, slot bytes, image number, stamp, length of the text, length
of the camera's own JPEG behind the image.

A sensor's noise makes every image differ from the one before, so that two identical ones are one image delivered
twice. No noise threshold is needed, and a still scene is not mistaken for a frozen camera.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import struct
import sys
import threading
from enum import IntEnum, IntFlag
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError, EmerEdgeError
from emer_edge.core.public_text import public
from emer_edge.runtime.cameras.grabber import Grabber
from emer_edge.runtime.cameras.registry import grabber_for
from emer_edge.runtime.child_process import end_programs
from emer_edge.runtime.image_ring import RingWriter

_LAYOUT: Final = struct.Struct("=BBHIIQqqiI")
_CLOCKS: Final = ("arrival", "capture", "stream")
_ERROR_LIMIT: Final = 3500  # characters
_TEXT_BYTES: Final = 1 << 16  # of such a text as JSON, at the very most
_SLOT_BYTES: Final = 1 << 30
_NONSENSE: Final = "the camera's capture process has sent nonsense; its driver may be broken"

BLACK_LEVEL: Final = 16
"""Levels up to this are black: a covered lens leaves a little noise, and limited-range video has its black at 16."""

_BLACK_SHARE: Final = 0.995  # hot pixels and a burnt-in clock may shine
_STEP_PX: Final = 8


def is_repeat(image: NDArray[np.uint8], previous: NDArray[np.uint8] | None) -> bool:
    """Whether two (H, W, 3) uint8 images are equal in every pixel; a sparse grid finds nearly all that are not."""
    if previous is None or image.shape != previous.shape:
        return False
    if not np.array_equal(image[::_STEP_PX, ::_STEP_PX], previous[::_STEP_PX, ::_STEP_PX]):
        return False
    return np.array_equal(image, previous)


def is_black(image: NDArray[np.uint8]) -> bool:
    """Whether 99.5 % of a sparse grid of an (H, W, 3) uint8 image is at most `BLACK_LEVEL`."""
    grid = image[::_STEP_PX, ::_STEP_PX]
    return bool(np.count_nonzero(grid > BLACK_LEVEL) <= (1.0 - _BLACK_SHARE) * grid.size)


class Kind(IntEnum):
    """What a record reports."""

    OPENED = 1
    IMAGE = 2
    FAILED = 3


class Flags(IntFlag):
    """Properties of an image."""

    NONE = 0
    REPEAT = 1
    BLACK = 2


_KEYS: Final = {Kind.OPENED: {"fps", "size", "mode", "clock"}, Kind.IMAGE: set[str](), Kind.FAILED: {"error"}}


class Record(NamedTuple):
    """One record.

    Attributes:
        kind: what it reports.
        flags: of an image.
        clock: of an image's stamp: `capture`, `arrival` or `stream`.
        height, width: of the image.
        slot_bytes: of the ring at that time.
        number: of the image since the process began.
        stamp_ns: when the image was taken, as far as the clock knows.
        original: bytes of the camera's own JPEG behind the image; 0 where it is not kept.
        text: of `OPENED` what was opened, of `FAILED` the error, of `IMAGE` its `lag_ns`, if any.
    """

    kind: Kind
    flags: Flags = Flags.NONE
    clock: str = "arrival"
    height: int = 0
    width: int = 0
    slot_bytes: int = 0
    number: int = 0
    stamp_ns: int = 0
    original: int = 0
    text: dict[str, Any] = {}  # noqa: RUF012  never changed


def packed(record: Record) -> bytes:
    """The bytes of a record; fewer than PIPE_BUF."""
    text = json.dumps(record.text).encode() if record.text else b""
    clock = _CLOCKS.index(record.clock)
    return _LAYOUT.pack(*record[:2], clock, *record[3:8], len(text), record.original) + text


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
            *head, length, original = _LAYOUT.unpack_from(self._rest)
            if not 0 <= length <= _TEXT_BYTES:
                raise CameraError(_NONSENSE)
            end = _LAYOUT.size + length
            if len(self._rest) < end:
                break
            records.append(_record(head, original, self._rest[_LAYOUT.size : end]))
            self._rest = self._rest[end:]
        return records


def _record(head: list[int], original: int, data: bytes) -> Record:
    kind, flags, clock, height, width, slot_bytes, number, stamp_ns = head
    try:
        text = json.loads(data) if data else {}
        record = Record(
            Kind(kind), Flags(flags), _CLOCKS[clock], height, width=width, slot_bytes=slot_bytes, number=number,
            stamp_ns=stamp_ns, original=original, text=text,
        )  # fmt: skip
    except (ValueError, IndexError, RecursionError) as error:
        raise CameraError(_NONSENSE) from error
    fits = 0 < height * width * 3 <= slot_bytes - original and slot_bytes <= _SLOT_BYTES and number >= 0
    if not isinstance(text, dict) or not _KEYS[record.kind] <= set(text) or (record.kind is Kind.IMAGE and not fits):
        raise CameraError(_NONSENSE)
    return record


def main() -> None:
    """Capture; arguments: descriptors of the pipe and of the ring, the source, 1 to keep originals."""
    pipe, ring, source, originals = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] == "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if source.lower().startswith(("http", "rtsp")) and "decoder=hardware" not in source:
        resource.setrlimit(resource.RLIMIT_DATA, (_SLOT_BYTES, _SLOT_BYTES))  # a server may announce images of any size
    try:
        with contextlib.suppress(BrokenPipeError):
            capture(source, pipe, ring, originals)
    finally:
        os._exit(0)  # a driver's own threads and destructors may hang


def capture(source: str, pipe: int, ring: int, originals: bool = False) -> None:
    """Open `source` and pass on its images until it ends or fails; the last record has the error.

    Args:
        source: as written by the user.
        pipe: descriptor for records.
        ring: descriptor of the shared memory.
        originals: whether the JPEGs of a camera that sends such go along.
    """
    try:
        grabber = grabber_for(source)
        try:
            _hand_on(grabber, pipe, RingWriter(ring), originals and grabber.keep_originals())
        finally:
            grabber.close()
    except EmerEdgeError as error:
        _report(pipe, Kind.FAILED, {"error": str(error)[:_ERROR_LIMIT]})
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever a driver raises is reported, not lost with the process
        _report(pipe, Kind.FAILED, {"error": public(f"{source} failed: {error!r}")[:_ERROR_LIMIT]})


def _hand_on(grabber: Grabber, pipe: int, ring: RingWriter, originals: bool) -> None:
    previous = slot = None
    last_ns = number = 0
    while True:
        grab = grabber.read(slot)
        height, width = grab.image.shape[:2]
        spare = height * width if originals else 0  # a JPEG of best quality takes one byte per pixel
        if slot is None or slot.shape != grab.image.shape:
            slot = ring.slot(number, height, width, spare)
        if grab.image.ctypes.data != slot.ctypes.data:
            slot[:] = grab.image
        original = ring.append(number, height, width, grab.original)
        ring.commit(number)
        if number == 0:
            opened = {"fps": grabber.fps, "size": [width, height], "mode": grabber.mode, "clock": grab.clock}
            _report(pipe, Kind.OPENED, opened)
            os.set_blocking(pipe, False)  # from here on a reader that hangs must not hold up the camera
        flags = Flags(Flags.REPEAT * is_repeat(slot, previous) | Flags.BLACK * is_black(slot))
        last_ns = max(grab.stamp_ns, last_ns + 1)
        image = Record(
            Kind.IMAGE, flags, grab.clock, height, width=width, slot_bytes=ring.slot_bytes, number=number,
            stamp_ns=last_ns, original=original, text={"lag_ns": grabber.lag_ns} if grabber.lag_ns else {},
        )  # fmt: skip
        with contextlib.suppress(BlockingIOError):  # the reader is a thousand records behind: the image is lost
            os.write(pipe, packed(image))
        number += 1
        previous, slot = slot, ring.slot(number, height, width, spare)


def _report(pipe: int, kind: Kind, text: dict[str, object]) -> None:
    os.set_blocking(pipe, True)
    os.write(pipe, packed(Record(kind, text=text)))


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    end_programs()
    os.killpg(os.getpgrp(), signal.SIGKILL)  # with whatever else a driver has started


if __name__ == "__main__":
    main()
