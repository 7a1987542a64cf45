"""Looks at one face only: its last aligned crop, drawn anew from the image, in a black frame.

That is what an aligned crop of the data set looks like to the detector, so landmarks of live faces and of the data
set's crops are found in the same way; and the face always has the same size and stands upright, so that the detector's
grid does not shift under it.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import import_cv2
from emer_edge.errors import BundleError
from emer_edge.runtime.engines.base import Engine
from emer_edge.runtime.faces.align import similarity, warp
from emer_edge.runtime.faces.face import Face
from emer_edge.spec.window import FACE_SIZE_PX

__all__ = ["Decoder", "NearLook"]

_INNER: Final = 3 / 4  # of the input's side is crop, the rest black: measured the truest of 2/3 to 9/10
# Of the score that a face in the whole image needs. CenterFace gave a wide open mouth 0.43 to 0.56, and 400 patches
# without a face 0.23 and less.
_LEAST_SHARE: Final = 0.6
_AVERAGED_SHARE: Final = 0.4  # cells below it are not averaged


class Decoder(Protocol):
    """A module that reads a detector's outputs."""

    SWAP_RED_BLUE: bool

    def decode(
        self,
        outputs: dict[str, NDArray[np.float32]],
        height_px: int,
        width_px: int,
        least_score: float,
        blended: bool = False,
    ) -> list[Face]:
        """Turn the outputs into faces, in pixels of the input, the best first."""


class NearLook:
    """The detector at its small input.

    Args:
        engine: the part `face_detector_near`, one image input (1, 3, size_px, size_px).
        decoder: reads its outputs.
        size_px: side of its input.
        score: that a face in the whole image needs; where one was a moment ago, 0.6 of it is enough.

    Raises:
        BundleError: the part takes another input.
    """

    def __init__(self, engine: Engine, decoder: Decoder, size_px: int, score: float) -> None:
        shapes = list(engine.inputs.values())
        if len(shapes) != 1 or tuple(shapes[0][1:]) != (3, size_px, size_px):
            raise BundleError(
                f"the face detector for near looks takes {shapes}, the manifest says (1, 3, {size_px}, {size_px}); "
                "export the bundle again"
            )
        self.size_px = size_px
        self._engine, self._decoder, self._score = engine, decoder, score * _LEAST_SHARE
        self._averaged = score * _AVERAGED_SHARE
        (self._input,) = engine.inputs
        self._side_px = round(size_px * _INNER)
        self._margin_px = (size_px - self._side_px) // 2
        self._canvas = np.zeros((size_px, size_px, 3), np.uint8)

    def look(
        self, image: NDArray[np.uint8], landmarks_px: NDArray[np.float32], template_px: NDArray[np.float32]
    ) -> Face | None:
        """Find a face again.

        Args:
            image: (H, W, 3) uint8, B, G, R.
            landmarks_px: (5, 2) where its landmarks were, or are about.
            template_px: (5, 2) where they belong in a 112 x 112 crop.

        Returns:
            The face in the image's pixels, or None when it is not there.
        """
        return self._found(image, similarity(np.asarray(landmarks_px, np.float32), template_px))

    def in_crop(self, crop: NDArray[np.uint8]) -> Face | None:
        """Find the face of an aligned crop, (112, 112, 3) uint8, in its pixels."""
        return self._found(crop, np.eye(2, 3))

    def _found(self, image: NDArray[np.uint8], to_crop: NDArray[np.float64]) -> Face | None:
        cv2 = import_cv2()
        scale, margin = self._side_px / FACE_SIZE_PX, self._margin_px
        matrix = to_crop * scale
        matrix[:, 2] += (scale - 1) / 2  # centres of pixels lie at whole numbers
        self._canvas[margin : margin + self._side_px, margin : margin + self._side_px] = warp(
            image, matrix, self._side_px
        )
        blob = cv2.dnn.blobFromImage(self._canvas, swapRB=self._decoder.SWAP_RED_BLUE)
        found = self._decoder.decode(
            self._engine.run({self._input: blob}), self.size_px, self.size_px, self._averaged, blended=True
        )
        found = [each for each in found if each.score >= self._score]
        if not found:
            return None
        middle = (self.size_px - 1) / 2
        face = min(found, key=lambda each: float(np.hypot(*(np.array(each.centre_px) - middle))))
        return _unplaced(face, matrix, margin)


def _unplaced(face: Face, matrix: NDArray[np.float64], margin_px: int) -> Face:
    """From the input's pixels back to the image's; the box keeps its size and stays upright."""
    back = np.linalg.inv(matrix[:, :2])
    scale = float(np.hypot(back[0, 0], back[1, 0]))
    centre = back @ (np.array(face.centre_px) - margin_px - matrix[:, 2])
    left, top, right, bottom = face.box_px
    half = np.array([right - left, bottom - top]) * scale / 2
    low, high = (centre - half).tolist(), (centre + half).tolist()
    landmarks = (face.landmarks_px - margin_px - matrix[:, 2]) @ back.T
    return Face((low[0], low[1], high[0], high[1]), landmarks.astype(np.float32), face.score)
