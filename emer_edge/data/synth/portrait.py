"""The portrait that ships with the package, and its landmarks.

`assets/landmarks.json` gives each landmark's place in pixels of the portrait, twice: as it is, a broad smile, and where
it lies when the face is at rest. They were placed by hand; left and right are those of the picture.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import import_cv2

__all__ = ["LANDMARKS", "NAMES", "REST", "indices", "landmarks5", "portrait"]

Points = NDArray[np.float64]

_ASSETS: Final = files("emer_edge.data.synth") / "assets"
_PLACED: Final[dict[str, tuple[tuple[float, float], tuple[float, float]]]] = json.loads(
    (_ASSETS / "landmarks.json").read_text("utf-8")
)
NAMES: Final = tuple(_PLACED)
LANDMARKS: Final[Points] = np.array([place for place, _ in _PLACED.values()], np.float64)
"""(n, 2) landmarks of the portrait as it is."""
REST: Final[Points] = np.array([rest for _, rest in _PLACED.values()], np.float64)
"""(n, 2) landmarks of the face at rest."""


@lru_cache(maxsize=256)
def indices(*names: str) -> list[int]:
    """Return the rows of `LANDMARKS` whose names start with one of `names`, in the given order."""
    return [row for name in names for row, each in enumerate(NAMES) if each.startswith(name)]


@lru_cache(maxsize=1)
def portrait() -> NDArray[np.uint8]:
    """Return the portrait: (270, 360, 3) uint8, B, G, R.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = import_cv2()
    encoded = np.frombuffer((_ASSETS / "astronaut.jpg").read_bytes(), np.uint8)
    image: NDArray[np.uint8] = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return image


def landmarks5(points: Points) -> Points:
    """Return (5, 2) eye centres, nose tip and mouth corners of the (n, 2) landmarks: what face detectors give."""
    eyes = [points[indices(f"eye_{side}")].mean(axis=0) for side in ("left", "right")]
    return np.stack([*eyes, *points[indices("nose_tip", "mouth_left", "mouth_right")]])
