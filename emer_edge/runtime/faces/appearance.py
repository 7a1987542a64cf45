"""What a face looks like, in a few hundred numbers: enough to tell apart the people before a camera, not to name them.

Never stored: an appearance lives as long as the run and describes colours and a thumbnail of light and dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import import_cv2
from emer_edge.spec.window import FACE_SIZE_PX

__all__ = ["Appearance", "blended", "difference"]

_BINS: Final = (16, 12)
_SHARES: Final = ((0.26, 0.58), (0.20, 0.44))  # of red and of green in a pixel's sum: skin, hair and lips lie inside
_THUMBNAIL_PX: Final = 14
_THUMBNAIL_WEIGHT: Final = 0.25
_DARK: Final = 8.0  # keeps the shares and logarithms of black pixels from being noise

_Y, _X = np.mgrid[:FACE_SIZE_PX:2, :FACE_SIZE_PX:2]
_FACE: Final = ((_X - 56) / 44) ** 2 + ((_Y - 62) / 56) ** 2 < 1


@dataclass(frozen=True, eq=False, slots=True)
class Appearance:
    """Of one aligned crop.

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
        pixels = crop[::2, ::2][_FACE].astype(np.float32) + _DARK
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


def blended(old: Appearance, new: Appearance, share: float) -> Appearance:
    """Move an appearance towards a newer one by `share`, 0 to 1."""
    colours = np.sqrt((1 - share) * old.colours**2 + share * new.colours**2)
    return Appearance(colours, _unit((1 - share) * old.thumbnail + share * new.thumbnail))


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = values.ravel() - values.mean()
    length = float(np.linalg.norm(centred))
    unit: NDArray[np.float32] = centred / length if length > 1e-6 else centred
    return unit
