"""A bundle in an engine: faces to embeddings, windows to calibrated predictions."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Bundle
from emer_edge.errors import BundleError, ConfigurationError, EngineError
from emer_edge.metrics.calibration import softmax
from emer_edge.runtime.engines import VARIANTS, open_engine, resolve_engine
from emer_edge.runtime.engines.base import Engine
from emer_edge.runtime.faces import FaceDetector
from emer_edge.spec.heads import HEADS
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS

__all__ = ["EMBEDDING_WIDTH", "Session"]

EMBEDDING_WIDTH: Final = 128
_FACE: Final = (3, FACE_SIZE_PX, FACE_SIZE_PX)
_ENCODE_AT_ONCE: Final = 16  # crops: bounds the activations' memory, larger batches are not faster on a CPU
_FUSE_AT_ONCE: Final = 32

Outputs = dict[str, NDArray[np.float32]]


class Session:
    """The loaded parts of a bundle. Not to be used by two threads at once.

    Args:
        bundle: what to load.
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.

    Raises:
        EngineError: the engine is unavailable or refuses a part.
        BundleError: the parts are not those that the manifest describes.
    """

    def __init__(self, bundle: Bundle, engine: str = "auto", threads: int = 1) -> None:
        self.bundle = bundle
        self.engine_name = resolve_engine(engine)
        self._threads = threads
        self._detector: FaceDetector | None = None
        self._engines: list[Engine] = []
        try:
            self._encoder = self._load("face_encoder", {"face"}, {"embedding"})
            self._fusion = self._load("fusion", {"embeddings", "eye", "gaze"}, set(bundle.manifest.head_names))
        except BaseException:
            self.close()
            raise
        for each in bundle.manifest.heads:
            has, told = self._fusion.outputs[each.name][-1], len(each.classes) or HEADS[each.name].width
            if has not in (None, told):
                raise BundleError(f"{bundle.path}: fusion gives {has} values for {each.name}, the manifest {told}")

    @property
    def device(self) -> str:
        """What the session computes on."""
        return self._encoder.device

    @property
    def detector(self) -> FaceDetector:
        """The bundle's face detector, loaded on first use."""
        if self._detector is None:
            record = self.bundle.manifest.detector
            engine = open_engine(self.engine_name, self._part("face_detector"), self._threads)
            self._engines.append(engine)
            self._detector = FaceDetector(engine, record.kind, record.height_px, record.width_px, record.score)
        return self._detector

    def warm_up(self) -> None:
        """Run every part once, so that the first result is not slower than the others."""
        record = self.bundle.manifest.detector
        self.detector.detect(np.zeros((record.height_px, record.width_px, 3), np.uint8))
        embeddings = self.encode(np.zeros((1, *_FACE), np.float32))
        windows = np.broadcast_to(embeddings, (1, FACE_SLOTS, EMBEDDING_WIDTH))
        self.fuse(
            windows, np.zeros((1, EYE_SLOTS, EYE_COLUMN_COUNT), np.float32), np.zeros((1, EYE_SLOTS, 2), np.float32)
        )

    def encode(self, face: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode crops: (B, 3, 112, 112) float32, B, G, R in 0 to 1 -> (B, 128) float32.

        Raises:
            ConfigurationError: another shape, or numbers that are not finite.
        """
        face = _checked("face", face, _FACE, "B")
        parts = [
            self._encoder.run({"face": face[at : at + _ENCODE_AT_ONCE]})["embedding"]
            for at in range(0, len(face), _ENCODE_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, EMBEDDING_WIDTH), np.float32)

    def logits(self, embeddings: NDArray[np.float32], eye: NDArray[np.float32], gaze: NDArray[np.float32]) -> Outputs:
        """Run the fusion part on whole windows, without temperatures.

        Args:
            embeddings: (N, 8, 128) float32 from `encode`.
            eye: (N, 32, 39) float32, raw columns.
            gaze: (N, 32, 2) float32, display pixels.

        Returns:
            head -> (N, C) float32: logits of a class head, the value (N, 1) of a value head.

        Raises:
            ConfigurationError: other shapes, different N, or numbers that are not finite.
            EngineError: an output that is not finite.
        """
        inputs = {
            "embeddings": _checked("embeddings", embeddings, (FACE_SLOTS, EMBEDDING_WIDTH)),
            "eye": _checked("eye", eye, (EYE_SLOTS, EYE_COLUMN_COUNT)),
            "gaze": _checked("gaze", gaze, (EYE_SLOTS, 2)),
        }
        count = _same_count(inputs)
        parts = [
            self._fusion.run({name: each[at : at + _FUSE_AT_ONCE] for name, each in inputs.items()})
            for at in range(0, count, _FUSE_AT_ONCE)
        ]
        heads = self.bundle.manifest.heads
        if not parts:
            return {each.name: np.zeros((0, len(each.classes) or 1), np.float32) for each in heads}
        outputs = {each.name: np.concatenate([part[each.name] for part in parts]) for each in heads}
        wrong = [name for name, each in outputs.items() if not np.isfinite(each).all()]
        if wrong:
            raise EngineError(f"{self.bundle.path} gives numbers that are not finite for {', '.join(wrong)}")
        return outputs

    def fuse(self, embeddings: NDArray[np.float32], eye: NDArray[np.float32], gaze: NDArray[np.float32]) -> Outputs:
        """Predict whole windows from embeddings (shapes and errors as in `logits`).

        Returns:
            head -> (N, C) float32: probabilities after temperature scaling, or the value (N, 1).
        """
        outputs = self.logits(embeddings, eye, gaze)
        for each in self.bundle.manifest.heads:
            if each.classes:
                outputs[each.name] = softmax(outputs[each.name], each.temperature).astype(np.float32)
        return outputs

    def predict(self, face: NDArray[np.float32], eye: NDArray[np.float32], gaze: NDArray[np.float32]) -> Outputs:
        """Predict whole windows.

        Args:
            face: (N, 8, 3, 112, 112) float32, B, G, R in 0 to 1.
            eye: (N, 32, 39) float32, raw columns.
            gaze: (N, 32, 2) float32, display pixels.

        Returns:
            head -> (N, C) float32: calibrated probabilities, or the value (N, 1).

        Raises:
            ConfigurationError: other shapes, different N, or numbers that are not finite.
        """
        face = _checked("face", face, (FACE_SLOTS, *_FACE))
        _same_count({"face": face, "eye": np.asarray(eye), "gaze": np.asarray(gaze)})
        embeddings = self.encode(face.reshape(-1, *_FACE)).reshape(-1, FACE_SLOTS, EMBEDDING_WIDTH)
        return self.fuse(embeddings, eye, gaze)

    def close(self) -> None:
        """Free the engines; may be called twice."""
        for each in self._engines:
            each.close()
        self._engines.clear()
        self._detector = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _part(self, name: str) -> Any:
        return self.bundle.part(VARIANTS[self.engine_name], name)

    def _load(self, name: str, inputs: set[str], outputs: set[str]) -> Engine:
        path = self._part(name)
        engine = open_engine(self.engine_name, path, self._threads)
        self._engines.append(engine)
        if set(engine.inputs) != inputs or not outputs <= set(engine.outputs):
            raise BundleError(
                f"{path} takes {', '.join(engine.inputs)} and gives {', '.join(engine.outputs)}; the manifest asks for "
                f"{', '.join(sorted(inputs))} and {', '.join(sorted(outputs))}; export the bundle again"
            )
        return engine


def _checked(name: str, array: NDArray[Any], shape: tuple[int, ...], axis: str = "N") -> NDArray[np.float32]:
    array = np.asarray(array)
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        expected = ", ".join([axis, *map(str, shape)])
        raise ConfigurationError(f"{name} must have the shape ({expected}), not {array.shape}")
    if array.dtype != np.float32:
        raise ConfigurationError(f"{name} must be float32, not {array.dtype}; convert it with .astype(numpy.float32)")
    if not np.isfinite(array).all():
        bad = int(np.size(array) - np.isfinite(array).sum())
        raise ConfigurationError(f"{name} holds {bad} of {array.size} numbers that are not finite; missing cells are 0")
    return np.ascontiguousarray(array)


def _same_count(inputs: Mapping[str, NDArray[Any]]) -> int:
    counts = {name: len(each) if each.ndim else 0 for name, each in inputs.items()}
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise ConfigurationError(f"all inputs must hold the same number of windows, not {told}")
    return next(iter(counts.values()))
