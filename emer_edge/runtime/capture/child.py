"""The capture process: opens one camera, reads it as fast as images come, and puts them into shared memory.

It loads numpy and OpenCV only for cameras that need them, and nothing else. It may hang in a driver or die; its parent
notices and starts another. It ends when its standard input does, which the kernel closes however its parent dies;
programs that it has started end first, and gently.

A sensor's noise makes every image differ from the one before, so that two identical ones are one image delivered
twice. No noise threshold is needed, and a still scene is not mistaken for a frozen camera.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from emer_edge.core.errors import EmerEdgeError
from emer_edge.core.public_text import public
from emer_edge.runtime.capture.grabber import Grab, Grabber
from emer_edge.runtime.capture.image_ring import RingWriter
from emer_edge.runtime.capture.jpeg import whole
from emer_edge.runtime.capture.records import SLOT_BYTES, Flags, Kind, Record, packed
from emer_edge.runtime.child_process import end_programs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ERROR_LIMIT: Final = 3500  # characters
_STEP_PX: Final = 8


def is_repeat(image: NDArray[np.uint8], previous: NDArray[np.uint8] | None) -> bool:
    """Whether two (H, W, 3) uint8 images are equal in every pixel; a sparse grid finds nearly all that are not."""
    if previous is None or image.shape != previous.shape:
        return False
    if (image[::_STEP_PX, ::_STEP_PX] != previous[::_STEP_PX, ::_STEP_PX]).any():
        return False
    return bool((image == previous).all())


def main() -> None:
    """Capture; arguments: descriptors of the pipe and of the ring, the source, and what may open it without OpenCV."""
    pipe, ring, source, light = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold a face, and take seconds to be written
    if source.lower().startswith(("http", "rtsp")) and "decoder=hardware" not in source:
        resource.setrlimit(resource.RLIMIT_DATA, (SLOT_BYTES, SLOT_BYTES))  # a server may announce images of any size
    try:
        with contextlib.suppress(BrokenPipeError):
            capture(source, pipe, ring, light)
    finally:
        os._exit(0)  # a driver's own threads and destructors may hang


def capture(source: str, pipe: int, ring: int, light: str = "") -> None:
    """Open `source` and pass on its images until it ends or fails; the last record has the error.

    Args:
        source: as written by the user.
        pipe: descriptor for records.
        ring: descriptor of the shared memory.
        light: `module:function` that opens it without OpenCV, or gives None; empty where nothing does.
    """
    try:
        grabber = _opened(source, light)
        try:
            _hand_on(grabber, pipe, RingWriter(ring))
        finally:
            grabber.close()
    except EmerEdgeError as error:
        _report(pipe, Kind.FAILED, {"error": str(error)[:_ERROR_LIMIT]})
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever a driver raises is reported, not lost with the process
        _report(pipe, Kind.FAILED, {"error": public(f"{source} failed: {error!r}")[:_ERROR_LIMIT]})


def _opened(source: str, light: str) -> Grabber:
    if light:
        module, _, function = light.partition(":")
        grabber: Grabber | None = getattr(import_module(module), function)(source)
        if grabber is not None:
            return grabber
    heavy = import_module("emer_edge.runtime.cameras.registry")  # by name: it brings numpy and every driver
    opened: Grabber = heavy.grabber_for(source)
    return opened


def _hand_on(grabber: Grabber, pipe: int, ring: RingWriter) -> None:
    slots = _Slots(ring)
    last_ns = number = 0
    opened = False
    while True:
        grab = grabber.read(slots.spare(number))
        placed = slots.place(number, grab)
        if placed is None:  # damaged: its number is missing from the records
            number += 1
            continue
        height, width, size, repeat = placed
        ring.commit(number)
        if not opened:
            opened = True
            words = {"fps": grabber.fps, "size": [width, height], "mode": grabber.mode, "clock": grab.clock}
            _report(pipe, Kind.OPENED, words)
            os.set_blocking(pipe, False)  # from here on a reader that hangs must not hold up the camera
        last_ns, coding = max(grab.stamp_ns, last_ns + 1), "jpeg" if isinstance(grab.image, bytes) else "bgr"
        image = Record(
            Kind.IMAGE, Flags(Flags.REPEAT * repeat), grab.clock, coding, height=height, width=width,
            slot_bytes=ring.slot_bytes, number=number, stamp_ns=last_ns, size=size,
            text={"lag_ns": grabber.lag_ns} if grabber.lag_ns else {},
        )  # fmt: skip
        with contextlib.suppress(BlockingIOError):  # the reader is a thousand records behind: the image is lost
            os.write(pipe, packed(image))
        number += 1


class _Slots:
    """Puts images into the ring, and compares each with the one before."""

    def __init__(self, ring: RingWriter) -> None:
        self._ring = ring
        self._image: NDArray[np.uint8] | None = None
        self._scan = b""

    def spare(self, number: int) -> NDArray[np.uint8] | None:
        """The slot of image `number`, for a driver that gives pixels; None before the first such image."""
        return None if self._image is None else self._view(number, self._image.shape)

    def place(self, number: int, grab: Grab) -> tuple[int, int, int, bool] | None:
        """Put an image; return height, width, bytes, and whether it repeats the one before. None: it is damaged."""
        if not isinstance(grab.image, bytes):
            height, width = grab.image.shape[:2]
            view = self._view(number, grab.image.shape)
            if grab.image.ctypes.data != view.ctypes.data:
                view[:] = grab.image
            repeat, self._image = is_repeat(view, self._image), view
            return height, width, view.size, repeat
        layout = whole(grab.image)
        if layout is None:
            return None
        height, width, scan = layout.height, layout.width, grab.image[layout.scan :]
        self._ring.slot(number, len(grab.image), height * width)[:] = grab.image  # the best takes a byte per pixel
        repeat, self._scan = scan == self._scan, scan
        return height, width, len(grab.image), repeat

    def _view(self, number: int, shape: Any) -> NDArray[np.uint8]:
        import numpy as np

        slot = np.frombuffer(self._ring.slot(number, shape[0] * shape[1] * 3), np.uint8)
        return np.reshape(slot, shape)


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
