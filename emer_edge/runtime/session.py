"""A bundle in an engine: faces to embeddings, windows to calibrated predictions."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Bundle, load_bundle
from emer_edge.bundle.guard_file import GUARD_NAME, KnownFaces
from emer_edge.core.errors import BundleError, ConfigurationError, EngineError
from emer_edge.core.heads import HEADS
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS
from emer_edge.metrics.probabilities import softmax
from emer_edge.runtime.engines import Engine, PlacedPart, Placer
from emer_edge.runtime.engines.base import shareable
from emer_edge.runtime.faces import FaceDetector
from emer_edge.runtime.options import MachineOptions

EMBEDDING_WIDTH: Final = 128
"""Numbers that one face encoder makes of a crop."""

_FACE: Final = (3, FACE_SIZE_PX, FACE_SIZE_PX)
_ENCODE_AT_ONCE: Final = 16  # crops: bounds the activations' memory, larger batches are not faster on a CPU
_FUSE_AT_ONCE: Final = 32

Outputs = dict[str, NDArray[np.float32]]
_Network = tuple[tuple[str, ...], int, Engine]
"""Heads, the index of the encoder that feeds them, and the fusion engine that computes them."""


class Session:
    """The loaded parts of a bundle. Not to be used by two threads at once; several may `encode`.

    Args:
        bundle: what to load, or its folder.
        engine: name of an engine, such as `onnxruntime` or `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        progress: reports the building of engines, which TensorRT does once per machine.
        parts: what computes the networks, instead of choosing (see `Placer`).

    Attributes:
        engine_name: what computes the first face encoder.
        said: what a person has to know about where parts run, one sentence each.

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
        parts: Mapping[str, str] | None = None,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self._placer = Placer(self.bundle, engine, threads, progress=progress, parts=parts)
        self.said = self._placer.said
        self._detector: FaceDetector | None = None
        try:
            self._networks = self._load_networks()
            self._guards = self._load_guards()
            detectors = [key for role in self.bundle.manifest.detector.parts for key in self.bundle.keys_of(role)]
            self.bundle.release(keep={f"{key}.onnx" for key in detectors})
            self.engine_name = self.parts[self.bundle.manifest.roles[0]].engine
        except BaseException:
            self.close()
            raise

    @property
    def device(self) -> str:
        """What the session computes on."""
        return self._encoders[0].device

    @property
    def parts(self) -> dict[str, PlacedPart]:
        """Part -> where it runs; those of the face detector once `detector` was read."""
        return dict(self._placer.placed)

    @property
    def engines(self) -> dict[str, str]:
        """Part -> name of its engine."""
        return {role: part.engine for role, part in self.parts.items()}

    @property
    def networks(self) -> dict[str, str]:
        """Part of the networks -> its file, as `parts` takes them: another session then computes the same."""
        return {role: self.parts[role].key for role in self.bundle.manifest.roles}

    @property
    def described(self) -> str:
        """Engine and device in one line, and the engine of every part that another one computes."""
        others = [f", {role} on {engine}" for role, engine in self.engines.items() if engine != self.engine_name]
        return f"{self.engine_name} ({self.device}){''.join(others)}"

    @property
    def embedding_width(self) -> int:
        """Numbers that `encode` makes of a crop: 128 for each face encoder in the bundle, side by side."""
        return EMBEDDING_WIDTH * len(self._encoders)

    @property
    def detector(self) -> FaceDetector:
        """The bundle's face detector, loaded on first use."""
        if self._detector is None:
            record = self.bundle.manifest.detector
            loaded = self._placer.detectors(record.parts)
            self._detector = FaceDetector(record, *map(shareable, loaded))
            self.bundle.release()
        return self._detector

    def warm_up(self) -> None:
        """Run every part once, so that the first result is not slower than the others."""
        record = self.bundle.manifest.detector
        self.detector.detect(np.zeros((record.height_px, record.width_px, 3), np.uint8))
        self.detector.in_crop(np.zeros((FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8))
        embeddings = self.encode(np.zeros((1, *_FACE), np.float32))
        windows = np.broadcast_to(embeddings, (1, FACE_SLOTS, self.embedding_width))
        eye, gaze = (np.zeros((1, EYE_SLOTS, columns), np.float32) for columns in (EYE_COLUMN_COUNT, 2))
        self.fuse(windows, eye, gaze)
        with suppress(OSError, AttributeError):  # what loading took for a while goes back
            ctypes.CDLL(None).malloc_trim(0)

    def encode(self, face: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode crops: (B, 3, 112, 112) float32, B, G, R in 0 to 1 -> (B, embedding_width) float32.

        Raises:
            ConfigurationError: another shape, or numbers that are not finite.
        """
        face = _checked("face", face, _FACE, "B")
        embeddings = np.zeros((len(face), self.embedding_width), np.float32)
        for at in range(0, len(face), _ENCODE_AT_ONCE):
            crops = face[at : at + _ENCODE_AT_ONCE]
            for number, encoder in enumerate(self._encoders):
                embeddings[at : at + _ENCODE_AT_ONCE, _columns(number)] = encoder.run({"face": crops})["embedding"]
        return embeddings

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
        outputs = {head.name: np.zeros((count, len(head.classes) or 1), np.float32) for head in heads}
        for at in range(0, count, _FUSE_AT_ONCE):
            part = slice(at, at + _FUSE_AT_ONCE)
            for names, encoder, fusion in self._networks:
                batch = {name: array[part] for name, array in inputs.items()}
                batch["embeddings"] = np.ascontiguousarray(batch["embeddings"][..., _columns(encoder)])
                fused = fusion.run(batch)
                for name in names:
                    outputs[name][part] = fused[name]
        wrong = [name for name, array in outputs.items() if not np.isfinite(array).all()]
        if wrong:
            raise EngineError(f"{self.bundle.path} gives numbers that are not finite for {', '.join(wrong)}")
        return outputs

    def face_distance(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """How far the faces of windows are from those of training: (N, 8, embedding_width) -> (N,) shares of the limit.

        Of several face encoders the largest; None where the bundle has no face guard.
        """
        if not self._guards:
            return None
        shares = [
            known.distance(embeddings[..., _columns(number)]) / limit
            for number, (known, limit) in enumerate(self._guards)
        ]
        return np.asarray(np.maximum.reduce(shares), np.float64)

    def fuse(self, embeddings: NDArray[np.float32], eye: NDArray[np.float32], gaze: NDArray[np.float32]) -> Outputs:
        """Predict whole windows from embeddings (shapes and errors as in `logits`).

        Returns:
            head -> (N, C) float32: probabilities after temperature scaling, or the value (N, 1).
        """
        outputs = self.logits(embeddings, eye, gaze)
        for head in self.bundle.manifest.heads:
            if head.classes:
                outputs[head.name] = softmax(outputs[head.name], head.temperature).astype(np.float32)
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
        self._placer.close()
        self.bundle.release()
        self._detector = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load_networks(self) -> tuple[_Network, ...]:
        manifest, loaded = self.bundle.manifest, self._placer.networks()
        self._encoders: list[Engine] = []
        numbers: dict[str, int] = {}
        networks = []
        for record in manifest.all_networks:
            if record.encoder not in numbers:
                numbers[record.encoder] = len(self._encoders)
                encoder = self._checked(record.encoder, loaded, {"face"}, {"embedding"})
                self._encoders.append(shareable(encoder))
            fusion = self._checked(record.fusion, loaded, {"embeddings", "eye", "gaze"}, set(record.heads))
            networks.append((record.heads, numbers[record.encoder], fusion))
            for head in manifest.heads:
                if head.name not in record.heads:
                    continue
                actual, expected = fusion.outputs[head.name][-1], len(head.classes) or HEADS[head.name].width
                if actual not in (None, expected):
                    raise BundleError(
                        f"{self.bundle.path}: fusion gives {actual} values for {head.name}, the manifest {expected}"
                    )
        return tuple(networks)

    def _load_guards(self) -> list[tuple[KnownFaces, float]]:
        """Of each face encoder the embeddings of training and the limit; none without a guard."""
        record = self.bundle.manifest.guard
        if record is None:
            return []
        path, known = self.bundle.path / GUARD_NAME, self.bundle.guard()
        roles = dict.fromkeys(network.encoder for network in self.bundle.manifest.all_networks)
        keys = [self.parts[role].key for role in roles]
        widths = {key: len(faces.mean) for key, faces in known.items() if record.limits.get(key, 0) > 0}
        if lacking := [key for key in keys if widths.get(key) != EMBEDDING_WIDTH]:
            raise BundleError(f"{path} does not cover {', '.join(lacking)}; export the bundle again")
        return [(known[key], record.limits[key]) for key in keys]

    def _checked(self, role: str, loaded: Mapping[str, Engine], inputs: set[str], outputs: set[str]) -> Engine:
        path, engine = self.bundle.path / f"{self.parts[role].key}.onnx", loaded[role]
        if set(engine.inputs) != inputs or not outputs <= set(engine.outputs):
            raise BundleError(
                f"{path} takes {', '.join(engine.inputs)} and gives {', '.join(engine.outputs)}; the manifest expects "
                f"{', '.join(sorted(inputs))} and {', '.join(sorted(outputs))}; export the bundle again"
            )
        return engine


def _columns(encoder: int) -> slice:
    """The columns of one encoder's numbers among those of all encoders."""
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
    counts = {name: len(array) if array.ndim else 0 for name, array in inputs.items()}
    if len(set(counts.values())) != 1:
        given = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise ConfigurationError(f"all inputs must hold the same number of windows, not {given}")
    return next(iter(counts.values()))
