"""The newest camera image as JPEG: the camera's own, else encoded on request, by the thread that answers a visitor.

A visitor requests an image newer than the last one: slow visitors get fewer, nobody falls behind, and without visitors
nothing is encoded or even kept. Visitors who request at the same time share one image.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from emer_edge.core.samples import Frame
from emer_edge.runtime.encoding import PAGE, encoded
from emer_edge.runtime.faces import Look

_RATE_HZ: Final = 12.0
_WATCHED_S: Final = 3.0  # after the last request nobody watches any more
_MOST_BYTES: Final = 150_000  # of an image as the camera sent it; twelve of them a second must fit a visitor's link
_TABLES: Final = b"\xff\xc4"  # Huffman tables, which many cameras leave out
_HEAD_BYTES: Final = 4096
_LOOK_S: Final = 1.0  # a box older than this is not shown


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded image.

    Attributes:
        number: increases with every image.
        jpeg: as the camera sent it, or at most 640 pixels wide.
        face: the last detection, in shares of width and height: `box` (left, top, right, bottom), `points` (five x, y);
            or `missed`, the reason; empty where nothing is known.
    """

    number: int
    jpeg: bytes
    face: dict[str, Any]


class Video:
    """Holds the newest frame while somebody watches.

    Args:
        clock: host time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._requested_s = -math.inf
        self._frame: Frame | None = None
        self._number = 0
        self._look: tuple[Look, float] | None = None
        self._picture: Picture | None = None
        self._made_s = 0.0
        self._closed = False

    @property
    def watched(self) -> bool:
        """Whether somebody has requested an image in the last seconds."""
        return self._clock() - self._requested_s < _WATCHED_S

    def offer(self, frame: Frame, look: Look | None) -> None:
        """Take a frame, on the pipeline's thread: keeps a reference, or nothing when nobody watches."""
        if look is not None:
            self._look = (look, self._clock())
        if not self.watched:
            self._frame = self._picture = None
            return
        with self._changed:
            self._frame = frame
            self._number += 1
            self._changed.notify_all()

    def newest(self, after: int, wait_s: float) -> Picture | None:
        """The newest image, numbered above `after`; None where none comes in time.

        Args:
            after: number of the visitor's last image; one that has not been reached counts as 0.
            wait_s: longest wait.
        """
        deadline_s = self._clock() + wait_s
        if not self.watched:
            self._frame = self._picture = None  # old, where the camera has been silent since
        self._requested_s = self._clock()
        if not self._encoding.acquire(timeout=wait_s):  # others wait for the same image
            return None
        try:
            if after > self._number:  # from an earlier run
                after = 0
            if self._picture is None or self._picture.number <= after:
                self._make(deadline_s)
            picture = self._picture
        finally:
            self._encoding.release()
        return picture if picture is not None and picture.number > after else None

    def _make(self, deadline_s: float) -> None:
        """Encode the next frame, waiting for it and for the pace; nothing where none comes."""
        have = self._picture.number if self._picture is not None else 0
        rest_s = min(self._made_s + 1 / _RATE_HZ, deadline_s) - self._clock()
        with self._changed:
            if rest_s > 0:
                self._changed.wait_for(lambda: self._closed, rest_s)
            self._changed.wait_for(
                lambda: self._closed or (self._frame is not None and self._number > have),
                max(0.0, deadline_s - self._clock()),
            )
            frame, number, look = self._frame, self._number, self._look
        if frame is not None and number > have and not self._closed:
            self._made_s = self._clock()
            recent = None if look is None or self._made_s - look[1] > _LOOK_S else look[0]
            self._picture = Picture(number, _jpeg(frame), _located(frame, recent))

    def close(self) -> None:
        """Wake those who wait, and forget the image."""
        with self._changed:
            self._closed = True
            self._frame = self._picture = None
            self._changed.notify_all()


def _jpeg(frame: Frame) -> bytes:
    """The camera's own JPEG, unless it is large, or lacks the tables that a browser needs."""
    original = frame.original
    if original is not None and len(original) <= _MOST_BYTES and _TABLES in original[:_HEAD_BYTES]:
        return original
    return encoded(frame.image, PAGE)


def _located(frame: Frame, look: Look | None) -> dict[str, Any]:
    if look is None:
        return {}
    located: dict[str, Any] = {} if look.missed is None else {"missed": look.missed.value}
    if look.face is not None:
        height, width = frame.shape[:2]
        left, top, right, bottom = look.face.box_px
        located["box"] = [round(side, 4) for side in (left / width, top / height, right / width, bottom / height)]
        located["points"] = [[round(x / width, 4), round(y / height, 4)] for x, y in look.face.landmarks_px.tolist()]
    return located
