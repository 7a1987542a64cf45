"""Staying with one person: chosen once, then known by where the face moves and by what it looks like."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.window import FACE_SIZE_PX, NANOSECONDS
from emer_edge.data.images import import_cv2
from emer_edge.runtime.faces.looks import LEAST_SIZE_PX, Face
from emer_edge.runtime.options import FaceOptions, Subject

_BINS: Final = (16, 12)
_SHARES: Final = ((0.26, 0.58), (0.20, 0.44))  # of red and of green in a pixel's sum: skin, hair and lips are inside
_THUMBNAIL_PX: Final = 14
_THUMBNAIL_WEIGHT: Final = 0.25
_FEWEST: Final = 3
_DARK: Final = 8.0  # keeps the shares and logarithms of black pixels from being noise

_Y, _X = np.mgrid[:FACE_SIZE_PX:2, :FACE_SIZE_PX:2]
_OVAL: Final = ((_X - 56) / 44) ** 2 + ((_Y - 62) / 56) ** 2 < 1


@dataclass(frozen=True, eq=False, slots=True)
class Appearance:
    """What an aligned crop looks like: enough to tell apart the people before a camera, not to name them.

    Never stored: it lives as long as the run and describes colours and a thumbnail of light and dark.

    Attributes:
        colours: (192,) float32, the square roots of a histogram of the shares of red and green, which light that only
            gets brighter or darker leaves as they are.
        thumbnail: (196,) float32, logarithm of the grey levels, zero mean and unit length.
    """

    colours: NDArray[np.float32]
    thumbnail: NDArray[np.float32]

    @classmethod
    def of(cls, crop: NDArray[np.uint8]) -> Appearance:
        """Describe an aligned crop, (112, 112, 3) uint8, B, G, R."""
        cv2 = import_cv2()
        pixels = crop[::2, ::2][_OVAL].astype(np.float32) + _DARK
        total = pixels.sum(axis=1)
        place = [
            np.clip((pixels[:, channel] / total - low) * (bins / (high - low)), 0, bins - 1).astype(np.int64)
            for channel, bins, (low, high) in zip((2, 1), _BINS, _SHARES, strict=True)
        ]
        counted = np.bincount(place[0] * _BINS[1] + place[1], minlength=_BINS[0] * _BINS[1]).reshape(_BINS)
        smooth = cv2.GaussianBlur(counted.astype(np.float32), (0, 0), 1.0)
        grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(grey, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
        return cls(
            np.sqrt(smooth / max(float(smooth.sum()), 1e-6)).ravel(), _unit(np.log(small.astype(np.float32) + _DARK))
        )


def difference(one: Appearance, other: Appearance) -> float:
    """How different two appearances are, 0 for the same crop.

    The Hellinger distance of the colours plus a quarter of 1 minus the correlation of the thumbnails.
    """
    colours = float(np.sqrt(max(0.0, 1.0 - float(one.colours @ other.colours))))
    return colours + _THUMBNAIL_WEIGHT * (1.0 - float(one.thumbnail @ other.thumbnail))


def unlike(seen: Sequence[Appearance]) -> NDArray[np.bool_]:
    """Which crops of one person look like somebody or something else: a hand before the face, a mask, a wrong face.

    Returns:
        (n,) bool; all false for fewer than three crops, among which none is usual.
    """
    if len(seen) < _FEWEST:
        return np.zeros(len(seen), np.bool_)
    colours = np.sqrt(np.mean([one.colours**2 for one in seen], axis=0))
    usual = Appearance(colours, _unit(np.median([one.thumbnail for one in seen], axis=0)))
    return np.array([difference(usual, one) > _OTHER for one in seen])


def blended(old: Appearance, new: Appearance, share: float) -> Appearance:
    """Move an appearance towards a newer one by `share`, 0 to 1."""
    colours = np.sqrt((1 - share) * old.colours**2 + share * new.colours**2)
    return Appearance(colours, _unit((1 - share) * old.thumbnail + share * new.thumbnail))


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = values.ravel() - values.mean()
    length = float(np.linalg.norm(centred))
    unit: NDArray[np.float32] = centred / length if length > 1e-6 else centred
    return unit


FORGET_NS: Final = 5 * NANOSECONDS
"""How long a lost subject is waited for."""

# The same person was at most 0.20 from a running appearance through a real video; two people at least 0.35 apart.
_SAME: Final = 0.28
_OTHER: Final = 0.34
_SAME_SHAPE: Final = 0.25  # of the thumbnail alone: who stays in place stays the same when the room's light changes
_LEARNING: Final = 0.1
_APPEARANCE_WEIGHT: Final = 4.0
_REACH: Final = (0.6, 1.5, 3.0)  # box sizes: at once, more per second, at most
_BLIND_REACH: Final = 1.0  # where no appearance is known
_CONTINUOUS_NS: Final = NANOSECONDS // 2
_STAYED_NS: Final = (
    750_000_000  # more than from look to look at a calm face (`finder._CALM_NS`), and to one after a miss
)
_MOST_GROWTH: Final = math.log(2)
_NEAR: Final = 2.5  # box sizes: another face closer than this could cross
_CALM: Final = 0.4  # box sizes a second
_BACKGROUND: Final = 0.25  # of the largest face's area: smaller ones are not chosen for being left, right or central


class SubjectFollower:
    """Chooses the subject among the faces of each look.

    The subject is first chosen by `choose`. From then on it is the face where the subject's motion leads, of
    like size, and looks like it (`Appearance`). Where none does, a face anywhere that surely looks like it is the
    subject come back. Others are ignored. Only after `forget_ns` without the subject is somebody chosen anew: see
    `reacquired_ns`.

    Args:
        choose: who is the subject at first.
        forget_ns: how long a lost subject is waited for.
        least_size_px: smaller faces are no subjects: they hold too few pixels for a crop.

    Attributes:
        reacquired_ns: when another start was made after a loss; None if never.
        last: where the subject was seen last, or None before it was chosen.
        crowded: whether the last update saw another face so near that the two could cross.
    """

    def __init__(
        self, choose: Subject = FaceOptions.subject, forget_ns: int = FORGET_NS, least_size_px: float = LEAST_SIZE_PX
    ) -> None:
        self.choose = choose
        self.reacquired_ns: int | None = None
        self._forget_ns, self._least_size_px = forget_ns, least_size_px
        self.last: Face | None = None
        self._last_ns = 0
        self._motion = (0.0, 0.0)  # px a second
        self._appearance: Appearance | None = None
        self.crowded = False

    @property
    def described(self) -> str:
        """Who is chosen, for people."""
        return f"the {self.choose} face" if self.choose != "center" else "the face nearest the middle"

    @property
    def calm(self) -> bool:
        """Whether the subject is alone and keeps its place, so that a near look finds it again after half a second."""
        return self.last is not None and not self.crowded and math.hypot(*self._motion) < _CALM * self.last.size_px

    def update(
        self,
        faces: Sequence[Face],
        time_ns: int,
        width_px: int = 0,
        appearance: Callable[[Face], Appearance] | None = None,
    ) -> Face | None:
        """Return the subject among all faces of an image, or None when it is not there.

        Args:
            faces: one detection's faces.
            time_ns: time of the image, not before that of the last call.
            width_px: of the image, for `center`.
            appearance: describes one of the faces; without it only motion tells them apart.
        """
        faces = [face for face in faces if face.size_px >= self._least_size_px]
        looks = [None if appearance is None else appearance(face) for face in faces]
        at = self._match(faces, looks, time_ns)
        if at is None and faces and (self.last is None or time_ns - self._last_ns > self._forget_ns):
            if self.last is not None:
                self.reacquired_ns = time_ns
            at = self._chosen(faces, width_px)
            self.last, self._motion, self._appearance = None, (0.0, 0.0), None
        subject = None if at is None else faces[at]
        if at is not None and subject is not None:
            self._follow(subject, time_ns, looks[at])
        middle = self.last
        self.crowded = middle is not None and any(
            face is not subject and math.dist(face.centre_px, middle.centre_px) < _NEAR * middle.size_px
            for face in faces
        )
        return subject

    def confirm(self, face: Face, time_ns: int, appearance: Appearance) -> bool:
        """Take a face at the subject's last place; return whether it is the subject.

        Args:
            face: from a near look.
            time_ns: time of the image.
            appearance: of its crop.
        """
        if self.last is None or not self._may_be(face, appearance, time_ns):
            return False
        self._follow(face, time_ns, appearance)
        return True

    def settle(self, face: Face) -> None:
        """Replace the face that `update` returned by the same one with better landmarks."""
        if self.last is not None:
            self.last = face

    def _match(self, faces: Sequence[Face], looks: Sequence[Appearance | None], time_ns: int) -> int | None:
        if self.last is None or not faces:
            return None
        numbers = range(len(faces))
        able = [at for at in numbers if self._may_be(faces[at], looks[at], time_ns)]
        if able:
            return min(able, key=lambda at: self._cost(faces[at], looks[at], time_ns))
        back = [at for at in numbers if looks[at] is not None and self._differs(looks[at]) < _SAME]
        return min(back, key=lambda at: self._differs(looks[at])) if back and self._appearance else None

    def _may_be(self, face: Face, look: Appearance | None, time_ns: int) -> bool:
        assert self.last is not None
        since_s = (time_ns - self._last_ns) / NANOSECONDS
        at_once, a_second, most = _REACH
        reach = min(at_once + a_second * since_s, most) if look is not None else _BLIND_REACH
        if self._distance(face, time_ns) > reach:
            return False
        if abs(math.log(max(face.size_px, 1.0) / self.last.size_px)) > _MOST_GROWTH:
            return False
        if self._differs(look) < _OTHER:
            return True
        if look is None or self._appearance is None or self.crowded:
            return False
        shape = 1.0 - float(look.thumbnail @ self._appearance.thumbnail)
        return time_ns - self._last_ns < _STAYED_NS and shape < _SAME_SHAPE

    def _cost(self, face: Face, look: Appearance | None, time_ns: int) -> float:
        assert self.last is not None
        growth = abs(math.log(max(face.size_px, 1.0) / self.last.size_px))
        return self._distance(face, time_ns) + growth / 2 + _APPEARANCE_WEIGHT * self._differs(look)

    def _distance(self, face: Face, time_ns: int) -> float:
        """From where the subject should be by now, in sizes of its box."""
        assert self.last is not None
        ahead_s = min(time_ns - self._last_ns, _CONTINUOUS_NS) / NANOSECONDS
        x, y = self.last.centre_px
        expected = (x + self._motion[0] * ahead_s, y + self._motion[1] * ahead_s)
        return math.dist(face.centre_px, expected) / self.last.size_px

    def _differs(self, look: Appearance | None) -> float:
        return 0.0 if look is None or self._appearance is None else difference(self._appearance, look)

    def _follow(self, face: Face, time_ns: int, look: Appearance | None) -> None:
        since_s = (time_ns - self._last_ns) / NANOSECONDS
        self._motion = (0.0, 0.0) if self.last is None or since_s <= 0 else self._moved(self.last, face, since_s)
        self.last, self._last_ns = face, time_ns
        if look is not None:
            old = self._appearance
            self._appearance = look if old is None else blended(old, look, _LEARNING)

    def _moved(self, old: Face, new: Face, since_s: float) -> tuple[float, float]:
        """Half of the new speed and half of the old; after a gap the new one alone."""
        share = 0.5 if since_s < _CONTINUOUS_NS / NANOSECONDS else 1.0
        pairs = zip(new.centre_px, old.centre_px, self._motion, strict=True)
        x, y = ((1 - share) * speed + share * (to - start) / since_s for to, start, speed in pairs)
        return x, y

    def _chosen(self, faces: Sequence[Face], width_px: int) -> int:
        largest = max(face.area_px for face in faces)
        near = [at for at, face in enumerate(faces) if face.area_px >= _BACKGROUND * largest]
        keys: dict[Subject, Callable[[int], float]] = {
            "largest": lambda at: -faces[at].area_px,
            "center": lambda at: abs(faces[at].centre_px[0] - width_px / 2),
            "left": lambda at: faces[at].centre_px[0],
            "right": lambda at: -faces[at].centre_px[0],
        }
        return min(near, key=keys[self.choose])
