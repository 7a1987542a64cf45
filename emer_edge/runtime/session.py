"""A bundle in an engine: faces to embeddings, windows to calibrated predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Bundle, load_bundle
from emer_edge.core.errors import BundleError, ConfigurationError, EngineError
from emer_edge.core.heads import HEADS
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS
from emer_edge.metrics.probabilities import softmax
from emer_edge.runtime.engines import CPU_ENGINE, Engine, EngineDriver, engines, open_engine, resolve_engine
from emer_edge.runtime.faces import FaceDetector, fastest_detector
from emer_edge.runtime.options import MachineOptions

EMBEDDING_WIDTH: Final = 128
"""Numbers that one face encoder makes of a crop."""

_FACE: Final = (3, FACE_SIZE_PX, FACE_SIZE_PX)
_ENCODE_AT_ONCE: Final = 16  # crops: bounds the activations' memory, larger batches are not faster on a CPU
_FUSE_AT_ONCE: Final = 32

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class _Network:
    """Heads, which of the session's encoders feeds them, and the fusion engine that gives them."""

    heads: tuple[str, ...]
    encoder: int
    fusion: Engine


class Session:
    """The loaded parts of a bundle. Not to be used by two threads at once.

    Args:
        bundle: what to load, or its folder.
        engine: name of an engine, such as `onnxruntime` or `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        progress: told while engines are built, which TensorRT needs once a machine.

    Attributes:
        engine_name: what computes.
        detector_engine: what finds faces, once `detector` was asked for: with `auto` the one that is fastest at it.

    Raises:
        EngineError: the engine is unavailable or refuses a part.
        BundleError: no sound bundle in the folder, or its parts are not those that the manifest describes.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path,
        engine: str = MachineOptions.engine,
        threads: int = MachineOptions.threads,
        *,
        progress: Progress = silent,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self._progress = progress
        self._driver = resolve_engine(engine)
        self.engine_name = self.detector_engine = self._driver.name
        self._named = engine != "auto"
        self._threads = threads
        self._detector: FaceDetector | None = None
        self._engines: list[Engine] = []
        try:
            self._networks = self._load_networks()
        except BaseException:
            self.close()
            raise

    @property
    def device(self) -> str:
        """What the session computes on."""
        return self._encoders[0].device

    @property
    def described(self) -> str:
        """Engine and device in a line; where faces are found by another engine, that too."""
        faces = "" if self.detector_engine == self.engine_name else f", faces on {self.detector_engine}"
        return f"{self.engine_name} ({self.device}){faces}"

    @property
    def embedding_width(self) -> int:
        """Numbers that `encode` makes of a crop: 128 for each face encoder in the bundle, side by side."""
        return EMBEDDING_WIDTH * len(self._encoders)

    @property
    def detector(self) -> FaceDetector:
        """The bundle's face detector, loaded on first use; of the engine `auto`, in the engine that is fastest here."""
        if self._detector is None:
            record = self.bundle.manifest.detector
            names = ("face_detector", "face_detector_near") if record.near_px else ("face_detector",)
            parts = {
                each.name: [self.bundle.part(each.variant, name) for name in names] for each in self._face_engines()
            }
            self._detector, self.detector_engine = fastest_detector(record, parts, self._threads)
        return self._detector

    def warm_up(self) -> None:
        """Run every part once, so that the first result is not slower than the others."""
        record = self.bundle.manifest.detector
        self.detector.detect(np.zeros((record.height_px, record.width_px, 3), np.uint8))
        self.detector.in_crop(np.zeros((FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8))
        embeddings = self.encode(np.zeros((1, *_FACE), np.float32))
        windows = np.broadcast_to(embeddings, (1, FACE_SLOTS, self.embedding_width))
        self.fuse(
            windows, np.zeros((1, EYE_SLOTS, EYE_COLUMN_COUNT), np.float32), np.zeros((1, EYE_SLOTS, 2), np.float32)
        )

    def encode(self, face: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode crops: (B, 3, 112, 112) float32, B, G, R in 0 to 1 -> (B, embedding_width) float32.

        Raises:
            ConfigurationError: another shape, or numbers that are not finite.
        """
        face = _checked("face", face, _FACE, "B")
        found = np.zeros((len(face), self.embedding_width), np.float32)
        for at in range(0, len(face), _ENCODE_AT_ONCE):
            crops = face[at : at + _ENCODE_AT_ONCE]
            for number, encoder in enumerate(self._encoders):
                found[at : at + _ENCODE_AT_ONCE, _columns(number)] = encoder.run({"face": crops})["embedding"]
        return found

    def logits(self, embeddings: NDArray[np.float32], eye: NDArray[np.float32], gaze: NDArray[np.float32]) -> Outputs:
        """Run the fusion parts on whole windows, without temperatures.

        Args:
            embeddings: (N, 8, embedding_width) float32 from `encode`.
            eye: (N, 32, 39) float32, raw columns.
            gaze: (N, 32, 2) float32, display pixels.

        Returns:
            head -> (N, C) float32: logits of a class head, the value (N, 1) of a value head.

        Raises:
            ConfigurationError: other shapes, different N, or numbers that are not finite.
            EngineError: an output that is not finite.
        """
        inputs = {
            "embeddings": _checked("embeddings", embeddings, (FACE_SLOTS, self.embedding_width)),
            "eye": _checked("eye", eye, (EYE_SLOTS, EYE_COLUMN_COUNT)),
            "gaze": _checked("gaze", gaze, (EYE_SLOTS, 2)),
        }
        count = _same_count(inputs)
        heads = self.bundle.manifest.heads
        outputs = {each.name: np.zeros((count, len(each.classes) or 1), np.float32) for each in heads}
        for at in range(0, count, _FUSE_AT_ONCE):
            part = slice(at, at + _FUSE_AT_ONCE)
            for network in self._networks:
                given = {name: each[part] for name, each in inputs.items()}
                given["embeddings"] = np.ascontiguousarray(given["embeddings"][..., _columns(network.encoder)])
                found = network.fusion.run(given)
                for name in network.heads:
                    outputs[name][part] = found[name]
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
        embeddings = self.encode(face.reshape(-1, *_FACE)).reshape(-1, FACE_SLOTS, self.embedding_width)
        return self.fuse(embeddings, eye, gaze)

    def close(self) -> None:
        """Free the engines; may be called twice."""
        for each in self._engines:
            each.close()
        self._engines.clear()
        if self._detector is not None:
            self._detector.close()
        self._detector = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _face_engines(self) -> tuple[EngineDriver, ...]:
        """Engines that faces may be found with: that of the other parts and, unless it was named, the CPU's."""
        cpu = engines()[CPU_ENGINE]
        usable = "face_detector" in self.bundle.parts(cpu.variant) and cpu.why_not() is None
        if self._named or not usable or cpu.name == self._driver.name:
            return (self._driver,)
        return self._driver, cpu

    def _part(self, name: str) -> Any:
        return self.bundle.part(self._driver.variant, name)

    def _load_networks(self) -> tuple[_Network, ...]:
        manifest = self.bundle.manifest
        self._encoders: list[Engine] = []
        numbers: dict[str, int] = {}
        networks = []
        for each in manifest.all_networks:
            if each.encoder not in numbers:
                numbers[each.encoder] = len(self._encoders)
                self._encoders.append(self._load(each.encoder, {"face"}, {"embedding"}))
            fusion = self._load(each.fusion, {"embeddings", "eye", "gaze"}, set(each.heads))
            networks.append(_Network(each.heads, numbers[each.encoder], fusion))
        for network in networks:
            for head in (each for each in manifest.heads if each.name in network.heads):
                has, told = network.fusion.outputs[head.name][-1], len(head.classes) or HEADS[head.name].width
                if has not in (None, told):
                    raise BundleError(
                        f"{self.bundle.path}: fusion gives {has} values for {head.name}, the manifest {told}"
                    )
        return tuple(networks)

    def _load(self, name: str, inputs: set[str], outputs: set[str]) -> Engine:
        path = self._part(name)
        engine = open_engine(self.engine_name, path, self._threads, self._progress)
        self._engines.append(engine)
        if set(engine.inputs) != inputs or not outputs <= set(engine.outputs):
            raise BundleError(
                f"{path} takes {', '.join(engine.inputs)} and gives {', '.join(engine.outputs)}; the manifest asks for "
                f"{', '.join(sorted(inputs))} and {', '.join(sorted(outputs))}; export the bundle again"
            )
        return engine


def _columns(encoder: int) -> slice:
    """Where the numbers of an encoder lie among those of all."""
    return slice(encoder * EMBEDDING_WIDTH, (encoder + 1) * EMBEDDING_WIDTH)


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
