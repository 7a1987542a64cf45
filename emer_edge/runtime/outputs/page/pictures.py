"""The newest camera image as JPEG, made when somebody asks for it, in another process than the pipeline.

A visitor asks for an image newer than the last one: the slow get fewer, nobody falls behind, and without visitors
nothing is encoded or even kept. Visitors who ask at the same time share one image.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from emer_edge.core.samples import Frame
from emer_edge.runtime.encoding import PAGE, Encoder
from emer_edge.runtime.faces import Look

_RATE_HZ: Final = 12.0
_WATCHED_S: Final = 3.0  # after the last question nobody watches any more
_REST_S: Final = 10.0  # after so long without a question the encoder's memory is given back
_LOOK_S: Final = 1.0  # a box older than this is not where the face is


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded image.

    Attributes:
        number: counts up with every image.
        jpeg: its bytes, at most 640 pixels wide.
        face: where the face was when it was last looked for, in shares of width and height: `box` (left, top, right,
            bottom), `points` (five x, y); or `missed`, the reason; empty where nothing is known.
    """

    number: int
    jpeg: bytes
    face: dict[str, Any]


class Video:
    """Holds the newest frame while somebody watches.

    Args:
        encoder: makes the JPEGs.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder.hold()
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._asked_s = -_WATCHED_S
        self._frame: Frame | None = None
        self._number = 0
        self._look: tuple[Look, float] | None = None
        self._picture: Picture | None = None
        self._made_s = 0.0
        self._closed = False

    @property
    def watched(self) -> bool:
        """Whether somebody has asked for an image a moment ago."""
        return monotonic() - self._asked_s < _WATCHED_S

    def offer(self, frame: Frame, look: Look | None) -> None:
        """Take a frame, on the pipeline's thread: keeps a reference, or nothing when nobody watches."""
        if look is not None:
            self._look = (look, monotonic())
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
            after: number of the image that the visitor has; one that has not been reached counts as 0.
            wait_s: how long to wait for one at most.
        """
        deadline_s = monotonic() + wait_s
        if not self.watched:
            self._frame = self._picture = None  # of long ago, where the camera has been silent since
        self._asked_s = monotonic()
        if not self._encoding.acquire(timeout=wait_s):  # others wait for the same image
            return None
        try:
            if after > self._number:  # it was an earlier run's
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
        rest_s = min(self._made_s + 1 / _RATE_HZ, deadline_s) - monotonic()
        with self._changed:
            if rest_s > 0:
                self._changed.wait_for(lambda: self._closed, rest_s)
            self._changed.wait_for(
                lambda: self._closed or (self._frame is not None and self._number > have),
                max(0.0, deadline_s - monotonic()),
            )
            frame, number, look = self._frame, self._number, self._look
        if frame is not None and number > have and not self._closed:
            self._made_s = monotonic()
            self._picture = Picture(number, self._encoder.encode(frame.image, PAGE), _where(frame, look))

    def rest(self) -> None:
        """Let the encoder rest where nobody has asked for an image for a while."""
        self._encoder.rest(_REST_S)

    def close(self) -> None:
        """Wake those who wait, and forget the image and the encoder."""
        with self._changed:
            self._closed = True
            self._frame = self._picture = None
            self._changed.notify_all()
        self._encoder.release()


def _where(frame: Frame, look: tuple[Look, float] | None) -> dict[str, Any]:
    if look is None or monotonic() - look[1] > _LOOK_S:
        return {}
    face, missed = look[0].face, look[0].missed
    where: dict[str, Any] = {} if missed is None else {"missed": missed.value}
    if face is not None:
        height, width = frame.image.shape[:2]
        left, top, right, bottom = face.box_px
        where["box"] = [round(each, 4) for each in (left / width, top / height, right / width, bottom / height)]
        where["points"] = [[round(x / width, 4), round(y / height, 4)] for x, y in face.landmarks_px.tolist()]
    return where
