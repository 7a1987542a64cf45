"""Finding faces with the bundle's detector part, whatever the size of the image."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import import_cv2
from emer_edge.errors import BundleError, ConfigurationError
from emer_edge.runtime.engines.base import Engine
from emer_edge.runtime.faces import centerface, yunet
from emer_edge.runtime.faces.face import Face

__all__ = ["DETECTORS", "FaceDetector"]


class _Decoder(Protocol):
    SWAP_RED_BLUE: bool

    def decode(
        self, outputs: dict[str, NDArray[np.float32]], height_px: int, width_px: int, least_score: float
    ) -> list[Face]: ...


DETECTORS: Final = {"centerface": centerface, "yunet": yunet}


class FaceDetector:
    """A detector part and its decoder.

    Args:
        engine: the loaded part, one image input (1, 3, H, W).
        kind: `centerface` or `yunet`.
        height_px, width_px: the part's input size.
        score: weaker detections are dropped.

    Raises:
        ConfigurationError: an unknown kind.
        BundleError: the part takes another input.
    """

    def __init__(
        self, engine: Engine, kind: str, height_px: int = 256, width_px: int = 320, score: float = 0.5
    ) -> None:
        if kind not in DETECTORS:
            raise ConfigurationError(f"no face detector is called {kind!r}; choose {' or '.join(DETECTORS)}")
        shapes = list(engine.inputs.values())
        fits = len(shapes) == 1 and len(shapes[0]) == 4
        if not fits or any(
            has not in (None, want) for has, want in zip(shapes[0][1:], (3, height_px, width_px), strict=True)
        ):
            raise BundleError(
                f"the face detector takes {shapes}, the manifest says (1, 3, {height_px}, {width_px}); "
                "export the bundle again"
            )
        self.kind, self.height_px, self.width_px, self.score = kind, height_px, width_px, score
        self._engine, self._decoder = engine, DETECTORS[kind]
        (self._input,) = engine.inputs
        self._canvas = np.zeros((height_px, width_px, 3), np.uint8)

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Find faces.

        The image is fitted into the top left of the detector's input with its proportions kept.

        Args:
            image: (H, W, 3) uint8, B, G, R.

        Returns:
            Faces in the image's pixels, the best score first.
        """
        cv2 = import_cv2()
        height, width = image.shape[:2]
        scale = min(self.height_px / height, self.width_px / width)
        inner_h, inner_w = min(self.height_px, round(height * scale)), min(self.width_px, round(width * scale))
        how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR  # linear alone would alias
        self._canvas[:] = 0
        self._canvas[:inner_h, :inner_w] = cv2.resize(image, (inner_w, inner_h), interpolation=how)
        blob = cv2.dnn.blobFromImage(self._canvas, swapRB=self._decoder.SWAP_RED_BLUE)
        found = self._decoder.decode(self._engine.run({self._input: blob}), self.height_px, self.width_px, self.score)
        scale_x, scale_y = width / inner_w, height / inner_h
        return [_scaled(each, scale_x, scale_y) for each in found]


def _scaled(face: Face, scale_x: float, scale_y: float) -> Face:
    left, top, right, bottom = face.box_px
    landmarks = face.landmarks_px * np.array([scale_x, scale_y], np.float32)
    return Face((left * scale_x, top * scale_y, right * scale_x, bottom * scale_y), landmarks, face.score)
