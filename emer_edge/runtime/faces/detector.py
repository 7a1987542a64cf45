"""Finding faces with the bundle's detector part, whatever the size of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import DetectorRecord
from emer_edge.core.errors import BundleError, ConfigurationError
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.data.images import import_cv2
from emer_edge.runtime.engines import CPU_ENGINE, open_engine
from emer_edge.runtime.engines.base import Engine, InTurn
from emer_edge.runtime.faces.alignment import similarity, warp
from emer_edge.runtime.faces.decoders import DETECTORS, Decoder
from emer_edge.runtime.faces.looks import Face

_INNER: Final = 3 / 4  # of the input's side is crop, the rest black: measured the truest of 2/3 to 9/10
# Of the score that a face in the whole image needs. CenterFace gave a wide open mouth 0.43 to 0.56, and 400 patches
# without a face 0.23 and less.
_LEAST_SHARE: Final = 0.6
_AVERAGED_SHARE: Final = 0.4  # cells below it are not averaged
_SETTLING: Final = 3  # near looks from rough landmarks on: another moved them by 0.2 px of the crop at the median
_TIMED_LOOKS: Final = 11


class FaceDetector:
    """A detector part and its decoder. Not to be used by two threads at once: each takes a `twin`.

    Args:
        record: what the manifest says about it.
        engine: the loaded part, one image input (1, 3, H, W).
        near: the same network at a small square input, for looks at one face; None where the bundle has none.

    Attributes:
        record: as above.
        engines: the loaded parts, those that `close` frees.

    Raises:
        ConfigurationError: an unknown kind.
        BundleError: a part takes another input.
    """

    def __init__(self, record: DetectorRecord, engine: Engine, near: Engine | None = None) -> None:
        if record.kind not in DETECTORS:
            raise ConfigurationError(f"no face detector is called {record.kind!r}; choose {' or '.join(DETECTORS)}")
        shapes = list(engine.inputs.values())
        wanted = (3, record.height_px, record.width_px)
        fits = len(shapes) == 1 and len(shapes[0]) == 4
        if not fits or any(has not in (None, want) for has, want in zip(shapes[0][1:], wanted, strict=True)):
            raise BundleError(
                f"the face detector takes {shapes}, the manifest says (1, 3, {record.height_px}, {record.width_px}); "
                "export the bundle again"
            )
        self.record, self._engine, self._decoder = record, engine, DETECTORS[record.kind]
        (self._input,) = engine.inputs
        self._canvas = np.zeros((record.height_px, record.width_px, 3), np.uint8)
        self.engines = [each for each in (engine, near) if each is not None]
        self._near_engine = near
        self._near = None if near is None else NearLook(near, self._decoder, record.near_px, record.score)

    def twin(self) -> FaceDetector:
        """Another one for another thread, on the same loaded parts, which stay this one's to close."""
        twin = FaceDetector(self.record, self._engine, self._near_engine)
        twin.engines = []
        return twin

    @property
    def looks_near(self) -> bool:
        """Whether one face can be found again without looking at the whole image."""
        return self._near is not None

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
        record = self.record
        scale = min(record.height_px / height, record.width_px / width)
        inner_h, inner_w = min(record.height_px, round(height * scale)), min(record.width_px, round(width * scale))
        how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR  # linear alone would alias
        self._canvas[:] = 0
        self._canvas[:inner_h, :inner_w] = cv2.resize(image, (inner_w, inner_h), interpolation=how)
        blob = cv2.dnn.blobFromImage(self._canvas, swapRB=self._decoder.swap_red_blue)
        found = self._decoder.decode(
            self._engine.run({self._input: blob}), record.height_px, record.width_px, record.score
        )
        scale_x, scale_y = width / inner_w, height / inner_h
        return [_scaled(each, scale_x, scale_y) for each in found]

    def again(self, image: NDArray[np.uint8], face: Face, template_px: NDArray[np.float32]) -> Face | None:
        """Find a face again, near where it was a few frames ago.

        Args:
            image: (H, W, 3) uint8, B, G, R.
            face: where it was.
            template_px: (5, 2) the landmarks' places in a crop.

        Returns:
            It, or None when it is not there, or when the bundle has no part for near looks.
        """
        return None if self._near is None else self._near.look(image, face.landmarks_px, template_px)

    def settled(self, image: NDArray[np.uint8], face: Face, template_px: NDArray[np.float32]) -> Face:
        """Find a face of `detect` as `again` would find it, so that its landmarks are of one kind with the later ones.

        Returns:
            It; the same face when a near look does not see it.
        """
        for _ in range(_SETTLING if self.looks_near else 0):
            face = self.again(image, face, template_px) or face
        return face

    def in_crop(self, crop: NDArray[np.uint8]) -> Face | None:
        """Find the face of an aligned crop as live faces are found; (112, 112, 3) uint8, B, G, R."""
        if self._near is not None:
            return self._near.in_crop(crop)
        return next(iter(self.detect(crop)), None)

    def close(self) -> None:
        """Free the engines; may be called twice."""
        for each in self.engines:
            each.close()


class NearLook:
    """Looks at one face only: its last aligned crop, drawn anew from the image, in a black frame.

    That is what an aligned crop of the data set looks like to the detector, so landmarks of live faces and of the data
    set's crops are found in the same way; and the face always has the same size and stands upright, so that the
    detector's grid does not shift under it.

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
        blob = cv2.dnn.blobFromImage(self._canvas, swapRB=self._decoder.swap_red_blue)
        found = self._decoder.decode(
            self._engine.run({self._input: blob}), self.size_px, self.size_px, self._averaged, blended=True
        )
        found = [each for each in found if each.score >= self._score]
        if not found:
            return None
        middle = (self.size_px - 1) / 2
        face = min(found, key=lambda each: float(np.hypot(*(np.array(each.centre_px) - middle))))
        return _unplaced(face, matrix, margin)


def open_detector(
    record: DetectorRecord, paths: Sequence[Path], engine: str = CPU_ENGINE, threads: int = 1
) -> FaceDetector:
    """Load a detector.

    Args:
        record: what the manifest says about it.
        paths: its part `face_detector`, and `face_detector_near` if the record has a size for it.
        engine: name of an engine, or `auto`.
        threads: intra-op threads of CPU engines.

    Raises:
        EngineError: the engine is unavailable or refuses a part.
        BundleError: the parts are not those that the record describes.
    """
    with ExitStack() as opened:
        engines: list[Engine] = []
        for path in paths[: 2 if record.near_px else 1]:
            loaded = open_engine(engine, path, threads)
            opened.callback(loaded.close)
            engines.append(loaded if loaded.parallel else InTurn(loaded))
        detector = FaceDetector(record, *engines)
        opened.pop_all()  # from here on they are the detector's to close
    return detector


def fastest_detector(
    record: DetectorRecord, parts: Mapping[str, Sequence[Path]], threads: int = 1
) -> tuple[FaceDetector, str]:
    """Load a detector in each of several engines, time the look that most frames get, and keep the fastest.

    A part this small can be slower on a GPU than on a CPU, which needs no copy and does not wait for the encoder.

    Args:
        record: what the manifest says about it.
        parts: engine -> its parts, as `open_detector` takes them.
        threads: intra-op threads of CPU engines.

    Returns:
        The detector, and its engine's name.

    Raises:
        EngineError, BundleError: see `open_detector`.
    """
    if len(parts) == 1:
        ((engine, paths),) = parts.items()
        return open_detector(record, paths, engine, threads), engine
    with ExitStack() as opened:
        detectors = {
            engine: opened.enter_context(closing(open_detector(record, paths, engine, threads)))
            for engine, paths in parts.items()
        }
        times_ns: dict[str, list[int]] = {engine: [] for engine in detectors}
        for _ in range(_TIMED_LOOKS):
            for engine, detector in detectors.items():  # in turns, so that all share what else the machine does
                times_ns[engine].append(_look_ns(detector))
        best = min(detectors, key=lambda each: median(times_ns[each]))
        opened.pop_all()
    for engine, detector in detectors.items():
        if engine != best:
            detector.close()
    return detectors[best], best


def _look_ns(detector: FaceDetector) -> int:
    """Time of a look: at one face where the bundle has a part for that, else at a whole image."""
    began_ns = perf_counter_ns()
    detector.in_crop(np.zeros((FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8))
    return perf_counter_ns() - began_ns


def _scaled(face: Face, scale_x: float, scale_y: float) -> Face:
    left, top, right, bottom = face.box_px
    landmarks = face.landmarks_px * np.array([scale_x, scale_y], np.float32)
    return Face((left * scale_x, top * scale_y, right * scale_x, bottom * scale_y), landmarks, face.score)


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
