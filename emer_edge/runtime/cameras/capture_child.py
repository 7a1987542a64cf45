"""The capture process: opens one camera, reads it as fast as images come, and puts them into shared memory.

It holds numpy and OpenCV and nothing else. It may hang in a driver or die; whoever started it notices and starts
another. It ends when its standard input does, which the kernel closes however its parent dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading

from emer_edge.core.errors import EmerEdgeError
from emer_edge.runtime.cameras.capture_records import TEXT_LIMIT, Flags, Kind, Record, packed
from emer_edge.runtime.cameras.grabber import Grabber, is_black, is_repeat
from emer_edge.runtime.cameras.registry import grabber_for
from emer_edge.runtime.image_ring import RingWriter


def main() -> None:
    """Capture; arguments: the descriptors of the records' pipe and of the ring, the source, 1 to keep originals."""
    records, ring, source, originals = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] == "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with contextlib.suppress(BrokenPipeError):
            capture(source, records, ring, originals)
    finally:
        os._exit(0)  # a driver's own threads and destructors may hang


def capture(source: str, records: int, ring: int, originals: bool = False) -> None:
    """Open `source` and hand on its images until it ends or fails; what it failed with is the last record.

    Args:
        source: as written by the user.
        records: descriptor of a pipe for records.
        ring: descriptor of the shared memory.
        originals: whether the JPEGs of a camera that sends such go along.
    """
    try:
        grabber = grabber_for(source)
        try:
            _hand_on(grabber, records, RingWriter(ring), originals and grabber.keep_originals())
        finally:
            grabber.close()
    except EmerEdgeError as error:
        _tell(records, Kind.FAILED, {"error": str(error)[:TEXT_LIMIT]})
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever a driver throws is told, not lost with the process
        _tell(records, Kind.FAILED, {"error": f"{source} failed: {error!r}"[:TEXT_LIMIT]})


def _hand_on(grabber: Grabber, records: int, ring: RingWriter, originals: bool) -> None:
    previous = slot = None
    last_ns = number = 0
    while True:
        grab = grabber.read(slot)
        height, width = grab.image.shape[:2]
        spare = height * width if originals else 0  # a JPEG of best quality takes a byte a pixel
        if slot is None or slot.shape != grab.image.shape:
            slot = ring.slot(number, height, width, spare)
        if grab.image.ctypes.data != slot.ctypes.data:
            slot[:] = grab.image
        original = ring.append(number, height, width, grab.original)
        ring.commit(number)
        if number == 0:
            opened = {"fps": grabber.fps, "size": [width, height], "mode": grabber.mode, "clock": grab.clock}
            _tell(records, Kind.OPENED, opened)
            os.set_blocking(records, False)  # from here on a reader that hangs must not hold up the camera
        flags = (Flags.REPEAT if is_repeat(slot, previous) else Flags.NONE) | (
            Flags.BLACK if is_black(slot) else Flags.NONE
        )
        last_ns = max(grab.stamp_ns, last_ns + 1)
        record = Record(
            Kind.IMAGE,
            flags,
            height,
            width,
            slot_bytes=ring.slot_bytes,
            number=number,
            stamp_ns=last_ns,
            clock=grab.clock,
            original=original,
        )
        with contextlib.suppress(BlockingIOError):  # nobody has read a thousand of them: the image is lost
            os.write(records, packed(record))
        number += 1
        previous, slot = slot, ring.slot(number, height, width, spare)


def _tell(records: int, kind: Kind, text: dict[str, object]) -> None:
    os.set_blocking(records, True)
    os.write(records, packed(Record(kind, text=text)))


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)  # with whatever a driver has started


if __name__ == "__main__":
    main()
