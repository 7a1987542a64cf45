"""Near looks that stand still while the face does.

Each look is drawn by the landmarks of an earlier one, so their noise would come back look after look. The landmarks
that looks are drawn by are therefore kept until the face has really moved; then it is looked at twice, because a look
that is drawn off its mark finds the face a little too near to where it was.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.runtime.faces.align import similarity
from emer_edge.runtime.faces.detector import FaceDetector
from emer_edge.runtime.faces.face import Face, overlap

__all__ = ["SteadyLook"]

# Pixels of the crop. Over 40 looks at a still face with strong sensor noise (4 grey levels) landmarks ranged over up to
# 1.45 px when each look was drawn by the last one, over up to 0.80 px with this.
_MOVED_PX: Final = 2.5
_SAME_PLACE: Final = 0.5


class SteadyLook:
    """Finds one face again and again.

    Args:
        detector: the bundle's detector.
        template_px: (5, 2) float32, the landmarks' places in a crop.
    """

    def __init__(self, detector: FaceDetector, template_px: NDArray[np.float32]) -> None:
        self._detector, self._template = detector, template_px
        self._anchor: Face | None = None

    def start(self, image: NDArray[np.uint8], face: Face) -> Face:
        """Give a face that a look at the whole image found the landmarks of near looks.

        Args:
            image: (H, W, 3) uint8, B, G, R.
            face: found in it.
        """
        if self._anchor is not None and overlap(self._anchor.box_px, face.box_px) > _SAME_PLACE:
            found = self.again(image)
            if found is not None and overlap(found.box_px, face.box_px) > _SAME_PLACE:
                return found
        self._anchor = self._detector.settled(image, face, self._template)
        return self._anchor

    def again(self, image: NDArray[np.uint8]) -> Face | None:
        """Find the face near where it was; None when it is not there."""
        anchor = self._anchor
        found = None if anchor is None else self._detector.again(image, anchor, self._template)
        if anchor is None or found is None:
            return None
        scale = float(np.hypot(*similarity(anchor.landmarks_px, self._template)[:, 0]))
        if scale * float(np.abs(found.landmarks_px - anchor.landmarks_px).max()) <= _MOVED_PX:
            return found
        self._anchor = self._detector.again(image, found, self._template) or found
        return self._anchor
