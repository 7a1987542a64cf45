"""A capture device drained by a thread, so that the newest frame is always the one that is taken.

Drivers queue frames; whoever reads them one by one falls behind by the queue's length and stays there. Here a thread
reads as fast as frames come, keeps one, and counts those that nobody took.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from emer_edge.data.images import import_cv2
from emer_edge.errors import CameraError
from emer_edge.runtime.cameras.base import Camera, as_bgr
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.spec.samples import Frame
from emer_edge.spec.window import NANOSECONDS

__all__ = ["LiveCapture", "frame_stamp"]

_TRUSTED_NS: Final = NANOSECONDS
_CLOSE_WAIT_S: Final = 2.0


def frame_stamp(position_ms: float, arrival_ns: int) -> tuple[int, str]:
    """Return a live frame's stamp and its clock.

    Args:
        position_ms: CAP_PROP_POS_MSEC: with V4L2 the capture time on the monotonic clock, with other back ends a media
            time, 0 or -1; it counts only where it lies within one second before the arrival.
        arrival_ns: when the frame was read.
    """
    capture_ns = round(position_ms * 1e6) if abs(position_ms) < 1e15 else 0  # also false for NaN
    if capture_ns > 0 and abs(arrival_ns - capture_ns) <= _TRUSTED_NS:
        return min(capture_ns, arrival_ns), "capture"
    return arrival_ns, "arrival"


class LiveCapture(Camera):
    """A live camera over an opened cv2.VideoCapture.

    Args:
        source: its name, for messages.
        capture: the opened capture; owned from here on.
        timeout_s: without a frame for so long the camera counts as gone.
    """

    live = True

    def __init__(self, source: str, capture: Any, timeout_s: float = 5.0) -> None:
        cv2 = import_cv2()
        self.source = source
        self.dropped = 0
        self._cv2 = cv2
        self._capture = capture
        self._timeout_s = timeout_s
        self._fps = max(0.0, float(capture.get(cv2.CAP_PROP_FPS)))
        self._size_px = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        self._clock = "arrival"
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._failure: CameraError | None = None
        self._closed = False
        self._last_ns = monotonic_ns()
        self._thread = threading.Thread(target=self._drain, name=f"camera {source}", daemon=True)
        self._thread.start()

    @property
    def fps(self) -> float:
        """Rate that the driver states, 0 where it states none."""
        return self._fps

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of a frame."""
        return self._size_px

    @property
    def clock(self) -> str:
        """Clock of the newest frame's stamp."""
        return self._clock

    def __next__(self) -> Frame:
        with self._changed:
            while True:
                if self._closed:
                    raise StopIteration
                if self._newest is not None:
                    frame, self._newest = self._newest, None
                    return frame
                if self._failure is not None:
                    raise self._failure
                left_s = self._timeout_s - (monotonic_ns() - self._last_ns) / NANOSECONDS
                if left_s <= 0:
                    raise CameraError(
                        f"{self.source} has sent no frame for {self._timeout_s:g} s; is it still plugged in, "
                        "or in use by another program?"
                    )
                self._changed.wait(left_s)

    def close(self) -> None:
        """Stop the thread and let the device go; a driver that hangs is left to the end of the process."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_WAIT_S)

    def _drain(self) -> None:
        index, last_stamp_ns = 0, -1
        try:
            while not self._closed:
                got, image = self._capture.read()
                arrival_ns = monotonic_ns()
                if not got or image is None:
                    raise CameraError(f"{self.source} stopped sending frames after {index}; is it still plugged in?")
                position_ms = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC))
                stamp_ns, clock = frame_stamp(position_ms, arrival_ns)
                last_stamp_ns = max(stamp_ns, last_stamp_ns + 1)
                frame = Frame(index, as_bgr(image, self.source, self._cv2), last_stamp_ns, arrival_ns, clock)
                index += 1
                with self._changed:
                    self.dropped += self._newest is not None
                    self._newest, self._clock, self._last_ns = frame, clock, arrival_ns
                    self._changed.notify_all()
        except CameraError as error:
            self._fail(error)
        except Exception as error:  # whatever the driver throws must reach the reader, not die with the thread
            self._fail(CameraError(f"{self.source} failed: {error}"))
        finally:
            self._capture.release()

    def _fail(self, error: CameraError) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()
