"""Finding faces with the bundle's detector part, whatever the size of the image, and reading what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Part
from emer_edge.bundle.manifest import DetectorRecord
from emer_edge.core.errors import BundleError, ConfigurationError
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.data.images import import_cv2
from emer_edge.runtime.engines import CPU_ENGINE, open_engine
from emer_edge.runtime.engines.any_size import open_any_size, takes_any_size
from emer_edge.runtime.engines.base import Engine, shareable
from emer_edge.runtime.faces.looks import LANDMARKS, Face, keep_best, similarity, warp

_CENTERFACE_STRIDE: Final = 4
_MOST_CANDIDATES: Final = 200
_YUNET_STRIDES: Final = (8, 16, 32)

_Outputs = dict[str, NDArray[Any]]
_Detections = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class Decoder(ABC):
    """Reads what one kind of detector answers.

    Attributes:
        swap_red_blue: whether the network sees R, G, B.
    """

    swap_red_blue: ClassVar[bool]

    def decode(
        self, outputs: _Outputs, height_px: int, width_px: int, least_score: float, *, blended: bool = False
    ) -> list[Face]:
        """Turn the network's answer to one image into faces.

        Args:
            outputs: name -> array, in the order of the graph.
            height_px: height of the network's input.
            width_px: its width.
            least_score: weaker detections are dropped.
            blended: average the cells that see the same face (`keep_best`).

        Returns:
            Faces in the pixels of the network's input, the best first.

        Raises:
            BundleError: the outputs are not those of this network.
        """
        return keep_best(*self._detections(outputs, height_px, width_px, least_score), blended=blended)

    @abstractmethod
    def _detections(self, outputs: _Outputs, height_px: int, width_px: int, least_score: float) -> _Detections:
        """Boxes (n, 4), landmarks (n, 5, 2) and scores (n,), overlapping ones included."""


class CenterFace(Decoder):
    """CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019).

    The network sees R, G, B in 0 to 255 and answers on a grid four times coarser: a heat map (1), the logarithm of
    height and width in cells (2), the centre's offset y, x (2), and five landmarks as y, x fractions of the box (10).

    `outputs` are (1, C, height / 4, width / 4) in the order of the graph: heat map, size, offset, landmarks.
    """

    swap_red_blue = True

    def _detections(self, outputs: _Outputs, height_px: int, width_px: int, least_score: float) -> _Detections:
        shapes = [output.shape[1:] for output in outputs.values()]
        rows, columns = height_px // _CENTERFACE_STRIDE, width_px // _CENTERFACE_STRIDE
        if shapes != [(channels, rows, columns) for channels in (1, 2, 2, 10)]:
            raise BundleError(
                f"the face detector's outputs {shapes} are not those of CenterFace at {width_px}x{height_px}"
            )
        heat, size, offset, landmark = (output[0] for output in outputs.values())
        row, column = np.nonzero(heat[0] > least_score)
        if len(row) > _MOST_CANDIDATES:
            best = np.argsort(-heat[0, row, column], kind="stable")[:_MOST_CANDIDATES]
            row, column = row[best], column[best]
        height, width = np.exp(size[:, row, column]) * _CENTERFACE_STRIDE
        centre_y, centre_x = (np.stack([row, column]) + offset[:, row, column] + 0.5) * _CENTERFACE_STRIDE
        left, top = centre_x - width / 2, centre_y - height / 2
        boxes = np.stack([left, top, left + width, top + height], axis=1)
        boxes = np.clip(boxes, 0, (width_px, height_px, width_px, height_px))
        # Landmarks count from the box's clipped corner, as in the published decoder.
        fractions = landmark[:, row, column].reshape(5, 2, -1)
        x = fractions[:, 1] * width + boxes[:, 0]
        y = fractions[:, 0] * height + boxes[:, 1]
        return boxes.astype(np.float32), np.stack([x, y]).transpose(2, 1, 0), heat[0, row, column]


class YuNet(Decoder):
    """YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023) as in OpenCV Zoo.

    The network sees B, G, R in 0 to 255 and answers on grids of stride 8, 16 and 32: class and object scores, a box
    (centre offset in cells, logarithm of its size in cells) and five landmarks (offsets in cells), for each stride.

    `outputs` are `cls_8`, `obj_8` (1, n, 1), `bbox_8` (1, n, 4), `kps_8` (1, n, 10), and so on for strides 16 and 32;
    the input's sides are multiples of 32.
    """

    swap_red_blue = False

    def _detections(self, outputs: _Outputs, height_px: int, width_px: int, least_score: float) -> _Detections:
        boxes, landmarks, scores = [], [], []
        for stride in _YUNET_STRIDES:
            rows, columns = height_px // stride, width_px // stride
            names = [f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps")]
            widths = (1, 1, 4, 2 * LANDMARKS)
            sizes = [outputs.get(name, np.zeros(0)).size for name in names]
            if sizes != [rows * columns * width for width in widths]:
                raise BundleError(
                    f"the face detector's outputs {', '.join(outputs)} are not those of YuNet at {width_px}x{height_px}"
                )
            kind, thing, box, points = (
                outputs[name].reshape(rows * columns, width) for name, width in zip(names, widths, strict=True)
            )
            score = np.sqrt(np.clip(kind[:, 0], 0, 1) * np.clip(thing[:, 0], 0, 1))
            chosen = np.flatnonzero(score > least_score)
            cell = np.stack([chosen % columns, chosen // columns], axis=1).astype(np.float32)
            centre = (cell + box[chosen, :2]) * stride
            half = np.exp(box[chosen, 2:]) * stride / 2
            boxes.append(np.concatenate([centre - half, centre + half], axis=1))
            landmarks.append((points[chosen].reshape(-1, LANDMARKS, 2) + cell[:, None]) * stride)
            scores.append(score[chosen])
        return np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(scores)


DETECTORS: Final[Mapping[str, Decoder]] = {"centerface": CenterFace(), "yunet": YuNet()}

_INNER: Final = 3 / 4  # of the input's side is crop, the rest black: measured the truest of 2/3 to 9/10
# Of the score that a face in the whole image needs. CenterFace gave a wide open mouth 0.43 to 0.56, and 400 patches
# without a face 0.23 and less.
_LEAST_SHARE: Final = 0.6
_AVERAGED_SHARE: Final = 0.4  # cells below it are not averaged
_SETTLING: Final = 3  # near looks from rough landmarks on: another moved them by 0.2 px of the crop at the median


class FaceDetector:
    """A detector part and its decoder. Not to be used by two threads at once: each takes a `twin`.

    Args:
        record: what the manifest says about it.
        engine: the loaded part, one image input (1, 3, H, W).
        near: the same network at a small square input, for looks at one face; None where the bundle has none.

    Attributes:
        record: as above.
        engines: the loaded parts, those that `close` frees.
        glances: whether the part takes images of any size, so that there is a `glance`.

    Raises:
        ConfigurationError: an unknown kind.
        BundleError: a part takes another input.
    """

    def __init__(self, record: DetectorRecord, engine: Engine, near: Engine | None = None) -> None:
        if record.kind not in DETECTORS:
            raise ConfigurationError(f"no face detector is called {record.kind!r}; choose {' or '.join(DETECTORS)}")
        _check_input(engine, "the face detector", record.height_px, record.width_px)
        self.record, self._engine, self._decoder = record, engine, DETECTORS[record.kind]
        (self._input,) = engine.inputs
        self._canvas = np.zeros((record.height_px, record.width_px, 3), np.uint8)
        self._small: NDArray[np.uint8] = self._canvas[: record.height_px // 2, : record.width_px // 2].copy()
        self.glances = takes_any_size(engine)
        self.engines = [part for part in (engine, near) if part is not None]
        self._near_engine = near
        self._near = None if near is None else NearLook(near, self._decoder, record.near_px, record.score)

    def twin(self) -> FaceDetector:
        """Another one for another thread, on the same loaded parts, which stay this one's to close."""
        twin = FaceDetector(self.record, self._engine, self._near_engine)
        twin.engines = []
        return twin

    @property
    def looks_near(self) -> bool:
        """Whether one face can be found again without a look at the whole image."""
        return self._near is not None

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Find faces.

        The image is fitted into the top left of the detector's input with its proportions kept.

        Args:
            image: (H, W, 3) uint8, B, G, R.

        Returns:
            Faces in the image's pixels, the best score first.
        """
        return self._detected(image, self._canvas)

    def glance(self, image: NDArray[np.uint8]) -> list[Face]:
        """`detect` at half the size: faces of twice the size at least, in a quarter of the time."""
        return self._detected(image, self._small)

    def _detected(self, image: NDArray[np.uint8], canvas: NDArray[np.uint8]) -> list[Face]:
        cv2 = import_cv2()
        height, width = image.shape[:2]
        height_px, width_px = canvas.shape[:2]
        scale = min(height_px / height, width_px / width)
        inner_h, inner_w = min(height_px, round(height * scale)), min(width_px, round(width * scale))
        how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR  # linear alone would alias
        canvas[:] = 0
        canvas[:inner_h, :inner_w] = cv2.resize(image, (inner_w, inner_h), interpolation=how)
        blob = cv2.dnn.blobFromImage(canvas, swapRB=self._decoder.swap_red_blue)
        outputs = self._engine.run({self._input: blob})
        faces = self._decoder.decode(outputs, height_px, width_px, self.record.score)
        scale_x, scale_y = width / inner_w, height / inner_h
        return [_scaled(face, scale_x, scale_y) for face in faces]

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
        """Find the face of an aligned crop, (112, 112, 3) uint8, B, G, R, in the way of live faces."""
        if self._near is not None:
            return self._near.in_crop(crop)
        return next(iter(self.detect(crop)), None)

    def close(self) -> None:
        """Free the engines; may be called twice."""
        for engine in self.engines:
            engine.close()


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
        _check_input(engine, "the face detector for near looks", size_px, size_px)
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
        matrix[:, 2] += (scale - 1) / 2  # centres of pixels are at whole numbers
        inner = slice(margin, margin + self._side_px)
        self._canvas[inner, inner] = warp(image, matrix, self._side_px)
        blob = cv2.dnn.blobFromImage(self._canvas, swapRB=self._decoder.swap_red_blue)
        outputs = self._engine.run({self._input: blob})
        faces = self._decoder.decode(outputs, self.size_px, self.size_px, self._averaged, blended=True)
        faces = [face for face in faces if face.score >= self._score]
        if not faces:
            return None
        middle = (self.size_px - 1) / 2
        face = min(faces, key=lambda face: float(np.hypot(*(np.array(face.centre_px) - middle))))
        return _unplaced(face, matrix, margin)


def _check_input(engine: Engine, name: str, height_px: int, width_px: int) -> None:
    """Raise BundleError unless the one input is (1, 3, height_px, width_px), or any size where the graph takes any."""
    shapes, expected = list(engine.inputs.values()), (3, height_px, width_px)
    fits = len(shapes) == 1 and len(shapes[0]) == 4
    if not fits or any(size not in (None, side) for size, side in zip(shapes[0][1:], expected, strict=True)):
        raise BundleError(
            f"{name} takes {shapes}, the manifest says (1, 3, {height_px}, {width_px}); export the bundle again"
        )


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


def open_detector(
    record: DetectorRecord, parts: Sequence[Part | Path], engine: str = CPU_ENGINE, threads: int = 1
) -> FaceDetector:
    """Load a detector.

    Args:
        record: what the manifest says about it.
        parts: its part `face_detector`, and `face_detector_near` if the record has a size for it.
        engine: name of an engine, or `auto`.
        threads: intra-op threads of CPU engines.

    Raises:
        EngineError: the engine is unavailable or refuses a part.
        BundleError: the parts are not those that the record describes.
    """
    with ExitStack() as opened:
        engines: list[Engine] = []
        for part in parts[: 2 if record.near_px else 1]:
            if engines and takes_any_size(engines[0]):
                engines *= 2  # one for images of any size stands for both
                break
            how = open_any_size if engine == CPU_ENGINE and not engines else open_engine
            loaded = how(engine, Part.of(part), threads)
            opened.callback(loaded.close)
            engines.append(shareable(loaded))
        detector = FaceDetector(record, *engines)
        opened.pop_all()  # from here on they are the detector's to close
    return detector
