"""Verification of the exported parts: against the torch network, golden outputs, and TensorRT's parser and builder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from emer_edge.bundle import CPU, Manifest, Variant, role_of
from emer_edge.bundle.golden_file import Golden, Tensors
from emer_edge.core.columns import EYE_COLUMNS, GAZE_POINT, MOVEMENT_TYPE, EyeColumn
from emer_edge.core.errors import EngineError, GateError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS
from emer_edge.export.judging.workshop import Evidence
from emer_edge.export.report.export_report import TensorRtCheck
from emer_edge.metrics.prediction_metrics import largest_error
from emer_edge.model.emert import Emert
from emer_edge.runtime.engines import CPU_ENGINE, open_engine
from emer_edge.runtime.engines.tensorrt.builder import BuildOptions, build_plan
from emer_edge.runtime.engines.tensorrt.toolkit import find_tensorrt

# Low and high of a column by its unit, extremes included; columns without a unit go by their names.
_RANGES: Final = {"DACS px": (-200.0, 2100.0), "DACS mm": (-200.0, 900.0), "MCS norm": (-0.1, 1.1), "mm": (1.5, 8.0),
                  "ms": (0.0, 12_000.0)}  # fmt: skip
_INDEX: Final = (0.0, 60_000.0)

FP32_TOLERANCE: Final = 1e-4
"""Largest difference of an FP32 part, as a share of the output's largest value."""
_WINDOWS: Final = 4
_GOLDEN_WINDOWS: Final = 2
_GOLDEN_SEED: Final = 2026
_BLOCK_PX: Final = 8


def seeded_windows(count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Draw whole windows.

    Returns:
        face (count, 8, 3, 112, 112) in whole grey levels / 255, eye (count, 32, 39), gaze (count, 32, 2), float32.
    """
    rng = np.random.default_rng(seed)
    grey = _grey_blocks(rng, (count, FACE_SLOTS, 3, FACE_SIZE_PX, FACE_SIZE_PX))
    low, high = np.array([_range(column) for column in EYE_COLUMNS]).T
    eye = low + rng.random((count, EYE_SLOTS, len(EYE_COLUMNS))) * (high - low)
    eye[..., MOVEMENT_TYPE] = np.rint(eye[..., MOVEMENT_TYPE])
    eye = eye.astype(np.float32)
    return grey / np.float32(255), eye, np.ascontiguousarray(eye[..., GAZE_POINT])


def _grey_blocks(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Whole grey levels in blocks of 8 x 8 pixels: images (..., height, width)."""
    coarse = rng.random((*shape[:-2], shape[-2] // _BLOCK_PX, shape[-1] // _BLOCK_PX))
    return np.rint(coarse.repeat(_BLOCK_PX, axis=-2).repeat(_BLOCK_PX, axis=-1) * 255).astype(np.float32)


def _range(column: EyeColumn) -> tuple[float, float]:
    if column.unit:
        return _RANGES[column.unit]
    if column.name.startswith("Validity"):
        return 0.0, 1.0
    if column.name == "Eye movement type":
        return 0.0, 3.0
    return _INDEX if column.name.endswith("index") else (-1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Reference:
    """Inputs and the torch network's outputs.

    Attributes:
        description: of the inputs, for people.
        face: (B, 3, 112, 112).
        embedding: (B, 128).
        eye: (N, 32, 39).
        gaze: (N, 32, 2).
        heads: head -> (N, C).
    """

    description: str
    face: NDArray[np.float32]
    embedding: NDArray[np.float32]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    heads: dict[str, NDArray[np.float32]]


def reference_of(model: Emert, evidence: Evidence | None = None, seed: int = 0) -> Reference:
    """Run the torch network on a selection window of each of a few clips, or on seeded inputs in EMER's ranges."""
    windows = np.zeros(0, np.int64) if evidence is None else evidence.first_of_clips(_WINDOWS)
    if evidence is not None and len(windows) == _WINDOWS:
        face, eye, gaze = evidence.faces(windows), evidence.eye[windows], evidence.gaze[windows]
        description = f"{_WINDOWS} selection windows"
    else:
        face, eye, gaze = seeded_windows(_WINDOWS, seed)
        description = "seeded inputs in EMER's ranges"
    flat = face.reshape(-1, *face.shape[2:])
    with torch.inference_mode():
        embedding = model.encode(torch.from_numpy(flat))
        embeddings = embedding.reshape(_WINDOWS, -1, embedding.shape[1])
        fused = model.fuse(embeddings, torch.from_numpy(eye), torch.from_numpy(gaze))
    heads = {name: values.numpy() for name, values in fused.items()}
    return Reference(description, flat, embedding.numpy(), eye=eye, gaze=gaze, heads=heads)


def verify(parts: dict[str, Path], precisions: Mapping[str, str], reference: Reference) -> dict[str, float]:
    """Compare each part's outputs with the torch network's.

    Args:
        parts: `cpu/face_encoder` and so on -> ONNX file, without detectors.
        precisions: the same keys -> `fp32`, `fp16` or `int8`.
        reference: inputs and expected outputs.

    Returns:
        The keys -> largest difference as a share of the output's largest value.

    Raises:
        GateError: an FP32 part differs by more than 1e-4, or any part gives numbers that are not finite.
    """
    embeddings = reference.embedding.reshape(len(reference.eye), -1, reference.embedding.shape[1])
    errors = {}
    for key, path in parts.items():
        if "face_encoder" in key:
            expected, given = {"embedding": reference.embedding}, {"face": reference.face}
        else:
            expected = reference.heads
            given = {"embeddings": embeddings, "eye": reference.eye, "gaze": reference.gaze}
        got = _run(path, given)
        errors[key] = max(largest_error(got[name], expected[name]) for name in expected)
        if not np.isfinite(errors[key]):
            raise GateError(f"the exported {key} gives numbers that are not finite; try another --precision")
        if precisions[key] == "fp32" and errors[key] > FP32_TOLERANCE:
            raise GateError(f"the exported {key} differs from the checkpoint: {errors[key]:.2g} of its largest output")
    return errors


def noise_db(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Signal to quantisation noise of (n, width) arrays, dB.

    The signal is the difference between the n items, without their mean.
    """
    signal = float(((expected - expected.mean(axis=0)) ** 2).sum())
    noise = float(((got - expected) ** 2).sum())
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))


def make_golden(
    file: Callable[[str], Path],
    manifest: Manifest,
    detectors: Mapping[str, onnx.ModelProto],
    progress: Progress,
) -> Golden:
    """Run every part of both variants in ONNX Runtime on seeded inputs.

    Args:
        file: gives the file for a path inside the bundle; the parts are there.
        manifest: its networks, parts and combinations; a fusion is given what the cpu variant's encoder made of faces.
        detectors: part -> model of the face detector.
        progress: called after every part.
    """
    face, eye, gaze = seeded_windows(_GOLDEN_WINDOWS, _GOLDEN_SEED)
    inputs: dict[str, Tensors] = {}
    outputs: dict[tuple[Variant, str], Tensors] = {}
    networks, keys = manifest.all_networks, [key.partition("/") for key in manifest.precision.parts]
    names = dict.fromkeys(network.encoder for network in networks)

    def run(role: str, given: Tensors) -> None:
        inputs[role] = given
        for variant, part in ((cast(Variant, variant), part) for variant, _, part in keys if role_of(part) == role):
            outputs[variant, part] = _run(file(f"{variant}/{part}.onnx"), given)
        progress("keeping golden outputs", len(inputs), len(names) + len(networks) + len(detectors))

    for name in names:
        run(name, {"face": face.reshape(-1, *face.shape[2:])})
    for network in networks:
        embeddings = outputs[CPU, network.encoder]["embedding"].reshape(_GOLDEN_WINDOWS, FACE_SLOTS, -1)
        run(network.fusion, {"embeddings": embeddings, "eye": eye, "gaze": gaze})
    for name, model in detectors.items():
        run(name, detector_image(model))
    ends: dict[int, Tensors] = {}
    for number, combination in enumerate(manifest.combinations):
        ends[number] = {}
        for network in networks:
            variant, _, part = combination.parts[network.encoder].partition("/")
            embeddings = outputs[cast(Variant, variant), part]["embedding"].reshape(_GOLDEN_WINDOWS, FACE_SLOTS, -1)
            given = inputs[network.fusion] | {"embeddings": embeddings}
            ends[number] |= _run(file(f"{combination.parts[network.fusion]}.onnx"), given)
    return Golden(inputs, outputs, ends)


def detector_image(model: onnx.ModelProto) -> Tensors:
    """A seeded image (1, 3, H, W) float32 of whole grey levels under the name of a detector's input."""
    (image,) = model.graph.input
    height, width = (side.dim_value for side in image.type.tensor_type.shape.dim[2:])
    return {image.name: _grey_blocks(np.random.default_rng(_GOLDEN_SEED), (1, 3, height, width))}


def _run(path: Path, given: Tensors) -> Tensors:
    with closing(open_engine(CPU_ENGINE, path, threads=1)) as engine:
        return {name: np.asarray(values, np.float32) for name, values in engine.run(given).items()}


def check_parts(parts: Mapping[str, Path], progress: Progress = silent) -> tuple[TensorRtCheck, ...] | None:
    """Parse and build every part; None where neither `tensorrt` nor `tensorrt_rtx` can be imported."""
    package = find_tensorrt()
    if package is None:
        return None
    results = []
    for done, (name, path) in enumerate(parts.items(), start=1):
        try:
            built = build_plan(path, BuildOptions(package))
            package_version = f"{built.package} {built.version}"
            types = (f"{one.precision} to {one.outputs[0]}" for one in built.layers if one.convolves)
            check = TensorRtCheck(
                part=name,
                ok=True,
                package=package_version,
                seconds=round(built.seconds, 3),
                plan_bytes=len(built.plan),
                layers=len(built.layers),
                convolutions=dict(Counter(types)),
                requantising=sum(layer.requantises for layer in built.layers),
            )
            results.append(check)
        except EngineError as error:
            results.append(TensorRtCheck(part=name, ok=False, error=str(error)))
        progress("building with TensorRT", done, len(parts))
    return tuple(results)
