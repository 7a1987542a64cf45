"""Staying with one person: the largest face at first, afterwards the one that is where it was."""

from __future__ import annotations

import math
from collections.abc import Sequence

from emer_edge.runtime.faces.face import Face, overlap
from emer_edge.spec.window import NANOSECONDS

__all__ = ["SubjectFollower"]


class SubjectFollower:
    """Chooses the subject among the faces of each detection.

    The subject is the face that overlaps the last box most, else the nearest one of like size within one box of it.
    Others are ignored. Only after `forget_ns` without the subject is the largest face followed: see `reacquired_ns`.

    Args:
        forget_ns: how long a lost subject is waited for.
        least_size_px: smaller faces are no subjects: they hold too few pixels for a crop.

    Attributes:
        reacquired_ns: when another start was made after a loss; None if never.
    """

    def __init__(self, forget_ns: int = 2 * NANOSECONDS, least_size_px: float = 32.0) -> None:
        self._forget_ns = forget_ns
        self._least_size_px = least_size_px
        self._last: Face | None = None
        self._last_ns = 0
        self.reacquired_ns: int | None = None

    def update(self, faces: Sequence[Face], time_ns: int) -> Face | None:
        """Return the subject among `faces`, or None when it is not there.

        Args:
            faces: one detection's faces.
            time_ns: time of the image, not before that of the last call.
        """
        faces = [each for each in faces if each.size_px >= self._least_size_px]
        found = self._match(faces) if self._last is not None else None
        if found is None and faces and (self._last is None or time_ns - self._last_ns > self._forget_ns):
            if self._last is not None:
                self.reacquired_ns = time_ns
            found = max(faces, key=lambda each: each.area_px)
        if found is not None:
            self._last, self._last_ns = found, time_ns
        return found

    def _match(self, faces: Sequence[Face]) -> Face | None:
        last = self._last
        if last is None or not faces:
            return None
        best = max(faces, key=lambda each: overlap(each.box_px, last.box_px))
        if overlap(best.box_px, last.box_px) > 0.1:
            return best
        near = min(faces, key=lambda each: math.dist(each.centre_px, last.centre_px))
        alike = 0.5 < near.size_px / last.size_px < 2.0
        return near if alike and math.dist(near.centre_px, last.centre_px) < last.size_px else None
